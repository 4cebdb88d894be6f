//! Events -> progress per cell: what is done, how fast, and how long the rest takes. Estimated cell by cell, because
//! batch sizes and targets differ widely in speed.

use super::event::CampaignEvent;
use records::CampaignRow;
use std::time::Duration;

/// Progress of every cell, in steps: samples, or windows of a sustained load.
#[derive(Debug, Clone)]
pub struct Progress(Vec<CellProgress>);

#[derive(Debug, Clone, Copy, Default)]
pub struct CellProgress {
    pub target: usize,
    /// Steps over all runs.
    pub total: u64,
    pub done: u64,
    /// Steps done by this controller, and the time that they took.
    timed: u64,
    span: Duration,
}

impl CellProgress {
    fn new(target: usize, total: u64) -> Self {
        Self { target, total, ..Self::default() }
    }

    fn seconds_per_step(&self) -> Option<f64> {
        (self.timed > 0).then(|| self.span.as_secs_f64() / self.timed as f64)
    }

    /// Whether all steps are done, or not needed.
    pub fn is_complete(&self) -> bool {
        self.done >= self.total
    }

    /// Steps per second; none before the first timed batch.
    pub fn rate(&self) -> Option<f64> {
        self.seconds_per_step().map(|seconds| 1.0 / seconds)
    }
}

impl Progress {
    /// Nothing of the campaign is done yet.
    pub fn new(campaign: &CampaignRow) -> Self {
        let (plan, runs) = (&campaign.plan, campaign.matrix.protocol.most_runs());
        let cell = |(index, cell): (usize, &matrix::plan::Cell)| {
            CellProgress::new(cell.target, u64::from(runs) * plan.steps_of(index))
        };
        Self(plan.cells.iter().enumerate().map(cell).collect())
    }

    pub fn observe(&mut self, event: &CampaignEvent) {
        match event {
            CampaignEvent::Started { stored_steps, .. } => {
                for (cell, steps) in self.0.iter_mut().zip(stored_steps) {
                    cell.done += steps;
                }
            }
            CampaignEvent::BatchStored { cell, steps, span, is_counted: true, .. } => {
                let cell = &mut self.0[*cell];
                cell.done += steps;
                // Times that come from a script may be zero: that is no speed.
                if !span.is_zero() {
                    cell.timed += steps;
                    cell.span += *span;
                }
            }
            CampaignEvent::RunsSkipped { cell, steps, .. } => {
                let cell = &mut self.0[*cell];
                cell.total = cell.total.saturating_sub(*steps).max(cell.done);
            }
            _ => {}
        }
    }

    pub fn cells(&self) -> &[CellProgress] {
        &self.0
    }

    /// Steps of all cells.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|cell| cell.total).sum()
    }

    /// Steps that are stored.
    pub fn done(&self) -> u64 {
        self.0.iter().map(|cell| cell.done).sum()
    }

    /// Approximate time left if cells are measured one after the other. A cell without a measurement is assumed to
    /// run at the mean speed of its target, or of all cells.
    pub fn time_left(&self) -> Option<Duration> {
        let mean = |filter: &dyn Fn(&&CellProgress) -> bool| {
            let timed = self.0.iter().filter(filter).filter_map(CellProgress::seconds_per_step);
            let (count, sum) = timed.fold((0_u32, 0.0), |(count, sum), s| (count + 1, sum + s));
            (count > 0).then(|| sum / f64::from(count))
        };
        let all = mean(&|_| true)?;
        let seconds = self.0.iter().map(|cell| {
            let same_target = || mean(&|other| other.target == cell.target);
            let pace = cell.seconds_per_step().or_else(same_target).unwrap_or(all);
            pace * cell.total.saturating_sub(cell.done) as f64
        });
        Some(Duration::from_secs_f64(seconds.sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(cell: usize, steps: u64, span: Duration, is_counted: bool) -> CampaignEvent {
        let agent = "a".try_into().unwrap();
        let (samples, latencies) = (steps, Vec::new());
        CampaignEvent::BatchStored { agent, cell, steps, samples, latencies, span, is_counted }
    }

    #[test]
    fn time_left_follows_from_the_speed_of_each_cell() {
        let cells = [(0, 10), (0, 10), (1, 10)].map(|(t, total)| CellProgress::new(t, total));
        let mut progress = Progress(cells.into());
        assert_eq!(progress.time_left(), None);
        progress.observe(&batch(0, 5, Duration::from_secs(5), true));
        progress.observe(&batch(1, 5, Duration::from_secs(500), false));
        // Cell 0 has 5 left at 1 s; cell 1 is assumed to be like it; cell 2 like all.
        assert_eq!(progress.time_left(), Some(Duration::from_secs(25)));
        progress.observe(&batch(2, 10, Duration::from_secs(1), true));
        assert_eq!(progress.time_left(), Some(Duration::from_secs(15)));
        assert_eq!((progress.done(), progress.total()), (15, 30));
        progress.observe(&CampaignEvent::RunsSkipped { cell: 1, rounds: vec![2], steps: 6 });
        assert_eq!((progress.cells()[1].total, progress.total()), (4, 24));
    }
}
