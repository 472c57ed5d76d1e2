//! A world whose database can export by itself: the aws_s3 stand-in over this world's own S3, and a role that may call it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use exportbox::sandbox::aws_s3::{Place, grant_to, install, place_program};

use super::process::PROGRAM;
use super::{World, connect, postgres};

/// The program where the database's user can run it, and a directory for what it says.
fn program() -> &'static (PathBuf, PathBuf) {
    static PLACED: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    PLACED.get_or_init(|| {
        let dir = postgres().dir();
        let results = dir.join("results");
        std::fs::create_dir(&results).unwrap();
        postgres().hand_over(&results).unwrap();
        (place_program(Some(PROGRAM.as_ref()), dir).unwrap(), results)
    })
}

impl World {
    /// `request` and `copy` now speak as a role that may export through aws_s3. `app` still may not.
    pub async fn with_aws_s3() -> World {
        let mut world = World::new().await;
        let (program, results) = program();
        // The server is shared and each world has its own S3: a script stands between the two and sets the environment.
        let script = postgres().dir().join(format!("{}.sh", world.database));
        let environment: String = world
            .environment()
            .into_iter()
            .filter(|(name, _)| name.starts_with("AWS_"))
            .map(|(name, value)| format!("export {name}='{value}'\n"))
            .collect();
        std::fs::write(&script, format!("#!/bin/sh\n{environment}exec '{}' \"$@\"\n", program.display())).unwrap();
        std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        let place = Place { program: script, results: results.clone(), region: "eu-west-1".into() };
        install(&world.admin, &place).await.unwrap();

        let role = format!("{}_exporter", world.database);
        world
            .sql(&format!(
                "create role {role} login password '{role}';
                 grant exportbox_requester, exportbox_adhoc to {role};
                 grant {role} to exportbox_daemon"
            ))
            .await;
        grant_to(&world.admin, &role).await.unwrap();
        let requester = connect(&postgres().url(&role, &role, &world.database)).await;
        world.requester = tokio::sync::OnceCell::new_with(Some(requester));
        world
    }

    /// From now on aws_s3 answers with this query; the stand-in itself is called `honest`.
    pub async fn answer_instead(&self, query: &str) {
        let signature = "(query text, bucket text, file_path text, region text default null, options text default null, \
            kms_key text default null, out rows_uploaded bigint, out files_uploaded bigint, out bytes_uploaded bigint)";
        self.sql(&format!(
            "alter function aws_s3.query_export_to_s3(text, text, text, text, text, text) rename to honest;
             create function aws_s3.query_export_to_s3{signature} language sql as $${query}$$;"
        ))
        .await;
    }

    /// The exporter of an export's attempts, oldest first.
    pub async fn exporters(&self, id: uuid::Uuid) -> Vec<String> {
        let statement = "select coalesce(exporter, '') from exportbox.attempts where export_id = $1 and kind = 'export' order by number";
        self.admin.query(statement, &[&id]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}
