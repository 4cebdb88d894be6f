//! Events -> progress per cell: what is done, how fast, and how long the rest takes. Estimated cell by cell, because
//! batch sizes, loads and targets differ widely in speed.

use super::event::CampaignEvent;
use matrix::plan::estimate::StepTime;
use model::ids::AgentId;
use records::CampaignRow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Progress of every cell, in steps: samples, or windows of a sustained load.
#[derive(Debug, Clone)]
pub struct Progress {
    cells: Vec<CellProgress>,
    targets: Vec<TargetHosts>,
    /// Of the targets, from the first batch on. Kept, because a large fleet stores many batches between two changes.
    groups: Option<Vec<Group>>,
    /// The attempt that each agent executes.
    attempts: BTreeMap<AgentId, Attempt>,
}

#[derive(Debug, Clone, Default)]
pub struct CellProgress {
    pub target: usize,
    /// Steps over all runs.
    pub total: u64,
    pub done: u64,
    /// Steps done by this controller, and the time between their first start and last end on the agent.
    timed: u64,
    span: Duration,
    /// The same steps, and the time between their arrivals at the controller: pauses between batches included.
    wall: Total,
    /// Attempts that reached their first batch, and the time before it: loading and warm-up.
    starts: Total,
    steps_per_attempt: f64,
    assumed: StepTime,
    /// A search admits its runs one at a time.
    is_candidate: bool,
}

/// A number of things that took `seconds` together.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    count: u64,
    seconds: f64,
}

/// The machines that measure a target.
#[derive(Debug, Clone, Default)]
struct TargetHosts {
    is_local: bool,
    /// Agents that the matrix asks for.
    wanted: u32,
    joined: BTreeMap<AgentId, String>,
}

#[derive(Debug, Clone)]
struct Attempt {
    cell: usize,
    offered: Duration,
    /// When the last batch arrived; none before the first one.
    last: Option<Duration>,
}

impl Total {
    fn add(&mut self, count: u64, seconds: f64) {
        self.count += count;
        self.seconds += seconds;
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.seconds / self.count as f64)
    }
}

impl FromIterator<Total> for Total {
    fn from_iter<I: IntoIterator<Item = Self>>(totals: I) -> Self {
        totals.into_iter().fold(Self::default(), |mut sum, total| {
            sum.add(total.count, total.seconds);
            sum
        })
    }
}

impl CellProgress {
    /// Whether all steps are done, or not needed.
    pub fn is_complete(&self) -> bool {
        self.done >= self.total
    }

    /// Steps per second; none before the first timed batch.
    pub fn rate(&self) -> Option<f64> {
        (self.timed > 0).then(|| self.timed as f64 / self.span.as_secs_f64())
    }

    fn left(&self) -> f64 {
        self.total.saturating_sub(self.done) as f64
    }
}

impl Progress {
    /// Nothing of the campaign is done yet.
    pub fn new(campaign: &CampaignRow) -> Self {
        let CampaignRow { plan, matrix, .. } = campaign;
        let cell = |(index, cell): (usize, &matrix::plan::Cell)| {
            let steps = plan.steps_of(index);
            let shards =
                plan.runs.iter().find(|run| run.cell == index).map_or(1, |r| r.shards.len());
            let is_candidate = cell.is_candidate(matrix);
            let runs = if is_candidate { 0 } else { matrix.protocol.most_runs() };
            CellProgress {
                target: cell.target,
                total: u64::from(runs) * steps,
                is_candidate,
                steps_per_attempt: steps as f64 / shards as f64,
                assumed: StepTime::of(matrix, cell),
                ..CellProgress::default()
            }
        };
        let targets = matrix.targets.iter().map(|target| TargetHosts {
            is_local: target.local.is_some(),
            wanted: target.agents,
            joined: BTreeMap::new(),
        });
        Self {
            cells: plan.cells.iter().enumerate().map(cell).collect(),
            targets: targets.collect(),
            groups: None,
            attempts: BTreeMap::new(),
        }
    }

    /// `now` is monotonic.
    pub fn observe(&mut self, event: &CampaignEvent, now: Duration) {
        match event {
            CampaignEvent::Started { stored_steps, .. } => {
                for (cell, steps) in self.cells.iter_mut().zip(stored_steps) {
                    cell.done += steps;
                    cell.total += if cell.is_candidate { *steps } else { 0 };
                }
            }
            CampaignEvent::RunAdmitted { cell, steps, .. } => self.cells[*cell].total += steps,
            CampaignEvent::AgentJoined { agent, host, target } => {
                self.targets[*target].joined.insert(agent.clone(), host.clone());
                self.groups = self.groups.is_some().then(|| groups(&self.targets));
            }
            CampaignEvent::AgentLeft { agent } => {
                self.attempts.remove(agent);
                for target in &mut self.targets {
                    target.joined.remove(agent);
                }
                self.groups = self.groups.is_some().then(|| groups(&self.targets));
            }
            CampaignEvent::ShardOffered { agent, cell, .. } => {
                let attempt = Attempt { cell: *cell, offered: now, last: None };
                self.attempts.insert(agent.clone(), attempt);
            }
            CampaignEvent::AttemptFinished { agent, .. }
            | CampaignEvent::AttemptFailed { agent, .. } => {
                self.attempts.remove(agent);
            }
            CampaignEvent::BatchStored { agent, cell, steps, span, is_counted: true, .. } => {
                self.cells[*cell].done += steps;
                self.groups.get_or_insert_with(|| groups(&self.targets));
                // Times that come from a script may be zero: that is no speed.
                if !span.is_zero() {
                    self.time(agent, *cell, *steps, *span, now);
                }
            }
            CampaignEvent::RunsSkipped { cell, steps, .. } => {
                let cell = &mut self.cells[*cell];
                cell.total = cell.total.saturating_sub(*steps).max(cell.done);
            }
            _ => {}
        }
    }

    fn time(&mut self, agent: &AgentId, cell: usize, steps: u64, span: Duration, now: Duration) {
        let attempt = self.attempts.get_mut(agent).filter(|attempt| attempt.cell == cell);
        let cell = &mut self.cells[cell];
        cell.timed += steps;
        cell.span += span;
        let since = attempt.map_or(span, |attempt| {
            let last = attempt.last.replace(now);
            let since = last.map_or(span, |last| now.saturating_sub(last));
            if last.is_none() {
                let start = now.saturating_sub(attempt.offered).saturating_sub(span);
                cell.starts.add(1, start.as_secs_f64());
            }
            since
        });
        cell.wall.add(steps, since.as_secs_f64());
    }

    pub fn cells(&self) -> &[CellProgress] {
        &self.cells
    }

    /// Steps of all cells.
    pub fn total(&self) -> u64 {
        self.cells.iter().map(|cell| cell.total).sum()
    }

    /// Steps that are stored.
    pub fn done(&self) -> u64 {
        self.cells.iter().map(|cell| cell.done).sum()
    }

    /// Approximate time until all cells are measured; none before the first batch. Each machine measures one attempt
    /// at a time. A cell that has not been measured yet takes what its load prescribes, or the assumed time of the
    /// plan, corrected by what the measured cells of its target (or of all targets) took.
    pub fn time_left(&self) -> Option<Duration> {
        self.cells.iter().any(|cell| cell.wall.count > 0).then_some(())?;
        let groups = self.groups.as_ref()?;
        let mut started = vec![0_u32; self.cells.len()];
        for attempt in self.attempts.values().filter(|attempt| attempt.last.is_some()) {
            started[attempt.cell] += 1;
        }
        let mut by_target = vec![0.0; self.targets.len()];
        for (cell, started) in self.cells.iter().zip(started) {
            let steps = cell.left() * self.seconds_per_step(cell);
            // Attempts that have yet to load and warm up.
            let attempts = (cell.left() / cell.steps_per_attempt.max(1.0)).ceil();
            let starts = (attempts - f64::from(started)).max(0.0);
            by_target[cell.target] += steps + starts * self.start(cell);
        }
        let seconds = groups.iter().map(|group| {
            let seconds: f64 = group.targets.iter().map(|&target| by_target[target]).sum();
            seconds / group.machines
        });
        Duration::try_from_secs_f64(seconds.fold(0.0, f64::max)).ok()
    }

    fn seconds_per_step(&self, cell: &CellProgress) -> f64 {
        if let Some(measured) = cell.wall.mean() {
            return measured;
        }
        // The load decides how long a paced step takes, so it says nothing about the machine.
        let is_free = |other: &&CellProgress| other.wall.count > 0 && other.assumed.least == 0.0;
        let correction = |others: &mut dyn Iterator<Item = &CellProgress>| {
            let (assumed, took) = others.fold((0.0, 0.0), |(assumed, took), other| {
                let steps = other.wall.count as f64;
                (assumed + steps * other.assumed.busy, took + other.wall.seconds)
            });
            (assumed > 0.0).then(|| took / assumed)
        };
        let same_target = |other: &&CellProgress| other.target == cell.target;
        let correction = correction(&mut self.cells.iter().filter(is_free).filter(same_target))
            .or_else(|| correction(&mut self.cells.iter().filter(is_free)))
            .unwrap_or(1.0);
        (cell.assumed.busy * correction).max(cell.assumed.least)
    }

    /// Seconds from an offer to the first batch.
    fn start(&self, cell: &CellProgress) -> f64 {
        let same_target = self.cells.iter().filter(|other| other.target == cell.target);
        let same_target = || same_target.map(|other| other.starts).collect::<Total>().mean();
        let all = || self.cells.iter().map(|other| other.starts).collect::<Total>().mean();
        cell.starts.mean().or_else(same_target).or_else(all).unwrap_or(0.0)
    }
}

/// Targets that share machines wait for each other; the others are measured in parallel.
fn groups(targets: &[TargetHosts]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let mut group = Group {
            targets: vec![index],
            is_local: target.is_local,
            hosts: target.joined.values().cloned().collect(),
            machines: f64::from(if target.is_local { 1 } else { target.wanted.max(1) }),
        };
        let (same, others) = groups.into_iter().partition(|other: &Group| {
            (other.is_local && group.is_local) || !other.hosts.is_disjoint(&group.hosts)
        });
        groups = others;
        for other in same {
            group.targets.extend(other.targets);
            group.hosts.extend(other.hosts);
            group.is_local |= other.is_local;
        }
        if !group.hosts.is_empty() {
            group.machines = group.hosts.len() as f64;
        }
        groups.push(group);
    }
    groups
}

#[derive(Debug, Clone)]
struct Group {
    targets: Vec<usize>,
    is_local: bool,
    hosts: BTreeSet<String>,
    machines: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentId {
        name.try_into().unwrap()
    }

    fn joined(name: &str, host: &str, target: usize) -> CampaignEvent {
        CampaignEvent::AgentJoined { agent: agent(name), host: host.to_owned(), target }
    }

    fn offered(name: &str, cell: usize) -> CampaignEvent {
        let agent = agent(name);
        let (shard, attempt, round, segment, batches) = (0, 1, 1, 1, 1);
        CampaignEvent::ShardOffered { agent, shard, attempt, cell, round, segment, batches }
    }

    fn batch(name: &str, cell: usize, steps: u64, span: Duration) -> CampaignEvent {
        let (agent, samples, latencies) = (agent(name), steps, Vec::new());
        let is_counted = true;
        CampaignEvent::BatchStored { agent, cell, steps, samples, latencies, span, is_counted }
    }

    fn finished(name: &str) -> CampaignEvent {
        CampaignEvent::AttemptFinished { agent: agent(name), shard: 0, attempt: 1 }
    }

    /// Cells of 10 steps in one attempt: their target, and the seconds that a step is assumed to take.
    fn progress(targets: usize, cells: &[(usize, StepTime)]) -> Progress {
        let cells = cells.iter().map(|&(target, assumed)| {
            let (total, steps_per_attempt) = (10, 10.0);
            CellProgress { target, total, steps_per_attempt, assumed, ..CellProgress::default() }
        });
        let targets = vec![TargetHosts { wanted: 1, ..TargetHosts::default() }; targets];
        Progress { cells: cells.collect(), targets, groups: None, attempts: BTreeMap::new() }
    }

    const FREE: StepTime = StepTime { busy: 0.1, least: 0.0 };

    fn second(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn time_left_follows_from_the_speed_of_each_cell() {
        let mut progress = progress(1, &[(0, FREE), (0, FREE), (0, FREE)]);
        assert_eq!(progress.time_left(), None);
        progress.observe(&batch("a", 0, 5, second(5)), second(5));
        // Late: stored, but not counted.
        let late = CampaignEvent::BatchStored {
            agent: agent("b"),
            cell: 1,
            steps: 5,
            samples: 5,
            latencies: Vec::new(),
            span: second(500),
            is_counted: false,
        };
        progress.observe(&late, second(6));
        // 25 steps at 1 s.
        assert_eq!(progress.time_left(), Some(second(25)));
        progress.observe(&batch("a", 2, 10, second(30)), second(60));
        // Cell 1 is assumed to be like the mean of the others: 35 s for 15 steps.
        assert!((progress.time_left().unwrap().as_secs_f64() - (5.0 + 70.0 / 3.0)).abs() < 1e-6);
        assert_eq!((progress.done(), progress.total()), (15, 30));
        progress.observe(
            &CampaignEvent::RunsSkipped { cell: 1, rounds: vec![2], steps: 6 },
            second(61),
        );
        assert_eq!((progress.cells()[1].total, progress.total()), (4, 24));
    }

    #[test]
    fn loading_and_warm_up_count_once_for_each_attempt() {
        let mut progress = progress(1, &[(0, FREE), (0, FREE)]);
        progress.observe(&joined("a", "m", 0), second(0));
        progress.observe(&offered("a", 0), second(10));
        // Twenty seconds of loading, then a batch of 2 s.
        progress.observe(&batch("a", 0, 2, second(2)), second(32));
        // 8 steps at 1 s, and 20 + 10 s for the next cell.
        assert_eq!(progress.time_left(), Some(second(38)));
        // The pauses between batches count: 4 s for what took 2 s on the agent.
        progress.observe(&batch("a", 0, 2, second(2)), second(36));
        assert_eq!(progress.time_left(), Some(Duration::from_secs_f64(1.5 * 16.0 + 20.0)));
        progress.observe(&batch("a", 0, 6, second(6)), second(44));
        progress.observe(&finished("a"), second(44));
        let left = progress.time_left().unwrap().as_secs_f64();
        assert!((left - (20.0 + 14.0)).abs() < 1e-6, "{left}");
    }

    #[test]
    fn a_load_prescribes_the_time_of_its_steps() {
        let window = StepTime { busy: 0.0, least: 30.0 };
        let mut progress = progress(1, &[(0, FREE), (0, window)]);
        progress.observe(&batch("a", 0, 10, second(1)), second(1));
        assert_eq!(progress.time_left(), Some(second(300)));
        // What a window takes says nothing about the speed of the machine.
        let mut other = self::progress(1, &[(0, window), (0, FREE)]);
        other.observe(&batch("a", 0, 10, second(310)), second(310));
        assert_eq!(other.time_left(), Some(second(1)));
    }

    #[test]
    fn machines_measure_in_parallel_unless_they_are_the_same() {
        let cells = [(0, FREE), (1, FREE), (2, FREE)];
        let left = |hosts: [&str; 3]| {
            let mut progress = progress(3, &cells);
            for (target, host) in hosts.iter().enumerate() {
                progress.observe(&joined(&format!("agent-{target}"), host, target), second(0));
            }
            progress.observe(&batch("agent-0", 0, 5, second(5)), second(5));
            progress.time_left().unwrap().as_secs()
        };
        assert_eq!(left(["a", "b", "c"]), 10);
        assert_eq!(left(["a", "a", "c"]), 15);
        assert_eq!(left(["a", "b", "a"]), 15);
        assert_eq!(left(["a", "a", "a"]), 25);
    }

    #[test]
    fn agents_of_a_target_share_its_work() {
        let mut progress = progress(1, &[(0, FREE)]);
        progress.targets[0].wanted = 5;
        progress.observe(&batch("x", 0, 5, second(5)), second(5));
        assert_eq!(progress.time_left(), Some(second(1)));
        // One of the five came.
        progress.observe(&joined("a", "m", 0), second(5));
        assert_eq!(progress.time_left(), Some(second(5)));
    }
}
