//! Which requests shared a batch, which batches a run, and how long each host was measured.

use super::observation::{Cell, Observation, milliseconds};
use std::ops::Range;

/// The requests that were decoded together.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where its requests stand in the cell.
    pub rows: Range<usize>,
    /// On which host.
    pub host: u32,
    /// When its first request started.
    pub start_ns: u64,
    /// From then to the end of its last request.
    pub span_ns: u64,
    /// How many requests brought a summary.
    pub ok: u64,
}

/// The time a host was measured in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTime {
    /// Which host.
    pub host: u32,
    /// How long.
    pub measured_ns: u64,
    /// How many of its requests brought a summary in that time.
    pub ok: u64,
}

/// One repeat of a cell.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number.
    pub run: u32,
    /// Where its requests stand in the cell.
    pub rows: Range<usize>,
    /// Its batches.
    pub batches: Vec<Batch>,
    /// Its hosts, by number.
    pub hosts: Vec<HostTime>,
}

/// A cell cut into runs and batches.
#[derive(Debug, Clone)]
pub struct Layout<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// Its runs, by number.
    pub runs: Vec<Run>,
}

impl Run {
    /// How many requests brought a summary.
    pub fn ok(&self) -> u64 {
        self.hosts.iter().map(|host| host.ok).sum()
    }

    /// How many did not.
    pub fn failed(&self) -> u64 {
        self.rows.len() as u64 - self.ok()
    }

    /// The measured time of its hosts together.
    pub fn host_seconds(&self) -> f64 {
        self.hosts.iter().map(|host| host.measured_ns as f64).sum::<f64>() / 1e9
    }
}

impl<'a> Layout<'a> {
    /// Cuts a cell.
    pub fn of(cell: &'a Cell) -> Self {
        let rows = cell.observations();
        let mut runs = Vec::new();
        let mut start = 0;
        for run in rows.chunk_by(|a, b| a.run == b.run) {
            runs.push(cut(cell, run, start));
            start += run.len();
        }
        Self { cell, runs }
    }

    /// The requests of a batch or a run.
    pub fn rows(&self, range: &Range<usize>) -> &'a [Observation] {
        &self.cell.observations()[range.clone()]
    }

    /// The spans of batches in milliseconds, by run.
    pub fn spans_ms(&self) -> Vec<Vec<f64>> {
        let spans =
            |run: &Run| run.batches.iter().map(|batch| milliseconds(batch.span_ns)).collect();
        self.runs.iter().map(spans).collect()
    }
}

fn cut(cell: &Cell, rows: &[Observation], offset: usize) -> Run {
    let mut run = Run {
        run: rows[0].run,
        rows: offset..offset + rows.len(),
        batches: Vec::new(),
        hosts: Vec::new(),
    };
    let mut start = offset;
    for segment in rows.chunk_by(|a, b| (a.host, a.segment) == (b.host, b.segment)) {
        let mut sum_ns = 0;
        for batch in segment.chunk_by(|a, b| a.batch == b.batch) {
            let (start_ns, span_ns) = window(batch);
            sum_ns += span_ns;
            let ok = batch.iter().filter(|row| row.is_ok()).count() as u64;
            let rows = start..start + batch.len();
            start += batch.len();
            run.batches.push(Batch { rows, host: batch[0].host, start_ns, span_ns, ok });
        }
        let measured_ns = if cell.is_sequential() { sum_ns } else { window(segment).1 };
        let ok = segment.iter().filter(|row| row.is_ok()).count() as u64;
        match run.hosts.last_mut().filter(|time| time.host == segment[0].host) {
            Some(time) => {
                time.measured_ns += measured_ns;
                time.ok += ok;
            }
            None => run.hosts.push(HostTime { host: segment[0].host, measured_ns, ok }),
        }
    }
    run
}

/// From the first start to the last end: the start and the length.
fn window(rows: &[Observation]) -> (u64, u64) {
    let start_ns = rows.iter().map(|row| row.start_ns).min().unwrap_or_default();
    let end_ns = rows.iter().map(Observation::end_ns).max().unwrap_or_default();
    (start_ns, end_ns - start_ns)
}

#[cfg(test)]
mod tests {
    use super::super::observation::{Outcome, Scenario};
    use super::*;

    fn row(run: u32, host: u32, batch: u32, start_ns: u64, latency_ns: u64) -> Observation {
        Observation {
            run,
            host,
            segment: 0,
            batch,
            start_ns,
            sample: batch,
            latency_ns,
            ttft_ns: None,
            network_ns: None,
            input_tokens: Some(1),
            output_tokens: Some(1),
            outcome: Outcome::Ok,
        }
    }

    #[test]
    fn idle_time_between_batches_is_not_measured_time() {
        let rows = vec![
            row(0, 0, 0, 0, 10),
            row(0, 0, 0, 0, 30),
            row(0, 0, 1, 100, 20),
            row(0, 1, 2, 5, 7),
        ];
        let cell = Cell::new(Scenario::Offline, rows.clone());
        let run = &Layout::of(&cell).runs[0];
        let time = |host, measured_ns, ok| HostTime { host, measured_ns, ok };
        assert_eq!(run.hosts, [time(0, 50, 3), time(1, 7, 1)]);
        assert_eq!(run.batches.len(), 3);

        let cell = Cell::new(Scenario::Server, rows);
        assert_eq!(Layout::of(&cell).runs[0].hosts[0], time(0, 120, 3));
    }

    #[test]
    fn a_failed_request_takes_time_and_counts_for_nothing() {
        let failed = Observation { outcome: Outcome::Failed, ..row(0, 0, 1, 10, 40) };
        let cell = Cell::new(Scenario::Offline, vec![row(0, 0, 0, 0, 10), failed]);
        let run = &Layout::of(&cell).runs[0];
        assert_eq!((run.ok(), run.failed()), (1, 1));
        assert!((run.host_seconds() - 50e-9).abs() < 1e-18);
    }
}
