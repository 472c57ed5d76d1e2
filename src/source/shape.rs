//! The query as COPY gets it: wrapped for JSON Lines, and for people who open a CSV in a spreadsheet.

use tokio_postgres::types::{Kind, Type};

use super::session::Column;
use crate::job::format::{ForceQuote, quote_identifier};
use crate::job::{ExportJob, Format};

/// What a spreadsheet runs, or takes for the start of something that it runs.
const FORMULA: &str = r"'^[=+@\t\r\n-]'";
/// Types from here on are not PostgreSQL's own: they may have a cast to json.
const FIRST_OF_USERS: u32 = 16_384;
/// What begins like that and is nothing but a number: `-5`, `+1.50`, `-1.234,56`, `+4930123456`. It stays one, as in a column of numbers.
const NUMBER: &str = "'^[+-]?[0-9]+([.,][0-9]+)*$'";

/// The query without what may stand at the end of a statement but not before a closing parenthesis.
pub fn bare(query: &str) -> &str {
    query.trim_end_matches(|c: char| c.is_whitespace() || c == ';')
}

/// Whether text that a spreadsheet would run gets a `'` in front: on when people open the file, unless the request says otherwise.
pub fn guards_formulas(job: &ExportJob) -> bool {
    job.format == Format::Csv && job.options.formula_guard.unwrap_or(job.recipients > 0)
}

/// The query that COPY runs. Every line break that is added keeps a trailing `--` comment from swallowing the parenthesis.
pub fn shaped(job: &ExportJob, columns: &[Column]) -> String {
    let query = bare(&job.query);
    match job.format {
        // `line.*` is the row, also where a column is called line.
        // A json column keeps its own white space, and a raw line break in it is nothing but white space: strings must escape theirs. Only where
        // there may be such a column: looking through every row takes twice as long as making it.
        Format::Jsonl if columns.iter().any(|column| may_hold_json(&column.data_type)) => {
            format!("select translate(row_to_json(line.*)::text, E'\\n\\r', '  ') from (\n{query}\n) as line")
        }
        Format::Jsonl => format!("select row_to_json(line.*) from (\n{query}\n) as line"),
        Format::Csv if is_guarded(job, columns) => guarded(query, columns),
        Format::Csv | Format::Text => query.to_string(),
    }
}

/// Whether a value of this type may bring raw white space into JSON: `json` itself, and what may contain it or be written as it.
fn may_hold_json(data_type: &Type) -> bool {
    match data_type.kind() {
        Kind::Simple => *data_type == Type::JSON || data_type.oid() >= FIRST_OF_USERS,
        Kind::Enum(_) | Kind::Range(_) | Kind::Multirange(_) => data_type.oid() >= FIRST_OF_USERS,
        Kind::Array(of) | Kind::Domain(of) => may_hold_json(of),
        // Composite types, and `record`, which is a pseudo-type.
        _ => true,
    }
}

/// The plan of a query as JSON. In parentheses as COPY has it, so that nothing that writes is planned.
pub fn explained(query: &str) -> String {
    format!("explain (format json) select * from (\n{}\n) as line", bare(query))
}

/// The same with what each node gives.
pub fn planned(query: &str) -> String {
    format!("explain (format json, verbose) select * from (\n{}\n) as line", bare(query))
}

/// The first rows of a query as JSON.
pub fn first_rows(query: &str, rows: u32) -> String {
    format!("select row_to_json(line.*) from (\n{}\n) as line limit {rows}", bare(query))
}

/// What COPY is told about the format: a column that is named there goes by its heading.
pub fn copy_options(job: &ExportJob, columns: &[Column]) -> String {
    let mut options = job.options.clone();
    if is_guarded(job, columns)
        && let Some(ForceQuote::Columns(names)) = &mut options.force_quote
    {
        names.iter_mut().for_each(|name| *name = guarded_heading(name));
    }
    job.format.copy_options(&options)
}

fn is_guarded(job: &ExportJob, columns: &[Column]) -> bool {
    guards_formulas(job) && columns.iter().any(|column| needs_guard(column) || guarded_heading(&column.name) != column.name)
}

fn guarded(query: &str, columns: &[Column]) -> String {
    // Own names for the columns: a query may have two of the same name, or none.
    let names: Vec<String> = (1..=columns.len()).map(|number| format!("c{number}")).collect();
    let cells: Vec<String> = columns
        .iter()
        .zip(&names)
        .map(|(column, name)| {
            let heading = quote_identifier(&guarded_heading(&column.name));
            let cell = if !needs_guard(column) {
                name.clone()
            } else if is_plain_text(&column.data_type) {
                format!("case when {name} ~ {FORMULA} and {name} !~ {NUMBER} then '''' || {name} else {name} end")
            } else {
                // format's %s is the type's own output, as COPY writes it; num_nulls is null only for null, not for a row of nulls.
                format!(
                    "case when num_nulls({name}) = 1 then null when format('%s', {name}) ~ {FORMULA} and format('%s', {name}) !~ {NUMBER} \
                     then '''' || format('%s', {name}) else format('%s', {name}) end"
                )
            };
            format!("{cell} as {heading}")
        })
        .collect();
    format!("select {} from (\n{query}\n) as guarded ({})", cells.join(", "), names.join(", "))
}

/// PostgreSQL cuts identifiers at 63 bytes; a heading that is too long for its guard loses its end, as it would anyway.
fn guarded_heading(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{name}") } else { name.to_string() }
}

fn is_plain_text(data_type: &Type) -> bool {
    *data_type == Type::TEXT || *data_type == Type::VARCHAR
}

/// Types whose output never begins like a formula, or only as a negative number, which must stay one. Everything else is guarded.
fn needs_guard(column: &Column) -> bool {
    let harmless = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::OID,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::NUMERIC,
        Type::MONEY,
        Type::DATE,
        Type::TIME,
        Type::TIMETZ,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::INTERVAL,
        Type::UUID,
        Type::BYTEA,
        Type::JSON,
        Type::JSONB,
        Type::INET,
        Type::CIDR,
        Type::MACADDR,
    ];
    !harmless.contains(&column.data_type) && !matches!(column.data_type.kind(), Kind::Array(_) | Kind::Range(_) | Kind::Composite(_))
}

/// The call of a sealed report (V8). In the select list, and not flattened: so the server takes row by row from the function. In FROM it would
/// first store them all.
pub fn sealed_call(name: &str, columns: &[Column]) -> String {
    let cell = |column: &Column| {
        let heading = quote_identifier(&column.name);
        // A function of one column gives the value itself, not a row.
        if columns.len() == 1 { format!("sealed.line as {heading}") } else { format!("(sealed.line).{heading}") }
    };
    let list: Vec<String> = columns.iter().map(cell).collect();
    format!("select {} from (select exportbox.{}() as line offset 0) as sealed", list.join(", "), quote_identifier(name))
}

/// The call that fails when the types of a sealed report's columns have changed.
pub fn sealed_fits(name: &str) -> String {
    format!("select from exportbox.{}()", quote_identifier(&format!("{name}_fits")))
}

/// What that function's body is: `exportbox.sealed_check` writes it.
pub fn sealed_check(name: &str) -> String {
    format!(
        "begin return query execute pg_catalog.format(E'select * from (\\n%s\\n) as q limit 0', \
         (select prosrc from pg_catalog.pg_proc where oid = 'exportbox.{name}()'::regprocedure)); end"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Compression, FormatOptions, Terms};

    fn job(format: Format, query: &str, recipients: i32) -> ExportJob {
        ExportJob {
            report: None,
            query: query.into(),
            run_as: "app".into(),
            params: Vec::new(),
            recipients,
            format,
            compression: Compression::None,
            options: FormatOptions::default(),
            filename: None,
            sealed: None,
            terms: Terms::default(),
        }
    }

    fn column(name: &str, data_type: Type) -> Column {
        Column { name: name.into(), data_type, origin: None }
    }

    #[test]
    fn a_machine_gets_the_query_as_it_is() {
        let columns = [column("name", Type::TEXT)];
        assert_eq!(shaped(&job(Format::Csv, "select 1 ; \n;", 0), &columns), "select 1");
        assert_eq!(shaped(&job(Format::Text, "select 1", 3), &columns), "select 1");
    }

    #[test]
    fn a_sealed_report_keeps_its_headings() {
        let call = sealed_call("sealed_a_1", &[column("n", Type::INT4), column("a\"b", Type::INT4)]);
        assert_eq!(
            call,
            "select (sealed.line).\"n\", (sealed.line).\"a\"\"b\" from (select exportbox.\"sealed_a_1\"() as line offset 0) as sealed"
        );
        assert!(sealed_call("sealed_a_1", &[column("a\"b", Type::TEXT)]).starts_with("select sealed.line as \"a\"\"b\" from "));
    }

    #[test]
    fn only_columns_that_can_hold_a_formula_are_guarded() {
        let columns = [column("n", Type::INT4), column("=x\"", Type::TEXT)];
        let sql = shaped(&job(Format::Csv, "select -1, '=1+1' -- end", 1), &columns);
        assert!(sql.starts_with("select c1 as \"n\", case when c2 ~"), "{sql}");
        assert!(sql.contains("as \"'=x\"\"\" from (\nselect -1, '=1+1' -- end\n) as guarded (c1, c2)"), "{sql}");
        assert_eq!(shaped(&job(Format::Csv, "select 1", 1), &columns[..1]), "select 1");
    }
}
