//! Formats: the door's table is the program's, and a row in it is all that the door needs to know of one.

use exportbox::format::TABLE;

use crate::harness::World;
use crate::harness::requests::refusal;

type Row = (String, Vec<String>, Vec<String>);

#[tokio::test]
async fn the_doors_table_of_formats_has_the_same_rows_as_the_programs() {
    let world = World::new().await;
    let listed = "select name, compressions, options from exportbox.format_capabilities() with ordinality order by ordinality";
    let rows = world.admin.query(listed, &[]).await.unwrap();
    let doors: Vec<Row> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let programs: Vec<Row> = TABLE
        .iter()
        .map(|format| {
            let compressions: Vec<&str> = format.compressions.iter().map(|compression| compression.name()).collect();
            (format.name.to_string(), words(&compressions), words(format.options))
        })
        .collect();
    assert_eq!(doors, programs);
    world.request("select 1", &[]).await;
    assert_eq!(world.text("select format from exportbox.outbox").await, TABLE[0].name);
}

#[tokio::test]
async fn a_row_in_the_doors_table_is_all_that_the_door_needs_for_another_format() {
    let world = World::new().await;
    let app = world.app().await;
    let request = |more: &str| format!("select exportbox.request_export(query => 'select 1', format => 'rtf'{more})");
    let refused = refusal(&app, &request("")).await;
    assert_eq!((refused.code.as_str(), refused.hint.as_str()), ("EB020", "Set format to csv, text or jsonl."));
    let definition: String = world.text("select pg_get_functiondef('exportbox.format_capabilities()'::regprocedure)").await;
    let more = "values\n        ('rtf', '{none}'::text[], '{header,quote}'::text[], null, '\"', null, null),\n";
    let with_another = definition.replacen("values\n", more, 1);
    assert_ne!(with_another, definition);
    world.sql(&with_another).await;

    app.batch_execute(&request(", format_options => '{\"header\": false}'")).await.unwrap();
    let refused = refusal(&app, &request(", compression => 'gzip'")).await;
    assert_eq!((refused.code.as_str(), refused.hint.as_str()), ("EB021", "Set compression to none."));
    let refused = refusal(&app, &request(", format_options => '{\"delimiter\": \";\"}'")).await;
    assert_eq!((refused.code.as_str(), refused.hint.as_str()), ("EB022", "Allowed: header, quote."));
    world.sql("select exportbox.register_report('letters', 'select 1', run_as => 'app', formats => '{rtf}')").await;
    let refused = refusal(&app, "select exportbox.request_export(report => 'letters')").await;
    assert_eq!((refused.code.as_str(), refused.hint.as_str()), ("EB024", "Set format to rtf."));
    app.batch_execute("select exportbox.request_export(report => 'letters', format => 'rtf')").await.unwrap();
    let refused = refusal(&app, "select exportbox.request_export(query => 'select 1', format => 'doc')").await;
    assert_eq!(refused.hint, "Set format to rtf, csv, text or jsonl.");
}
