//! What `controller run --json` prints: one object per line, tagged by its field `event`.

use chrono::{DateTime, SecondsFormat, Utc};
use ops::{clock::Clock, terminal};
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
    /// All samples of the cell are stored, or not needed. A cell that stays incomplete has no such event.
    CellEnded { cell: &'a str },
    /// The first sentence of the report, and the gates of the matrix, if it has any.
    Verdict { text: &'a str, gates_passed: Option<bool> },
    /// The campaign is `complete` or `incomplete`; `results` is the path of results.json.
    Ended { state: &'a str, reason: Option<&'a str>, results: &'a str },
}

/// A line with the wall clock's time, a label that is not to be subtracted.
#[derive(Debug, Serialize)]
struct Timed<'a> {
    /// RFC 3339, UTC.
    time: String,
    #[serde(flatten)]
    line: &'a Line<'a>,
}

impl Line<'_> {
    /// Prints it to standard output.
    pub fn print(&self) -> Result<(), terminal::Error> {
        terminal::json(&self.text(Clock::System.now()))
    }

    fn text(&self, now: DateTime<Utc>) -> String {
        let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        // Strings and numbers always serialize.
        serde_json::to_string(&Timed { time, line: self }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let now = DateTime::UNIX_EPOCH;
        let line = Line::Said { text: "two\nlines \"quoted\"" };
        insta::assert_snapshot!(line.text(now), @r#"{"time":"1970-01-01T00:00:00.000Z","event":"said","text":"two\nlines \"quoted\""}"#);
        let line = Line::Batch {
            cell: "t4/b8",
            samples: 8,
            span_ms: 12.5,
            done: 16,
            total: 64,
            left_s: None,
        };
        insta::assert_snapshot!(line.text(now), @r#"{"time":"1970-01-01T00:00:00.000Z","event":"batch","cell":"t4/b8","samples":8,"span_ms":12.5,"done":16,"total":64,"left_s":null}"#);
    }
}
