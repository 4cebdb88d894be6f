//! Agents' gRPC streams -> checked [`Event`]s. Wire types end here.
//!
//! An edge. The caller passes the listener and the stop signal, so tests bind port 0. It decides nothing: leases,
//! retries and counting belong to the campaign.

#![forbid(unsafe_code)]

pub mod check;
mod listener;
pub mod identity;
mod join;
pub mod stream_protocol;
mod outbox;
mod outboxes;
mod rate_limit;
mod receive_limit;
mod refusals;
pub mod signatures;
mod ingest;
mod metrics;

pub use ingest::IngestPermit;
pub use listener::{ConnectionLimits, Listener, Socket};
pub use metrics::FleetMetrics;
pub use outbox::{Orders, Outbox};
pub use outboxes::Outboxes;
pub use refusals::{Reason, Refusals};

use campaign::AgentReport;
use identity::Guard;
use ingest::IngestLimit;
use model::engine::AskedEngine;
use model::ids::{AgentId, CampaignId, TargetName};
use proto::wire::fleet_server::FleetServer;
use receive_limit::{Limited, ReceiveLimit};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// The campaign's settings that agents receive when they join.
#[derive(Debug, Clone)]
pub struct Options {
    pub campaign: CampaignId,
    pub guard: Arc<Guard>,
    pub metrics: Arc<FleetMetrics>,
    /// In the order of the matrix.
    pub targets: Vec<TargetName>,
    /// By target.
    pub engines: Vec<Vec<AskedEngine>>,
    /// The longest silence of an agent.
    pub heartbeat: Duration,
    /// Sampling period of the agents' instruments.
    pub telemetry: Duration,
    /// W3C `traceparent` of the campaign's span; empty if tracing is off.
    pub trace_parent: String,
}

/// A checked message of an agent.
#[derive(Debug)]
pub struct Event {
    pub agent: AgentId,
    pub report: AgentReport,
    /// Set with [`AgentReport::Joined`].
    pub outbox: Option<Outbox>,
    /// Hold it until the report is stored.
    pub permit: IngestPermit,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the fleet server failed")]
    Server(#[from] tonic::transport::Error),
}

/// Concurrent streams per connection: an agent needs one, plus a health check.
const STREAMS: u32 = 2;
/// Received bytes of a connection that nobody has read yet: a stranger can make the controller hold no more.
const CONNECTION_WINDOW: u32 = 128 << 10;
/// The same per stream.
const STREAM_WINDOW: u32 = 64 << 10;
/// Limit on messages to the services that need no authentication.
const OPEN_MESSAGE_BYTES: usize = 4 << 10;
/// Limit on request headers, in bytes; a token takes 64.
const HEADERS: u32 = 8 << 10;

/// Serves agents on `listener` until `stop` resolves. A full `events` channel applies backpressure to agents.
///
/// The gRPC health and reflection services answer without authentication.
pub async fn serve(
    listener: Listener,
    options: Options,
    events: mpsc::Sender<Event>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let connections = listener::connections(listener, &options.metrics);
    let service = join::Service {
        options: Arc::new(options),
        events,
        ingest: IngestLimit::default(),
        names: join::NamesInUse::default(),
    };
    let (health, healthy) = tonic_health::server::health_reporter();
    health.set_serving::<FleetServer<join::Service>>().await;
    // Our own build generates the descriptors.
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::wire::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors can be read")
        .max_decoding_message_size(OPEN_MESSAGE_BYTES);
    let healthy = healthy.max_decoding_message_size(OPEN_MESSAGE_BYTES);
    let server = FleetServer::new(service)
        .max_decoding_message_size(proto::MAX_BATCH_BYTES)
        .max_encoding_message_size(proto::MAX_MESSAGE_BYTES);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .http2_max_header_list_size(HEADERS)
        .add_service(Limited { service: server, limit: ReceiveLimit::default() })
        .add_service(healthy)
        .add_service(reflection)
        .serve_with_incoming_shutdown(connections, stop)
        .await?;
    Ok(())
}
