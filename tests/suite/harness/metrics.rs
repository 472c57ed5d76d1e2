//! A process that answers over HTTP, and what its pages say.

use std::collections::BTreeSet;

use super::log::Logged;
use super::{PATIENCE, World};

/// The process, and where it answers.
pub struct Watched {
    pub logged: Logged,
    address: String,
}

/// A page of figures.
pub struct Page(pub String);

impl World {
    /// `exportbox run` with a listener of its own, and these settings.
    pub async fn watched(&self, settings: &[(&str, &str)]) -> Watched {
        let mut program = self.program(&["run"]);
        program.env("EXPORTBOX_HTTP", "127.0.0.1:0").env("EXPORTBOX_LOG", "debug").envs(settings.iter().copied());
        let mut logged = Logged::read(program.spawn().unwrap());
        logged.until_said("http.address").await;
        let address = address_in(&logged.said());
        Watched { logged, address }
    }
}

/// Where a process says that it listens.
pub fn address_in(log: &str) -> String {
    let line = log.lines().find(|line| line.contains("http.address")).unwrap();
    let port: String = line.split("127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    format!("127.0.0.1:{port}")
}

/// A page at an address: status and text.
pub async fn page(address: &str, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

impl Watched {
    /// A page: status and text.
    pub async fn page(&self, path: &str) -> (u16, String) {
        page(&self.address, path).await
    }

    /// The figures.
    pub async fn metrics(&self) -> Page {
        let (status, text) = self.page("/metrics").await;
        assert_eq!(status, 200);
        Page(text)
    }

    /// Wait until a figure stands at this value, and return the page.
    pub async fn until_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) -> Page {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let page = self.metrics().await;
            if page.of(name, labels) == Some(value) {
                return page;
            }
            assert!(tokio::time::Instant::now() < deadline, "{name} {labels:?} never was {value}: {}", page.0);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Page {
    /// The value of the series of this name with exactly these labels, whatever their order.
    pub fn of(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: BTreeSet<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        self.series().find(|(found, with, _)| *found == name && *with == wanted).map(|(_, _, value)| value)
    }

    /// Every line that is no comment: name, labels, value.
    pub fn series(&self) -> impl Iterator<Item = (&str, BTreeSet<String>, f64)> {
        self.0.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).map(ToString::to_string).collect();
            (name, labels, value.parse().unwrap())
        })
    }

    /// The metrics that it declares.
    pub fn declared(&self) -> BTreeSet<String> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).map(ToString::to_string).collect()
    }
}
