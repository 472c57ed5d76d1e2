//! How values of a split key are counted, so that those between two others can be named.

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// How values of a key are counted, to find those between two others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
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

impl Scale {
    pub(super) fn of(data_type: &Type) -> Option<Scale> {
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

    pub(super) fn type_name(self) -> &'static str {
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
    pub(super) fn count(self, value: &str) -> Option<i128> {
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
    pub(super) fn write(self, number: i128) -> Option<String> {
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
