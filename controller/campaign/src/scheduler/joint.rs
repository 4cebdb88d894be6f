//! Runs whose shards are measured at the same time: each agent puts its part of the load on one endpoint.
//!
//! All open shards of such a run are leased in one step, to agents on different hosts. An agent holds its machine until its
//! attempt ends, and may have to wait for it; so the attempts are offered in the order of the hosts, each when the agent
//! before holds its machine. Two campaigns on the same machines can't wait for each other then. Each agent warms up and
//! waits; the last one starts all. If an attempt breaks off, the others would continue with a part of the load, so they are revoked, and
//! what is left of all shards starts again together. An agent whose shard is done doesn't take part again: the others
//! share the whole load. Of a sustained load, all agents measure each window, or it is given up.

use super::state::{Phase, Status};
use super::{Action, Joint, Offer, Scheduler, Shard, Work};
use model::ids::{AgentId, HostId};
use model::load::Share;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

impl Scheduler {
    /// The shards of the run of a shard, which are consecutive.
    pub(super) fn of_run(&self, shard: usize) -> Range<usize> {
        let run = self.shards[shard].work.run;
        let is_its = |other: &&Shard| other.work.run == run;
        let (before, after) = self.shards.split_at(shard);
        let first = shard - before.iter().rev().take_while(is_its).count();
        first..shard + after.iter().take_while(is_its).count()
    }

    /// An idle agent for each open shard of the run of `shard`, in the order of the shards. None unless all can start.
    pub(super) fn agents_together(&self, shard: usize) -> Option<Vec<(usize, AgentId)>> {
        let mut open: Vec<usize> =
            self.of_run(shard).filter(|&shard| !self.shards[shard].is_over()).collect();
        let is_waiting = |shard: &usize| self.shards[*shard].status == Status::Waiting;
        let idle = self.free[self.shards[shard].work.target].len();
        if idle < open.len() || !open.iter().all(is_waiting) {
            return None;
        }
        // First those that fewer agents can measure.
        open.sort_by_key(|shard| Reverse(self.shards[*shard].excluded.len()));
        let mut hosts: BTreeSet<&HostId> = BTreeSet::new();
        let mut pairs = Vec::with_capacity(open.len());
        for shard in open {
            let (id, _) = self.able(shard).find(|(_, agent)| hosts.insert(&agent.host))?;
            pairs.push((shard, id.clone()));
        }
        pairs.sort_unstable();
        Some(pairs)
    }

    /// The places of shards that are leased in one step.
    pub(super) fn joint(&self, pairs: &[(usize, AgentId)]) -> Vec<Option<Joint>> {
        let is_together = pairs.iter().any(|(shard, _)| self.shards[*shard].work.is_together);
        let left = |(shard, _): &(usize, AgentId)| &self.shards[*shard].work.batches;
        let requests: Vec<u64> = pairs.iter().map(|pair| left(pair).len() as u64).collect();
        let first_batch =
            pairs.iter().filter_map(|pair| left(pair).first()).min().copied().unwrap_or_default();
        let place = |index: usize| Joint {
            share: Share { index, requests: requests.clone() },
            first_batch,
        };
        (0..pairs.len()).map(|index| is_together.then(|| place(index))).collect()
    }

    /// Keeps the offer of a leased shard until its turn.
    pub(super) fn defer(&mut self, offer: Offer) {
        let shard = offer.shard;
        if let Status::Leased(lease) = &mut self.shards[shard].status {
            lease.phase = Phase::Deferred(Box::new(offer));
            self.deferred.insert(shard);
        }
    }

    /// Sends the offer of the first host of each run whose agents all hold their machines, as far as they know of their
    /// attempts.
    pub(super) fn send_deferred(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let mut runs: Vec<Range<usize>> =
            self.deferred.iter().map(|shard| self.of_run(*shard)).collect();
        runs.dedup();
        for of_run in runs {
            let lease = |shard: usize| match &self.shards[shard].status {
                Status::Leased(lease) => Some((shard, lease)),
                _ => None,
            };
            let leases = || of_run.clone().filter_map(lease);
            if leases().any(|(_, lease)| lease.phase == Phase::Offered) {
                continue;
            }
            let deferred = leases().filter(|(_, lease)| !lease.is_offered());
            let Some((shard, _)) = deferred.min_by_key(|(_, lease)| &lease.host) else { continue };
            self.deferred.remove(&shard);
            let attempt = self.next_attempt();
            let Status::Leased(lease) = &mut self.shards[shard].status else { continue };
            (lease.attempt, lease.progress_at) = (attempt, now);
            if let Phase::Deferred(offer) = std::mem::replace(&mut lease.phase, Phase::Offered) {
                self.send(Offer { attempt, ..*offer }, now, actions);
            }
        }
    }

    /// An agent holds its machine: the one of the next host is offered its attempt.
    pub(super) fn hold_machine(&mut self, shard: usize, now: Duration, actions: &mut Vec<Action>) {
        let Status::Leased(lease) = &mut self.shards[shard].status else { return };
        lease.queued_since = None;
        if lease.phase == Phase::Offered {
            lease.phase = Phase::Warming;
            self.send_deferred(now, actions);
        }
    }

    /// An agent warmed up; the last one of its run starts all.
    pub(super) fn warm(&mut self, shard: usize, now: Duration, actions: &mut Vec<Action>) {
        self.hold_machine(shard, now, actions);
        if let Status::Leased(lease) = &mut self.shards[shard].status
            && lease.phase == Phase::Warming
        {
            lease.phase = Phase::Waiting;
        }
        let of_run = self.of_run(shard);
        let is_ready = |shard: &Shard| match &shard.status {
            Status::Leased(lease) => lease.phase == Phase::Waiting,
            _ => shard.is_over(),
        };
        if !self.shards[of_run.clone()].iter().all(is_ready) {
            return;
        }
        for shard in of_run {
            if let Status::Leased(lease) = &mut self.shards[shard].status {
                lease.phase = Phase::Started;
                lease.progress_at = now;
                let (agent, attempt) = (lease.agent.clone(), lease.attempt);
                actions.push(Action::Start { agent, shard, attempt });
            }
        }
    }

    /// An attempt broke off with batches left: revokes those that were leased with it. Returns whether its shard is over,
    /// because what is left of it was given up.
    pub(super) fn break_off(&mut self, shard: usize, actions: &mut Vec<Action>) -> bool {
        if !self.shards[shard].work.is_together {
            return false;
        }
        for other in self.of_run(shard) {
            let reason = "another agent that loads the endpoint stopped";
            if self.revoke(other, reason, actions).is_some() {
                self.close_if_done(other, actions);
            }
        }
        self.give_up_windows(shard, actions);
        self.shards[shard].is_over()
    }

    /// A window of a sustained load counts if all agents measured it. Windows that some of them can't measure any more are
    /// given up, while no shard of the run is leased.
    pub(super) fn give_up_windows(&mut self, shard: usize, actions: &mut Vec<Action>) {
        let of_run = self.of_run(shard);
        let shards = &mut self.shards[of_run.clone()];
        let is_leased = |shard: &Shard| matches!(shard.status, Status::Leased(_));
        if !shards[0].work.is_together || shards.iter().any(is_leased) {
            return;
        }
        keep_common_windows(shards.iter_mut().map(|shard| &mut shard.work).collect());
        for shard in of_run {
            if self.shards[shard].status == Status::Waiting {
                self.close_if_done(shard, actions);
            }
        }
    }
}

/// Removes the windows that are not left in every shard of a run, if it is a sustained load of several agents.
pub(super) fn keep_common_windows(mut run: Vec<&mut Work>) {
    let Some(&mut &mut Work { windows, is_together: true, .. }) = run.first_mut() else { return };
    if windows == 0 {
        return;
    }
    let left = |work: &&mut Work| -> BTreeSet<u32> {
        work.batches.iter().map(|batch| batch % windows).collect()
    };
    let all = run.iter().map(left).reduce(|a, b| a.intersection(&b).copied().collect());
    let common = all.unwrap_or_default();
    for work in &mut run {
        work.batches.retain(|batch| common.contains(&(batch % windows)));
    }
}
