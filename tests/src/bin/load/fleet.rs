//! Simulated agents: each has a connection and a made-up machine of its own, and plays a script at a given pace.

use model::version::PROTOCOL;
use proto::wire::fleet_client::FleetClient;
use proto::wire::{self, from_agent::Message as Said, from_controller::Message as Told};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::transport::Endpoint;

/// Many agents.
#[derive(Debug, Clone)]
pub(crate) struct Simulated {
    pub(crate) controller: String,
    pub(crate) token: String,
    pub(crate) agents: u64,
    /// How long each takes for a batch.
    pub(crate) batch: Duration,
}

/// Agents that run.
#[derive(Debug)]
pub(crate) struct Fleet {
    runtime: Runtime,
    agents: Vec<JoinHandle<Vec<Duration>>>,
}

impl Simulated {
    pub(crate) fn start(&self) -> Fleet {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the system gives threads");
        let agents = (0..self.agents).map(|number| runtime.spawn(self.clone().play(number)));
        let agents = agents.collect();
        Fleet { runtime, agents }
    }

    /// Returns how long it waited for each shard after its first.
    async fn play(self, number: u64) -> Vec<Duration> {
        let endpoint = Endpoint::from_shared(self.controller.clone()).expect("it is a URL");
        let channel = loop {
            // A thousand that dial at once fill the system's queue.
            match endpoint.clone().tcp_nodelay(true).connect().await {
                Ok(channel) => break channel,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let (sender, receiver) = mpsc::channel(64);
        // Machines that were started together don't stay in step; these would, as their batches all take one time.
        let first = self.batch.mul_f64((number + 1) as f64 / self.agents as f64);
        let agent = Agent { sender, batch: self.batch, first, at_ns: 1, attempt: 0 };
        agent.say(Said::Hello(hello(number))).await;
        let mut request = Request::new(ReceiverStream::new(receiver));
        let header = format!("Bearer {}", self.token).parse().expect("it is a token");
        request.metadata_mut().insert("authorization", header);
        let mut client =
            FleetClient::new(channel).max_decoding_message_size(proto::MAX_MESSAGE_BYTES);
        let stream = client.join(request).await.expect("it is let in").into_inner();
        agent.serve(stream).await
    }
}

impl Fleet {
    /// Median, 99th percentile and maximum of the waits for a shard.
    pub(crate) fn end(self) -> [Duration; 3] {
        let mut waits: Vec<Duration> = self.runtime.block_on(async {
            let mut waits = Vec::new();
            for agent in self.agents {
                waits.extend(agent.await.expect("an agent ends"));
            }
            waits
        });
        waits.sort_unstable();
        let at = |share: usize| waits.get((waits.len() * share / 100).min(waits.len() - 1));
        [at(50), at(99), at(100)].map(|wait| wait.copied().unwrap_or_default())
    }
}

fn hello(number: u64) -> wire::Hello {
    let name = format!("m{number:04}");
    wire::Hello {
        protocol: Some(PROTOCOL.into()),
        agent_id: format!("{name}.1"),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        target: "machine".to_owned(),
        host: Some(wire::Host {
            boot_id: format!("simulated-{name}"),
            name,
            simulated: true,
            ..wire::Host::default()
        }),
        threads: 1,
        ..wire::Hello::default()
    }
}

struct Agent {
    sender: mpsc::Sender<wire::FromAgent>,
    batch: Duration,
    /// What its next shard's first batch takes: of the first shard, a part of a batch.
    first: Duration,
    at_ns: u64,
    attempt: u64,
}

impl Agent {
    async fn say(&self, said: Said) {
        // A controller that is gone ends the stream that is read.
        drop(self.sender.send(wire::FromAgent { message: Some(said) }).await);
    }

    async fn serve(mut self, mut stream: tonic::Streaming<wire::FromController>) -> Vec<Duration> {
        let mut waits = Vec::new();
        let mut finished: Option<Instant> = None;
        let mut work: Option<wire::ShardOffer> = None;
        let mut next = 0;
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        loop {
            tokio::select! {
                told = stream.message() => match told.ok().flatten().and_then(|told| told.message) {
                    Some(Told::Welcome(welcome)) => {
                        let facts = wire::EngineFacts {
                            model_sha256: "0".repeat(64),
                            device: "cpu".to_owned(),
                            kernel: "scripted".to_owned(),
                            random_weights: true,
                            synthetic_time: true,
                            ..wire::EngineFacts::default()
                        };
                        let report = wire::EngineReport { facts: Some(facts), refusal: String::new() };
                        let engines = vec![report; welcome.engines.len()];
                        self.say(Said::Ready(wire::Ready { engines })).await;
                    }
                    Some(Told::ShardOffer(offer)) => {
                        waits.extend(finished.map(|finished| finished.elapsed()));
                        let (shard, attempt) = (offer.shard, offer.attempt);
                        self.attempt = attempt;
                        let accepted = wire::ShardAccepted { shard, attempt, salt: Vec::new() };
                        self.say(Said::ShardAccepted(accepted)).await;
                        (work, next, due) = (Some(offer), 0, Instant::now() + self.first);
                        self.first = self.batch;
                    }
                    Some(Told::Drain(_)) | None => return waits,
                    Some(Told::Ack(_) | Told::Cancel(_) | Told::Start(_)) => {}
                },
                _ = beat.tick() => self.say(Said::Heartbeat(wire::Heartbeat::default())).await,
                () = tokio::time::sleep_until(due), if work.is_some() => {
                    let Some(offer) = &work else { continue };
                    let (shard, attempt) = (offer.shard, offer.attempt);
                    let message = samples(offer, next, &mut self.at_ns, self.batch);
                    let is_last = next + 1 == offer.batches.len();
                    self.say(Said::Samples(message)).await;
                    next += 1;
                    due += self.batch;
                    if is_last {
                        let segment = Some(wire::Segment::default());
                        let last_sequence = next as u64;
                        let signature = None;
                        let end = wire::ShardFinished { shard, attempt, last_sequence, segment, signature };
                        self.say(Said::ShardFinished(end)).await;
                        finished = Some(Instant::now());
                        work = None;
                    }
                }
            }
        }
    }
}

/// The samples of the offer's batch number `next`.
fn samples(
    offer: &wire::ShardOffer,
    next: usize,
    at_ns: &mut u64,
    time: Duration,
) -> wire::Samples {
    let batch = &offer.batches[next];
    let (start_ns, latency_ns) = (*at_ns, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    *at_ns += latency_ns;
    let sample = |request: &wire::Request| wire::Sample {
        sample_id: request.sample_id.clone(),
        start_ns,
        ttft_ns: Some(latency_ns / 2),
        latency_ns,
        input_tokens: Some(12),
        output_tokens: Some(20),
        finish: "eos".to_owned(),
        text: Some("played".to_owned()),
        ..wire::Sample::default()
    };
    wire::Samples {
        shard: offer.shard,
        attempt: offer.attempt,
        sequence: next as u64 + 1,
        batch: batch.index,
        samples: batch.requests.iter().map(sample).collect(),
        window: None,
    }
}
