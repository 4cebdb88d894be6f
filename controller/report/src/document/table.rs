//! Tables of a report: the text of each entry, its sort value, and why a figure is missing.

use super::Detail;
use crate::sentences::reason;
use plot::number;
use stats::Estimate;
use stats::validity::Status;

#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub id: String,
    pub title: String,
    pub columns: Vec<Column>,
    /// Each row has an entry for every column.
    pub rows: Vec<Vec<Entry>>,
    pub detail: Detail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub title: String,
    pub unit: &'static str,
    pub is_figure: bool,
    pub detail: Detail,
}

impl Column {
    pub fn words(title: impl Into<String>) -> Self {
        Self { title: title.into(), unit: "", is_figure: false, detail: Detail::Summary }
    }

    pub fn figures(title: impl Into<String>, unit: &'static str) -> Self {
        Self { title: title.into(), unit, is_figure: true, detail: Detail::Summary }
    }

    #[must_use]
    pub fn at(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// `Latency p50, ms`
    pub fn heading(&self) -> String {
        match self.unit {
            "" => self.title.clone(),
            unit => format!("{}, {unit}", self.title),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entry {
    pub text: String,
    /// Qualifies the text, such as an interval.
    pub detail: String,
    /// The sort value, unrounded; words sort by themselves.
    pub value: Option<f64>,
    /// An explanation, shown on hover.
    pub hint: Option<String>,
    pub tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    #[default]
    Plain,
    Muted,
    Good,
    Warn,
    Bad,
}

impl Table {
    pub(super) fn new(
        id: &str,
        title: &str,
        detail: Detail,
        columns: Vec<Column>,
        rows: impl Iterator<Item = Vec<Entry>>,
    ) -> Self {
        let (id, title) = (id.to_owned(), title.to_owned());
        Self { id, title, columns, rows: rows.collect(), detail }
    }

    /// The columns up to a level of detail.
    #[must_use]
    pub fn up_to(&self, detail: Detail) -> Self {
        self.of_columns(|place| self.columns[place].detail <= detail)
    }

    /// The same without columns of figures in which every row is empty.
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
    /// A text of at most 240 characters.
    pub fn words(text: impl AsRef<str>) -> Self {
        Self { text: super::shortened(text.as_ref(), 240), ..Self::default() }
    }

    pub fn count(count: u64) -> Self {
        Self { text: number::count(count), value: Some(count as f64), ..Self::default() }
    }

    fn of(value: Option<f64>, otherwise: &str, text: impl Fn(f64) -> String) -> Self {
        let Some(value) = value else { return Self::missing(otherwise) };
        Self { text: text(value), value: Some(value), ..Self::default() }
    }

    /// A figure of the matrix, unrounded; a dash where there is none.
    pub fn given(value: Option<f64>) -> Self {
        Self::of(value, "not set", |value| value.to_string())
    }

    /// A figure without an interval; a dash where there is none.
    pub fn figure(value: Option<f64>) -> Self {
        Self::of(value, "not measured", number::shown)
    }

    /// A share as a percentage.
    pub fn share(value: Option<f64>) -> Self {
        Self::of(value, "not measured", |share| format!("{}%", number::shown(share * 100.0)))
    }

    /// A figure with its interval; a dash with the reason where there is none.
    pub fn estimate(estimate: &Estimate) -> Self {
        let Some(value) = estimate.value else {
            return Self::missing(reason(estimate).as_deref().unwrap_or("not measured"));
        };
        Self {
            text: number::shown(value),
            detail: interval(estimate).unwrap_or_default(),
            value: Some(value),
            hint: reason(estimate),
            tone: Tone::Plain,
        }
    }

    /// A dash with its reason.
    pub fn missing(why: &str) -> Self {
        Self {
            text: "–".to_owned(),
            hint: Some(super::shortened(why, 240)),
            tone: Tone::Muted,
            ..Self::default()
        }
    }

    pub fn status(status: Status) -> Self {
        let (tone, value) = match status {
            Status::Valid => (Tone::Good, 0.0),
            Status::Degraded => (Tone::Warn, 1.0),
            Status::Invalid => (Tone::Bad, 2.0),
        };
        Self { text: status.as_str().to_owned(), tone, value: Some(value), ..Self::default() }
    }

    /// `1.31 (1.20 to 1.45)`
    pub fn with_detail(&self) -> String {
        match self.detail.as_str() {
            "" => self.text.clone(),
            detail => format!("{} ({detail})", self.text),
        }
    }

    /// Adds an explanation, unless it is empty.
    #[must_use]
    pub fn because(self, hint: String) -> Self {
        Self { hint: Some(hint).filter(|hint| !hint.is_empty()), ..self }
    }
}

/// `1.20 to 1.45`, or `at least 1.20` without an upper bound.
pub(super) fn interval(estimate: &Estimate) -> Option<String> {
    match (estimate.ci_low, estimate.ci_high) {
        (Some(low), Some(high)) => {
            Some(format!("{} to {}", number::shown(low), number::shown(high)))
        }
        (Some(low), None) => Some(format!("at least {}", number::shown(low))),
        _ => None,
    }
}

/// The figure with its unit and interval: `1.31 USD, 95% CI 1.20 to 1.45`.
pub(super) fn described(estimate: &Estimate, unit: &str) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let Some(value) = estimate.value else {
        return format!("not measured: {}", reason(estimate).as_deref().unwrap_or("no data"));
    };
    let interval =
        interval(estimate).map_or_else(String::new, |interval| format!(", 95% CI {interval}"));
    format!("{}{unit}{interval}", number::shown(value))
}
