//! Adaptive precision: when the runs of a cell are over, decides whether it gets another one.
//!
//! The decision follows from stored samples alone, so a resumed campaign decides as it would have.

use super::{CampaignState, Effects, Now, PrecisionCheck, event::CampaignEvent, scheduler};
use matrix::plan::Plan;
use records::Write;
use stats::precision::{Budget, Look};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    round: u32,
    /// Index in the plan.
    index: usize,
}

impl CampaignState {
    /// The check that is due for a cell, if any: enough of its runs are over, and the next one is held back.
    pub(super) fn due_check(&self, cell: usize) -> Option<PrecisionCheck> {
        let first_look = self.options.precision?.first_look as usize;
        let (over, left) = self.runs_of(cell);
        let is_held_back = self.scheduler.is_held_back(left.first()?.index);
        let rounds = over.iter().map(|run| run.round).collect();
        (is_held_back && over.len() >= first_look).then_some(PrecisionCheck { cell, rounds })
    }

    /// Admits the next run of the cell, or skips the rest.
    pub(super) fn check_precision(
        &mut self,
        cell: usize,
        throughputs: &[f64],
        now: Now,
        out: &mut Effects,
    ) {
        let Some(rule) = self.options.precision.filter(|_| self.due_check(cell).is_some()) else {
            return;
        };
        let (over, left) = self.runs_of(cell);
        let plan = &self.campaign.plan;
        // A run with shards that were set aside has no throughput, and neither would further runs.
        let is_complete = throughputs.len() == over.len();
        let look = rule.look(throughputs, self.budget_for_another_run(plan, throughputs, now));
        if is_complete && look == Look::Continue {
            return self.decide(scheduler::Event::Admit { run: left[0].index }, now, out);
        }
        if is_complete {
            let detail = format!("{} has {} runs: {look}", plan.cells[cell].id, over.len());
            out.message(format!("note: {detail}"));
            out.rows.push(Write::Event { at: now.at, kind: "precision", detail });
        }
        out.events.push(CampaignEvent::RunsSkipped {
            cell,
            rounds: left.iter().map(|run| run.round).collect(),
            steps: left.len() as u64 * plan.steps_of(cell),
        });
        for run in left {
            self.decide(scheduler::Event::Skip { run: run.index }, now, out);
        }
    }

    /// Whether the budget covers another run, at the speed of the slowest one.
    fn budget_for_another_run(&self, plan: &Plan, throughputs: &[f64], now: Now) -> Budget {
        let slowest = throughputs.iter().copied().fold(f64::INFINITY, f64::min);
        // Unknown after a run without a single summary.
        let time = Duration::try_from_secs_f64(plan.samples as f64 / slowest).ok();
        if self.budget.would_be_spent(now.elapsed, time) { Budget::Spent } else { Budget::Left }
    }

    /// The runs of a cell by round: those that are over, from the first one on, and the rest.
    fn runs_of(&self, cell: usize) -> (Vec<Run>, Vec<Run>) {
        let runs = self.campaign.plan.runs.iter().enumerate();
        let of_cell = runs.filter(|(_, run)| run.cell == cell);
        let mut over: Vec<Run> =
            of_cell.map(|(index, run)| Run { round: run.number, index }).collect();
        over.sort_unstable();
        let count = over.iter().take_while(|run| self.scheduler.is_over(run.index)).count();
        let left = over.split_off(count);
        (over, left)
    }
}
