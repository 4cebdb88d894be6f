//! What `controller run --json` prints: one object per line, tagged by its field `event`.

use ops::terminal;
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line<'a> {
    /// The campaign starts or resumes; `address` is the URL for agents.
    Began { campaign: &'a str, address: &'a str },
    /// A line for the user.
    Said { text: &'a str },
    /// What the campaign is doing or waiting for.
    Waiting { text: &'a str },
    /// An agent is ready to measure.
    Joined { agent: &'a str, host: &'a str, target: &'a str },
    /// The stream of an agent ended.
    Left { agent: &'a str },
    /// A batch is stored.
    Batch {
        cell: &'a str,
        samples: u64,
        /// From its first start to its last end, in milliseconds.
        span_ms: f64,
        /// Stored samples of all cells.
        done: u64,
        /// Planned samples of all cells.
        total: u64,
        /// Approximate time left in seconds.
        left_s: Option<f64>,
    },
    /// Adaptive precision doesn't need these samples.
    Skipped { cell: &'a str, samples: u64 },
    /// The campaign is `complete` or `incomplete`; `results` is the path of results.json.
    Ended { state: &'a str, reason: Option<&'a str>, results: &'a str },
}

impl Line<'_> {
    /// Prints it to standard output.
    pub fn print(&self) -> Result<(), terminal::Error> {
        terminal::result(&self.text())
    }

    fn text(&self) -> String {
        // Strings and numbers always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let line = Line::Said { text: "two\nlines \"quoted\"" };
        insta::assert_snapshot!(line.text(), @r#"{"event":"said","text":"two\nlines \"quoted\""}"#);
        let line = Line::Batch {
            cell: "t4/b8",
            samples: 8,
            span_ms: 12.5,
            done: 16,
            total: 64,
            left_s: None,
        };
        insta::assert_snapshot!(line.text(), @r#"{"event":"batch","cell":"t4/b8","samples":8,"span_ms":12.5,"done":16,"total":64,"left_s":null}"#);
    }
}
