//! CSV, and the formula guard for people who open it in a spreadsheet.

use tokio_postgres::types::{Kind, Type};

use super::options::{ForceQuote, FormatOptions};
use crate::job::{Column, quote_identifier};

/// What a spreadsheet runs, or takes for the start of something that it runs.
const FORMULA: &str = r"'^[=+@\t\r\n-]'";
/// What begins like that and is nothing but a number: `-5`, `+1.50`, `-1.234,56`, `+4930123456`. It stays one, as in a column of numbers.
const NUMBER: &str = "'^[+-]?[0-9]+([.,][0-9]+)*$'";

/// The query as it is, or with a `'` before what a spreadsheet would run. A heading that is changed goes by its new name in the options.
pub(super) fn shape(query: &str, columns: &[Column], options: &mut FormatOptions) -> String {
    let needs = |column: &Column| needs_guard(column) || guarded_heading(&column.name) != column.name;
    if options.formula_guard != Some(true) || !columns.iter().any(needs) {
        return query.to_string();
    }
    if let Some(ForceQuote::Columns(names)) = &mut options.force_quote {
        names.iter_mut().for_each(|name| *name = guarded_heading(name));
    }
    guarded(query, columns)
}

fn guarded(query: &str, columns: &[Column]) -> String {
    // Own names for the columns: a query may have two of the same name, or none.
    let names: Vec<String> = (1..=columns.len()).map(|number| format!("c{number}")).collect();
    let cells: Vec<String> = columns
        .iter()
        .zip(&names)
        .map(|(column, name)| {
            // guard: guarded headings
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

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: Type) -> Column {
        Column { name: name.into(), data_type, origin: None }
    }

    #[test]
    fn only_columns_that_can_hold_a_formula_are_guarded() {
        let columns = [column("n", Type::INT4), column("=x\"", Type::TEXT)];
        let guard = || FormatOptions { formula_guard: Some(true), ..FormatOptions::default() };
        let sql = shape("select -1, '=1+1' -- end", &columns, &mut guard());
        assert!(sql.starts_with("select c1 as \"n\", case when c2 ~"), "{sql}");
        assert!(sql.contains("as \"'=x\"\"\" from (\nselect -1, '=1+1' -- end\n) as guarded (c1, c2)"), "{sql}");
        assert_eq!(shape("select 1", &columns[..1], &mut guard()), "select 1");
    }
}
