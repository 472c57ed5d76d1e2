//! All integration tests are one program: one link, one private PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod sandbox;
