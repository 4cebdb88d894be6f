//! Runs that are added by what was measured so far: a cell is looked at when its runs are over.

use super::{Desk, Effects, Line, Step, adaptive, scheduler};
use chrono::{DateTime, Utc};
use stats::precision::Look;
use std::time::Duration;
use store::{SampleRow, Write};

/// Runs of a cell, each with its number and its index in the plan.
type Runs = Vec<(u32, usize)>;

impl Desk {
    /// The cells that may have to be looked at before anything is measured: all of them where runs are added by
    /// what was measured so far.
    pub fn first_looks(&self) -> Vec<usize> {
        let cells = if adaptive::rule(&self.row).is_some() { self.row.plan.cells.len() } else { 0 };
        (0..cells).collect()
    }

    /// The numbers of the runs of a cell that a look needs: those that are over, where further ones are held back.
    pub fn looked_at(&self, cell: usize) -> Vec<u32> {
        let (over, further) = self.runs_of(cell);
        let first = adaptive::rule(&self.row).map(|rule| rule.first_look as usize);
        let is_held_back =
            further.first().is_some_and(|(_, run)| self.scheduler.is_held_back(*run));
        let is_due = is_held_back && first.is_some_and(|first| over.len() >= first);
        if is_due { over.into_iter().map(|(number, _)| number).collect() } else { Vec::new() }
    }

    /// Looks at a cell under adaptive precision, given the counted samples of [`Desk::looked_at`]: it gets another
    /// run, or the rest is skipped.
    pub fn look(
        &mut self,
        cell: usize,
        samples: &[SampleRow],
        now: Duration,
        at: DateTime<Utc>,
        out: &mut Effects,
    ) {
        let Some(rule) = adaptive::rule(&self.row) else { return };
        let (over, further) = self.runs_of(cell);
        let Some((_, next)) = further.first() else { return };
        let plan = &self.row.plan;
        let throughputs = adaptive::throughputs(plan, cell, samples);
        // A run with shards that were set aside has no throughput, and neither would further ones.
        let is_whole = throughputs.len() == over.len();
        let look = adaptive::look(&rule, &throughputs, plan, (&self.budget, now));
        if is_whole && look == Look::Continue {
            return self.decide(scheduler::Event::Admit { run: *next }, now, at, out);
        }
        if is_whole {
            let detail = format!("{} has {} runs: {look}", plan.cells[cell].id, over.len());
            out.lines.push(Line::Said(format!("note: {detail}")));
            out.writes.push(Write::Event { at, kind: "precision", detail });
        }
        let samples = further.len() as u64 * plan.steps_of(cell);
        out.lines.push(Line::Skipped { cell, samples });
        for (round, run) in further {
            out.steps.push(Step::RunOver { round });
            self.decide(scheduler::Event::Skip { run }, now, at, out);
        }
    }

    /// The runs of a cell by number and index: those that are over, from the first one on, and the rest.
    fn runs_of(&self, cell: usize) -> (Runs, Runs) {
        let runs = self.row.plan.runs.iter().enumerate();
        let its = runs.filter(|(_, run)| run.cell == cell);
        let mut over: Vec<(u32, usize)> = its.map(|(index, run)| (run.number, index)).collect();
        over.sort_unstable();
        let count = over.iter().take_while(|(_, run)| self.scheduler.is_over(*run)).count();
        let further = over.split_off(count);
        (over, further)
    }
}
