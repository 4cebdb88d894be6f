//! What `controller run --json` prints: one object a line, told apart by its field `event`.

use ops::terminal;
use serde::Serialize;

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The campaign is there, new or gone on with.
    Began {
        /// Its id.
        campaign: &'a str,
        /// Where agents dial in.
        address: &'a str,
    },
    /// A line for a person.
    Said {
        /// As it stands on a terminal.
        text: &'a str,
    },
    /// What the campaign waits for.
    Waiting {
        /// As it stands on a terminal.
        text: &'a str,
    },
    /// An agent is here.
    Joined {
        /// Its name.
        agent: &'a str,
        /// Its machine.
        host: &'a str,
        /// Its target.
        target: &'a str,
    },
    /// An agent is here no longer.
    Left {
        /// Its name.
        agent: &'a str,
    },
    /// A batch is stored.
    Batch {
        /// Of which cell.
        cell: &'a str,
        /// How many samples.
        samples: u64,
        /// From its first start to its last end, in milliseconds.
        span_ms: f64,
        /// Samples that are stored, of all cells.
        done: u64,
        /// Samples that will be.
        total: u64,
        /// Time left in seconds, about.
        left_s: Option<f64>,
    },
    /// Samples turned out not to be needed.
    Skipped {
        /// Of which cell.
        cell: &'a str,
        /// How many.
        samples: u64,
    },
    /// It is over, and its reports are written.
    Ended {
        /// `complete` or `incomplete`.
        state: &'a str,
        /// Why it is incomplete.
        reason: Option<&'a str>,
        /// Where results.json is.
        results: &'a str,
    },
}

impl Event<'_> {
    /// Prints it as a line.
    ///
    /// # Errors
    /// If standard output can't be written.
    pub fn print(&self) -> Result<(), terminal::Error> {
        terminal::result(&self.line())
    }

    fn line(&self) -> String {
        // Texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let event = Event::Said { text: "two\nlines \"quoted\"" };
        insta::assert_snapshot!(event.line(), @r#"{"event":"said","text":"two\nlines \"quoted\""}"#);
        let event = Event::Batch {
            cell: "t4/b8",
            samples: 8,
            span_ms: 12.5,
            done: 16,
            total: 64,
            left_s: None,
        };
        insta::assert_snapshot!(event.line(), @r#"{"event":"batch","cell":"t4/b8","samples":8,"span_ms":12.5,"done":16,"total":64,"left_s":null}"#);
    }
}
