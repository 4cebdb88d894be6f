//! The checks as a table.

use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// Reported without a limit.
    Noted,
    /// Could not be run here.
    Skipped,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) found: String,
    pub(super) outcome: Outcome,
}

impl Row {
    pub(super) fn new(what: impl Into<String>, found: impl Into<String>, outcome: Outcome) -> Self {
        Self { what: what.into(), found: found.into(), outcome }
    }

    pub(super) fn is_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }

    fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Noted => "noted",
            Outcome::Skipped => "skipped",
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "check": self.what, "found": self.found, "outcome": self.word() })
    }
}

pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = "| check | found | |\n| --- | --- | --- |\n".to_owned();
    for row in rows {
        text += &format!("| {} | {} | {} |\n", row.what, row.found, row.word());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_is_loud() {
        let row = Row::new("tokens", "3 of 4", Outcome::Failed);
        assert!(row.is_failed());
        assert!(markdown(&[row]).ends_with("| tokens | 3 of 4 | FAILED |\n"));
    }
}
