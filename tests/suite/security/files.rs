//! Files that cannot bite: the formula guard read back by another reader than the one that wrote it, and names that are safe on every system.

use crate::harness::World;
use crate::harness::exports::cells;

/// What the guard promises in docs/application/files.md, written down a second time.
fn guarded(cell: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let is_number = unsigned.split(['.', ',']).all(digits);
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && !is_number { format!("'{cell}") } else { cell.to_string() }
}

/// Cells out of characters that matter to spreadsheets, to CSV, or to neither; the same ones on every run.
fn many_cells(count: usize) -> Vec<String> {
    const PIECES: [&str; 26] = [
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "\r\n",
        "'",
        "\"",
        ",",
        ";",
        " ",
        "1",
        "23",
        ".",
        "5,6",
        "1+1",
        "cmd|' /C calc'!A0",
        "HYPERLINK(\"http://x\")",
        "ä",
        "\u{202e}",
        "\u{feff}",
        "x",
        "\\",
        "E5",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    (0..count).map(|_| (0..random.usize(0..5)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect()).collect()
}

#[tokio::test]
async fn no_cell_of_a_mailed_csv_runs_and_each_reads_as_documented() {
    let world = World::new().await;
    let texts = many_cells(4000);
    world.sql("create table public.cell (n serial, t text, v varchar); grant select on public.cell to app").await;
    world.admin.execute("insert into public.cell (t, v) select t, t from unnest($1::text[]) as t", &[&texts]).await.unwrap();
    for options in
        [r#"{}"#, r#"{"delimiter": ";"}"#, r#"{"quote": "|", "force_quote": "*"}"#, r#"{"null": "NULL"}"#, r#"{"header": false}"#]
    {
        let query = "select n, t, v, t::name::text collate \"C\" as \"=name\" from public.cell order by n";
        let file = world.file(query, &["ann@example.com"], &format!("format_options => '{options}'")).await;
        let options: serde_json::Value = serde_json::from_str(options).unwrap();
        let byte = |name: &str, usual: char| options[name].as_str().and_then(|text| text.chars().next()).unwrap_or(usual);
        let mut rows = cells(&file, byte("delimiter", ','), byte("quote", '"'));
        if options["header"].is_null() {
            assert_eq!(rows.remove(0), ["n", "t", "v", "'=name"]);
        }
        assert_eq!(rows.len(), texts.len(), "{options}");
        for (row, text) in rows.iter().zip(&texts) {
            assert_eq!((row[1].as_str(), row[2].as_str()), (guarded(text).as_str(), guarded(text).as_str()), "{text:?} {options}");
            for cell in row {
                let risky = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
                assert!(!risky || cell.chars().all(|c| "+-.,".contains(c) || c.is_ascii_digit()), "{cell:?} {options}");
            }
        }
    }
}

#[tokio::test]
async fn numbers_stay_numbers_whatever_their_column_is() {
    let world = World::new().await;
    let query = "select -5 as i, -1.5 as n, to_char(-1234.5, 'FM9G999D00') as c, '-5'::text as t, '+4930123456'::varchar as p, '-1.234,56'::text as e,
        '-1e5'::text as x, '+49 30 123'::text as s, '-'::text as d, '1-1'::text as m, '-1-1'::text as f, E'-1\\n'::text as l";
    let file = world.file(query, &["ann@example.com"], "").await;
    let row = cells(&file, ',', '"').remove(1);
    let expected = ["-5", "-1.5", "-1,234.50", "-5", "+4930123456", "-1.234,56", "'-1e5", "'+49 30 123", "'-", "1-1", "'-1-1", "'-1\n"];
    assert_eq!(row, expected);
}

#[tokio::test]
async fn the_guard_is_on_for_mailed_csv_unless_the_request_says_otherwise() {
    let world = World::new().await;
    let query = "select '=1+1' as a";
    let off = r#"format_options => '{"formula_guard": false}'"#;
    let files = world.files(&[(query, &["ann@example.com"], ""), (query, &[], ""), (query, &["ann@example.com"], off)]).await;
    assert_eq!(files, ["a\n'=1+1\n", "a\n=1+1\n", "a\n=1+1\n"]);
}

#[tokio::test]
async fn a_download_is_saved_under_a_name_that_is_safe_on_every_system() {
    let world = World::new().await;
    let mut ids = Vec::new();
    let names = [
        ("CON", "_CON.csv"),
        ("nul.csv", "_nul.csv"),
        ("a:b*c?.csv", "a_b_c_.csv"),
        ("invoice\u{202e}vsc.exe", "invoice_vsc.exe.csv"),
        (".profile", "_.profile.csv"),
        ("-rf.csv", "_-rf.csv"),
        ("report.csv. .", "report.csv"),
        ("a\u{200b}b\"<c>|.csv", "a_b__c__.csv"),
        ("👩‍👩‍👧 Umsätze.csv", "👩‍👩‍👧 Umsätze.csv"),
    ];
    for (number, (wish, _)) in names.iter().enumerate() {
        let recipient = format!("n{number}@example.com");
        ids.push(world.request_with("select 1", &[&recipient], &format!("filename => '{wish}'")).await);
    }
    world.complete(&ids).await;
    for (number, (wish, safe)) in names.iter().enumerate() {
        let mail = world.mails_to(&format!("n{number}@example.com")).remove(0);
        assert!(mail.subject.contains(safe) && mail.text.contains(safe), "{wish}: {}", mail.subject);
        let answer = reqwest::get(&mail.links[0]).await.unwrap();
        let disposition = answer.headers()["content-disposition"].to_str().unwrap();
        let saved = percent_encoding::percent_decode_str(disposition.split_once("filename*=UTF-8''").unwrap().1).decode_utf8().unwrap();
        assert_eq!(saved, *safe, "{disposition}");
        let manifest = world.manifest(ids[number]).await;
        assert_eq!(manifest["filename"], *safe);
        assert!(manifest["key"].as_str().unwrap().chars().all(|c| c.is_ascii_alphanumeric() || "/.-_".contains(c)), "{manifest}");
    }
}
