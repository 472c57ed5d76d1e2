//! Statements of the daemon, called by name with their parameters by name; what they read, as the server plans and counts it.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Value;
use tokio_postgres::Client;

/// Text of a statement of the daemon.
pub fn statement(name: &str) -> &'static str {
    let (_, text) = exportbox::sql::ALL.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no statement {name}"));
    text
}

/// The parameters of a statement in their order, by the names that its `-- $n` lines give; `$1` and `$2` where there are no names.
pub fn parameters(text: &'static str) -> Vec<&'static str> {
    let described = text.lines().filter_map(|line| line.strip_prefix("-- ")?.split_once(':')).filter(|(before, _)| before.starts_with('$'));
    described
        .map(|(before, _)| {
            let words: Vec<&str> = before.split(' ').collect();
            if let [_, _, name] = words[..] { name } else { words[0] }
        })
        .collect()
}

/// A statement and the values of its parameters, as SQL expressions.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: &'static str,
    text: &'static str,
    values: BTreeMap<&'static str, String>,
}

/// A call of this statement, with no parameter bound yet.
pub fn call(name: &'static str) -> Call {
    Call { name, text: statement(name), values: BTreeMap::new() }
}

/// A claim of four exports and eight messages from the start, without a cap, by the worker `w`.
pub fn claim() -> Call {
    call("claim").with_all(&[
        ("export_slots", "4"),
        ("message_slots", "8"),
        ("worker", "'w'"),
        ("lease", "90000"),
        ("export_timeout", "3600000"),
        ("message_timeout", "300000"),
        ("export_attempts", "5"),
        ("message_attempts", "8"),
        ("after_run_at", "null"),
        ("after_id", "null"),
        ("last_chance", "true"),
        ("source_slots", "null"),
        ("time_left", "null"),
    ])
}

/// What an idle worker of two places asks.
pub fn next_due() -> Call {
    call("next_due").with_all(&[
        ("export_slot", "true"),
        ("message_slot", "true"),
        ("grace", "90000"),
        ("source_slots", "2"),
        ("worker", "'w'"),
        ("nap", "60000"),
    ])
}

impl Call {
    /// Bind a parameter to an SQL expression.
    pub fn with(mut self, parameter: &str, value: impl Display) -> Call {
        let known = parameters(self.text);
        let found = known.iter().find(|name| **name == parameter);
        self.values.insert(found.unwrap_or_else(|| panic!("{} has no {parameter}, but {known:?}", self.name)), value.to_string());
        self
    }

    /// Bind several.
    pub fn with_all(self, values: &[(&str, &str)]) -> Call {
        values.iter().fold(self, |call, (parameter, value)| call.with(parameter, value))
    }

    /// What EXECUTE is given. Every parameter has a value.
    pub fn arguments(&self) -> String {
        let bound = |name: &str| self.values.get(name).unwrap_or_else(|| panic!("{}: {name} is not bound", self.name)).clone();
        let values: Vec<String> = parameters(self.text).into_iter().map(bound).collect();
        if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) }
    }

    /// Run it.
    pub async fn run(&self, client: &Client) {
        let run = format!("prepare called as {}\n; execute called {}; deallocate called", self.text, self.arguments());
        client.batch_execute(&run).await.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
    }

    /// Run it so many times, as one that is prepared once.
    pub async fn run_often(&self, client: &Client, times: usize) {
        let execute = format!("execute called {};", self.arguments());
        let run = format!("prepare called as {}\n; {} deallocate called", self.text, execute.repeat(times));
        client.batch_execute(&run).await.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
    }

    /// Its plan, with EXPLAIN's other options.
    pub async fn plan(&self, client: &Client, options: &str) -> Value {
        client.batch_execute(&format!("prepare planned as {}", self.text)).await.unwrap();
        let explain = format!("explain (format json{options}) execute planned {}", self.arguments());
        let row = client.query_one(&explain, &[]).await.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        client.batch_execute("deallocate planned").await.unwrap();
        row.get::<_, Value>(0)[0].take()
    }

    /// Pages that one run of it reads. What it changes is rolled back.
    pub async fn pages(&self, client: &Client) -> u64 {
        client.batch_execute("begin").await.unwrap();
        let plan = self.plan(client, ", analyze, buffers").await;
        client.batch_execute("rollback").await.unwrap();
        pages(&plan)
    }
}

/// Every node of a plan.
pub fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// Pages that a plan has read, from memory or not.
pub fn pages(plan: &Value) -> u64 {
    ["Shared Hit Blocks", "Shared Read Blocks"].iter().filter_map(|name| plan["Plan"][name].as_u64()).sum()
}
