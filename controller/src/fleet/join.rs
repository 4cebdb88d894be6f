//! One agent's stream, from its Hello to its end.

use super::identity::METADATA_KEY;
use super::outbox::{self, Outbox};
use super::{Event, Joined, Options, Said};
use crate::store::{AgentFacts, HostDetails, SegmentFacts};
use proto::failure::Failure;
use proto::ids::{AgentId, HostId, TargetName};
use proto::sample::Sample;
use proto::telemetry::Window;
use proto::version::{PROTOCOL, Version};
use proto::wire::{self, from_agent::Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// How long a connection may be silent before it says who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Service {
    pub(super) options: Arc<Options>,
    pub(super) events: mpsc::Sender<Event>,
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for Service {
    type JoinStream = ReceiverStream<Result<wire::FromController, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<wire::FromAgent>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let header = request.metadata().get(METADATA_KEY).and_then(|value| value.to_str().ok());
        if !self.options.token.is_in(header) {
            tracing::warn!(peer = ?request.remote_addr(), "refused an agent without this campaign's token");
            return Err(Status::unauthenticated(
                "this campaign's token is missing or wrong: give the agent --token-file",
            ));
        }
        let mut incoming = request.into_inner();
        let (sender, receiver) = mpsc::channel(outbox::CAPACITY);
        let outbox = Outbox(sender);
        let (options, events) = (Arc::clone(&self.options), self.events.clone());
        tokio::spawn(async move {
            match welcome(&mut incoming, &options, &outbox).await {
                Ok(newcomer) => listen(incoming, newcomer, &outbox, &events).await,
                Err(status) => {
                    tracing::warn!(reason = status.message(), "refused an agent");
                    outbox.refuse(status);
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// An agent that said who it is, and was told what to look at.
struct Newcomer {
    agent: AgentId,
    host: HostId,
    target: usize,
    engines: usize,
    facts: AgentFacts,
}

async fn welcome(
    incoming: &mut Streaming<wire::FromAgent>,
    options: &Options,
    outbox: &Outbox,
) -> Result<Newcomer, Status> {
    let first = tokio::time::timeout(HELLO_WITHIN, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no Hello came within 10 s"))??;
    let Some(Message::Hello(hello)) = first.and_then(|first| first.message) else {
        return Err(Status::invalid_argument("the first message must be a Hello"));
    };
    let invalid = |error: proto::ids::Error| Status::invalid_argument(error.to_string());
    Version::check(hello.protocol, "agent")
        .map_err(|error| Status::failed_precondition(error.to_string()))?;
    let agent = AgentId::try_from(hello.agent_id.as_str()).map_err(invalid)?;
    let target = target_of(&hello, options)?;
    let facts = facts(&hello);
    let host = hello.host.unwrap_or_default();
    let host = HostId::try_from(host.boot_id).map_err(invalid)?;
    let engines = &options.engines[target];
    outbox.welcome(wire::Welcome {
        protocol: Some(PROTOCOL.into()),
        campaign: options.campaign.to_string(),
        target: options.targets[target].to_string(),
        engines: engines.iter().map(wire::Engine::from).collect(),
        heartbeat_ms: u32::try_from(options.heartbeat.as_millis()).unwrap_or(u32::MAX),
        generation: Some((&options.generation).into()),
        telemetry_ms: u32::try_from(options.telemetry.as_millis()).unwrap_or(u32::MAX),
    });
    Ok(Newcomer { agent, host, target, engines: engines.len(), facts })
}

/// The target that an agent names, or that its machine is.
fn target_of(hello: &wire::Hello, options: &Options) -> Result<usize, Status> {
    let instance_type = hello.host.as_ref().map_or("", |host| host.instance_type.as_str());
    let named = if hello.target.is_empty() { instance_type } else { hello.target.as_str() };
    let found = options.targets.iter().position(|target| target.as_str() == named);
    found.ok_or_else(|| {
        let targets: Vec<&str> = options.targets.iter().map(TargetName::as_str).collect();
        let targets = targets.join(", ");
        Status::not_found(if named.is_empty() {
            format!("the agent found no instance type: give it --target, one of {targets}")
        } else {
            format!(
                "this campaign has no target \"{named}\": give the agent --target, one of {targets}"
            )
        })
    })
}

fn facts(hello: &wire::Hello) -> AgentFacts {
    let clean = |text: &str| -> String {
        text.chars().filter(|c| !c.is_control()).take(proto::ids::MAX_BYTES).collect()
    };
    let given = |text: &str| (!text.is_empty()).then(|| clean(text));
    let positive = |number: f64| Some(number).filter(|number| number.is_finite() && *number > 0.0);
    let host = hello.host.clone().unwrap_or_default();
    AgentFacts {
        agent_version: clean(&hello.agent_version),
        threads: hello.threads,
        host_name: clean(&host.name),
        instance_type: given(&host.instance_type),
        cpu_model: clean(&host.cpu_model),
        logical_cpus: host.logical_cpus,
        memory_bytes: host.memory_bytes,
        kernel: clean(&host.kernel),
        operating_system: clean(&host.operating_system),
        cpu_features: host.cpu_features.iter().take(64).map(|feature| clean(feature)).collect(),
        gpu_name: hello.devices.iter().find_map(|device| given(&device.gpu_name)),
        is_simulated: host.simulated,
        host: HostDetails {
            physical_cores: Some(host.physical_cores).filter(|cores| *cores > 0),
            cpu_max_mhz: positive(host.cpu_max_mhz),
            governor: given(&host.governor),
            turbo: given(&host.turbo),
            virtualization: given(&host.virtualization),
            container: given(&host.container),
            power_supply: given(&host.power_supply),
            cpu_limit_cores: positive(host.cpu_limit_cores),
            memory_limit_bytes: Some(host.memory_limit_bytes).filter(|bytes| *bytes > 0),
        },
        instruments: hello.instruments.clone().unwrap_or_default().into(),
    }
}

/// Hands on what the agent says until its stream ends. What can't be taken ends the stream.
async fn listen(
    mut incoming: Streaming<wire::FromAgent>,
    newcomer: Newcomer,
    outbox: &Outbox,
    events: &mpsc::Sender<Event>,
) {
    let agent = newcomer.agent.clone();
    let mut newcomer = Some(newcomer);
    let mut has_joined = false;
    loop {
        let message = match incoming.message().await {
            Ok(Some(message)) => message.message,
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(%agent, %status, "an agent's stream broke");
                break;
            }
        };
        let said = match message {
            Some(Message::Ready(ready)) => match newcomer.take() {
                Some(newcomer) => joined(newcomer, ready, outbox.clone()),
                None => Err(Status::invalid_argument("Ready came twice")),
            },
            // It looks at its engines, and may have to fetch them first.
            Some(Message::Heartbeat(beat))
                if !has_joined && beat.activity() == wire::Activity::Loading =>
            {
                if events.send(Event { agent: agent.clone(), said: Said::Preparing }).await.is_err()
                {
                    return;
                }
                continue;
            }
            // A message kind of a newer agent, or a heartbeat before it looks.
            None => continue,
            Some(_) if !has_joined => continue,
            Some(message) => checked(message),
        };
        match said {
            Ok(said) => {
                has_joined = true;
                if events.send(Event { agent: agent.clone(), said }).await.is_err() {
                    return;
                }
            }
            Err(status) => {
                tracing::warn!(%agent, reason = status.message(), "ended an agent's stream");
                outbox.refuse(status);
                break;
            }
        }
    }
    if has_joined {
        // The receiver is gone only when the campaign is over.
        drop(events.send(Event { agent, said: Said::Gone }).await);
    }
}

fn joined(newcomer: Newcomer, ready: wire::Ready, outbox: Outbox) -> Result<Said, Status> {
    if ready.engines.len() != newcomer.engines {
        return Err(Status::invalid_argument("Ready doesn't answer for every engine"));
    }
    let engines = ready
        .engines
        .into_iter()
        .map(|report| report.facts.map(Into::into).ok_or(report.refusal))
        .collect();
    let Newcomer { host, target, facts, .. } = newcomer;
    Ok(Said::Joined(Box::new(Joined { host, target, facts, engines, outbox })))
}

fn checked(message: Message) -> Result<Said, Status> {
    let index = |shard: u64| usize::try_from(shard).unwrap_or(usize::MAX);
    let failure = |failure: Option<wire::Failure>| Failure::from(failure.unwrap_or_default());
    Ok(match message {
        Message::Heartbeat(_) | Message::ShardAccepted(_) => Said::Alive,
        Message::Telemetry(message) => Said::Telemetry {
            // A window that can't be taken is missing, and its agent stays.
            windows: message
                .windows
                .into_iter()
                .filter_map(|window| Window::try_from(window).ok())
                .collect(),
            absences: message.absences.into_iter().map(Into::into).collect(),
            dropped: message.dropped,
        },
        Message::Samples(message) => {
            let samples =
                message.samples.into_iter().map(Sample::try_from).collect::<Result<_, _>>();
            Said::Samples {
                shard: index(message.shard),
                attempt: message.attempt,
                sequence: message.sequence,
                batch: message.batch,
                samples: samples.map_err(|error| Status::invalid_argument(error.to_string()))?,
            }
        }
        Message::ShardFinished(message) => {
            let segment = message.segment.unwrap_or_default();
            Said::Finished {
                shard: index(message.shard),
                attempt: message.attempt,
                segment: SegmentFacts {
                    warmup_batches: segment.warmup_batches,
                    warmup_ns: segment.warmup_ns,
                    load_ns: segment.load_ns,
                    peak_rss_bytes: segment.peak_rss_bytes,
                    rss_after_load_bytes: segment.rss_after_load_bytes,
                    kv_cache_bytes: segment.kv_cache_bytes,
                    gpu_memory_bytes: segment.gpu_memory_bytes,
                    model_size_bytes: segment.model_size_bytes,
                    adapter_bytes: segment.adapter_bytes,
                    adapter_load_ns: segment.adapter_load_ns,
                    gpu_memory_before_bytes: segment.gpu_memory_before_bytes,
                    is_time_impossible: false,
                },
            }
        }
        Message::ShardRefused(wire::ShardRefused { shard, attempt, failure: reason })
        | Message::ShardFailed(wire::ShardFailed { shard, attempt, failure: reason }) => {
            Said::Failed { shard: index(shard), attempt, failure: failure(reason) }
        }
        Message::Leaving(_) => Said::Leaving,
        Message::Hello(_) => return Err(Status::invalid_argument("Hello came twice")),
        Message::Ready(_) => return Err(Status::invalid_argument("Ready came twice")),
    })
}
