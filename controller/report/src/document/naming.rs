//! The names of cells in a report: the target and the factors that vary.

use crate::sentences::{beams, lookup};
use results::{Cell, Entry, Results};
use stats::validity::Status;

pub(super) struct Names<'a> {
    pub(super) cells: Vec<Named<'a>>,
    /// The name of each entry: its series in charts.
    pub(super) entries: Vec<String>,
}

/// A cell with its name.
pub(super) struct Named<'a> {
    pub(super) series: usize,
    pub(super) entry: &'a Entry,
    pub(super) cell: &'a Cell,
    pub(super) target: String,
    /// The other factors that vary, and the batch size.
    pub(super) detail: String,
}

impl Named<'_> {
    /// Target and detail: `one, base · batch 1`.
    pub(super) fn label(&self) -> String {
        if self.detail.is_empty() {
            self.target.clone()
        } else {
            format!("{}, {}", self.target, self.detail)
        }
    }

    /// INVALID cells are not drawn.
    pub(super) fn is_usable(&self) -> bool {
        self.cell.validity.status != Status::Invalid
    }
}

/// Empty for an endpoint, which doesn't tell.
pub(super) fn dtype(entry: &Entry) -> &str {
    let is_endpoint = entry.engine.as_ref().is_some_and(|engine| engine.endpoint.is_some());
    if is_endpoint { "" } else { &entry.dtype }
}

type Factor = fn(&Entry) -> &str;

/// Longer names are cut in charts and tables; results.json has them in full.
const LONGEST: usize = 80;

impl<'a> Names<'a> {
    pub(super) fn of(results: &'a Results) -> Self {
        let entries = &results.results;
        let varies = |of: fn(&Entry) -> &str| entries.iter().any(|one| of(one) != of(&entries[0]));
        let factors: [(Factor, bool); 3] = [
            (|entry| &entry.model, varies(|entry| &entry.model)),
            (dtype, varies(dtype)),
            (|entry| &entry.scenario, varies(|entry| &entry.scenario)),
        ];
        let beams_vary = entries.iter().any(|one| one.num_beams != entries[0].num_beams);
        let lookups_vary = entries
            .iter()
            .any(|one| one.prompt_lookup_num_tokens != entries[0].prompt_lookup_num_tokens);
        let rate = |entry: &Entry| entry.load.and_then(|load| load.request_rate);
        let rates_vary = entries.iter().any(|one| rate(one) != rate(&entries[0]));
        let users = |entry: &Entry| entry.load.and_then(|load| load.concurrency);
        let users_vary = entries.iter().any(|one| users(one) != users(&entries[0]));
        let detail = |entry: &Entry| {
            let varying = factors.iter().filter(|(_, varies)| *varies);
            let mut parts: Vec<String> = varying
                .map(|(of, _)| super::shortened(of(entry), LONGEST))
                .filter(|part| !part.is_empty())
                .collect();
            parts.extend(entry.num_beams.filter(|_| beams_vary).map(beams));
            parts.extend(entry.prompt_lookup_num_tokens.filter(|_| lookups_vary).map(lookup));
            parts.extend(rate(entry).filter(|_| rates_vary).map(|rate| format!("{rate}/s")));
            parts.extend(
                users(entry).filter(|_| users_vary).map(|users| format!("{users} in flight")),
            );
            parts.join(" · ")
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

    pub(super) fn find(&self, id: &str) -> Option<&Named<'a>> {
        self.cells.iter().find(|named| named.cell.cell == id)
    }

    /// The label of a cell by its id.
    pub(super) fn label(&self, id: &str) -> String {
        self.find(id).map_or_else(|| super::shortened(id, LONGEST), Named::label)
    }

    /// The series of those entries that `is_shown`, with their names.
    pub(super) fn legend(&self, is_shown: impl Fn(usize) -> bool) -> Vec<(usize, String)> {
        let all = self.entries.iter().enumerate();
        all.filter(|(series, _)| is_shown(*series)).map(|(s, name)| (s, name.clone())).collect()
    }
}
