//! Matches waiting shards with idle agents.

use super::state::{self, Agent, Host, Lease, Segment, Shard, Status};
use super::{Action, Joint, Offer, Phase, Scheduler};
use model::ids::{AgentId, HostId};
use std::{collections::BTreeSet, time::Duration};

/// The number of an attempt whose offer is deferred.
const NOT_OFFERED: u64 = 0;

impl Scheduler {
    /// Offers shards in plan order until no idle agent suits any waiting shard.
    pub(super) fn dispatch(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.phase == Phase::Gathering {
            if !self.missing().is_empty() {
                return;
            }
            self.phase = Phase::Measuring;
            self.stalled_since = None;
        }
        while let Some(pairs) = self.next_pairs() {
            let joint = self.joint(&pairs);
            for ((shard, agent), joint) in pairs.into_iter().zip(joint) {
                let is_together = joint.is_some();
                let offer = self.lease(shard, &agent, joint, now);
                if is_together {
                    self.defer(offer);
                } else {
                    self.send(offer, now, actions);
                }
            }
        }
        self.send_deferred(now, actions);
    }

    pub(super) fn next_attempt(&mut self) -> u64 {
        self.last_attempt += 1;
        self.last_attempt
    }

    pub(super) fn send(&mut self, offer: Offer, now: Duration, actions: &mut Vec<Action>) {
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.heard = agent.heard.max(now);
        }
        actions.push(Action::Offer(offer));
    }

    /// The earliest waiting shard that an idle agent can measure, and the agent; or the open shards of its run that are
    /// measured together, each with its agent.
    fn next_pairs(&self) -> Option<Vec<(usize, AgentId)>> {
        let pairs = |(waiting, free): (&BTreeSet<usize>, &BTreeSet<AgentId>)| {
            if free.is_empty() {
                return None;
            }
            let mut refused = None;
            waiting.iter().find_map(|&shard| {
                let work = &self.shards[shard].work;
                if !work.is_together {
                    return Some(vec![(shard, self.agent_for(shard)?)]);
                }
                if refused == Some(work.run) {
                    return None;
                }
                refused = Some(work.run);
                self.agents_together(shard)
            })
        };
        self.waiting.iter().zip(&self.free).filter_map(pairs).min()
    }

    /// Updates which agents of a host can be offered a shard.
    pub(super) fn refresh(&mut self, host: &HostId) {
        let Some(Host { is_busy, agents, .. }) = self.hosts.get(host) else { return };
        for id in agents {
            let Some(agent) = self.agents.get(id) else { continue };
            if *is_busy || agent.is_leaving || agent.lease.is_some() || agent.stalled_in.is_some() {
                self.free[agent.target].remove(id);
            } else {
                self.free[agent.target].insert(id.clone());
            }
        }
    }

    /// An idle agent that can measure the shard. Prefers the one that measured its run last: it needs no new warm-up.
    fn agent_for(&self, shard: usize) -> Option<AgentId> {
        let run = self.shards[shard].work.run;
        let mut able = self.able(shard).peekable();
        let first = able.peek().map(|(id, _)| (*id).clone());
        able.find(|(id, agent)| self.open_segment(id, agent, run).is_some())
            .map(|(id, _)| id.clone())
            .or(first)
    }

    /// The idle agents that can measure the shard.
    pub(super) fn able(&self, shard: usize) -> impl Iterator<Item = (&AgentId, &Agent)> {
        let Shard { work, excluded, .. } = &self.shards[shard];
        let free = self.free[work.target].iter();
        let present = free.filter_map(|id| Some((id, self.agents.get(id)?)));
        present.filter(|(id, agent)| {
            agent.engines.get(work.engine) == Some(&true) && !excluded.contains(id.process())
        })
    }

    /// The segment of `run` that `agent` can continue.
    fn open_segment(&self, id: &AgentId, agent: &Agent, run: usize) -> Option<u64> {
        let last = self.hosts.get(&agent.host)?.last_segment.as_ref()?;
        (last.agent == *id && last.run == run).then_some(last.number)
    }

    fn lease(&mut self, shard: usize, id: &AgentId, joint: Option<Joint>, now: Duration) -> Offer {
        let run = self.shards[shard].work.run;
        let agent = self.agents.get(id).expect("next_pairs returns agents that are present");
        let (host, target) = (agent.host.clone(), agent.target);
        // A load that several agents start begins with a warm-up of each.
        let continued = match joint {
            Some(_) => None,
            None => self.open_segment(id, agent, run),
        };
        let segment = continued.unwrap_or_else(|| {
            let last = self.segments.entry(run).or_default();
            *last += 1;
            *last
        });
        // Numbers grow in the order of the offers.
        let attempt = if joint.is_some() { NOT_OFFERED } else { self.next_attempt() };
        let busy = self.hosts.entry(host.clone()).or_default();
        busy.is_busy = true;
        busy.last_segment = Some(Segment { agent: id.clone(), run, number: segment });
        if let Some(agent) = self.agents.get_mut(id) {
            agent.lease = Some(shard);
        }
        self.waiting[target].remove(&shard);
        self.refresh(&host);
        self.leased += 1;
        self.shards[shard].status = Status::Leased(Lease {
            agent: id.clone(),
            host,
            attempt,
            progress_at: now,
            has_progress: false,
            queued_since: None,
            is_queue_noted: false,
            phase: state::Phase::Started,
        });
        Offer {
            agent: id.clone(),
            shard,
            attempt,
            segment,
            is_new_segment: continued.is_none(),
            batches: self.shards[shard].work.batches.iter().copied().collect(),
            joint,
        }
    }
}
