//! Agents' messages -> checked domain types. Wire types end here.
//!
//! Impossible names and counts are refused; descriptive text is truncated, and escaped where it would act.

use super::Options;
use campaign::{AgentReport, BatchReport, Stage};
use model::engine::EngineFacts;
use model::generation::Settings;
use model::ids::{self, AgentId, HostId, TargetName};
use model::segment::SegmentFacts;
use model::telemetry::{Instruments, Window};
use model::text::{LineBreaks, plain, printable};
use model::{failure::Failure, host::AgentFacts, load::LoadWindow, version::Version};
use proto::SampleError;
use proto::wire::{self, from_agent::Message};
use std::fmt::Display;
use tonic::Status;

/// Limit on bytes and nanoseconds: 2^53, which JSON and doubles hold exactly.
const MAX_COUNT: u64 = 1 << 53;
/// Limit on threads, processors and warm-up batches.
const MAX_SMALL: u32 = 1 << 20;
/// Engine notes: count, and characters each.
const NOTES: (usize, usize) = (32, 500);
/// Limit on GPUs and on absent instruments per machine.
const INSTRUMENTS: usize = 64;
/// Endpoint URL, in characters.
const ENDPOINT: usize = 500;
/// Prompt without its dialogue, in bytes. A longer one would be cut as the input of a model.
const PROMPT: usize = 64 << 10;
/// Engine refusal, in characters.
const REFUSAL: usize = 2000;

#[derive(Debug)]
pub(super) struct NewAgent {
    pub(super) agent: AgentId,
    pub(super) host: HostId,
    pub(super) target: usize,
    pub(super) facts: AgentFacts,
}

pub(super) fn hello(hello: wire::Hello, options: &Options) -> Result<NewAgent, Status> {
    let invalid = |error: ids::Error| Status::invalid_argument(error.to_string());
    Version::from(hello.protocol.unwrap_or_default())
        .check("agent")
        .map_err(|error| Status::failed_precondition(error.to_string()))?;
    let agent = AgentId::try_from(hello.agent_id.as_str()).map_err(invalid)?;
    let target = target_of(&hello, options)?;
    let facts = facts(&hello)?;
    let host = hello.host.unwrap_or_default();
    let host = host_of(host.boot_id, &agent).map_err(invalid)?;
    Ok(NewAgent { agent, host, target, facts })
}

/// The machine of an agent. Without a boot id, nothing shows that it is another agent's too.
fn host_of(boot_id: String, agent: &AgentId) -> Result<HostId, ids::Error> {
    let unknown = || format!("unknown-{}", agent.process());
    HostId::try_from(if boot_id.is_empty() { unknown() } else { boot_id })
}

/// The target named by the agent, or else its instance type.
fn target_of(hello: &wire::Hello, options: &Options) -> Result<usize, Status> {
    let instance_type = hello.host.as_ref().map_or("", |host| host.instance_type.as_str());
    let named = if hello.target.is_empty() { instance_type } else { hello.target.as_str() };
    let found = options.targets.iter().position(|target| target.as_str() == named);
    found.ok_or_else(|| {
        let targets: Vec<&str> = options.targets.iter().map(TargetName::as_str).collect();
        let targets = targets.join(", ");
        Status::not_found(if named.is_empty() {
            format!("instance type not detected; start the agent with --target, one of: {targets}")
        } else {
            format!(
                "unknown target `{}`; start the agent with --target, one of: {targets}",
                plain(named, ids::MAX_BYTES)
            )
        })
    })
}

fn facts(hello: &wire::Hello) -> Result<AgentFacts, Status> {
    let text = |text: &str| plain(text, ids::MAX_BYTES);
    let host = hello.host.clone().unwrap_or_default();
    at_most("threads", hello.threads, MAX_SMALL)?;
    at_most("logical_cpus", host.logical_cpus, MAX_SMALL)?;
    at_most("physical_cores", host.physical_cores, MAX_SMALL)?;
    at_most("memory_bytes", host.memory_bytes, MAX_COUNT)?;
    at_most("memory_limit_bytes", host.memory_limit_bytes, MAX_COUNT)?;
    let mut instruments = Instruments::from(hello.instruments.clone().unwrap_or_default());
    instruments.gpus.truncate(INSTRUMENTS);
    instruments.absences.truncate(INSTRUMENTS);
    let gpu_names = hello.devices.iter().map(|device| text(&device.gpu_name));
    Ok(AgentFacts {
        agent_version: text(&hello.agent_version),
        threads: hello.threads,
        gpu_name: gpu_names.into_iter().find(|name| !name.is_empty()),
        host: host.into(),
        instruments,
    })
}

/// Longest list of tokens in the settings of an engine.
const MAX_TOKENS: u64 = 1 << 16;

/// An agent's report on one engine: its facts, or why it can't run it.
pub fn engine(report: wire::EngineReport) -> Result<Result<EngineFacts, String>, Status> {
    let Some(found) = report.facts else {
        return Ok(Err(plain(&report.refusal, REFUSAL)));
    };
    let hashes = [&found.model_sha256, &found.adapter_sha256, &found.tokenizer_sha256];
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let is_nowhere = found.model_sha256.is_empty() && found.endpoint.is_empty();
    if is_nowhere || hashes.iter().any(|hash| !hash.is_empty() && !is_hash(hash)) {
        return Err(Status::invalid_argument("engine sha256: expected 64 hexadecimal digits"));
    }
    at_most("parameters", found.parameters, MAX_COUNT)?;
    at_most("model_size_bytes", found.model_size_bytes, MAX_COUNT)?;
    let invalid = |reason: String| Status::invalid_argument(format!("engine decoding: {reason}"));
    let mut facts = EngineFacts::try_from(found).map_err(|error| invalid(error.to_string()))?;
    if let Some(decoding) = &facts.decoding {
        let sampling = decoding.sampling.map(|sampling| [sampling.temperature, sampling.top_p]);
        let mut numbers = [decoding.length_penalty, decoding.repetition_penalty]
            .into_iter()
            .chain(sampling.into_iter().flatten());
        if !numbers.all(f64::is_finite) {
            return Err(invalid("expected finite numbers".to_owned()));
        }
        let tokens = decoding.forced_eos_token_id.len().max(decoding.suppress_tokens.len());
        at_most("engine decoding: tokens of a list", tokens as u64, MAX_TOKENS)?;
    }
    let (most, longest) = NOTES;
    facts.notes.truncate(most);
    facts.notes.iter_mut().for_each(|note| *note = plain(note, longest));
    for text in [&mut facts.device, &mut facts.kernel].into_iter().chain(&mut facts.revision) {
        *text = plain(text, ids::MAX_BYTES);
    }
    facts.endpoint = facts.endpoint.map(|endpoint| plain(&endpoint, ENDPOINT));
    for (what, text, most) in [
        ("bytes of a prompt", &mut facts.prompt, PROMPT),
        ("bytes of a system message", &mut facts.system, Settings::MOST_SYSTEM_BYTES),
    ] {
        if let Some(text) = text {
            at_most(what, text.len(), most)?;
            *text = printable(text, LineBreaks::Kept).into_owned();
        }
    }
    Ok(Ok(facts))
}

fn stage(activity: wire::Activity) -> Option<Stage> {
    match activity {
        wire::Activity::Queued => Some(Stage::Queued),
        wire::Activity::Loading | wire::Activity::Warming => Some(Stage::MachineHeld),
        wire::Activity::Waiting => Some(Stage::Warmed),
        wire::Activity::Unspecified
        | wire::Activity::Idle
        | wire::Activity::Measuring
        | wire::Activity::Draining => None,
    }
}

/// A report of a joined agent. [`super::stream_protocol`] has checked the order of its messages, and
/// [`super::signatures`] adds the signature of a finished shard.
pub fn report(message: Message) -> Result<AgentReport, Status> {
    let index = |shard: u64| usize::try_from(shard).unwrap_or(usize::MAX);
    let failure = |failure: Option<wire::Failure>| Failure::from(failure.unwrap_or_default());
    Ok(match message {
        Message::Heartbeat(message) => match stage(message.activity()) {
            None => AgentReport::Alive,
            Some(stage) => {
                let wire::Heartbeat { shard, attempt, .. } = message;
                AgentReport::Reached { shard: index(shard), attempt, stage }
            }
        },
        Message::ShardAccepted(_) => AgentReport::Alive,
        Message::Telemetry(message) => AgentReport::Telemetry {
            // An invalid window is dropped; the agent stays.
            windows: message
                .windows
                .into_iter()
                .filter_map(|window| Window::try_from(window).ok())
                .collect(),
            absences: message.absences.into_iter().map(Into::into).collect(),
            dropped: message.dropped,
        },
        Message::Samples(message) => {
            let samples = message
                .samples
                .into_iter()
                .map(TryFrom::try_from)
                .collect::<Result<_, SampleError>>();
            AgentReport::Batch(BatchReport {
                shard: index(message.shard),
                attempt: message.attempt,
                sequence: message.sequence,
                batch: message.batch,
                samples: samples.map_err(|error| Status::invalid_argument(error.to_string()))?,
                window: message
                    .window
                    .map(LoadWindow::try_from)
                    .transpose()
                    .map_err(|error| Status::invalid_argument(error.to_string()))?
                    .map(Box::new),
            })
        }
        Message::ShardFinished(message) => AgentReport::Finished {
            shard: index(message.shard),
            attempt: message.attempt,
            segment: segment(message.segment.unwrap_or_default())?,
            signature: None,
        },
        Message::ShardRefused(wire::ShardRefused { shard, attempt, failure: reason })
        | Message::ShardFailed(wire::ShardFailed { shard, attempt, failure: reason }) => {
            AgentReport::Failed { shard: index(shard), attempt, failure: failure(reason) }
        }
        Message::Leaving(_) => AgentReport::Leaving,
        Message::Hello(_) => return Err(Status::invalid_argument("duplicate Hello")),
        Message::Ready(_) => return Err(Status::invalid_argument("duplicate Ready")),
    })
}

fn segment(segment: wire::Segment) -> Result<SegmentFacts, Status> {
    at_most("warmup_batches", segment.warmup_batches, MAX_SMALL)?;
    at_most("warmup_ns", segment.warmup_ns, MAX_COUNT)?;
    at_most("load_ns", segment.load_ns, MAX_COUNT)?;
    at_most("peak_rss_bytes", segment.peak_rss_bytes, MAX_COUNT)?;
    at_most("rss_after_load_bytes", segment.rss_after_load_bytes, MAX_COUNT)?;
    at_most("kv_cache_bytes", segment.kv_cache_bytes, MAX_COUNT)?;
    at_most("gpu_memory_bytes", segment.gpu_memory_bytes, MAX_COUNT)?;
    at_most("model_size_bytes", segment.model_size_bytes, MAX_COUNT)?;
    at_most("adapter_bytes", segment.adapter_bytes, MAX_COUNT)?;
    at_most("adapter_load_ns", segment.adapter_load_ns, MAX_COUNT)?;
    at_most("gpu_memory_before_bytes", segment.gpu_memory_before_bytes.unwrap_or(0), MAX_COUNT)?;
    Ok(segment.into())
}

fn at_most<T: PartialOrd + Display + Copy>(what: &str, value: T, limit: T) -> Result<(), Status> {
    if value <= limit {
        return Ok(());
    }
    Err(Status::invalid_argument(format!("{what} {value} exceeds the limit of {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine_facts() -> wire::EngineFacts {
        wire::EngineFacts {
            model_sha256: "ab".repeat(32),
            notes: vec!["a\u{1b}[2J\u{202e}b".to_owned(); 100],
            ..wire::EngineFacts::default()
        }
    }

    fn checked(facts: wire::EngineFacts) -> Result<EngineFacts, Status> {
        let report = wire::EngineReport { facts: Some(facts), refusal: String::new() };
        engine(report).map(|found| found.expect("facts were reported"))
    }

    #[test]
    fn notes_are_truncated_and_escaped() {
        let facts = checked(engine_facts()).unwrap();
        assert_eq!(
            (facts.notes.len(), facts.notes[0].as_str()),
            (NOTES.0, "a\\u{1b}[2J\\u{202e}b")
        );
    }

    #[test]
    fn an_invalid_hash_is_refused() {
        for wrong in ["", "ab", &"zz".repeat(32), "../../etc/passwd"] {
            let facts = wire::EngineFacts { model_sha256: wrong.to_owned(), ..engine_facts() };
            assert!(checked(facts).unwrap_err().message().contains("sha256"), "{wrong}");
        }
    }

    #[test]
    fn settings_that_no_engine_has_are_refused() {
        let decoding = |change: fn(&mut wire::Decoding)| {
            let mut decoding = wire::Decoding::from(model::generation::Decoding::default());
            change(&mut decoding);
            checked(wire::EngineFacts { decoding: Some(decoding), ..engine_facts() })
        };
        assert!(decoding(|_| {}).is_ok());
        let wrong: [fn(&mut wire::Decoding); 4] = [
            |decoding| {
                let temperature = f64::INFINITY;
                decoding.sampling =
                    Some(wire::Sampling { temperature, ..wire::Sampling::default() });
            },
            |decoding| decoding.length_penalty = f64::NAN,
            |decoding| decoding.early_stopping = "often".to_owned(),
            |decoding| decoding.suppress_tokens = vec![1; 1 << 20],
        ];
        for wrong in wrong {
            assert!(decoding(wrong).unwrap_err().message().contains("engine decoding"));
        }
    }

    #[test]
    fn machines_without_a_boot_id_are_not_one_machine() {
        let agent = |name: &str| AgentId::try_from(name).unwrap();
        let unknown = |name| host_of(String::new(), &agent(name)).unwrap();
        assert_ne!(unknown("a-1.1"), unknown("b-1.1"));
        assert_eq!(unknown("a-1.1"), unknown("a-1.2"), "it reconnected");
        assert_eq!(host_of("boot".to_owned(), &agent("a-1.1")).unwrap().as_str(), "boot");
    }

    #[test]
    fn impossible_counts_are_refused() {
        let wrong = wire::Segment { load_ns: u64::MAX, ..wire::Segment::default() };
        assert!(
            segment(wrong)
                .unwrap_err()
                .message()
                .starts_with("load_ns 18446744073709551615 exceeds")
        );
        let facts = wire::EngineFacts { parameters: u64::MAX, ..engine_facts() };
        assert!(checked(facts).is_err());
    }
}
