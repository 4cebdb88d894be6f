//! Messages of the campaign -> outboxes of connected agents, as wire messages.

use super::{Event, Outbox};
use campaign::{AgentMessage, AgentReport, Batch, OfferedLoad, Refusal, Request, ShardOffer};
use model::ids::AgentId;
use proto::wire;
use std::{collections::HashMap, time::Duration};
use tonic::Status;

/// The outboxes of all connected agents.
#[derive(Debug, Default)]
pub struct Outboxes(HashMap<AgentId, Outbox>);

impl Outboxes {
    /// Keeps track of agents that join and leave.
    pub fn observe(&mut self, event: &Event) {
        if let Some(outbox) = &event.outbox {
            self.0.insert(event.agent.clone(), outbox.clone());
        }
        if matches!(event.report, AgentReport::Gone) {
            self.0.remove(&event.agent);
        }
    }

    /// Sends a message, unless the agent is gone. `trace_parent` is the span context of an offer.
    pub fn send(&self, agent: &AgentId, message: AgentMessage, trace_parent: String) {
        let Some(outbox) = self.0.get(agent) else { return };
        match message {
            AgentMessage::Offer(offer) => outbox.offer(offer_to_wire(*offer, trace_parent)),
            AgentMessage::Acknowledge { shard, attempt, sequence } => {
                outbox.acknowledge(shard, attempt, sequence);
            }
            AgentMessage::Start { shard, attempt } => outbox.start(shard, attempt),
            AgentMessage::Cancel { shard, attempt, reason } => {
                outbox.cancel(shard, attempt, reason);
            }
            AgentMessage::Refuse(refusal) => outbox.refuse(refusal_to_wire(refusal)),
            AgentMessage::Drain { reason } => outbox.drain(reason),
        }
    }
}

/// The code tells an agent whether joining again helps.
fn refusal_to_wire(refusal: Refusal) -> Status {
    match refusal {
        Refusal::LeaseExpired => Status::aborted(refusal.to_string()),
        Refusal::NotLeased | Refusal::Unplanned | Refusal::Implausible => {
            Status::invalid_argument(refusal.to_string())
        }
    }
}

fn offer_to_wire(offer: ShardOffer, trace_parent: String) -> wire::ShardOffer {
    wire::ShardOffer {
        shard: offer.shard as u64,
        attempt: offer.attempt,
        lease_ms: u32::try_from(offer.lease.as_millis()).unwrap_or(u32::MAX),
        cell: offer.cell.to_string(),
        run: offer.round,
        engine: u32::try_from(offer.engine).unwrap_or(u32::MAX),
        batch_size: offer.batch_size,
        scenario: offer.scenario.to_string(),
        segment: offer.segment,
        warmup: offer.warmup.into_iter().map(batch_to_wire).collect(),
        batches: offer.batches.into_iter().map(batch_to_wire).collect(),
        load: offer.load.map(load_to_wire),
        share: offer.share.map(Into::into),
        trace_parent,
    }
}

fn batch_to_wire(batch: Batch) -> wire::Batch {
    let request = |request: Request| wire::Request {
        sample_id: request.sample_id.to_string(),
        dialogue: request.dialogue,
        reference: request.reference.unwrap_or_default(),
    };
    wire::Batch { index: batch.index, requests: batch.requests.into_iter().map(request).collect() }
}

fn load_to_wire(offered: OfferedLoad) -> wire::Load {
    let OfferedLoad { load, rate_profile, recorded, seed, windows } = offered;
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    wire::Load {
        request_rate: load.request_rate.unwrap_or_default(),
        constant_gaps: load.is_constant(),
        continuous: load.is_continuous(),
        seed,
        concurrency: load.concurrency,
        max_batch_delay_ns: nanoseconds(load.queue.max_batch_delay),
        max_queue: load.queue.max_queue,
        max_in_flight: load.queue.max_in_flight,
        gap_cv: load.queue.gap_cv.unwrap_or_default(),
        rate_profile: Some(rate_profile.into()),
        recorded: recorded.map(Into::into),
        sustained: load.sustained.map(|sustained| wire::Sustained {
            window_ns: sustained.window_ns,
            passed: windows.first().map_or(0, |first| sustained.window(*first)),
            windows,
        }),
    }
}
