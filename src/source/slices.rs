//! The text of a slice: the report's query for a range of its split key, and how values of that key are counted.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::session::Column;
use crate::job::format::quote_identifier;

/// Where the bounds of a slice stand: never in the text of the query.
const FROM: &str = "pg_catalog.current_setting('exportbox.split_from')";
const TO: &str = "pg_catalog.current_setting('exportbox.split_to')";

/// The key that stands for the place of a row in its table.
const BLOCKS: &str = "ctid";

/// What a file is split by.
#[derive(Debug, Clone)]
pub enum Cut {
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

/// How values of a key are counted, to find those between two others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Whole numbers; what is between two of a numeric belongs to the lower.
    Whole(&'static str),
    /// Days.
    Date,
    /// Microseconds.
    Timestamp,
    /// Microseconds, in UTC.
    Timestamptz,
    /// 128 bits.
    Uuid,
    /// Nothing is known to be between two texts.
    Text,
    /// Blocks of a table.
    Block,
}

/// A part of the file: the rows between two values, or those without one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice {
    /// From this value on; none: from the first.
    pub from: Option<String>,
    /// Up to this value, which is not in it; none: to the last.
    pub to: Option<String>,
    /// Instead, the rows that have none. They come last.
    pub is_null: bool,
    /// Nothing comes before it.
    pub is_first: bool,
}

impl Cut {
    /// How the report's file is split; none: it cannot be.
    pub fn new(key: &str, columns: &[Column]) -> Option<Cut> {
        if key == BLOCKS {
            return Some(Cut::Blocks);
        }
        let mut named = columns.iter().filter(|column| column.name == key);
        let (column, None) = (named.next()?, named.next()) else { return None };
        Some(Cut::Column { column: column.clone(), scale: Scale::of(&column.data_type)? })
    }

    /// How what it is split by is counted.
    pub fn scale(&self) -> Scale {
        match self {
            Cut::Column { scale, .. } => *scale,
            Cut::Blocks => Scale::Block,
        }
    }

    /// The query as a whole, in the order of the file: the same whether it is split or not. A query that has this order already is not sorted again,
    /// and what it says of equal keys holds.
    pub fn whole(&self, query: &str) -> String {
        match self {
            Cut::Column { column, .. } => format!("select * from (\n{query}\n) as line order by line.{}", quote_identifier(&column.name)),
            Cut::Blocks => query.to_string(),
        }
    }

    /// The query for one slice. Together the slices have each row once: the bounds are settings, the same text on both sides of a cut.
    pub fn query_of(&self, query: &str, slice: &Slice) -> String {
        let key = match self {
            Cut::Column { column, .. } => format!("line.{}", quote_identifier(&column.name)),
            Cut::Blocks => BLOCKS.to_string(),
        };
        let within = self.condition(&key, slice);
        match self {
            Cut::Column { .. } => format!("select * from (\n{query}\n) as line where {within} order by {key}"),
            Cut::Blocks => format!("{query}\nwhere {within}"),
        }
    }

    /// The first value of the key, or the last, as text; of a slice.
    pub fn end_of(&self, query: &str, is_last: bool, slice: &Slice) -> Option<String> {
        let Cut::Column { column, .. } = self else { return None };
        let (key, direction) = (format!("line.{}", quote_identifier(&column.name)), if is_last { "desc" } else { "asc" });
        let within = self.condition(&key, slice);
        Some(format!("select {key}::pg_catalog.text as value from (\n{query}\n) as line where {within} order by {key} {direction} limit 1"))
    }

    fn condition(&self, key: &str, slice: &Slice) -> String {
        let of_type = self.scale().type_name();
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
}

impl Cut {
    /// Texts in the order of the key: sorted by the server, by the key's own collation, since bounds that do not ascend would have rows twice. Limit 0
    /// runs nothing.
    pub fn sorted(&self, query: &str) -> Option<String> {
        let Cut::Column { column, .. } = self else { return None };
        let key = quote_identifier(&column.name);
        Some(format!(
            "select array_agg(bound.value order by coalesce((select line.{key} from (\n{query}\n) as line limit 0), bound.value)) as bounds \
             from unnest($1) as bound (value)"
        ))
    }
}

impl Scale {
    fn of(data_type: &Type) -> Option<Scale> {
        Some(match *data_type {
            Type::INT2 => Scale::Whole("int2"),
            Type::INT4 => Scale::Whole("int4"),
            Type::INT8 => Scale::Whole("int8"),
            Type::NUMERIC => Scale::Whole("numeric"),
            Type::DATE => Scale::Date,
            Type::TIMESTAMP => Scale::Timestamp,
            Type::TIMESTAMPTZ => Scale::Timestamptz,
            Type::UUID => Scale::Uuid,
            Type::TEXT | Type::VARCHAR => Scale::Text,
            _ => return None,
        })
    }

    fn type_name(self) -> &'static str {
        match self {
            Scale::Whole(name) => name,
            Scale::Date => "date",
            Scale::Timestamp => "timestamp",
            Scale::Timestamptz => "timestamptz",
            Scale::Uuid => "uuid",
            Scale::Text => "text",
            Scale::Block => "tid",
        }
    }

    /// A value as a number; none for texts, infinities and years that ISO has no four digits for.
    pub fn count(self, value: &str) -> Option<i128> {
        match self {
            Scale::Whole(_) => value.split('.').next()?.parse().ok(),
            Scale::Date => Some(i128::from((NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()? - NaiveDate::default()).num_days())),
            Scale::Timestamp | Scale::Timestamptz => {
                let plain = value.strip_suffix("+00").unwrap_or(value);
                let at = NaiveDateTime::parse_from_str(plain, "%Y-%m-%d %H:%M:%S%.f").ok()?;
                Some(i128::from(at.and_utc().timestamp_micros()))
            }
            // The upper half alone orders well enough, and leaves room for the sign.
            Scale::Uuid => Some(i128::from((value.parse::<Uuid>().ok()?.as_u128() >> 64) as u64)),
            Scale::Text | Scale::Block => None,
        }
    }

    /// The number as a value again.
    pub fn write(self, number: i128) -> Option<String> {
        Some(match self {
            Scale::Whole(_) => number.to_string(),
            Scale::Date => {
                let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(i64::try_from(number).ok()?)?)?;
                date.format("%Y-%m-%d").to_string()
            }
            Scale::Timestamp | Scale::Timestamptz => {
                let at = chrono::DateTime::from_timestamp_micros(i64::try_from(number).ok()?)?;
                let zone = if self == Scale::Timestamptz { "+00" } else { "" };
                format!("{}{zone}", at.format("%Y-%m-%d %H:%M:%S%.6f"))
            }
            Scale::Uuid => Uuid::from_u128(u128::from(u64::try_from(number).ok()?) << 64).to_string(),
            Scale::Block => format!("({number},0)"),
            Scale::Text => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, data_type: Type) -> Column {
        Column { name: name.into(), data_type, origin: None }
    }

    #[test]
    fn a_key_is_one_column_with_an_order() {
        let columns = [column("id", Type::INT4), column("a", Type::INT4), column("a", Type::INT4), column("j", Type::JSON)];
        assert!(Cut::new("id", &columns).is_some() && Cut::new("ctid", &[]).is_some());
        assert!(["a", "j", "nothing", "ID"].iter().all(|key| Cut::new(key, &columns).is_none()));
    }

    #[test]
    fn bounds_are_settings_and_the_key_is_quoted() {
        let cut = Cut::new("a\"b", &[column("a\"b", Type::INT8)]).unwrap();
        let slice = Slice { from: Some("1'2".into()), to: Some("3".into()), ..Slice::default() };
        let query = cut.query_of("select 1 -- x", &slice);
        assert_eq!(
            query,
            "select * from (\nselect 1 -- x\n) as line where line.\"a\"\"b\" >= pg_catalog.current_setting('exportbox.split_from')::pg_catalog.int8 \
             and line.\"a\"\"b\" < pg_catalog.current_setting('exportbox.split_to')::pg_catalog.int8 order by line.\"a\"\"b\""
        );
        assert!(cut.query_of("q", &Slice::default()).contains("where line.\"a\"\"b\" is not null order"));
        assert!(cut.query_of("q", &Slice { is_null: true, ..Slice::default() }).contains("where line.\"a\"\"b\" is null order"));
        let blocks = Cut::Blocks.query_of("table t", &Slice { from: Some("(1,0)".into()), ..Slice::default() });
        assert_eq!(blocks, "table t\nwhere ctid >= pg_catalog.current_setting('exportbox.split_from')::pg_catalog.tid");
    }

    #[test]
    fn values_are_counted_and_written_again() {
        for (scale, value) in [
            (Scale::Whole("int8"), "-9223372036854775808"),
            (Scale::Date, "1969-12-30"),
            (Scale::Timestamp, "2026-02-28 23:59:59.000001"),
            (Scale::Timestamptz, "1999-12-31 00:00:00.500000+00"),
            (Scale::Uuid, "ffffffff-ffff-ffff-0000-000000000000"),
        ] {
            assert_eq!(scale.write(scale.count(value).unwrap()).unwrap(), value);
        }
        assert_eq!(Scale::Timestamptz.count("2026-01-01 00:00:00+00"), Scale::Timestamp.count("2026-01-01 00:00:00"));
        assert_eq!(Scale::Whole("numeric").count("12.75"), Some(12));
        for nothing in ["infinity", "-infinity", "0044-03-15 BC", "NaN"] {
            assert_eq!((Scale::Date.count(nothing), Scale::Whole("numeric").count(nothing)), (None, None));
        }
    }
}
