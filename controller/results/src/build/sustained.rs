//! Windows of sustained loads and of telemetry -> what the verdicts of each run rest on.

use matrix::plan::{Cell, Plan};
use model::telemetry::Phase;
use records::{LoadWindowRow, WindowRow};
use stats::stress::{Observed, Windows};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The windows of a campaign's sustained loads, by cell and run, with what was observed in each.
#[derive(Debug, Default)]
pub struct SustainedLoads(BTreeMap<(usize, u32), Vec<Seen>>);

#[derive(Debug)]
struct Seen {
    row: LoadWindowRow,
    observed: Observed,
    /// How much of telemetry stands in `observed`.
    seconds: f64,
}

impl SustainedLoads {
    /// The windows of one run of a planned cell, in order.
    pub fn add_run(&mut self, plan: &Plan, cell: usize, run: u32, rows: Vec<LoadWindowRow>) {
        let rows = merged(&plan.cells[cell], rows);
        let seen = |row| Seen { row, observed: Observed::default(), seconds: 0.0 };
        self.0.insert((cell, run), rows.into_iter().map(seen).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A window of telemetry goes to the load's window that holds its middle, on the clock that they share.
    pub fn observe(&mut self, window: &WindowRow) {
        let Some((cell, run, segment)) = window.of.filter(|_| window.phase == Phase::Measuring)
        else {
            return;
        };
        let Some(load) = self.0.get_mut(&(cell, run)) else { return };
        let middle_ns = u64::midpoint(window.start_ns, window.end_ns);
        let from = load.partition_point(|seen| {
            (seen.row.segment, seen.row.window.end_ns) <= (segment, middle_ns)
        });
        let its = load.get_mut(from).filter(|seen| {
            let Seen { row, .. } = seen;
            (row.segment, row.agent) == (segment, window.agent) && row.window.start_ns <= middle_ns
        });
        let (Some(seen), seconds) = (its, window.seconds()) else { return };
        if seconds > 0.0 {
            let observed = Observed::of(&window.readings, seconds);
            seen.observed.join(&observed, (seen.seconds, seconds));
            seen.seconds += seconds;
        }
    }

    /// The runs of a cell, in order.
    pub fn runs(&mut self, cell: usize) -> Vec<(u32, Windows)> {
        let keys: Vec<(usize, u32)> =
            self.0.range((cell, 0)..(cell + 1, 0)).map(|(key, _)| *key).collect();
        let run = |key: (usize, u32)| {
            let mut windows = Windows::default();
            for Seen { row, observed, .. } in self.0.remove(&key).unwrap_or_default() {
                windows.push(row.window, observed);
            }
            (key.1, windows)
        };
        keys.into_iter().map(run).collect()
    }
}

/// The windows of several agents that load one endpoint as those of the first one: they started together. A window that
/// one of them didn't measure is left out.
fn merged(planned: &Cell, rows: Vec<LoadWindowRow>) -> Vec<LoadWindowRow> {
    let Some(sustained) = planned.sustained().filter(|_| planned.agents > 1) else { return rows };
    let mut whole: BTreeMap<u32, (LoadWindowRow, u32)> = BTreeMap::new();
    for row in rows {
        let number = sustained.window(row.number);
        match whole.entry(number) {
            Entry::Vacant(entry) => {
                entry.insert((LoadWindowRow { number, ..row }, 1));
            }
            Entry::Occupied(mut entry) => {
                let (window, agents) = entry.get_mut();
                window.window.merge(&row.window);
                *agents += 1;
            }
        }
    }
    let is_whole = |(_, agents): &(LoadWindowRow, u32)| *agents == planned.agents;
    whole.into_values().filter(is_whole).map(|(row, _)| row).collect()
}
