//! COPY's text: columns separated by tabs, `\N` for NULL. For programs; nothing is changed in it.

use super::options::FormatOptions;
use crate::job::Column;

/// The query as it is.
pub(super) fn shape(query: &str, _: &[Column], _: &mut FormatOptions) -> String {
    query.to_string()
}
