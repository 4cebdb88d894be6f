//! The agents' streams: lets agents in, checks what they say, and hands it on as [`Event`]s.
//!
//! An edge. It takes a listener and a stop signal from its caller, so that tests bind port 0. It decides
//! nothing: leases, retries and what counts are the scheduler's. Wire types end here.

pub mod identity;
mod join;
mod outbox;

pub use outbox::Outbox;

use crate::store::{AgentFacts, SegmentFacts};
use identity::Token;
use proto::failure::Failure;
use proto::generation::Generation;
use proto::ids::{AgentId, CampaignId, HostId, TargetName};
use proto::model::{EngineFacts, EngineSpec};
use proto::sample::Sample;
use proto::telemetry::{Absence, Window};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;

/// What agents are told when they join.
#[derive(Debug, Clone)]
pub struct Options {
    /// The campaign that they serve.
    pub campaign: CampaignId,
    /// Who has it may join.
    pub token: Token,
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
}

/// What an agent said, checked.
#[derive(Debug)]
pub struct Event {
    /// Who.
    pub agent: AgentId,
    /// What.
    pub said: Said,
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
        samples: Vec<Sample>,
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

/// Serves agents on `listener` until `stop` is ready. Events go to `events`; a full channel slows agents down.
///
/// # Errors
/// [`Error::Server`] where the server breaks.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    events: mpsc::Sender<Event>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let service = join::Service { options: Arc::new(options), events };
    let server = proto::wire::fleet_server::FleetServer::new(service)
        .max_decoding_message_size(proto::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(proto::MAX_MESSAGE_BYTES);
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_service(server)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
        .await?;
    Ok(())
}
