//! What cells are called in a report: by target, and by those factors only that tell them apart.

use results::{Cell, Entry, Results};
use stats::validity::Status;

/// The cells of a campaign with their names.
pub(super) struct Names<'a> {
    /// Every cell, entry by entry.
    pub(super) cells: Vec<Named<'a>>,
    /// The name of each entry: its series in charts.
    pub(super) entries: Vec<String>,
}

/// One cell with its names.
pub(super) struct Named<'a> {
    /// The index of its entry.
    pub(super) series: usize,
    /// Its entry.
    pub(super) entry: &'a Entry,
    /// Itself.
    pub(super) cell: &'a Cell,
    /// Its target.
    pub(super) target: String,
    /// What else tells it from others.
    pub(super) detail: String,
}

impl Named<'_> {
    /// Target and detail in one line.
    pub(super) fn whole(&self) -> String {
        if self.detail.is_empty() {
            self.target.clone()
        } else {
            format!("{}, {}", self.target, self.detail)
        }
    }

    /// Whether figures may be drawn.
    pub(super) fn is_usable(&self) -> bool {
        self.cell.validity.status != Status::Invalid
    }
}

/// What may tell two entries apart.
type Factor = fn(&Entry) -> &str;

/// Names in charts and tables are no longer than this; ids stand in full in results.json.
const LONGEST: usize = 80;

impl<'a> Names<'a> {
    pub(super) fn of(results: &'a Results) -> Self {
        let entries = &results.results;
        let varies = |of: fn(&Entry) -> &str| entries.iter().any(|one| of(one) != of(&entries[0]));
        let factors: [(Factor, bool); 3] = [
            (|entry| &entry.model, varies(|entry| &entry.model)),
            (|entry| &entry.dtype, varies(|entry| &entry.dtype)),
            (|entry| &entry.scenario, varies(|entry| &entry.scenario)),
        ];
        let rate = |entry: &Entry| entry.load.and_then(|load| load.request_rate);
        let rates_vary = entries.iter().any(|one| rate(one) != rate(&entries[0]));
        let detail = |entry: &Entry| {
            let told = factors.iter().filter(|(_, varies)| *varies);
            let mut told: Vec<String> =
                told.map(|(of, _)| super::shortened(of(entry), LONGEST)).collect();
            told.extend(rate(entry).filter(|_| rates_vary).map(|rate| format!("{rate}/s")));
            told.join(" · ")
        };
        let target = |entry: &Entry| super::shortened(&entry.target, LONGEST);
        let name = |entry: &Entry| match detail(entry) {
            detail if detail.is_empty() => target(entry),
            detail => format!("{} · {detail}", target(entry)),
        };
        let named = |(series, entry): (usize, &'a Entry)| {
            let of_cell = move |cell: &'a Cell| {
                let batch = format!("batch {}", cell.batch_size);
                let detail = match detail(entry) {
                    detail if detail.is_empty() => batch,
                    detail => format!("{detail} · {batch}"),
                };
                Named { series, entry, cell, target: target(entry), detail }
            };
            entry.cells.iter().map(of_cell).collect::<Vec<_>>()
        };
        Self {
            cells: entries.iter().enumerate().flat_map(named).collect(),
            entries: entries.iter().map(name).collect(),
        }
    }

    /// The cell of an id.
    pub(super) fn find(&self, id: &str) -> Option<&Named<'a>> {
        self.cells.iter().find(|named| named.cell.cell == id)
    }

    /// What a cell of an id is called.
    pub(super) fn whole(&self, id: &str) -> String {
        self.find(id).map_or_else(|| super::shortened(id, LONGEST), Named::whole)
    }

    /// The series of those entries that `is_shown`, with their names.
    pub(super) fn legend(&self, is_shown: impl Fn(usize) -> bool) -> Vec<(usize, String)> {
        let all = self.entries.iter().enumerate();
        all.filter(|(series, _)| is_shown(*series)).map(|(s, name)| (s, name.clone())).collect()
    }
}
