//! How fast a campaign goes, and how long it will take: from what was measured, cell by cell, since batch
//! sizes and targets differ by far.

use std::time::Duration;

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    total: u64,
    done: u64,
    timed: u64,
    span: Duration,
    target: usize,
}

impl Cell {
    fn seconds_per_sample(&self) -> Option<f64> {
        (self.timed > 0).then(|| self.span.as_secs_f64() / self.timed as f64)
    }
}

/// Progress of every cell.
#[derive(Debug)]
pub struct Pace(Vec<Cell>);

impl Pace {
    /// `totals` are samples over all runs; `targets` are the cells' targets.
    pub fn new(totals: Vec<u64>, targets: Vec<usize>) -> Self {
        let cell = |(total, target)| Cell { total, target, ..Cell::default() };
        Self(totals.into_iter().zip(targets).map(cell).collect())
    }

    /// Adds samples that took `span` together; a span of zero was not timed.
    pub fn add(&mut self, cell: usize, samples: u64, span: Duration) {
        let cell = &mut self.0[cell];
        cell.done += samples;
        if !span.is_zero() {
            cell.timed += samples;
            cell.span += span;
        }
    }

    /// Takes samples off that won't be measured.
    pub fn skip(&mut self, cell: usize, samples: u64) {
        let cell = &mut self.0[cell];
        cell.total = cell.total.saturating_sub(samples).max(cell.done);
    }

    /// Samples of all cells.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|cell| cell.total).sum()
    }

    /// Samples that are stored.
    pub fn done(&self) -> u64 {
        self.0.iter().map(|cell| cell.done).sum()
    }

    /// Samples per second of a cell.
    pub fn rate(&self, cell: usize) -> Option<f64> {
        self.0[cell].seconds_per_sample().map(|seconds| 1.0 / seconds)
    }

    /// Time left if targets are measured one after the other. A cell without a measurement is taken to be as fast as
    /// the mean of its target, or of all.
    pub fn left(&self) -> Option<Duration> {
        let mean = |of: &dyn Fn(&&Cell) -> bool| {
            let timed: Vec<f64> =
                self.0.iter().filter(of).filter_map(Cell::seconds_per_sample).collect();
            (!timed.is_empty()).then(|| timed.iter().sum::<f64>() / timed.len() as f64)
        };
        let all = mean(&|_| true)?;
        let seconds = self.0.iter().map(|cell| {
            let same_target = || mean(&|other| other.target == cell.target);
            let pace = cell.seconds_per_sample().or_else(same_target).unwrap_or(all);
            pace * cell.total.saturating_sub(cell.done) as f64
        });
        Some(Duration::from_secs_f64(seconds.sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_what_each_cell_measured() {
        let mut pace = Pace::new(vec![10, 10, 10], vec![0, 0, 1]);
        assert_eq!(pace.left(), None);
        pace.add(0, 5, Duration::from_secs(5));
        // Cell 0: 5 left at 1 s; cell 1 is taken to be like it; cell 2 like all.
        assert_eq!(pace.left(), Some(Duration::from_secs(25)));
        pace.add(2, 10, Duration::from_secs(1));
        assert_eq!(pace.left(), Some(Duration::from_secs(15)));
        assert_eq!((pace.done(), pace.total()), (15, 30));
    }
}
