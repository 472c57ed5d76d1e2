//! How many connections there are, and whether a process fits.

use tokio_postgres::Row;

/// One limit of connections: the server's, the database's or the login's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// The most connections at once.
    pub most: i64,
    /// Those in use, the one that asked included.
    pub used: i64,
    /// Whose limit it is, and how it is raised.
    whose: (&'static str, &'static str),
}

/// The limits that hold for a login, one of them at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits(Vec<ConnectionLimit>);

impl ConnectionLimit {
    /// How many more this process may open: the connection that asked is its own.
    fn free(&self) -> i64 {
        self.most - self.used + 1
    }
}

impl ConnectionLimits {
    /// From a row of `sql/admin/connections.sql`.
    pub(crate) fn from_row(row: &Row) -> ConnectionLimits {
        let limit = |most: &str, used: &str, whose| {
            let most: Option<i64> = row.get(most);
            most.map(|most| ConnectionLimit { most, used: row.get::<_, Option<i64>>(used).unwrap_or_default(), whose })
        };
        let limits = [
            limit("server_limit", "server_used", ("the server", "max_connections, or put a pooler before it")),
            limit("database_limit", "database_used", ("the database", "its limit: alter database … connection limit")),
            limit("role_limit", "role_used", ("the login", "its limit: alter role … connection limit")),
        ];
        ConnectionLimits(limits.into_iter().flatten().collect())
    }

    /// The limit that is reached first.
    pub fn tightest(&self) -> Option<&ConnectionLimit> {
        self.0.iter().min_by_key(|limit| limit.free())
    }

    /// Why a process that may open so many connections can never fit, and what to change; `None` when it can.
    pub fn refusal(&self, needed: i64) -> Option<String> {
        let limit = self.0.iter().filter(|limit| limit.most < needed).min_by_key(|limit| limit.most)?;
        let (whose, raise) = limit.whose;
        Some(format!("needs up to {needed} connections, and {whose} allows {}: lower EXPORTBOX_SLOTS, or raise {raise}", limit.most))
    }

    /// Whether fewer are free at this moment than a process may open.
    pub fn is_short_of(&self, needed: i64) -> bool {
        self.0.iter().any(|limit| limit.free() < needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(server: (i64, i64), role: (i64, i64)) -> ConnectionLimits {
        let limit = |(most, used), whose| ConnectionLimit { most, used, whose: (whose, "it") };
        ConnectionLimits(vec![limit(server, "the server"), limit(role, "the login")])
    }

    #[test]
    fn only_what_can_never_fit_is_refused() {
        assert_eq!(limits((97, 97), (6, 6)).refusal(6), None, "others may leave");
        let refusal = limits((97, 1), (5, 1)).refusal(6).unwrap();
        assert!(refusal.contains("needs up to 6 connections, and the login allows 5"), "{refusal}");
        assert!(limits((4, 1), (5, 1)).refusal(6).unwrap().contains("the server allows 4"));
    }

    #[test]
    fn the_connection_that_asks_is_one_of_those_that_are_needed() {
        assert!(!limits((97, 92), (10, 5)).is_short_of(6));
        assert!(limits((97, 93), (10, 5)).is_short_of(6));
        assert!(limits((97, 10), (10, 6)).is_short_of(6));
        assert_eq!(limits((97, 10), (10, 6)).tightest().unwrap().most, 10);
    }
}
