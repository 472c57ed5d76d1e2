//! JSON Lines: one object a row, made by the server.

use tokio_postgres::types::{Kind, Type};

use super::options::FormatOptions;
use crate::job::Column;

/// JSON text never holds these two characters, so COPY's csv quotes nothing and passes each line on as it is. COPY's text format would double every
/// backslash.
pub(super) const COPY_OPTIONS: &str = r"format csv, header false, quote E'\x01', delimiter E'\x02'";

/// Types from here on are not PostgreSQL's own: they may have a cast to json.
const FIRST_OF_USERS: u32 = 16_384;

/// The query that makes the lines. A column of type json keeps its own white space, and a line break in it would end the line; a space means the same,
/// as strings must escape theirs. Only where there may be such a column: replacing takes twice as long as making the line.
pub(super) fn shape(query: &str, columns: &[Column], _: &mut FormatOptions) -> String {
    // `line.*` is the row, also where a column is called line. The line break keeps a trailing `--` comment from swallowing the parenthesis.
    if columns.iter().any(|column| may_hold_json(&column.data_type)) {
        format!("select translate(row_to_json(line.*)::text, E'\\n\\r', '  ') from (\n{query}\n) as line")
    } else {
        format!("select row_to_json(line.*) from (\n{query}\n) as line")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_replaced_only_where_json_may_hold_them() {
        let shaped = |data_type: Type| {
            let columns =
                [Column { name: "a".into(), data_type: Type::INT4, origin: None }, Column { name: "b".into(), data_type, origin: None }];
            shape("select 1 -- x", &columns, &mut FormatOptions::default())
        };
        assert_eq!(shaped(Type::JSONB), "select row_to_json(line.*) from (\nselect 1 -- x\n) as line");
        for data_type in [Type::JSON, Type::JSON_ARRAY, Type::RECORD] {
            assert!(shaped(data_type).starts_with("select translate("));
        }
    }
}
