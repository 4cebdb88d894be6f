//! What the campaign itself costs: every connected machine, measuring or idle, at its target's price.

use cost::campaign::Spending;
use model::ids::AgentId;
use std::{collections::HashMap, time::Duration};

/// Machines are billed until they are drained: the cost of that time is kept in reserve.
const RESERVE: Duration = Duration::from_millis(2500);

#[derive(Debug)]
pub(super) struct Budget {
    /// USD per hour, by target.
    prices: Vec<f64>,
    /// Of machines that left, and of earlier controllers.
    past: Spending,
    connected: HashMap<AgentId, Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    number: usize,
    target: usize,
    since: Duration,
}

impl Held {
    fn until(&self, now: Duration) -> (usize, Duration) {
        (self.number, now.saturating_sub(self.since))
    }
}

impl Budget {
    /// A campaign that may cost `max_usd`. `earlier` has the target and the time of each machine of earlier controllers.
    pub(super) fn new(
        prices: Vec<f64>,
        max_usd: Option<f64>,
        earlier: impl Iterator<Item = (usize, Duration)>,
    ) -> Self {
        let past = earlier.fold(Spending::new(max_usd), |spending, (target, held)| {
            spending.with_host(held.as_secs_f64(), prices.get(target).copied())
        });
        Self { prices, past, connected: HashMap::new() }
    }

    pub(super) fn joined(&mut self, agent: AgentId, number: usize, target: usize, now: Duration) {
        self.connected.insert(agent, Held { number, target, since: now });
    }

    /// Earlier connections of this agent's process. It reconnected, and must not be billed twice.
    pub(super) fn earlier_connections(&self, agent: &AgentId) -> Vec<AgentId> {
        let is_its = |id: &&AgentId| *id != agent && id.process() == agent.process();
        self.connected.keys().filter(is_its).cloned().collect()
    }

    /// Stops billing an agent. Returns its number and how long it was held.
    pub(super) fn left(&mut self, agent: &AgentId, now: Duration) -> Option<(usize, Duration)> {
        let held = self.connected.remove(agent)?;
        let time = now.saturating_sub(held.since);
        self.past = self.past.with_host(time.as_secs_f64(), self.prices.get(held.target).copied());
        Some((held.number, time))
    }

    /// The number of each connected agent, and how long it has been held.
    pub(super) fn held(&self, now: Duration) -> Vec<(usize, Duration)> {
        self.connected.values().map(|held| held.until(now)).collect()
    }

    pub(super) fn held_by(&self, agent: &AgentId, now: Duration) -> Option<(usize, Duration)> {
        self.connected.get(agent).map(|held| held.until(now))
    }

    pub(super) fn spending(&self, now: Duration) -> Spending {
        self.connected.values().fold(self.past, |spending, held| {
            let seconds = now.saturating_sub(held.since).as_secs_f64();
            spending.with_host(seconds, self.prices.get(held.target).copied())
        })
    }

    /// Whether the campaign must stop now to stay within its budget.
    pub(super) fn is_spent(&self, now: Duration) -> bool {
        self.spending(now).is_spent(self.cost_of(RESERVE))
    }

    /// Whether holding all machines for another `time` would exceed the budget. `None`: for a time that nobody knows.
    pub(super) fn would_be_spent(&self, now: Duration, time: Option<Duration>) -> bool {
        let cost = time.and_then(|time| self.cost_of(time.saturating_add(RESERVE)));
        self.spending(now).is_spent(cost)
    }

    /// `None` if a machine has no known price.
    fn cost_of(&self, time: Duration) -> Option<f64> {
        let price = |held: &Held| self.prices.get(held.target).copied();
        let usd_per_hour: f64 = self.connected.values().map(price).sum::<Option<f64>>()?;
        Some(usd_per_hour * time.as_secs_f64() / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_stops_before_the_limit() {
        // 3.6 USD per hour are 0.001 a second.
        let mut budget = Budget::new(vec![3.6], Some(0.1), std::iter::empty());
        budget.joined("a".try_into().unwrap(), 0, 0, seconds(5));
        assert!((budget.spending(seconds(15)).usd - 0.01).abs() < 1e-12);
        assert!(!budget.is_spent(seconds(102)));
        assert!(budget.is_spent(seconds(103)), "2.5 s are kept in reserve");
        assert!(budget.spending(seconds(103)).usd < 0.1);
        assert!(!budget.would_be_spent(seconds(50), Some(seconds(40))));
        assert!(budget.would_be_spent(seconds(50), Some(seconds(60))));
        assert!(budget.would_be_spent(seconds(50), None), "nobody knows how long");
    }

    #[test]
    fn a_machine_without_a_price_is_not_free() {
        let agent: AgentId = "a".try_into().unwrap();
        let mut limited = Budget::new(vec![3.6], Some(0.1), std::iter::empty());
        limited.joined(agent.clone(), 0, 1, seconds(0));
        assert!(limited.is_spent(seconds(1)), "nobody knows what it costs");
        assert!(limited.would_be_spent(seconds(1), Some(seconds(1))));
        let mut unlimited = Budget::new(vec![3.6], None, std::iter::empty());
        unlimited.joined(agent, 0, 1, seconds(0));
        assert!(!unlimited.is_spent(seconds(1)));
        assert!(!unlimited.would_be_spent(seconds(1), None));
    }

    #[test]
    fn a_reconnected_agent_is_not_billed_twice() {
        let mut budget = Budget::new(vec![3.6], None, std::iter::empty());
        let [first, again, other]: [AgentId; 3] =
            ["a.1", "a.2", "b.1"].map(|id| id.try_into().unwrap());
        budget.joined(first.clone(), 0, 0, seconds(0));
        budget.joined(other, 1, 0, seconds(0));
        assert_eq!(budget.earlier_connections(&again), [first]);
    }

    #[test]
    fn agents_that_left_and_earlier_controllers_count() {
        let earlier = [(0, seconds(10)), (1, seconds(10))].into_iter();
        let mut budget = Budget::new(vec![3.6, 7.2], None, earlier);
        let agent: AgentId = "a".try_into().unwrap();
        budget.joined(agent.clone(), 2, 1, seconds(0));
        assert_eq!(budget.left(&agent, seconds(5)), Some((2, seconds(5))));
        assert!((budget.spending(seconds(99)).usd - (0.01 + 0.02 + 0.01)).abs() < 1e-12);
        assert_eq!(budget.left(&agent, seconds(9)), None);
        assert!(!budget.is_spent(seconds(1_000_000)), "no limit");
    }
}
