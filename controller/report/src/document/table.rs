//! Tables of a report: what each place says, how it sorts, and why something is missing.

use super::Reach;
use plot::number;
use stats::Estimate;
use stats::validity::Status;

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// A word for links.
    pub id: String,
    /// What it holds.
    pub title: String,
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom, each with an entry for every column.
    pub rows: Vec<Vec<Entry>>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub title: String,
    /// Of its figures; empty for words.
    pub unit: &'static str,
    /// Whether it holds figures.
    pub is_figure: bool,
    /// Where it is shown.
    pub reach: Reach,
}

impl Column {
    /// A column of words.
    pub fn words(title: impl Into<String>) -> Self {
        Self { title: title.into(), unit: "", is_figure: false, reach: Reach::Everywhere }
    }

    /// A column of figures.
    pub fn figures(title: impl Into<String>, unit: &'static str) -> Self {
        Self { title: title.into(), unit, is_figure: true, reach: Reach::Everywhere }
    }

    /// The same, only where there is room.
    #[must_use]
    pub fn on_page(self) -> Self {
        Self { reach: Reach::Page, ..self }
    }
}

/// What stands in one place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entry {
    /// What it says.
    pub text: String,
    /// What stands beside it in small letters: an interval, a unit.
    pub detail: String,
    /// What it sorts by, unrounded; words sort by themselves.
    pub value: Option<f64>,
    /// What explains it.
    pub hint: Option<String>,
    /// How it is meant.
    pub tone: Tone,
}

/// How an entry is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// Nothing to see.
    Muted,
    /// As it should be.
    Good,
    /// With a reservation.
    Warn,
    /// Not to be used.
    Bad,
}

impl Table {
    /// The same without the columns that need the room of a page.
    #[must_use]
    pub fn in_short(&self) -> Self {
        self.of_columns(|place| self.columns[place].reach == Reach::Everywhere)
    }

    /// The same without columns of figures in which every row has none.
    #[must_use]
    pub(super) fn without_empty(&self) -> Self {
        let has_some = |place: usize| self.rows.iter().any(|row| row[place].value.is_some());
        self.of_columns(|place| !self.columns[place].is_figure || has_some(place))
    }

    fn of_columns(&self, is_kept: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.columns.len()).filter(|place| is_kept(*place)).collect();
        let row = |row: &Vec<Entry>| kept.iter().map(|place| row[*place].clone()).collect();
        Self {
            columns: kept.iter().map(|place| self.columns[*place].clone()).collect(),
            rows: self.rows.iter().map(row).collect(),
            ..self.clone()
        }
    }
}

impl Entry {
    /// Words.
    pub fn words(text: impl AsRef<str>) -> Self {
        Self { text: super::shortened(text.as_ref(), 240), ..Self::default() }
    }

    /// A count.
    pub fn count(count: u64) -> Self {
        Self { text: number::count(count), value: Some(count as f64), ..Self::default() }
    }

    /// A figure of the matrix, as it stands there; a dash where there is none.
    pub fn given(value: Option<f64>) -> Self {
        value.map_or_else(
            || Self::missing("not given"),
            |value| Self { text: value.to_string(), value: Some(value), ..Self::default() },
        )
    }

    /// A figure without an interval; a dash where there is none.
    pub fn figure(value: Option<f64>) -> Self {
        match value {
            Some(value) => {
                Self { text: number::shown(value), value: Some(value), ..Self::default() }
            }
            None => Self::missing("not measured"),
        }
    }

    /// A share as a percentage.
    pub fn share(value: Option<f64>) -> Self {
        match value {
            Some(value) => Self {
                text: format!("{} %", number::shown(value * 100.0)),
                value: Some(value),
                ..Self::default()
            },
            None => Self::missing("not measured"),
        }
    }

    /// A figure with its interval; a dash with the reason where there is none.
    pub fn estimate(estimate: &Estimate) -> Self {
        let Some(value) = estimate.value else {
            return Self::missing(estimate.reason.as_deref().unwrap_or("not measured"));
        };
        Self {
            text: number::shown(value),
            detail: interval(estimate).unwrap_or_default(),
            value: Some(value),
            hint: estimate.reason.clone(),
            tone: Tone::Plain,
        }
    }

    /// Nothing, and why.
    pub fn missing(reason: &str) -> Self {
        Self {
            text: "–".to_owned(),
            hint: Some(super::shortened(reason, 240)),
            tone: Tone::Muted,
            ..Self::default()
        }
    }

    /// Whether figures may be used.
    pub fn status(status: Status) -> Self {
        let (text, tone, value) = match status {
            Status::Valid => ("VALID", Tone::Good, 0.0),
            Status::Degraded => ("DEGRADED", Tone::Warn, 1.0),
            Status::Invalid => ("INVALID", Tone::Bad, 2.0),
        };
        Self { text: text.to_owned(), tone, value: Some(value), ..Self::default() }
    }

    /// The same, with something that explains it.
    #[must_use]
    pub fn because(self, hint: String) -> Self {
        Self { hint: Some(hint).filter(|hint| !hint.is_empty()), ..self }
    }
}

/// `1.20 to 1.45`, or `from 1.20` where there is no upper end.
pub(super) fn interval(estimate: &Estimate) -> Option<String> {
    match (estimate.ci_low, estimate.ci_high) {
        (Some(low), Some(high)) => {
            Some(format!("{} to {}", number::shown(low), number::shown(high)))
        }
        (Some(low), None) => Some(format!("from {}", number::shown(low))),
        _ => None,
    }
}

/// The figure with its interval in words: `1.31, 95 % interval 1.20 to 1.45`.
pub(super) fn spoken(estimate: &Estimate, unit: &str) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let Some(value) = estimate.value else {
        return format!("not measured: {}", estimate.reason.as_deref().unwrap_or("no data"));
    };
    let interval = interval(estimate)
        .map_or_else(String::new, |interval| format!(", 95 % interval {interval}"));
    format!("{}{unit}{interval}", number::shown(value))
}
