//! Whether the times of a cell can come from a monotonic clock.
//!
//! Where nothing overlaps, one batch ends before the next one starts, and no summary takes no time. Clocks of two hosts
//! are never compared: each segment is looked at alone.

use crate::{Cell, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why the times of a cell can't be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "trouble")]
pub enum Trouble {
    /// Requests with a summary and a latency of zero.
    ZeroLatency { requests: u64 },
    /// Batches that started before the previous one ended, although nothing overlaps here.
    OverlappingBatches { batches: u64 },
}

/// Checks the times of a cell; `None` where they are plausible.
pub fn trouble(cell: &Cell) -> Option<Trouble> {
    let timeless = cell.observations().filter(|row| row.is_ok() && row.latency_ns == 0).count();
    if timeless > 0 {
        return Some(Trouble::ZeroLatency { requests: timeless as u64 });
    }
    if !cell.is_sequential() {
        return None;
    }
    let batches: usize = cell.runs().iter().map(|run| overlaps(&run.rows())).sum();
    (batches > 0).then_some(Trouble::OverlappingBatches { batches: batches as u64 })
}

fn overlaps(rows: &[Observation]) -> usize {
    let of_segment = |segment: &[Observation]| {
        let span = |batch: &[Observation]| {
            let start = batch.iter().map(|row| row.start_ns).min().unwrap_or_default();
            (start, batch.iter().map(Observation::end_ns).max().unwrap_or_default())
        };
        let mut spans: Vec<(u64, u64)> =
            segment.chunk_by(|a, b| a.batch == b.batch).map(span).collect();
        spans.sort_unstable();
        spans.windows(2).filter(|pair| pair[1].0 < pair[0].1).count()
    };
    let segments = rows.chunk_by(|a, b| (a.host, a.segment) == (b.host, b.segment));
    segments.map(of_segment).sum()
}

#[cfg(test)]
mod tests {
    use super::super::observation::Scenario;
    use super::*;

    fn row(segment: u32, batch: u32, start_ns: u64, latency_ns: u64) -> Observation {
        Observation {
            run: 1,
            segment,
            batch,
            start_ns,
            sample: batch,
            latency_ns,
            input_tokens: Some(1),
            output_tokens: Some(1),
            is_ok: true,
            ..Observation::default()
        }
    }

    fn found(scenario: Scenario, rows: &[Observation]) -> Option<Trouble> {
        trouble(&Cell::new(scenario, rows.to_vec()))
    }

    #[test]
    fn batches_of_a_closed_loop_follow_each_other() {
        // Batch numbers are shuffled; another segment has a clock of its own.
        let fine = [row(1, 7, 0, 10), row(1, 7, 0, 8), row(1, 2, 10, 5), row(2, 3, 4, 9)];
        assert_eq!(found(Scenario::Offline, &fine), None);
        let early = [row(1, 0, 0, 10), row(1, 1, 9, 5), row(1, 2, 14, 5)];
        let overlap = Some(Trouble::OverlappingBatches { batches: 1 });
        assert_eq!(found(Scenario::Offline, &early), overlap);
        assert_eq!(found(Scenario::Server, &early), None, "requests that wait overlap");
    }

    #[test]
    fn a_summary_takes_time() {
        let failed = Observation { is_ok: false, ..row(1, 0, 0, 0) };
        assert_eq!(found(Scenario::Server, &[failed, row(1, 1, 0, 5)]), None);
        let timeless = found(Scenario::Server, &[row(1, 0, 0, 0)]);
        assert_eq!(timeless, Some(Trouble::ZeroLatency { requests: 1 }));
    }
}
