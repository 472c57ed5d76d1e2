//! Whether a file is worth splitting, as the server sees it, and where. Asked within a savepoint and for a moment only: whatever comes of it, the
//! export goes on, over one backend if need be.

use serde_json::Value;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::Session;
use super::classify::{self, Phase};
use super::histogram::Histogram;
use super::session::Column;
use super::shape::{bare, planned};
use super::slices::{Cut, Scale, Slice};
use crate::job::{ExportJob, Failure, FailureClass, Verdict};
use crate::sql;

/// What is asked takes no longer.
const PATIENCE_MS: &str = "2000";
/// So much more than its share of the whole may a slice cost: what is beyond is not for a key without an index.
const DEARER: f64 = 1.5;
/// What finding the beginning of a slice may cost.
const BEGINNING: f64 = 200.0;
/// The share of the whole that finding an end of the key may cost, and what it may cost beside.
const SHARE_OF_END: f64 = 0.05;
const BEGINNING_OF_END: f64 = 50.0;
/// What each backend has its own of, so that slices would not fit together.
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

/// What the planner expects of the whole query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Rows.
    pub rows: f64,
    /// Bytes of them all, as the server holds them.
    pub bytes: f64,
}

/// A file that can be split.
#[derive(Debug, Clone)]
pub struct Splitting {
    /// The columns of the query.
    pub columns: Vec<Column>,
    /// By what.
    pub cut: Cut,
    /// What is expected.
    pub estimate: Estimate,
    /// Where the rows lie along the key.
    pub histogram: Histogram,
}

impl Session {
    /// Refuse a split key that no export could use.
    ///
    /// # Errors
    /// The key, with what to name instead; or the source's.
    pub async fn check_split(&self, query: &str, key: &str, columns: &[Column]) -> Result<(), Failure> {
        let usable = match Cut::new(key, columns) {
            Some(Cut::Blocks) => self.trying(async || Ok(self.table(query).await?.is_some())).await.unwrap_or(false),
            cut => cut.is_some(),
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

    /// How the file of this job can be split, and what is expected of it. `Err` says why it is not: that is no failure of the export.
    pub async fn splitting(&self, job: &ExportJob, columns: Vec<Column>, cut: Cut, least_rows: f64) -> Result<Splitting, &'static str> {
        let query = bare(&job.query);
        let whole = self.trying(async || self.plan(&cut.whole(query)).await).await.ok_or("its query cannot be planned")?;
        let number = |name: &str| whole["Plan"][name].as_f64().unwrap_or_default();
        let estimate = Estimate { rows: number("Plan Rows"), bytes: number("Plan Rows") * number("Plan Width").max(1.0) };
        if estimate.rows < least_rows {
            return Err("few rows are expected");
        }
        let text = whole.to_string();
        if OWN.iter().any(|own| text.contains(own)) {
            return Err("its query reads the time, or what else each backend has its own of");
        }
        let histogram = match &cut {
            Cut::Blocks => self.trying(async || self.blocks(query).await).await.flatten(),
            Cut::Column { column, scale } => {
                self.values(query, &cut, (column, *scale), whole["Plan"]["Total Cost"].as_f64().unwrap_or_default()).await
            }
        };
        let histogram = histogram.ok_or("nothing is known of how its key is distributed")?;
        if matches!(cut, Cut::Column { .. }) {
            let middle = narrow(&histogram);
            let slice = self.trying(async || self.plan_of_slice(&cut.query_of(query, &middle), &middle).await).await;
            if !is_cheap(&whole["Plan"], &slice.ok_or("a slice cannot be planned")?["Plan"]) {
                return Err("no index finds a slice of it, or its query has to be run as a whole");
            }
        }
        Ok(Splitting { columns, cut, estimate, histogram })
    }

    /// Ask something that must not end the transaction. `None`: no answer came.
    async fn trying<T>(&self, ask: impl AsyncFnOnce() -> Result<T, Error>) -> Option<T> {
        let params = sql::typed(sql::LIMIT_ESTIMATE, &[&PATIENCE_MS]);
        let (begun, limited) =
            tokio::join!(self.client.batch_execute(sql::BEFORE_ESTIMATE), self.client.query_typed(sql::LIMIT_ESTIMATE, &params));
        begun.and(limited.map(drop)).ok()?;
        let answer = ask().await;
        self.client.batch_execute(sql::AFTER_ESTIMATE).await.ok()?;
        let failed = |error| tracing::debug!(error.class = %classify::failure(&error, Phase::Query).class, "could not look where to split");
        answer.map_err(failed).ok()
    }

    async fn plan(&self, query: &str) -> Result<Value, Error> {
        let row = self.client.query_typed_one(&planned(query), &[]).await?;
        Ok(row.get::<_, Value>(0)[0].take())
    }

    async fn plan_of_slice(&self, query: &str, slice: &Slice) -> Result<Value, Error> {
        self.set_slice(slice).await?;
        self.plan(query).await
    }

    pub(super) async fn set_slice(&self, slice: &Slice) -> Result<(), Error> {
        let (from, to) = (slice.from.as_deref().unwrap_or_default(), slice.to.as_deref().unwrap_or_default());
        self.client.query_typed(sql::SET_SLICE, &sql::typed(sql::SET_SLICE, &[&from, &to])).await.map(drop)
    }

    /// Schema and name of the one plain table that the query reads from its first block to its last.
    async fn table(&self, query: &str) -> Result<Option<(String, String)>, Error> {
        let query = bare(query);
        let all = Slice { from: Some("(0,0)".into()), ..Slice::default() };
        self.client.batch_execute(sql::READ_BY_BLOCKS).await?;
        let plan = self.plan_of_slice(&Cut::Blocks.query_of(query, &all), &all).await?;
        Ok(range_of_blocks(&plan["Plan"]))
    }

    async fn blocks(&self, query: &str) -> Result<Option<Histogram>, Error> {
        let Some((schema, name)) = self.table(query).await? else { return Ok(None) };
        let row = self.client.query_typed_one(sql::TABLE_BLOCKS, &sql::typed(sql::TABLE_BLOCKS, &[&schema, &name])).await?;
        let blocks: i64 = row.get("blocks");
        Ok(Histogram::of_numbers(Scale::Block, vec![0, blocks.into()]))
    }

    /// Values of the key: the first, the last, and of those that the statistics know the ones between.
    async fn values(&self, query: &str, cut: &Cut, (column, scale): (&Column, Scale), cost: f64) -> Option<Histogram> {
        let known = match column.origin {
            Some((table, number)) => self.trying(async || self.histogram(table.into(), number).await).await.unwrap_or_default(),
            None => Vec::new(),
        };
        if scale == Scale::Text {
            let sorted = cut.sorted(query)?;
            let params: [(&(dyn ToSql + Sync), Type); 1] = [(&known, Type::TEXT_ARRAY)];
            let row = self.trying(async || self.client.query_typed_one(&sorted, &params).await).await?;
            return Histogram::of_texts(row.get::<_, Option<Vec<String>>>("bounds")?);
        }
        let mut known: Vec<i128> = known.iter().filter_map(|value| scale.count(value)).collect();
        known.sort_unstable();
        let low = self.end_of_key(query, cut, false, Slice::default(), cost).await;
        let mut high = self.end_of_key(query, cut, true, Slice::default(), cost).await;
        if high.is_none() {
            // A query with an order of its own is not read backwards; what lies above all that is known is little.
            let above = Slice { from: known.last().and_then(|value| scale.write(*value)), ..Slice::default() };
            high = if above.from.is_some() { self.end_of_key(query, cut, true, above, cost).await } else { None };
        }
        let (low, high) = (low.or(known.first().copied())?, high.or(known.last().copied())?);
        Histogram::of_numbers(scale, known.into_iter().filter(|value| (low..high).contains(value)).chain([low, high]).collect())
    }

    /// The first value of the key, or the last, where that costs next to nothing.
    async fn end_of_key(&self, query: &str, cut: &Cut, is_last: bool, slice: Slice, cost: f64) -> Option<i128> {
        let end = cut.end_of(query, is_last, &slice)?;
        let value = self.trying(async || {
            let plan = self.plan_of_slice(&end, &slice).await?;
            if plan["Plan"]["Total Cost"].as_f64().is_none_or(|end| end > cost * SHARE_OF_END + BEGINNING_OF_END) {
                return Ok(None);
            }
            Ok(self.client.query_typed_opt(&end, &[]).await?.and_then(|row| row.get::<_, Option<String>>("value")))
        });
        cut.scale().count(&value.await.flatten()?)
    }

    async fn histogram(&self, table: i64, column: i16) -> Result<Vec<String>, Error> {
        let row = self.client.query_typed_opt(sql::KEY_HISTOGRAM, &sql::typed(sql::KEY_HISTOGRAM, &[&table, &column])).await?;
        Ok(row.and_then(|row| row.get("bounds")).unwrap_or_default())
    }
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
