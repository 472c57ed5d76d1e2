//! Secrets have a type that cannot be printed, and few places see them in clear.

use crate::harness::World;
use crate::harness::files::{code as code_of, files};
use crate::harness::process::{code, json, stderr, stdout};

/// Where a [`exportbox::secret::Secret`] or an address is taken out of its wrapper: at the doors of the process.
const REVEALED: [&str; 10] = [
    "src/config/database.rs",
    "src/config/settings.rs",
    "src/config/sources.rs",
    "src/message/compose.rs",
    "src/job/recipient.rs",
    "src/mail/message.rs",
    "src/mail/ses.rs",
    "src/mail/smtp.rs",
    "src/queue/notice.rs",
    "src/secret.rs",
];

#[test]
fn what_is_secret_has_a_type_that_cannot_be_printed_and_is_revealed_in_few_places() {
    let mut wrong = Vec::new();
    let mut revealed = Vec::new();
    // The sandbox plays with keys that it has made itself.
    for (name, text) in
        files("src", "rs").into_iter().filter(|(name, _)| !name.starts_with("src/sandbox/") && !name.starts_with("src/cli/"))
    {
        for (number, line) in code_of(&text) {
            let field = line.trim().trim_start_matches("pub ").split_once(": ").filter(|_| line.trim_end().ends_with(','));
            let is_secret =
                |field: &str| ["password", "secret", "token", "database_url", "source_url", "mail"].contains(&field) || field == "url";
            if field.is_some_and(|(field, kind)| is_secret(field) && (kind.starts_with("String") || kind.starts_with("Option<String"))) {
                wrong.push(format!("{name}:{number}: {}", line.trim()));
            }
            if line.contains(".reveal()") {
                revealed.push(name.clone());
            }
            // Neither may a whole request, error of a server or set of settings be printed.
            let prints = ["tracing::", "println!", "eprintln!"].iter().any(|macro_name| line.contains(macro_name));
            if prints && [".reveal()", "error_detail", ".detail", "db.message()"].iter().any(|word| line.contains(word)) {
                wrong.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    revealed.dedup();
    let strangers: Vec<&String> = revealed.iter().filter(|name| !REVEALED.contains(&name.as_str())).collect();
    assert!(wrong.is_empty() && strangers.is_empty(), "{wrong:#?} {strangers:?}");
    assert!(revealed.len() >= 5, "the search finds nothing any more");
}

#[tokio::test]
async fn addresses_are_masked_in_every_command_unless_asked_for() {
    let world = World::new().await;
    let refused = exportbox::sandbox::Action::error(400, "MessageRejected", "no mail for bob@example.com or <dan@example.com>");
    world.ses.faults().add(exportbox::sandbox::Rule::on("SendEmail", refused).key_contains("bob@"));
    let id = world.request("select 1", &["ann@example.com", "bob@example.com"]).await.to_string();
    world.drain().await;
    // The requester and an operator may both see them; a reader never does.
    world.sql(&format!("create role op_{0} login password 'x'; grant exportbox_operator to op_{0}", world.database)).await;
    let operator = crate::harness::postgres().url(&format!("op_{}", world.database), "x", &world.database);
    for url in [world.app_url(), operator.clone()] {
        let with_url = [("EXPORTBOX_DATABASE_URL", url.as_str())];
        for command in
            [&["show", &id][..], &["show", "--json", &id], &["status"], &["status", "--json"], &["watch", &id], &["watch", "--json", &id]]
        {
            let output = world.run_with(command, &with_url).await;
            let said = format!("{}{}", stdout(&output), stderr(&output));
            assert!(!said.contains("ann@") && !said.contains("bob@") && !said.contains("dan@"), "{command:?}: {said}");
            assert_eq!(said.contains("a***@example.com"), command[0] == "show", "{command:?}: {said}");
        }
        let shown = stdout(&world.run_with(&["show", "--show-addresses", &id], &with_url).await);
        assert!(shown.contains("ann@example.com") && shown.contains("bob@example.com"), "{shown}");
        let story = json(&world.run_with(&["show", "--show-addresses", "--json", &id], &with_url).await);
        assert_eq!(story["deliveries"][0]["recipient"], "ann@example.com");
    }
    let detail = |output: &std::process::Output| stdout(output).contains("dan@example.com");
    let with_url = [("EXPORTBOX_DATABASE_URL", operator.as_str())];
    assert!(stdout(&world.run_with(&["show", &id], &with_url).await).contains("d***@example.com"));
    assert!(detail(&world.run_with(&["show", "--show-addresses", &id], &with_url).await));
    let as_daemon = world.run(&["show", "--show-addresses", &id]).await;
    assert!(!stdout(&as_daemon).contains("ann@") && !detail(&as_daemon), "a reader sees addresses");
}

#[tokio::test]
async fn a_wrong_argument_is_refused_without_the_password_in_it() {
    let world = World::new().await;
    let url = "postgres://ann:hunter2-secret@db.example/shop";
    let setting = format!("--database-urll={url}");
    for arguments in [&["drain", url][..], &["run", "--slots", url], &["drain", "--lease", url], &["show", url], &["run", &setting]] {
        let output = world.run(arguments).await;
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(code(&output) == 2 && said.contains("--help") && !said.contains("hunter2"), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_password_with_an_at_sign_is_not_taken_for_a_host() {
    let world = World::new().await;
    for url in ["postgres://ann:pass@hunter2-secret@127.0.0.1:1/shop", "postgres://ann:a@b@hunter2-secret@h/shop"] {
        let output = world.run_with(&["drain"], &[("EXPORTBOX_DATABASE_URL", url)]).await;
        assert!(code(&output) == 2 && stderr(&output).contains("%40") && !stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
}
