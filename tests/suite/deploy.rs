//! The files for containers, as far as they can be checked without an engine: they name only what exists, and every command in them is one
//! that this program takes.

use std::process::Command;

use serde_json::Value;

use crate::harness::dockerfile::{Stage, stages};
use crate::harness::process::PROGRAM;

const ENTRY_POINT: &str = "/usr/local/bin/exportbox";

fn dockerfile() -> Vec<Stage> {
    stages(include_str!("../../Dockerfile"))
}

fn stage(name: &str) -> Stage {
    dockerfile().into_iter().find(|stage| stage.name == name).unwrap_or_else(|| panic!("the Dockerfile has no stage {name}"))
}

fn compose() -> Value {
    serde_saphyr::from_str(include_str!("../../docker-compose.yml")).unwrap()
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_string()).collect()
}

/// The program reads these arguments without complaint, as far as the help.
fn assert_takes(arguments: &[String]) {
    let output = Command::new(PROGRAM).args(arguments).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!arguments.is_empty() && String::from_utf8_lossy(&output.stdout).contains(&format!("exportbox {}", arguments[0])));
}

#[test]
fn the_image_that_is_built_by_default_is_the_daemon_without_a_sandbox() {
    let last = dockerfile().pop().unwrap();
    assert_eq!(last.name, "daemon");
    let build = stage("build");
    assert!(build.all("RUN").iter().any(|run| run.contains("--locked --release --no-default-features")));
    assert!(last.all("COPY").contains(&"--from=build /exportbox /usr/local/bin/exportbox"));
}

#[test]
fn final_images_are_small_run_as_nobody_and_need_no_shell() {
    for name in ["daemon", "sandbox"] {
        let stage = stage(name);
        assert!(stage.image.starts_with("gcr.io/distroless/") && stage.image.ends_with(":nonroot"), "{}", stage.image);
        assert!(stage.all("RUN").is_empty() && !stage.all("USER").contains(&"root"));
        assert_eq!(stage.exec("ENTRYPOINT"), [ENTRY_POINT]);
        assert_takes(&stage.exec("CMD"));
        for copied in stage.all("COPY") {
            let from = copied.split_whitespace().next().unwrap().strip_prefix("--from=").unwrap();
            assert!(dockerfile().iter().any(|stage| stage.name == from), "{copied}");
            assert!(copied.ends_with(ENTRY_POINT));
        }
    }
}

#[test]
fn the_health_check_is_a_command_of_the_program() {
    let check = stage("daemon").exec("HEALTHCHECK");
    assert_eq!(check[0], ENTRY_POINT);
    assert_takes(&check[1..]);
}

#[test]
fn the_compiler_in_the_image_is_new_enough() {
    let version = |text: &str| text.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    let needed = include_str!("../../Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    for name in ["build", "build-sandbox"] {
        let image = stage(name).image;
        let has = image.strip_prefix("rust:").unwrap().split('-').next().unwrap();
        assert!(version(has) >= version(needed)[..2].to_vec(), "{image} for {needed}");
    }
}

#[test]
fn each_service_has_an_image_or_a_stage_and_a_command_that_it_takes() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().unwrap() {
        assert!(service["image"].is_string() != service["build"].is_object(), "{name} needs an image or a build");
        if let Some(build) = service["build"].as_object() {
            assert_eq!(build["context"], ".");
            let stage = stage(build["target"].as_str().unwrap());
            let command = if service["command"].is_null() { stage.exec("CMD") } else { words(&service["command"]) };
            assert_takes(&command);
            // The daemon's image is built without them.
            assert!(stage.name == "sandbox" || !["demo", "sandbox", "s3-put"].contains(&command[0].as_str()), "{name}: {command:?}");
        }
        for (other, waits) in service["depends_on"].as_object().into_iter().flatten() {
            let awaited = &compose["services"][other];
            assert!(awaited.is_object(), "{name} waits for {other}");
            match waits["condition"].as_str().unwrap() {
                "service_healthy" => assert!(words(&awaited["healthcheck"]["test"]).len() > 1),
                "service_completed_successfully" => assert_ne!(awaited["command"], serde_json::json!(["run"])),
                condition => assert_eq!(condition, "service_started"),
            }
        }
        for config in service["configs"].as_array().into_iter().flatten() {
            assert!(compose["configs"][config["source"].as_str().unwrap()]["content"].is_string(), "{name}");
        }
    }
}

#[test]
fn ports_are_the_same_in_the_image_its_command_and_the_services() {
    let sandbox = stage("sandbox");
    let exposed: Vec<&str> = sandbox.all("EXPOSE").iter().flat_map(|ports| ports.split_whitespace()).collect();
    let command = sandbox.exec("CMD");
    let port = |flag: &str| command[command.iter().position(|word| word == flag).unwrap() + 1].clone();
    assert_eq!(exposed, [port("--s3-port"), port("--ses-port")]);
    let compose = compose();
    let published = words(&compose["services"]["sandbox"]["ports"]);
    assert_eq!(published, exposed.iter().map(|port| format!("127.0.0.1:{port}:{port}")).collect::<Vec<_>>());
    let environment = &compose["services"]["exportbox"]["environment"];
    assert_eq!(environment["AWS_ENDPOINT_URL_S3"], format!("http://sandbox:{}", exposed[0]));
    assert_eq!(environment["AWS_ENDPOINT_URL_SESV2"], format!("http://sandbox:{}", exposed[1]));
    assert_eq!(environment["EXPORTBOX_PUBLIC_S3_ENDPOINT"], format!("http://localhost:{}", exposed[0]));
    // Nothing of a development set-up listens beyond this machine.
    for (name, service) in compose["services"].as_object().unwrap() {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn the_composed_daemon_has_all_its_settings_and_no_other() {
    let compose = compose();
    let service = &compose["services"]["exportbox"];
    let environment = service["environment"].as_object().unwrap();
    let help = Command::new(PROGRAM).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for name in environment.keys().filter(|name| name.starts_with("EXPORTBOX_")) {
        assert!(help.contains(&format!("[env: {name}")), "{name} is no setting");
    }
    // With these very settings the program gets as far as its database, which is not here.
    let at = "postgres:5432";
    let url = environment["EXPORTBOX_DATABASE_URL"].as_str().unwrap();
    assert!(url.contains(at), "{url}");
    let output = Command::new(PROGRAM)
        .arg("drain")
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value.as_str().unwrap())))
        .env("EXPORTBOX_DATABASE_URL", url.replace(at, "127.0.0.1:1"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
    // Both sides of the sandbox speak of one key and one region.
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert_eq!(environment[name], compose["services"]["sandbox"]["environment"][name]);
    }
    // Docker must not lose patience before the daemon's own grace ends, 30 seconds by default, and what it stopped then is cleaned up.
    let patience = service["stop_grace_period"].as_str().unwrap().trim_end_matches('s').parse::<u32>().unwrap();
    assert!(patience >= 75 && help.contains("[env: EXPORTBOX_GRACE=] [default: 30s]"), "{help}");
}
