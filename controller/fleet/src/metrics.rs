//! Prometheus metrics of the fleet's listeners.

use super::refusals::Refusals;
use prometheus::{IntCounterVec, IntGauge, Opts, core::Collector};
use proto::wire::from_agent::Message;

#[derive(Debug)]
pub struct FleetMetrics {
    pub refusals: Refusals,
    /// Open connections, joined or not.
    pub(super) connections: IntGauge,
    pub(super) agents: IntGauge,
    messages: IntCounterVec,
}

impl Default for FleetMetrics {
    fn default() -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect("the metric name is valid");
        let messages = Opts::new(
            "fleetmark_messages_received_total",
            "Messages received from agents, by kind",
        );
        Self {
            refusals: Refusals::default(),
            connections: gauge("fleetmark_connections", "Open connections"),
            agents: gauge("fleetmark_agents", "Joined agents"),
            messages: IntCounterVec::new(messages, &["kind"]).expect("the metric name is valid"),
        }
    }
}

impl FleetMetrics {
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
