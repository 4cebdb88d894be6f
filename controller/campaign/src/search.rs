//! Searches for the highest load that keeps the objective: when a run of a candidate is over, decides which run is next.
//!
//! The decision follows from stored samples alone, so a resumed campaign decides as it would have.

use super::scheduler;
use super::{CampaignState, Effects, Now, RunCheck, event::CampaignEvent};
use matrix::plan::Plan;
use matrix::{Matrix, Varied};
use records::{CountedBatch, SampleRow, Write};
use stats::Observation;
use stats::search::{Next, Resolution, RunShares, Search, Standing, Step, is_over_saturated};
use stats::slo::{Grade, Slo};
use std::collections::{BTreeMap, BTreeSet};

/// How the campaign searches.
#[derive(Debug, Clone)]
pub struct SearchRule {
    pub search: Search,
    pub slo: Slo,
}

/// The search among the candidates of one model, target, dtype and batch size.
#[derive(Debug)]
pub(super) struct CandidateSearch {
    /// Indices of cells in the plan, by load.
    cells: Vec<usize>,
    /// Requests per second of each, or in flight.
    loads: Vec<f64>,
    /// By index of the load and number of the run.
    runs: BTreeMap<(usize, u32), RunShares>,
    /// Runs whose shares were asked for.
    awaited: BTreeSet<(usize, u32)>,
    /// Steps that were announced.
    announced: usize,
    is_over: bool,
}

/// Requests past the objective, by run in the plan.
pub(super) type BadRequests = BTreeMap<usize, u64>;

impl CandidateSearch {
    pub(super) fn all(plan: &Plan, matrix: &Matrix) -> Vec<Self> {
        let load = |cell: &usize| plan.cells[*cell].load.map(|load| load.offered());
        let search = |cells: Vec<usize>| Self {
            loads: cells.iter().filter_map(load).collect(),
            cells,
            runs: BTreeMap::new(),
            awaited: BTreeSet::new(),
            announced: 0,
            is_over: false,
        };
        plan.searches(matrix).into_iter().map(search).collect()
    }

    /// What an earlier controller left, or the first run.
    pub(super) fn first_checks(&mut self, stored: &[CountedBatch]) -> Vec<RunCheck> {
        let measured =
            stored.iter().filter_map(|batch| Some((self.load_of(batch.cell)?, batch.run)));
        self.awaited = measured.collect();
        if self.awaited.is_empty() {
            self.awaited.insert((0, 1));
        }
        let check = |&(load, round): &(usize, u32)| RunCheck { cell: self.cells[load], round };
        self.awaited.iter().map(check).collect()
    }

    fn load_of(&self, cell: usize) -> Option<usize> {
        self.cells.iter().position(|candidate| *candidate == cell)
    }
}

impl CampaignState {
    /// The shares of a candidate's run are needed: all of it is over.
    pub(super) fn due_run_check(&mut self, run: usize) -> Option<RunCheck> {
        let matrix::plan::Run { cell, number: round, .. } = self.campaign.plan.runs[run];
        let search = self.searches.iter_mut().find(|search| search.load_of(cell).is_some())?;
        let load = search.load_of(cell)?;
        search.awaited.insert((load, round));
        Some(RunCheck { cell, round })
    }

    /// Records the shares of a run. Once no others are awaited, admits the next run or skips the rest.
    pub(super) fn record_shares(
        &mut self,
        RunCheck { cell, round }: RunCheck,
        shares: RunShares,
        now: Now,
        out: &mut Effects,
    ) {
        let Some(rule) = self.options.search.clone() else { return };
        let of_cell = |search: &CandidateSearch| search.load_of(cell).is_some();
        let Some(index) = self.searches.iter().position(of_cell) else { return };
        let search = &mut self.searches[index];
        let Some(load) = search.load_of(cell) else { return };
        search.awaited.remove(&(load, round));
        search.runs.insert((load, round), shares);
        if search.is_over || !search.awaited.is_empty() {
            return;
        }
        let progress = rule.search.over(search.loads.clone()).follow(&search.runs);
        let name = self.campaign.plan.cells[search.cells[0]].id.clone();
        let vary = varied(&self.campaign.matrix);
        if progress.steps.len() > search.announced {
            search.announced = progress.steps.len();
            out.message(format!("search from {name}: {}", announced(progress.steps.last(), vary)));
        }
        let candidates = search.cells.clone();
        if let Next::Measure { load, run } = progress.next {
            let runs = &self.campaign.plan.runs;
            let is_next =
                |one: &matrix::plan::Run| (one.cell, one.number) == (candidates[load], run);
            let Some(next) = runs.iter().position(is_next) else { return };
            if self.scheduler.is_held_back(next) {
                let steps = self.scheduler.batches_left(next);
                let (cell, round) = (candidates[load], run);
                out.events.push(CampaignEvent::RunAdmitted { cell, round, steps });
                return self.decide(scheduler::Event::Admit { run: next }, now, out);
            }
            if !self.scheduler.is_over(next) {
                return;
            }
            // Its shards were set aside: without it, the search can't continue.
        }
        self.end_search(index, &progress.standing, now, out);
    }

    fn end_search(&mut self, index: usize, standing: &Standing, now: Now, out: &mut Effects) {
        let search = &mut self.searches[index];
        search.is_over = true;
        let candidates = search.cells.clone();
        let first = &self.campaign.plan.cells[candidates[0]].id;
        let detail =
            format!("search from {first}: {}", ended(standing, varied(&self.campaign.matrix)));
        out.message(format!("note: {detail}"));
        out.rows.push(Write::Event { at: now.at, kind: "search", detail });
        let runs = self.campaign.plan.runs.iter().enumerate();
        let held = runs.filter(|(index, run)| {
            candidates.contains(&run.cell) && self.scheduler.is_held_back(*index)
        });
        let held: Vec<(usize, usize, u32)> =
            held.map(|(index, run)| (index, run.cell, run.number)).collect();
        for &cell in &candidates {
            let rounds = held.iter().filter(|(_, of, _)| *of == cell).map(|(.., round)| *round);
            // They were never admitted, so that no steps were counted on.
            out.events.push(CampaignEvent::RunsSkipped {
                cell,
                rounds: rounds.collect(),
                steps: 0,
            });
        }
        for (run, ..) in held {
            self.decide(scheduler::Event::Skip { run }, now, out);
        }
    }

    /// Counted requests of a candidate that are past the objective; none of other cells.
    pub(super) fn count_bad(&self, cell: usize, rows: &[SampleRow]) -> u64 {
        let is_candidate = self.campaign.plan.cells[cell].is_candidate(&self.campaign.matrix);
        let Some(rule) = self.options.search.as_ref().filter(|_| is_candidate) else { return 0 };
        let is_bad = |SampleRow { key, is_counted, sample }: &&SampleRow| {
            *is_counted && rule.slo.grade(&Observation::new(key, sample, key.agent)) == Grade::Bad
        };
        rows.iter().filter(is_bad).count() as u64
    }

    /// Cuts the run of a shard short once it is over-saturated: more of it would cost time and show nothing new.
    pub(super) fn judge_load(&mut self, shard: usize, bad: u64, now: Now, out: &mut Effects) {
        if bad == 0 {
            return;
        }
        let plan = &self.campaign.plan;
        let run = plan.shards[shard].run;
        let all = self.bad_requests.entry(run).or_default();
        *all += bad;
        if !is_over_saturated(*all, plan.samples as u64) {
            return;
        }
        let matrix::plan::Run { cell, number: round, .. } = plan.runs[run];
        let steps = self.scheduler.batches_left(run);
        if steps > 0 {
            let id = &plan.cells[cell].id;
            out.message(format!("{id}, run {round}: cut short, because it is over-saturated"));
            out.events.push(CampaignEvent::RunsSkipped { cell, rounds: Vec::new(), steps });
            self.decide(scheduler::Event::CutShort { run }, now, out);
        }
    }
}

/// What the searches of a campaign vary.
fn varied(matrix: &Matrix) -> Varied {
    matrix.search().map(|search| search.vary).unwrap_or_default()
}

fn announced(step: Option<&Step>, vary: Varied) -> String {
    let Some(step) = step else { return String::new() };
    let &Step { load, run, requests, good, low, high, .. } = step;
    let share = 100.0 * good as f64 / requests.max(1) as f64;
    format!(
        "{load} {}, run {run}: {share:.1}% of {requests} requests within the limits; {}",
        vary.unit(),
        interval(low, high, vary)
    )
}

fn ended(standing: &Standing, vary: Varied) -> String {
    let known = interval(standing.low, standing.high, vary);
    match standing.resolution {
        Resolution::Resolved => format!("{known}, resolved"),
        Resolution::NotResolved { minutes: Some(minutes) } => {
            let minutes = minutes.max(1.0);
            format!("{known}, not resolved: about {minutes:.0} more minutes of load")
        }
        Resolution::NotResolved { minutes: None } => format!("{known}, not resolved"),
    }
}

fn interval(low: Option<f64>, high: Option<f64>, vary: Varied) -> String {
    let unit = vary.unit();
    match (low, high) {
        (Some(low), Some(high)) => format!("the capacity is {}", vary.interval(low, high)),
        (Some(low), None) => format!("the capacity is at least {low} {unit}"),
        (None, Some(high)) => format!("the capacity is below {high} {unit}"),
        (None, None) => "the capacity is unknown".to_owned(),
    }
}
