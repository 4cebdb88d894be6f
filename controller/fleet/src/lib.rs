//! The agents' streams: lets agents in, checks what they say, and hands it on as [`Event`]s.
//!
//! An edge. It takes a door and a stop signal from its caller, so that tests bind port 0. It decides
//! nothing: leases, retries and what counts are the scheduler's. Wire types end here.

#![forbid(unsafe_code)]

pub mod check;
mod door;
pub mod identity;
mod join;
pub mod ledger;
mod outbox;
mod pace;
mod refusals;
mod room;
mod tally;

pub use door::Door;
pub use outbox::{Orders, Outbox};
pub use refusals::{Reason, Refusals};
pub use room::Room;
pub use tally::Tally;

use identity::Guard;
use model::engine::{EngineFacts, EngineSpec};
use model::failure::Failure;
use model::generation::Generation;
use model::ids::{AgentId, CampaignId, HostId, SampleId, TargetName};
use model::load::LoadWindow;
use model::sample::Sample;
use model::telemetry::{Absence, Window};
use proto::wire::fleet_server::FleetServer;
use records::{AgentFacts, SegmentFacts};
use room::Rooms;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What agents are told when they join.
#[derive(Debug, Clone)]
pub struct Options {
    /// The campaign that they serve.
    pub campaign: CampaignId,
    /// Who may join.
    pub guard: Arc<Guard>,
    /// What happens at the doors, counted.
    pub tally: Arc<Tally>,
    /// In the order of the matrix.
    pub targets: Vec<TargetName>,
    /// Engines of each target.
    pub engines: Vec<Vec<EngineSpec>>,
    /// Prompt and limits.
    pub generation: Generation,
    /// How often an agent must speak.
    pub heartbeat: Duration,
    /// How often an agent reads its instruments.
    pub telemetry: Duration,
    /// Of the campaign's span; empty where nothing is traced.
    pub trace_parent: String,
}

/// What an agent said, checked.
#[derive(Debug)]
pub struct Event {
    /// Who.
    pub agent: AgentId,
    /// What.
    pub said: Said,
    /// To be held until it is stored.
    pub room: Room,
}

/// What agents say.
#[derive(Debug)]
pub enum Said {
    /// It looked at its engines and can start.
    Joined(Box<Joined>),
    /// It isn't ready yet, and fetches what it needs.
    Preparing,
    /// It is alive, or took a shard.
    Alive,
    /// One batch is measured.
    Samples {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Its number in the attempt, to be acknowledged.
        sequence: u64,
        /// Which batch of the run.
        batch: u32,
        /// All of the batch.
        samples: Vec<(SampleId, Sample)>,
        /// Of a sustained load, in place of samples.
        window: Option<Box<LoadWindow>>,
    },
    /// What it observed beside its samples.
    Telemetry {
        /// In the order of time.
        windows: Vec<Window>,
        /// What stopped being measurable.
        absences: Vec<Absence>,
        /// Windows that found no room on the agent.
        dropped: u64,
    },
    /// The shard is through.
    Finished {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// What it says of the segment.
        segment: SegmentFacts,
    },
    /// The shard was refused or broke off.
    Failed {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Why.
        failure: Failure,
    },
    /// It takes no more shards.
    Leaving,
    /// Its stream ended.
    Gone,
}

/// An agent that can start.
#[derive(Debug)]
pub struct Joined {
    /// Its machine.
    pub host: HostId,
    /// Index of its target.
    pub target: usize,
    /// Its machine's facts.
    pub facts: AgentFacts,
    /// What it found for each engine of its target, or why it can't do it.
    pub engines: Vec<Result<EngineFacts, String>>,
    /// Where to answer.
    pub outbox: Outbox,
}

/// The fleet can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server broke.
    #[error("the fleet's server failed")]
    Server(#[from] tonic::transport::Error),
}

/// Streams that one connection may open at a time: an agent needs one, and asks the health service now and then.
const STREAMS: u32 = 16;
/// Headers of a request, in bytes: a token is 64.
const HEADERS: u32 = 8 << 10;

/// Serves agents at `door` until `stop` is ready. Events go to `events`; a full channel slows agents down.
///
/// Beside the fleet's own, the gRPC health service and reflection are answered, to anybody.
///
/// # Errors
/// [`Error::Server`] where the server breaks.
///
/// # Panics
/// Never: the protocol's descriptors are well-formed.
pub async fn serve(
    door: Door,
    options: Options,
    events: mpsc::Sender<Event>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let connections = door::connections(door, &options.tally);
    let service = join::Service { options: Arc::new(options), events, rooms: Rooms::default() };
    let (health, healthy) = tonic_health::server::health_reporter();
    health.set_serving::<FleetServer<join::Service>>().await;
    // The descriptors are written by our own build.
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors can be read");
    let server = FleetServer::new(service)
        .max_decoding_message_size(proto::MAX_BATCH_BYTES)
        .max_encoding_message_size(proto::MAX_MESSAGE_BYTES);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADERS)
        .add_service(server)
        .add_service(healthy)
        .add_service(reflection)
        .serve_with_incoming_shutdown(connections, stop)
        .await?;
    Ok(())
}
