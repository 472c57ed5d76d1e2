//! Where the output goes: a terminal with a width and perhaps colours, or a file, which gets neither colour nor cut lines.

use std::io::IsTerminal;

use chrono::{DateTime, TimeDelta, Utc};
use console::{Style, Term};
use serde_json::Value;

/// What standard output can show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terminal {
    /// Columns; none: nothing is cut.
    pub width: Option<usize>,
    /// Colours are welcome.
    pub has_colours: bool,
}

impl Terminal {
    /// Standard output as it is now. No colour where `NO_COLOR` is set, and none in a file or a pipe.
    pub fn of_stdout() -> Terminal {
        if !std::io::stdout().is_terminal() {
            return Terminal::default();
        }
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Terminal { width: Term::stdout().size_checked().map(|(_, columns)| columns.into()), has_colours: !is_set("NO_COLOR") && !is_dumb }
    }

    /// A word in the colour of a state.
    pub fn in_colour_of(self, state: &str, word: &str) -> String {
        let style = match state {
            "completed" => Style::new().green(),
            "running" | "delivering" => Style::new().cyan(),
            "dead" | "alarm" => Style::new().red(),
            "cancelled" | "detail" => Style::new().dim(),
            _ => return word.to_string(),
        };
        style.force_styling(self.has_colours).apply_to(word).to_string()
    }

    /// The line, cut to the width of the terminal.
    pub fn fit(self, line: &str) -> String {
        match self.width {
            Some(width) => console::truncate_str(line, width, "…").into_owned(),
            None => line.to_string(),
        }
    }
}

/// An instant of a view's row.
pub(super) fn instant(row: &Value, name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(row[name].as_str()?).ok().map(|at| at.with_timezone(&Utc))
}

/// `0.4s`, `12s`, `3m`, `5h`, `2d`: short enough for a column.
pub(super) fn span(time: TimeDelta) -> String {
    let ms = time.num_milliseconds().max(0);
    match ms / 1000 {
        0..=9 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        seconds @ 10..=119 => format!("{seconds}s"),
        seconds @ 120..=7199 => format!("{}m", seconds / 60),
        seconds @ 7200..=172_799 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_short_at_every_length() {
        let said = |seconds: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "small numbers of this test")]
            span(TimeDelta::milliseconds((seconds * 1000.0) as i64))
        };
        let spans = [-5.0, 0.0, 0.44, 9.99, 10.0, 119.0, 120.0, 7199.0, 7200.0, 172_799.0, 172_800.0].map(said);
        assert_eq!(spans, ["0.0s", "0.0s", "0.4s", "9.9s", "10s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }

    #[test]
    fn a_file_gets_no_colour_and_no_cut_line() {
        let file = Terminal::default();
        assert_eq!(file.in_colour_of("dead", "dead"), "dead");
        assert_eq!(file.fit(&"x".repeat(300)).len(), 300);
        let terminal = Terminal { width: Some(10), has_colours: true };
        assert_eq!(terminal.in_colour_of("dead", "dead"), "\u{1b}[31mdead\u{1b}[0m");
        assert_eq!(terminal.fit("0123456789abc"), "012345678…");
        // Escape sequences take no columns.
        assert!(terminal.fit(&format!("{} and", terminal.in_colour_of("dead", "dead"))).ends_with(" and"));
    }
}
