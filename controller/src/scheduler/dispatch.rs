//! Which waiting shard goes to which idle agent.

use super::state::{Agent, Host, Lease, Shard, Status, Stretch};
use super::{Action, Offer, Phase, Scheduler};
use model::ids::{AgentId, HostId};
use std::collections::BTreeSet;
use std::time::Duration;

impl Scheduler {
    /// Offers shards in the order of the plan until no idle agent suits any that waits.
    pub(super) fn dispatch(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.phase == Phase::Gathering {
            if !self.missing().is_empty() {
                return;
            }
            self.phase = Phase::Measuring;
            self.stuck_since = None;
        }
        while let Some((shard, agent)) = self.next_pair() {
            let offer = self.lease(shard, &agent);
            if let Some(agent) = self.agents.get_mut(&agent) {
                agent.heard = agent.heard.max(now);
            }
            actions.push(Action::Offer(offer));
        }
    }

    /// The earliest shard that an idle agent can do, and the agent.
    fn next_pair(&self) -> Option<(usize, AgentId)> {
        let pair = |(waiting, free): (&BTreeSet<usize>, &BTreeSet<AgentId>)| {
            if free.is_empty() {
                return None;
            }
            waiting.iter().find_map(|&shard| Some((shard, self.agent_for(shard)?)))
        };
        self.waiting.iter().zip(&self.free).filter_map(pair).min()
    }

    /// Notes which agents of a host can be offered a shard.
    pub(super) fn refresh(&mut self, host: &HostId) {
        let Some(Host { is_busy, agents, .. }) = self.hosts.get(host) else { return };
        for id in agents {
            let Some(agent) = self.agents.get(id) else { continue };
            if *is_busy || agent.is_leaving || agent.lease.is_some() {
                self.free[agent.target].remove(id);
            } else {
                self.free[agent.target].insert(id.clone());
            }
        }
    }

    /// An idle agent that can do the shard; the one that measured its run last goes on without a new warm-up.
    fn agent_for(&self, shard: usize) -> Option<AgentId> {
        let Shard { work, excluded, .. } = &self.shards[shard];
        let able = |id: &&AgentId| {
            let engines = self.agents.get(*id).map(|agent| &agent.engines);
            engines.is_some_and(|engines| engines.get(work.engine) == Some(&true))
                && !excluded.contains(id.process())
        };
        let mut able = self.free[work.target].iter().filter(able).peekable();
        let first = able.peek().map(|id| (*id).clone());
        able.find(|id| {
            self.agents.get(*id).is_some_and(|agent| self.stretch(id, agent, work.run).is_some())
        })
        .cloned()
        .or(first)
    }

    /// The segment that `agent` would go on with in `run`.
    fn stretch(&self, id: &AgentId, agent: &Agent, run: usize) -> Option<u64> {
        let last = self.hosts.get(&agent.host)?.last.as_ref()?;
        (last.agent == *id && last.run == run).then_some(last.segment)
    }

    fn lease(&mut self, shard: usize, id: &AgentId) -> Offer {
        let run = self.shards[shard].work.run;
        let agent = self.agents.get(id).expect("next_pair names agents that are here");
        let (host, target) = (agent.host.clone(), agent.target);
        let going_on = self.stretch(id, agent, run);
        let segment = going_on.unwrap_or_else(|| {
            let last = self.segments.entry(run).or_default();
            *last += 1;
            *last
        });
        self.last_attempt += 1;
        let attempt = self.last_attempt;
        let busy = self.hosts.entry(host.clone()).or_default();
        busy.is_busy = true;
        busy.last = Some(Stretch { agent: id.clone(), run, segment });
        if let Some(agent) = self.agents.get_mut(id) {
            agent.lease = Some(shard);
        }
        self.waiting[target].remove(&shard);
        self.refresh(&host);
        self.leased += 1;
        self.shards[shard].status = Status::Leased(Lease { agent: id.clone(), host, attempt });
        Offer {
            agent: id.clone(),
            shard,
            attempt,
            segment,
            is_new_segment: going_on.is_none(),
            batches: self.shards[shard].work.batches.iter().copied().collect(),
        }
    }
}
