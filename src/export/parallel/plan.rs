//! Whether a file is worth splitting, as the server sees it, and where. Whatever comes of it the export goes on, over one backend if need be.

use serde_json::Value;

use super::histogram::Histogram;
use super::scale::Scale;
use super::slice::{Slice, SplitKey};
use crate::job::{Column, Failure, FailureClass, Verdict, bare};
use crate::source::Session;

/// A slice may cost so many times its share of the whole. One that costs more has no index to find it by.
const DEARER: f64 = 1.5;
/// What finding the beginning of a slice may cost besides.
const BEGINNING: f64 = 200.0;
/// Finding the first or last value of the key may cost this share of the whole,
const SHARE_OF_END: f64 = 0.05;
/// and so much besides.
const BEGINNING_OF_END: f64 = 50.0;
/// What is different in each backend, so that slices would not fit together.
const OWN: [&str; 9] = [
    "now()",
    "_timestamp()",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
    "timeofday()",
    "pg_backend_pid()",
    "txid_current",
    "pg_current_xact_id",
];

/// How a file is split.
#[derive(Debug, Clone)]
pub(super) struct SplitPlan {
    /// The columns of the query.
    pub(super) columns: Vec<Column>,
    /// By what.
    pub(super) key: SplitKey,
    /// How many bytes the planner expects, as the server holds them.
    pub(super) bytes: f64,
    /// Where the rows lie along the key.
    pub(super) histogram: Histogram,
}

/// Refuse a split key that no export could use.
///
/// # Errors
/// The key, with what to name instead; or the source's.
pub(in crate::export) async fn check_key(session: &Session, query: &str, key: &str, columns: &[Column]) -> Result<(), Failure> {
    let usable = match SplitKey::of(key, columns) {
        Some(SplitKey::Blocks) => table_of(session, query).await.is_some(),
        column => column.is_some(),
    };
    if usable {
        return Ok(());
    }
    let sentence = format!(
        "split_key \"{key}\" is not usable: name one column of the query that is an integer, numeric, date, timestamp, uuid or text; or \
         ctid, where the query is nothing but: select columns from table."
    );
    Err(Failure::new(FailureClass::Query, Verdict::Bury, sentence))
}

/// How the file of this query can be split. `Err` says why it is not: that is no failure of the export.
pub(super) async fn plan(
    session: &Session,
    query: &str,
    columns: Vec<Column>,
    key: SplitKey,
    least_rows: f64,
) -> Result<SplitPlan, &'static str> {
    let whole = session.plan(&key.whole(query)).await.ok_or("its query cannot be planned")?;
    let number = |name: &str| whole[name].as_f64().unwrap_or_default();
    let (rows, bytes) = (number("Plan Rows"), number("Plan Rows") * number("Plan Width").max(1.0));
    if rows < least_rows {
        return Err("few rows are expected");
    }
    let text = whole.to_string();
    if OWN.iter().any(|own| text.contains(own)) {
        return Err("its query reads the time, or what else each backend has its own of");
    }
    let histogram = match &key {
        SplitKey::Blocks => blocks(session, query).await,
        SplitKey::Column { column, scale } => values(session, query, &key, (column, *scale), number("Total Cost")).await,
    };
    let histogram = histogram.ok_or("nothing is known of how its key is distributed")?;
    if matches!(key, SplitKey::Column { .. }) {
        let middle = narrow(&histogram);
        let slice = session.plan_between(&key.query_of(query, &middle), middle.bounds()).await;
        // guard: cheap slices
        if !is_cheap(&whole, &slice.ok_or("a slice cannot be planned")?) {
            return Err("no index finds a slice of it, or its query has to be run as a whole");
        }
    }
    Ok(SplitPlan { columns, key, bytes, histogram })
}

/// Schema and name of the one plain table that the query reads from its first block to its last.
async fn table_of(session: &Session, query: &str) -> Option<(String, String)> {
    let all = Slice { from: Some("(0,0)".into()), ..Slice::default() };
    let plan = session.plan_by_blocks(&SplitKey::Blocks.query_of(bare(query), &all), all.bounds()).await?;
    range_of_blocks(&plan)
}

async fn blocks(session: &Session, query: &str) -> Option<Histogram> {
    let (schema, name) = table_of(session, query).await?;
    let blocks = session.table_blocks(&schema, &name).await?;
    Histogram::of_numbers(Scale::Block, vec![0, blocks.into()])
}

/// Values of the key: the first, the last, and those between that the statistics know.
async fn values(session: &Session, query: &str, key: &SplitKey, (column, scale): (&Column, Scale), cost: f64) -> Option<Histogram> {
    let known = match column.origin {
        Some((table, number)) => session.histogram_bounds(table, number).await,
        None => Vec::new(),
    };
    if scale == Scale::Text {
        return Histogram::of_texts(session.texts(&key.sorted(query)?, &known).await?);
    }
    let mut known: Vec<i128> = known.iter().filter_map(|value| scale.count(value)).collect();
    known.sort_unstable();
    let end = async |is_last: bool, slice: Slice| {
        let first = key.end_of(query, is_last, &slice)?;
        let value = session.value_between(&first, slice.bounds(), cost * SHARE_OF_END + BEGINNING_OF_END).await;
        scale.count(&value?)
    };
    let low = end(false, Slice::default()).await;
    let mut high = end(true, Slice::default()).await;
    if high.is_none() {
        // A query with an order of its own is not read backwards; what lies above all that is known is little.
        let above = Slice { from: known.last().and_then(|value| scale.write(*value)), ..Slice::default() };
        high = if above.from.is_some() { end(true, above).await } else { None };
    }
    let (low, high) = (low.or(known.first().copied())?, high.or(known.last().copied())?);
    Histogram::of_numbers(scale, known.into_iter().filter(|value| (low..high).contains(value)).chain([low, high]).collect())
}

/// A slice in the middle, as narrow as those will be that are made.
fn narrow(histogram: &Histogram) -> Slice {
    let middle = histogram.point_at(histogram.end() / 2.0);
    let next = histogram.point_at(histogram.end() / 2.0 + histogram.end() / 64.0).max(middle + 1);
    Slice { from: histogram.value(middle), to: histogram.value(next), ..Slice::default() }
}

/// The table, if that is how it is read and nothing else happens.
fn range_of_blocks(plan: &Value) -> Option<(String, String)> {
    let word = |name: &str| plan[name].as_str().map(ToString::to_string);
    (plan["Node Type"] == "Tid Range Scan" && plan["Plans"].is_null() && plan["Filter"].is_null()).then_some(())?;
    word("Schema").zip(word("Relation Name"))
}

/// Whether a slice is found where the rows are, at the price of its share. A query that has to be run as a whole for each slice (a limit, a window, a
/// function that is different each time) has the bounds above its tables.
fn is_cheap(whole: &Value, slice: &Value) -> bool {
    let (mut found, mut above) = (0, 0);
    count_bounds(slice, &mut found, &mut above);
    let number = |plan: &Value, name: &str| plan[name].as_f64().unwrap_or_default();
    let share = number(slice, "Plan Rows") / number(whole, "Plan Rows").max(1.0);
    found > 0 && above == 0 && number(slice, "Total Cost") <= number(whole, "Total Cost") * share * DEARER + BEGINNING
}

/// At how many nodes the bounds stand that read a table, and at how many others.
fn count_bounds(node: &Value, found: &mut u32, above: &mut u32) {
    let Some(fields) = node.as_object() else { return };
    let conditions = fields.iter().filter(|(name, _)| name.ends_with("Cond") || name.ends_with("Filter"));
    if conditions.filter_map(|(_, text)| text.as_str()).any(|text| text.contains("exportbox.split_")) {
        let reads = node["Relation Name"].is_string() || node["Node Type"] == "Bitmap Index Scan";
        *(if reads { &mut *found } else { &mut *above }) += 1;
    }
    node["Plans"].as_array().into_iter().flatten().for_each(|below| count_bounds(below, found, above));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slice_must_be_found_at_a_table_and_cost_no_more_than_its_share() {
        let whole = json!({"Plan Rows": 1000, "Total Cost": 10_000.0});
        let cond = "(id >= (current_setting('exportbox.split_from'::text))::integer)";
        let slice = |cost: f64, node: Value| json!({"Node Type": "Sort", "Plan Rows": 100, "Total Cost": cost, "Plans": [node]});
        let by_index = json!({"Node Type": "Index Scan", "Relation Name": "t", "Index Cond": cond});
        assert!(is_cheap(&whole, &slice(1500.0, by_index.clone())));
        assert!(!is_cheap(&whole, &slice(2000.0, by_index)));
        assert!(!is_cheap(&whole, &slice(1000.0, json!({"Node Type": "Subquery Scan", "Filter": cond}))));
        assert!(!is_cheap(&whole, &slice(1000.0, json!({"Node Type": "Index Scan", "Relation Name": "t"}))));
    }

    #[test]
    fn only_a_table_that_is_read_and_nothing_else_has_blocks() {
        let table = json!({"Node Type": "Tid Range Scan", "Schema": "public", "Relation Name": "t"});
        assert_eq!(range_of_blocks(&table), Some(("public".into(), "t".into())));
        for (name, value) in [("Node Type", json!("Seq Scan")), ("Filter", json!("(a > 1)")), ("Plans", json!([{}]))] {
            let mut other = table.clone();
            other[name] = value;
            assert_eq!(range_of_blocks(&other), None);
        }
    }
}
