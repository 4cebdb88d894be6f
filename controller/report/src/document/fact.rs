//! The parts of a verdict: spans of its sentence, and figures.

use super::table::interval;
use crate::sentences::reason;
use plot::number;
use stats::Estimate;

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    Plain(String),
    Strong(String),
}

/// A figure with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub title: String,
    pub value: String,
    pub unit: String,
    /// The interval or another qualification.
    pub detail: String,
}

impl Fact {
    pub(super) fn of(title: &str, unit: &str, estimate: &Estimate) -> Self {
        Self {
            title: title.to_owned(),
            value: estimate.value.map_or_else(|| "–".to_owned(), number::shown),
            unit: if estimate.value.is_some() { unit.to_owned() } else { String::new() },
            detail: interval(estimate).or_else(|| reason(estimate)).unwrap_or_default(),
        }
    }

    /// `1.31 USD (1.20 to 1.45)`
    pub fn figure(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let detail =
            if self.detail.is_empty() { String::new() } else { format!(" ({})", self.detail) };
        format!("{}{unit}{detail}", self.value)
    }
}
