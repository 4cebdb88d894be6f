//! What happened at the doors, counted for a Prometheus.

use super::refusals::Refusals;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGauge, Opts};
use proto::wire::from_agent::Message;

/// Counts of a campaign's doors.
#[derive(Debug)]
pub struct Tally {
    /// Who was refused.
    pub refusals: Refusals,
    /// Connections that are open, strangers too.
    pub(super) connections: IntGauge,
    /// Agents that joined and are here.
    pub(super) agents: IntGauge,
    messages: IntCounterVec,
}

impl Default for Tally {
    /// Starts at zero.
    fn default() -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect("the name is well-formed");
        let messages =
            Opts::new("fleetmark_messages_received_total", "Messages of agents, by kind");
        Self {
            refusals: Refusals::default(),
            connections: gauge("fleetmark_connections", "Connections that are open"),
            agents: gauge("fleetmark_agents", "Agents that joined and are here"),
            messages: IntCounterVec::new(messages, &["kind"]).expect("the name is well-formed"),
        }
    }
}

impl Tally {
    /// All of them, to be registered.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.refusals.counter()),
            Box::new(self.connections.clone()),
            Box::new(self.agents.clone()),
            Box::new(self.messages.clone()),
        ]
    }

    pub(super) fn message(&self, message: Option<&Message>) {
        let kind = match message {
            Some(Message::Hello(_)) => "hello",
            Some(Message::Heartbeat(_)) => "heartbeat",
            Some(Message::Ready(_)) => "ready",
            Some(Message::ShardAccepted(_)) => "shard_accepted",
            Some(Message::ShardRefused(_)) => "shard_refused",
            Some(Message::Samples(_)) => "samples",
            Some(Message::Telemetry(_)) => "telemetry",
            Some(Message::ShardFinished(_)) => "shard_finished",
            Some(Message::ShardFailed(_)) => "shard_failed",
            Some(Message::Leaving(_)) => "leaving",
            None => "unknown",
        };
        self.messages.with_label_values(&[kind]).inc();
    }
}
