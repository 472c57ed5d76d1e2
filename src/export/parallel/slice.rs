//! A slice of a file, and its text: the report's query for a range of its split key.

use super::scale::Scale;
use crate::job::{Column, quote_identifier};
use crate::source::Bounds;

/// Where the bounds of a slice stand: never in the text of the query.
const FROM: &str = "pg_catalog.current_setting('exportbox.split_from')";
const TO: &str = "pg_catalog.current_setting('exportbox.split_to')";

/// The key that stands for the place of a row in its table.
const BLOCKS: &str = "ctid";

/// What a file is split by.
#[derive(Debug, Clone)]
pub(super) enum SplitKey {
    /// Ranges of a column of the query; the file has its order.
    Column {
        /// The column.
        column: Column,
        /// How its values are counted.
        scale: Scale,
    },
    /// Ranges of blocks of the one plain table that the query reads.
    Blocks,
}

/// A part of the file: the rows between two values, or those without one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Slice {
    /// From this value on; none: from the first.
    pub(super) from: Option<String>,
    /// Up to this value, which is not in it; none: to the last.
    pub(super) to: Option<String>,
    /// Instead, the rows that have none. They come last.
    pub(super) is_null: bool,
    /// Nothing comes before it.
    pub(super) is_first: bool,
}

impl Slice {
    /// As its query reads them.
    pub(super) fn bounds(&self) -> Bounds<'_> {
        Bounds { from: self.from.as_deref(), to: self.to.as_deref() }
    }
}

impl SplitKey {
    /// How the report's file is split; none: it cannot be.
    pub(super) fn of(key: &str, columns: &[Column]) -> Option<SplitKey> {
        if key == BLOCKS {
            return Some(SplitKey::Blocks);
        }
        let mut named = columns.iter().filter(|column| column.name == key);
        let (column, None) = (named.next()?, named.next()) else { return None };
        Some(SplitKey::Column { column: column.clone(), scale: Scale::of(&column.data_type)? })
    }

    /// How what it is split by is counted.
    pub(super) fn scale(&self) -> Scale {
        match self {
            SplitKey::Column { scale, .. } => *scale,
            SplitKey::Blocks => Scale::Block,
        }
    }

    /// The query as a whole, in the order of the file: the same whether it is split or not. A query that has this order already is not sorted again,
    /// and what it says of equal keys holds.
    pub(super) fn whole(&self, query: &str) -> String {
        match self {
            SplitKey::Column { column, .. } => {
                format!("select * from (\n{query}\n) as line order by line.{}", quote_identifier(&column.name))
            }
            SplitKey::Blocks => query.to_string(),
        }
    }

    /// The query for one slice. Together the slices have each row once: the bounds are settings, the same text on both sides of a cut.
    pub(super) fn query_of(&self, query: &str, slice: &Slice) -> String {
        let key = match self {
            SplitKey::Column { column, .. } => format!("line.{}", quote_identifier(&column.name)),
            SplitKey::Blocks => BLOCKS.to_string(),
        };
        let within = self.condition(&key, slice);
        match self {
            SplitKey::Column { .. } => format!("select * from (\n{query}\n) as line where {within} order by {key}"),
            SplitKey::Blocks => format!("{query}\nwhere {within}"),
        }
    }

    /// The first value of the key, or the last, as text; of a slice.
    pub(super) fn end_of(&self, query: &str, is_last: bool, slice: &Slice) -> Option<String> {
        let SplitKey::Column { column, .. } = self else { return None };
        let (key, direction) = (format!("line.{}", quote_identifier(&column.name)), if is_last { "desc" } else { "asc" });
        let within = self.condition(&key, slice);
        Some(format!("select {key}::pg_catalog.text as value from (\n{query}\n) as line where {within} order by {key} {direction} limit 1"))
    }

    fn condition(&self, key: &str, slice: &Slice) -> String {
        let of_type = self.scale().type_name();
        // guard: from its bound
        let bounds: Vec<String> = [(&slice.from, ">=", FROM), (&slice.to, "<", TO)]
            .iter()
            .filter(|(bound, ..)| bound.is_some())
            .map(|(_, operator, setting)| format!("{key} {operator} {setting}::pg_catalog.{of_type}"))
            .collect();
        match (slice.is_null, bounds.is_empty()) {
            (true, _) => format!("{key} is null"),
            (false, true) => format!("{key} is not null"),
            (false, false) => bounds.join(" and "),
        }
    }

    /// Texts in the order of the key: sorted by the server, by the key's own collation, since bounds that do not ascend would have rows twice. Limit 0
    /// runs nothing.
    pub(super) fn sorted(&self, query: &str) -> Option<String> {
        let SplitKey::Column { column, .. } = self else { return None };
        let key = quote_identifier(&column.name);
        Some(format!(
            "select array_agg(bound.value order by coalesce((select line.{key} from (\n{query}\n) as line limit 0), bound.value)) as bounds \
             from unnest($1) as bound (value)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::Type;

    use super::*;

    fn column(name: &str, data_type: Type) -> Column {
        Column { name: name.into(), data_type, origin: None }
    }

    #[test]
    fn a_key_is_one_column_with_an_order() {
        let columns = [column("id", Type::INT4), column("a", Type::INT4), column("a", Type::INT4), column("j", Type::JSON)];
        assert!(SplitKey::of("id", &columns).is_some() && SplitKey::of("ctid", &[]).is_some());
        assert!(["a", "j", "nothing", "ID"].iter().all(|key| SplitKey::of(key, &columns).is_none()));
    }

    #[test]
    fn bounds_are_settings_and_the_key_is_quoted() {
        let key = SplitKey::of("a\"b", &[column("a\"b", Type::INT8)]).unwrap();
        let slice = Slice { from: Some("1'2".into()), to: Some("3".into()), ..Slice::default() };
        let query = key.query_of("select 1 -- x", &slice);
        assert_eq!(
            query,
            "select * from (\nselect 1 -- x\n) as line where line.\"a\"\"b\" >= pg_catalog.current_setting('exportbox.split_from')::pg_catalog.int8 \
             and line.\"a\"\"b\" < pg_catalog.current_setting('exportbox.split_to')::pg_catalog.int8 order by line.\"a\"\"b\""
        );
        assert!(key.query_of("q", &Slice::default()).contains("where line.\"a\"\"b\" is not null order"));
        assert!(key.query_of("q", &Slice { is_null: true, ..Slice::default() }).contains("where line.\"a\"\"b\" is null order"));
        let blocks = SplitKey::Blocks.query_of("table t", &Slice { from: Some("(1,0)".into()), ..Slice::default() });
        assert_eq!(blocks, "table t\nwhere ctid >= pg_catalog.current_setting('exportbox.split_from')::pg_catalog.tid");
    }
}
