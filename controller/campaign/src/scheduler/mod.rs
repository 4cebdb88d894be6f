//! The scheduler: `(state, event, now) -> actions`. Assigns shards to agents and recovers from losses.
//!
//! Pure: time is an argument, and nothing is sent, stored or printed here. The same events at the same times give the
//! same actions. Invariants:
//! - every shard ends exactly once: done, or set aside with a reason;
//! - a host measures at most one shard at a time, warm-up included;
//! - attempt numbers only grow, and results of an older attempt are late;
//! - whole batches stored before a loss are kept, and only the remainder is measured again;
//! - no agent holds a shard past its progress deadline;
//! - shards that are measured together are leased together, and if one attempt breaks off, the others do;
//! - their agents wait for their machines in the order of the hosts, so that campaigns that share machines never wait for
//!   each other.

mod dispatch;
mod stalls;
mod state;
mod joint;
#[cfg(test)]
mod tests;

pub use state::{Agent, Ending, Limits, Note};

use matrix::plan::estimate::ProgressDeadline;
use model::failure::{Failure, Kind, Retry};
use model::ids::{AgentId, HostId};
use model::load::Share;
use state::{Host, Lease, Shard, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An agent inspected its engines and can start.
    Ready {
        agent: AgentId,
        host: HostId,
        target: usize,
        /// Per engine of the target: whether the agent supports it.
        engines: Vec<bool>,
    },
    /// An agent that isn't ready yet is downloading its models. Extends the wait for agents.
    Preparing,
    /// The agent's stream ended.
    Gone { agent: AgentId },
    /// The agent sent something.
    Alive { agent: AgentId },
    /// An attempt came to this stage, or still is there.
    Reached { shard: usize, attempt: u64, stage: Stage },
    /// The agent takes no more shards, and finishes its current one.
    Leaving { agent: AgentId },
    /// A batch of a current attempt is stored.
    Stored { shard: usize, attempt: u64, batch: u32 },
    /// The agent reports an attempt as complete.
    Finished { shard: usize, attempt: u64 },
    /// An attempt was refused or broke off.
    Failed { shard: usize, attempt: u64, failure: Failure },
    /// A run that was held back is to be measured.
    Admit { run: usize },
    /// A run that was held back is not needed.
    Skip { run: usize },
    /// The rest of a run is not needed: its leases are revoked.
    CutShort { run: usize },
    /// Stop, and keep what was measured.
    Stop,
    /// The budget is spent: stop, and keep what was measured.
    Spent,
    /// Time passed.
    Tick,
}

/// The stages of an attempt before its measurement, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits for another process that measures on the machine.
    Queued,
    /// Its agent holds the machine.
    MachineHeld,
    /// It is warmed up, and waits for those that start together with it.
    Warmed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Lease a shard.
    Offer(Offer),
    /// All agents that measure a run together have warmed up.
    Start { agent: AgentId, shard: usize, attempt: u64 },
    /// Revoke a lease.
    Cancel { agent: AgentId, shard: usize, attempt: u64, reason: &'static str },
    /// A shard is done or set aside.
    ShardEnded(usize),
    /// Every shard of a run is done or set aside.
    RunEnded(usize),
    /// Something for the report and the log.
    Note(Note),
    /// Nothing is left to do.
    End(Ending),
}

/// One shard for one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub agent: AgentId,
    pub shard: usize,
    /// Fences off older attempts.
    pub attempt: u64,
    /// The segment of the run that this attempt belongs to, from 1.
    pub segment: u64,
    pub is_new_segment: bool,
    /// The shard's remaining batches.
    pub batches: Vec<u32>,
    /// Set if it is measured together with the other open shards of its run.
    pub joint: Option<Joint>,
}

/// The place of an attempt among those that load an endpoint together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// With the batches of each in place of requests: under a load, a batch is a request.
    pub share: Share,
    /// The first batch of all of them.
    pub first_batch: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Index of its run. The shards of a run are consecutive.
    pub run: usize,
    pub target: usize,
    /// Index into the target's engines.
    pub engine: usize,
    /// Batches that are left to measure.
    pub batches: BTreeSet<u32>,
    /// Whether its run waits for [`Event::Admit`].
    pub is_held: bool,
    /// Whether the open shards of its run are measured at the same time, each by an agent on a host of its own.
    pub is_together: bool,
    /// Windows of each shard of a sustained load, whose batches are numbered one shard after the other; 0 for others.
    pub windows: u32,
    pub deadline: ProgressDeadline,
}

#[derive(Debug, Clone)]
pub struct Scheduler {
    limits: Limits,
    /// Agents that must be present before the start, by target.
    required: Vec<u32>,
    /// Whether the agents of a target measure together, each on a host of its own.
    are_together: Vec<bool>,
    shards: Vec<Shard>,
    /// Shards that wait, by target, in the order of the plan.
    waiting: Vec<BTreeSet<usize>>,
    /// Shards that are leased and not yet offered.
    deferred: BTreeSet<usize>,
    agents: BTreeMap<AgentId, Agent>,
    hosts: BTreeMap<HostId, Host>,
    /// Agents that could take a shard now, by target.
    free: Vec<BTreeSet<AgentId>>,
    /// Processes that were lost in the middle of a shard, with the shard.
    lost_processes: BTreeMap<String, usize>,
    segments: BTreeMap<usize, u64>,
    last_attempt: u64,
    /// The longest time from batch to batch so far, by target.
    longest_steps: Vec<Duration>,
    /// Shards that wait, are leased or are held back.
    open: usize,
    leased: usize,
    set_aside: usize,
    phase: Phase,
    last_tick: Option<Duration>,
    /// Since when no present agent could measure any waiting shard.
    stalled_since: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Gathering,
    Measuring,
    Ended,
}

impl Scheduler {
    /// A campaign that waits for its agents. `required` is the number of agents of each target. `last_attempt` is
    /// the highest attempt number used so far in this campaign, 0 in a new one; `segments` holds the last segment of
    /// each run. A target with nothing left to measure requires no agents.
    pub fn new(
        mut work: Vec<Work>,
        mut required: Vec<u32>,
        limits: Limits,
        last_attempt: u64,
        segments: BTreeMap<usize, u64>,
    ) -> Self {
        let mut waiting = vec![BTreeSet::new(); required.len()];
        // Remaining shards of each target, including those held back.
        let mut left = vec![0; required.len()];
        let mut are_together = vec![false; required.len()];
        let mut shards = Vec::with_capacity(work.len());
        for run in work.chunk_by_mut(|a, b| a.run == b.run) {
            joint::keep_common_windows(run.iter_mut().collect());
        }
        for (index, work) in work.into_iter().enumerate() {
            are_together[work.target] |= work.is_together;
            let status = if work.batches.is_empty() {
                Status::Done
            } else {
                left[work.target] += 1;
                if work.is_held {
                    Status::Held
                } else {
                    waiting[work.target].insert(index);
                    Status::Waiting
                }
            };
            shards.push(Shard::new(work, status));
        }
        for (needed, left) in required.iter_mut().zip(&left) {
            if *left == 0 {
                *needed = 0;
            }
        }
        Self {
            limits,
            free: vec![BTreeSet::new(); required.len()],
            longest_steps: vec![Duration::ZERO; required.len()],
            required,
            are_together,
            open: left.iter().sum(),
            shards,
            waiting,
            deferred: BTreeSet::new(),
            agents: BTreeMap::new(),
            hosts: BTreeMap::new(),
            lost_processes: BTreeMap::new(),
            segments,
            last_attempt,
            leased: 0,
            set_aside: 0,
            phase: Phase::Gathering,
            last_tick: None,
            stalled_since: None,
        }
    }

    /// Applies one event and returns what to do. `now` is control time since any fixed start.
    pub fn handle(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase == Phase::Ended {
            return actions;
        }
        match event {
            Event::Ready { agent, host, target, engines } => {
                self.register(agent, &host, target, engines, now, &mut actions);
            }
            Event::Gone { agent } => {
                self.lose(&agent, "its connection ended", &mut actions);
            }
            // The next four events free neither an agent nor a shard, so there is nothing to dispatch.
            Event::Preparing => {
                self.stalled_since = self.stalled_since.map(|_| now);
                return actions;
            }
            Event::Alive { agent } => {
                if let Some(agent) = self.agents.get_mut(&agent) {
                    agent.heard = now;
                }
                return actions;
            }
            Event::Reached { shard, attempt, stage } => {
                if self.is_current(shard, attempt) {
                    match stage {
                        Stage::Queued => self.queue(shard, now, &mut actions),
                        Stage::MachineHeld => self.hold_machine(shard, now, &mut actions),
                        Stage::Warmed => self.warm(shard, now, &mut actions),
                    }
                }
                return actions;
            }
            Event::Stored { shard, attempt, batch } => {
                self.store(shard, attempt, batch, now);
                return actions;
            }
            Event::Leaving { agent } => {
                if let Some(agent) = self.agents.get_mut(&agent) {
                    agent.is_leaving = true;
                    let host = agent.host.clone();
                    self.refresh(&host);
                }
            }
            Event::Finished { shard, attempt } => {
                self.free_stalled(attempt);
                self.finish(shard, attempt, &mut actions);
            }
            Event::Failed { shard, attempt, failure } => {
                self.free_stalled(attempt);
                self.fail(shard, attempt, failure, &mut actions);
            }
            Event::Admit { run } => self.release_run(run, &Status::Waiting),
            Event::Skip { run } => self.release_run(run, &Status::Skipped),
            Event::CutShort { run } => self.cut_short(run, &mut actions),
            Event::Stop => {
                self.stop(Ending::Stopped, &mut actions);
                return actions;
            }
            Event::Spent => {
                self.stop(Ending::BudgetSpent, &mut actions);
                return actions;
            }
            Event::Tick => {
                self.forgive_own_stall(now);
                self.expire(now, &mut actions);
                self.revoke_stalled(now, &mut actions);
            }
        }
        self.dispatch(now, &mut actions);
        self.end_if_over(now, &mut actions);
        actions
    }

    /// Whether `attempt` currently holds the shard. Results of any other attempt are late.
    pub fn is_current(&self, shard: usize, attempt: u64) -> bool {
        let status = self.shards.get(shard).map(|shard| &shard.status);
        matches!(status, Some(Status::Leased(lease)) if lease.attempt == attempt)
    }

    /// Whether `agent` holds the shard under this attempt, and the batch is still to be measured.
    pub fn expects(&self, agent: &AgentId, shard: usize, attempt: u64, batch: u32) -> bool {
        match self.shards.get(shard) {
            Some(Shard { status: Status::Leased(lease), work, .. }) => {
                lease.attempt == attempt && lease.agent == *agent && work.batches.contains(&batch)
            }
            _ => false,
        }
    }

    /// Whether the agent can be offered shards: it joined, and was not lost since.
    pub fn knows(&self, agent: &AgentId) -> bool {
        self.agents.contains_key(agent)
    }

    /// Whether every shard of a run is done or set aside.
    pub fn is_over(&self, run: usize) -> bool {
        self.shards.iter().filter(|shard| shard.work.run == run).all(Shard::is_over)
    }

    /// Batches of a run that are not stored, unless they were set aside, skipped or cut.
    pub fn batches_left(&self, run: usize) -> u64 {
        let open = |shard: &&Shard| {
            shard.work.run == run && !shard.is_over() && shard.status != Status::Skipped
        };
        self.shards.iter().filter(open).map(|shard| shard.work.batches.len() as u64).sum()
    }

    /// Whether a run waits to be admitted or skipped.
    pub fn is_held_back(&self, run: usize) -> bool {
        self.shards.iter().any(|shard| shard.work.run == run && shard.status == Status::Held)
    }

    /// Whether measuring has begun.
    pub fn is_measuring(&self) -> bool {
        self.phase == Phase::Measuring
    }

    /// Whether [`Action::End`] was returned. Further events have no effect.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Targets that still need agents, with how many.
    pub fn missing(&self) -> Vec<(usize, u32)> {
        let present = |target| {
            let here = self.agents.values().filter(|agent| agent.target == target);
            let present = if self.are_together[target] {
                here.map(|agent| &agent.host).collect::<BTreeSet<_>>().len()
            } else {
                here.count()
            };
            u32::try_from(present).unwrap_or(u32::MAX)
        };
        let needed = self.required.iter().enumerate();
        needed
            .map(|(target, needed)| (target, needed.saturating_sub(present(target))))
            .filter(|(_, missing)| *missing > 0)
            .collect()
    }

    fn register(
        &mut self,
        agent: AgentId,
        host: &HostId,
        target: usize,
        engines: Vec<bool>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.lose(&agent, "it joined again", actions);
        // A process that reconnects lost only its connection; the shard didn't kill it.
        if let Some(shard) = self.lost_processes.remove(agent.process()) {
            self.shards[shard].lost_processes.remove(agent.process());
        }
        self.hosts.entry(host.clone()).or_default().agents.insert(agent.clone());
        let ready = Agent {
            host: host.clone(),
            target,
            engines,
            lease: None,
            stalled_in: None,
            is_leaving: false,
            heard: now,
        };
        self.agents.insert(agent, ready);
        self.refresh(host);
    }

    fn store(&mut self, shard: usize, attempt: u64, batch: u32, now: Duration) {
        if self.is_current(shard, attempt) {
            self.shards[shard].work.batches.remove(&batch);
            self.shards[shard].record_progress();
            self.extend_deadline(shard, now);
        }
    }

    /// Time during which the controller itself was stalled doesn't count against leases.
    fn forgive_own_stall(&mut self, now: Duration) {
        let gap = self.last_tick.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.last_tick = Some(now);
        if gap > self.limits.lease / 3 {
            self.agents.values_mut().for_each(|agent| agent.heard = (agent.heard + gap).min(now));
            for shard in &mut self.shards {
                if let Status::Leased(lease) = &mut shard.status {
                    lease.progress_at = (lease.progress_at + gap).min(now);
                }
            }
        }
    }

    /// Ends the leases of agents that were silent for too long.
    fn expire(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let silent = |agent: &Agent| now.saturating_sub(agent.heard) > self.limits.lease;
        let lost: Vec<AgentId> = self
            .agents
            .iter()
            .filter(|(_, agent)| silent(agent))
            .map(|(id, _)| id.clone())
            .collect();
        for agent in lost {
            let reason = "it was silent for longer than its lease";
            if let Some((shard, attempt)) = self.lose(&agent, reason, actions) {
                // If the agent is still reachable, it should stop measuring.
                actions.push(Action::Cancel { agent, shard, attempt, reason });
            }
        }
    }

    /// Removes an agent. Returns the shard and the attempt that it held.
    fn lose(
        &mut self,
        id: &AgentId,
        reason: &'static str,
        actions: &mut Vec<Action>,
    ) -> Option<(usize, u64)> {
        let agent = self.agents.remove(id)?;
        if let Some(host) = self.hosts.get_mut(&agent.host) {
            host.agents.remove(id);
        }
        self.free[agent.target].remove(id);
        if agent.stalled_in.is_some() {
            self.free_host(&agent.host);
        }
        let shard = agent.lease?;
        let attempt = self.release(shard)?.attempt;
        actions.push(Action::Note(Note::AgentLost { agent: id.clone(), shard, reason }));
        if self.close_if_done(shard, actions) {
            return Some((shard, attempt));
        }
        if self.break_off(shard, actions) {
            return Some((shard, attempt));
        }
        self.lost_processes.insert(id.process().to_owned(), shard);
        let (dead, all) = self.shards[shard].count_loss(id.process());
        if dead >= self.limits.losses || all >= self.limits.losses * 3 {
            let detail = format!("{all} agents were lost while measuring it");
            let failure = Failure { retry: Retry::Never, kind: Kind::Internal, detail };
            self.set_aside(shard, failure, actions);
        }
        Some((shard, attempt))
    }

    fn finish(&mut self, shard: usize, attempt: u64, actions: &mut Vec<Action>) {
        if !self.is_current(shard, attempt) {
            return;
        }
        self.release(shard);
        if !self.close_if_done(shard, actions) {
            if self.break_off(shard, actions) {
                return;
            }
            let left = self.shards[shard].work.batches.len();
            let detail = format!("the agent reported it complete with {left} batches missing");
            let failure = Failure { retry: Retry::SameAgent, kind: Kind::Internal, detail };
            self.count_failure(shard, failure, actions);
        }
    }

    fn fail(&mut self, shard: usize, attempt: u64, failure: Failure, actions: &mut Vec<Action>) {
        if !self.is_current(shard, attempt) {
            return;
        }
        let Some(Lease { agent, host, .. }) = self.release(shard) else { return };
        // The host's next attempt starts with a warm-up.
        if let Some(host) = self.hosts.get_mut(&host) {
            host.last_segment = None;
        }
        if self.close_if_done(shard, actions) || self.break_off(shard, actions) {
            return;
        }
        match (failure.kind, failure.retry) {
            // Not a fault: the shard returns to the queue.
            (Kind::Draining | Kind::Cancelled, _) => {}
            (_, Retry::Never) => self.set_aside(shard, failure, actions),
            (_, Retry::OtherAgent) => {
                self.shards[shard].excluded.insert(agent.process().to_owned());
                self.count_failure(shard, failure, actions);
            }
            (_, Retry::SameAgent) => self.count_failure(shard, failure, actions),
        }
    }

    fn count_failure(&mut self, shard: usize, failure: Failure, actions: &mut Vec<Action>) {
        self.shards[shard].failures += 1;
        if self.shards[shard].failures >= self.limits.failures {
            self.set_aside(shard, failure, actions);
        } else {
            actions.push(Action::Note(Note::AttemptFailed { shard, failure }));
        }
    }

    fn set_aside(&mut self, shard: usize, failure: Failure, actions: &mut Vec<Action>) {
        if self.shards[shard].work.windows > 0 && self.shards[shard].work.is_together {
            self.shards[shard].work.batches.clear();
        }
        self.close(shard, Status::SetAside);
        self.set_aside += 1;
        actions.push(Action::Note(Note::ShardSetAside { shard, failure }));
        self.push_ended(shard, actions);
        self.give_up_windows(shard, actions);
    }

    /// Records that a shard is over, and its run if this was its last shard.
    fn push_ended(&self, shard: usize, actions: &mut Vec<Action>) {
        actions.push(Action::ShardEnded(shard));
        if self.shards[self.of_run(shard)].iter().all(Shard::is_over) {
            actions.push(Action::RunEnded(self.shards[shard].work.run));
        }
    }

    /// Moves the shards of a held-back run to `status`.
    fn release_run(&mut self, run: usize, status: &Status) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            if shard.work.run == run && shard.status == Status::Held {
                shard.status = status.clone();
                if *status == Status::Waiting {
                    self.waiting[shard.work.target].insert(index);
                } else {
                    self.open -= 1;
                }
            }
        }
    }

    /// Ends a waiting shard whose last batch is stored, however its attempt ended: nothing of it is left to offer.
    fn close_if_done(&mut self, shard: usize, actions: &mut Vec<Action>) -> bool {
        let is_done = self.shards[shard].work.batches.is_empty();
        if is_done {
            self.close(shard, Status::Done);
            self.push_ended(shard, actions);
        }
        is_done
    }

    /// Ends a waiting shard.
    fn close(&mut self, shard: usize, status: Status) {
        self.waiting[self.shards[shard].work.target].remove(&shard);
        self.shards[shard].status = status;
        self.open -= 1;
    }

    /// Revokes the lease and returns the shard to the queue.
    fn release(&mut self, shard: usize) -> Option<Lease> {
        let Status::Leased(lease) = self.shards[shard].status.clone() else { return None };
        self.shards[shard].status = Status::Waiting;
        self.leased -= 1;
        self.deferred.remove(&shard);
        self.waiting[self.shards[shard].work.target].insert(shard);
        if let Some(agent) = self.agents.get_mut(&lease.agent) {
            agent.lease = None;
        }
        self.free_host(&lease.host);
        Some(lease)
    }

    fn stop(&mut self, ending: Ending, actions: &mut Vec<Action>) {
        for (index, shard) in self.shards.iter().enumerate() {
            if let Status::Leased(lease) = &shard.status
                && lease.is_offered()
            {
                actions.push(Action::Cancel {
                    agent: lease.agent.clone(),
                    shard: index,
                    attempt: lease.attempt,
                    reason: match ending {
                        Ending::BudgetSpent => "the budget is spent",
                        _ => "the campaign was stopped",
                    },
                });
            }
        }
        self.end(ending, actions);
    }

    fn end(&mut self, ending: Ending, actions: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        actions.push(Action::End(ending));
    }

    fn end_if_over(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.open == 0 {
            let ending = if self.set_aside == 0 { Ending::Complete } else { Ending::SetAside };
            self.end(ending, actions);
            return;
        }
        if self.leased > 0 {
            self.stalled_since = None;
            return;
        }
        // Shards are waiting and none is leased: no present agent can measure them.
        let since = *self.stalled_since.get_or_insert(now);
        if now.saturating_sub(since) >= self.limits.wait {
            let ending = match self.phase {
                Phase::Gathering => Ending::NeverStarted,
                Phase::Measuring | Phase::Ended => Ending::AgentsGone,
            };
            self.end(ending, actions);
        }
    }
}
