//! Messages of an agent: as they should be, or with fields from the script.

use super::Script;
use super::http2::Peer;
use model::version::PROTOCOL;
use prost::Message as _;
use proto::wire::{self, from_agent::Message};

/// A message of the peer with this number.
pub(super) fn message(script: &mut Script<'_>, number: usize, peer: &mut Peer) -> Vec<u8> {
    let kind = script.byte();
    let (shard, attempt) = peer.offer.as_ref().map_or((0, 0), |offer| (offer.shard, offer.attempt));
    let attempt = attempt.wrapping_add(if kind >= 240 { script.number() } else { 0 });
    let message = match kind % 16 {
        0 => hello(script, number),
        1 => ready(script),
        2 => Message::Heartbeat(wire::Heartbeat { activity: script.byte().into(), shard, attempt }),
        3 | 4 => planned(peer),
        5 => changed(script, peer),
        6 => Message::ShardFinished(wire::ShardFinished {
            shard,
            attempt,
            last_sequence: peer.sent.into(),
            segment: Some(wire::Segment { load_ns: script.number(), ..wire::Segment::default() }),
            signature: Some(wire::ShardSignature { form: 1, signature: vec![1; 64] }),
        }),
        7 => Message::ShardFailed(wire::ShardFailed {
            shard,
            attempt,
            failure: Some(failure(script)),
        }),
        8 => Message::ShardRefused(wire::ShardRefused {
            shard,
            attempt,
            failure: Some(failure(script)),
        }),
        9 => Message::ShardAccepted(wire::ShardAccepted { shard, attempt, salt: vec![1; 32] }),
        10 => Message::Leaving(wire::Leaving { reason: text(script) }),
        11 => telemetry(script, shard, attempt),
        12 | 13 => load_window(script, peer),
        // Two bytes each on the wire.
        14 => {
            let samples = vec![wire::Sample::default(); usize::from(script.byte()) << 6];
            Message::Samples(wire::Samples { shard, attempt, samples, ..wire::Samples::default() })
        }
        _ => return script.text().to_vec(),
    };
    wire::FromAgent { message: Some(message) }.encode_to_vec()
}

fn text(script: &mut Script<'_>) -> String {
    String::from_utf8_lossy(script.text()).into_owned()
}

fn failure(script: &mut Script<'_>) -> wire::Failure {
    let (retry, kind) = (script.byte() % 5, text(script));
    wire::Failure { retry: retry.into(), kind, detail: text(script) }
}

fn hello(script: &mut Script<'_>, number: usize) -> Message {
    let id = script.byte();
    Message::Hello(wire::Hello {
        protocol: Some(PROTOCOL.into()),
        // An id of its own, or one that the script chooses.
        agent_id: if id == 0 { format!("agent{number}") } else { format!("agent-{id}") },
        target: "here".to_owned(),
        host: Some(wire::Host { boot_id: format!("host{number}"), ..wire::Host::default() }),
        ..wire::Hello::default()
    })
}

fn ready(script: &mut Script<'_>) -> Message {
    let facts = wire::EngineFacts {
        model_sha256: "0a".repeat(32),
        parameters: script.byte().into(),
        ..wire::EngineFacts::default()
    };
    Message::Ready(wire::Ready {
        engines: vec![wire::EngineReport { facts: Some(facts), refusal: String::new() }],
    })
}

/// The next batch or window of the offer.
fn planned(peer: &mut Peer) -> Message {
    let Some(offer) = &peer.offer else { return Message::Samples(wire::Samples::default()) };
    let place = usize::try_from(peer.sent).unwrap_or(usize::MAX);
    peer.sent += 1;
    let mut samples = wire::Samples {
        shard: offer.shard,
        attempt: offer.attempt,
        sequence: peer.sent.into(),
        ..wire::Samples::default()
    };
    let sustained = offer.load.as_ref().and_then(|load| load.sustained.as_ref());
    match sustained.map(|sustained| sustained.windows.get(place)) {
        Some(window) => {
            samples.batch = window.copied().unwrap_or_default();
            let end_ns = 1_000_000_000;
            samples.window = Some(wire::LoadWindow { end_ns, ..wire::LoadWindow::default() });
        }
        None => {
            let Some(batch) = offer.batches.get(place) else { return Message::Samples(samples) };
            samples.batch = batch.index;
            samples.samples = batch.requests.iter().map(sample).collect();
        }
    }
    Message::Samples(samples)
}

fn sample(request: &wire::Request) -> wire::Sample {
    wire::Sample {
        sample_id: request.sample_id.clone(),
        start_ns: 1,
        latency_ns: 5,
        finish: "eos".to_owned(),
        ..wire::Sample::default()
    }
}

/// The next batch, with fields from the script.
fn changed(script: &mut Script<'_>, peer: &mut Peer) -> Message {
    let Message::Samples(mut samples) = planned(peer) else { return planned(peer) };
    let field = script.byte() % 8;
    let number = script.number();
    let narrow = u32::try_from(number % (1 << 32)).unwrap_or_default();
    match field {
        0 => samples.batch = narrow,
        1 => samples.sequence = number,
        2 => samples.shard = number,
        3 => samples.samples.truncate(usize::from(script.byte())),
        _ => {}
    }
    for sample in &mut samples.samples {
        match field {
            4 => sample.start_ns = number,
            5 => sample.latency_ns = number,
            6 => (sample.input_tokens, sample.output_tokens) = (Some(narrow), Some(narrow)),
            7 => sample.text = Some(text(script)),
            _ => {}
        }
    }
    Message::Samples(samples)
}

fn telemetry(script: &mut Script<'_>, shard: u64, attempt: u64) -> Message {
    let count = usize::from(script.byte());
    let metric = text(script);
    let value = f64::from_bits(script.number());
    let window = wire::Window {
        phase: (script.byte() % 6).into(),
        shard,
        attempt,
        start_ns: script.number(),
        end_ns: script.number(),
        readings: vec![wire::Reading { metric, value }],
    };
    let absence = wire::Absence { what: text(script), reason: text(script), remedy: String::new() };
    Message::Telemetry(wire::Telemetry {
        windows: vec![window; count],
        absences: vec![absence],
        dropped: script.number(),
    })
}

/// The next window of a sustained load, with counts from the script.
fn load_window(script: &mut Script<'_>, peer: &mut Peer) -> Message {
    let Message::Samples(mut samples) = planned(peer) else { return planned(peer) };
    let mut histogram = wire::Histogram::default();
    for _ in 0..script.byte() % 8 {
        histogram.buckets.push(u32::from(script.byte()) << (script.byte() % 24));
        histogram.counts.push(script.number());
    }
    (histogram.min, histogram.max) = (script.number(), script.number());
    (histogram.sum, histogram.sum_of_squares) =
        (f64::from_bits(script.number()), f64::from_bits(script.number()));
    samples.window = Some(wire::LoadWindow {
        start_ns: script.number(),
        end_ns: script.number(),
        failed: script.number(),
        batches: script.number(),
        latency: Some(histogram.clone()),
        ttft: Some(histogram),
        ..wire::LoadWindow::default()
    });
    Message::Samples(samples)
}
