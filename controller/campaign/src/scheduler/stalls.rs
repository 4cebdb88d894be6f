//! Attempts that are given up before their end: without progress, or because they aren't needed. A heartbeat only proves that the agent's process lives: its engine may hang.

use super::state::{Lease, Phase, Status};
use super::{Action, Note, Scheduler};
use model::failure::{Failure, Kind, Retry};
use model::ids::{AgentId, HostId};
use std::time::Duration;

/// An attempt that is this many times slower than the slowest batch so far on its target isn't given up, whatever the
/// deadline of its cell: the target is slow.
const SLOWNESS: u32 = 10;

/// Agents of one machine that take turns wait for seconds; the user is told of a longer wait.
const NOTED_QUEUE: Duration = Duration::from_mins(1);

/// The other process may run a sustained load of many hours; an agent can't hold a shard forever by saying that it waits.
const LONGEST_QUEUE: Duration = Duration::from_hours(24);

impl Scheduler {
    /// A batch of the shard's attempt was stored.
    pub(super) fn extend_deadline(&mut self, shard: usize, now: Duration) {
        let target = self.shards[shard].work.target;
        if let Status::Leased(lease) = &mut self.shards[shard].status {
            let longest = &mut self.longest_steps[target];
            *longest = (*longest).max(now.saturating_sub(lease.progress_at));
            lease.progress_at = now;
            lease.has_progress = true;
        }
    }

    /// Revokes the attempts that made no progress before their deadline. Their agents are offered nothing more until
    /// they report the end of the attempt.
    pub(super) fn revoke_stalled(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let stalled = |shard| Some((shard, self.overdue(shard, now)?));
        let stalled: Vec<(usize, Duration)> = (0..self.shards.len()).filter_map(stalled).collect();
        for (shard, waited) in stalled {
            let revoked = self.revoke(shard, "it made no progress", actions);
            let Some(Lease { agent, queued_since, .. }) = revoked else { continue };
            if self.close_if_done(shard, actions) || self.break_off(shard, actions) {
                continue;
            }
            self.shards[shard].excluded.insert(agent.process().to_owned());
            let detail = if queued_since.is_some() {
                format!(
                    "agent {agent} waited a day for another process that measures on its machine"
                )
            } else {
                format!(
                    "agent {agent} delivered no batch for {} s, although it is connected: its engine hangs, \
                     or fleet.progress_timeout is too short",
                    waited.as_secs()
                )
            };
            let failure = Failure { retry: Retry::OtherAgent, kind: Kind::TimedOut, detail };
            self.count_failure(shard, failure, actions);
        }
    }

    /// How long a leased shard made no progress, if that is longer than its deadline.
    fn overdue(&self, shard: usize, now: Duration) -> Option<Duration> {
        let shard = &self.shards[shard];
        let Status::Leased(lease) = &shard.status else { return None };
        if matches!(lease.phase, Phase::Deferred(_) | Phase::Waiting) {
            return None;
        }
        let deadline = shard.work.deadline;
        let deadline = if lease.has_progress { deadline.next } else { deadline.first };
        let slowest = self.longest_steps[shard.work.target].saturating_mul(SLOWNESS);
        let waited = now.saturating_sub(lease.progress_at);
        (waited > deadline.max(slowest)).then_some(waited)
    }

    /// Ends the open shards of a run as they are. Its agents are offered nothing more until they report the end of their
    /// attempt.
    pub(super) fn cut_short(&mut self, run: usize, actions: &mut Vec<Action>) {
        let open = |shard: &usize| {
            let shard = &self.shards[*shard];
            shard.work.run == run && !shard.is_over() && shard.status != Status::Skipped
        };
        for shard in (0..self.shards.len()).filter(open).collect::<Vec<_>>() {
            self.revoke(shard, "the rate is over-saturated", actions);
            self.close(shard, Status::Done);
            self.push_ended(shard, actions);
        }
    }

    /// Ends a lease. Its agent is offered nothing more until it reports the end of the attempt, if it knows of it.
    pub(super) fn revoke(
        &mut self,
        shard: usize,
        reason: &'static str,
        actions: &mut Vec<Action>,
    ) -> Option<Lease> {
        let lease = self.release(shard)?;
        if lease.is_offered() {
            let (agent, attempt) = (lease.agent.clone(), lease.attempt);
            self.mark_stalled(&agent, &lease.host, attempt);
            actions.push(Action::Cancel { agent, shard, attempt, reason });
        }
        Some(lease)
    }

    /// An attempt waits for another process that measures on its machine.
    pub(super) fn queue(&mut self, shard: usize, now: Duration, actions: &mut Vec<Action>) {
        if let Status::Leased(lease) = &mut self.shards[shard].status
            && !lease.has_progress
        {
            let waited = now.saturating_sub(*lease.queued_since.get_or_insert(now));
            if waited <= LONGEST_QUEUE {
                lease.progress_at = now;
            }
            if waited >= NOTED_QUEUE && !std::mem::replace(&mut lease.is_queue_noted, true) {
                actions.push(Action::Note(Note::AgentQueued { agent: lease.agent.clone() }));
            }
        }
    }

    fn mark_stalled(&mut self, agent: &AgentId, host: &HostId, attempt: u64) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.stalled_in = Some(attempt);
        }
        if let Some(host) = self.hosts.get_mut(host) {
            host.is_busy = true;
            // Its next attempt starts with a warm-up.
            host.last_segment = None;
        }
        self.refresh(host);
    }

    /// A revoked attempt ended: its agent can measure again.
    pub(super) fn free_stalled(&mut self, attempt: u64) {
        let stalled = self.agents.values_mut().find(|agent| agent.stalled_in == Some(attempt));
        if let Some(agent) = stalled {
            agent.stalled_in = None;
            let host = agent.host.clone();
            self.free_host(&host);
        }
    }

    pub(super) fn free_host(&mut self, host: &HostId) {
        if let Some(host) = self.hosts.get_mut(host) {
            host.is_busy = false;
        }
        self.refresh(host);
    }
}
