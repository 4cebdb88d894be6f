//! One agent's stream, from its Hello to its end.

use super::check::{self, NewAgent};
use super::identity::{Denied, Identity, METADATA_KEY};
use super::outbox::{Orders, Outbox};
use super::rate_limit::{RateLimit, TelemetryQuota};
use super::signatures::Signatures;
use super::{Event, Options, ingest::IngestLimit, listener::Peer, refusals::Reason};
use campaign::{AgentReport, JoinedAgent};
use model::{ids::AgentId, version::PROTOCOL};
use proto::wire::{self, from_agent::Message};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Service {
    pub(super) options: Arc<Options>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) ingest: IngestLimit,
    pub(super) names: NamesInUse,
}

/// The agent ids of open streams. Reports belong to an id, so two streams never share one.
#[derive(Debug, Clone, Default)]
pub(super) struct NamesInUse(Arc<Mutex<HashSet<AgentId>>>);

impl NamesInUse {
    /// Takes an id until the returned value is dropped; `None` if it is in use.
    fn take(&self, agent: &AgentId) -> Option<NameInUse> {
        let is_new = self.lock().insert(agent.clone());
        is_new.then(|| NameInUse { names: self.clone(), agent: agent.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<AgentId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct NameInUse {
    names: NamesInUse,
    agent: AgentId,
}

impl Drop for NameInUse {
    fn drop(&mut self) {
        self.names.lock().remove(&self.agent);
    }
}

/// The campaign's input; a full channel applies backpressure.
#[derive(Debug, Clone)]
struct Inbox {
    events: mpsc::Sender<Event>,
    ingest: IngestLimit,
    names: NamesInUse,
}

impl Inbox {
    /// Forwards a report. Returns false once the campaign is over.
    async fn put(&self, agent: &AgentId, report: AgentReport, outbox: Option<Outbox>) -> bool {
        let permit = self.ingest.acquire(&report).await;
        self.events.send(Event { agent: agent.clone(), report, outbox, permit }).await.is_ok()
    }
}

/// Why the controller ended a stream.
struct Refused(Reason, Status);

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self(Reason::Message, status)
    }
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for Service {
    type JoinStream = Orders;

    async fn join(
        &self,
        request: Request<Streaming<wire::FromAgent>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return Err(Status::internal("the connection has no peer information"));
        };
        let header = request.metadata().get(METADATA_KEY).and_then(|value| value.to_str().ok());
        let proof = peer.certificate.as_deref();
        let identity = match self.options.guard.admit(header, proof).await {
            Ok(identity) => identity,
            Err(denied) => {
                self.options.metrics.refusals.add(reason(denied), Some(peer.address), &denied);
                peer.cut_off();
                return Err(Status::unauthenticated(denied.to_string()));
            }
        };
        let incoming = request.into_inner();
        let (outbox, orders) = Outbox::pair();
        let options = Arc::clone(&self.options);
        let inbox = Inbox {
            events: self.events.clone(),
            ingest: self.ingest.clone(),
            names: self.names.clone(),
        };
        tokio::spawn(async move {
            if let Err(Refused(reason, status)) =
                run_stream(incoming, &options, &outbox, &inbox, &peer, &identity).await
            {
                // A lease that expired in a silence is no misbehavior: the agent joins again.
                let is_counted = status.code() != tonic::Code::Aborted;
                let told = format!("{identity}: {}", status.message());
                if is_counted {
                    options.metrics.refusals.add(reason, Some(peer.address), &told);
                }
                outbox.refuse(status);
            }
            // An agent opens a new connection for its next stream.
            peer.cut_off();
        });
        Ok(Response::new(orders))
    }
}

fn reason(denied: Denied) -> Reason {
    if denied.is_revoked() { Reason::Revoked } else { Reason::Identity }
}

/// Runs the stream to its end. However it ends, the campaign learns that a joined agent is gone.
async fn run_stream(
    mut incoming: Streaming<wire::FromAgent>,
    options: &Options,
    outbox: &Outbox,
    inbox: &Inbox,
    peer: &Peer,
    identity: &Identity,
) -> Result<(), Refused> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Refused(Reason::Silent, Status::deadline_exceeded("no Hello within 10 s")))?;
    let first = match first {
        Err(status) if is_said(&status) => return Err(status.into()),
        Err(_) => return Ok(()),
        Ok(first) => first,
    };
    let Some(Message::Hello(hello)) = first.and_then(|first| first.message) else {
        return Err(Status::invalid_argument("the first message must be a Hello").into());
    };
    let new_agent =
        check::hello(hello, options).map_err(|status| Refused(Reason::Mismatch, status))?;
    let agent = new_agent.agent.clone();
    // Held until the campaign knows that this stream has ended.
    let Some(_name) = inbox.names.take(&agent) else {
        let status = Status::already_exists("another open stream has this agent id");
        return Err(Refused(Reason::Mismatch, status));
    };
    peer.settle();
    tracing::info!(%agent, peer = %peer.address, "admitted by {identity}");
    let engines = &options.engines[new_agent.target];
    outbox.welcome(wire::Welcome {
        protocol: Some(PROTOCOL.into()),
        campaign: options.campaign.to_string(),
        target: options.targets[new_agent.target].to_string(),
        engines: engines.iter().map(wire::Engine::from).collect(),
        heartbeat_ms: u32::try_from(options.heartbeat.as_millis()).unwrap_or(u32::MAX),
        telemetry_ms: u32::try_from(options.telemetry.as_millis()).unwrap_or(u32::MAX),
        trace_parent: options.trace_parent.clone(),
    });
    let mut has_joined = false;
    // Without a certificate of its own, a signature proves nothing and is passed over.
    let signatures = peer.certificate.clone();
    let listening = Listening {
        options,
        engines: engines.len(),
        outbox,
        inbox,
        signatures: signatures.map(|its| Signatures::new(options.campaign.clone(), its)),
        has_joined: &mut has_joined,
    };
    let ended = tokio::select! {
        // What ends the stream comes before its next message.
        biased;
        denied = options.guard.denied(identity) => {
            Err(Refused(reason(denied), Status::unauthenticated(denied.to_string())))
        }
        // A client that ignores the status is not listened to any longer.
        status = outbox.refused() => Err(Refused(Reason::Message, status)),
        () = outbox.overflowed() => {
            Err(Refused(Reason::SlowReader, Status::resource_exhausted("the agent does not read its messages")))
        }
        ended = listen(incoming, new_agent, listening) => ended,
    };
    if has_joined {
        options.metrics.agents.dec();
        inbox.put(&agent, AgentReport::Gone, None).await;
    }
    ended
}

/// What a stream is checked against, and where its reports go.
struct Listening<'a> {
    options: &'a Options,
    /// How many engines the agent inspects.
    engines: usize,
    outbox: &'a Outbox,
    inbox: &'a Inbox,
    /// None without a certificate.
    signatures: Option<Signatures>,
    has_joined: &'a mut bool,
}

/// Forwards messages until the stream ends; an invalid message ends it.
async fn listen(
    mut incoming: Streaming<wire::FromAgent>,
    new_agent: NewAgent,
    listening: Listening<'_>,
) -> Result<(), Refused> {
    let Listening { options, engines, outbox, inbox, mut signatures, has_joined } = listening;
    let agent = new_agent.agent.clone();
    let mut new_agent = Some(new_agent);
    let (mut pace, mut observing) = (RateLimit::default(), TelemetryQuota::each(options.telemetry));
    loop {
        let message = match incoming.message().await {
            Ok(Some(message)) => message.message,
            Ok(None) => return Ok(()),
            // Too long, or not a message; everything else is a broken connection.
            Err(status) if is_said(&status) => return Err(status.into()),
            Err(status) => {
                tracing::debug!(%agent, %status, "agent stream broke");
                return Ok(());
            }
        };
        pace.wait().await;
        options.metrics.message(message.as_ref());
        let mut report = match message {
            Some(Message::Ready(ready)) => match new_agent.take() {
                Some(new_agent) => joined(new_agent, ready, engines)?,
                None => return Err(Status::invalid_argument("duplicate Ready").into()),
            },
            // The agent inspects its engines, and may have to fetch files first.
            Some(Message::Heartbeat(beat))
                if new_agent.is_some() && beat.activity() == wire::Activity::Loading =>
            {
                if !inbox.put(&agent, AgentReport::Preparing, None).await {
                    return Ok(());
                }
                continue;
            }
            // An unknown message kind of a newer agent, or a heartbeat before the inspection.
            None => continue,
            Some(_) if new_agent.is_some() => continue,
            Some(message) => {
                outbox.is_in_order(&message)?;
                match &mut signatures {
                    None => check::report(message)?,
                    Some(signatures) => {
                        let place = match &message {
                            Message::ShardAccepted(said) => outbox.place(said.attempt),
                            _ => None,
                        };
                        signatures.report(message, place)?
                    }
                }
            }
        };
        observing.cut(&mut report);
        if !std::mem::replace(has_joined, true) {
            options.metrics.agents.inc();
        }
        let outbox = matches!(report, AgentReport::Joined(_)).then(|| outbox.clone());
        if !inbox.put(&agent, report, outbox).await {
            return Ok(());
        }
    }
}

/// Whether a stream ended because of a message, not because of the connection.
fn is_said(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::OutOfRange | tonic::Code::ResourceExhausted)
        || (status.code() == tonic::Code::Internal && status.message().contains("decode"))
}

fn joined(new_agent: NewAgent, ready: wire::Ready, engines: usize) -> Result<AgentReport, Status> {
    if ready.engines.len() != engines {
        return Err(Status::invalid_argument("Ready must report on every engine"));
    }
    let engines = ready.engines.into_iter().map(check::engine).collect::<Result<_, _>>()?;
    let NewAgent { host, target, facts, .. } = new_agent;
    Ok(AgentReport::Joined(Box::new(JoinedAgent { host, target, facts, engines })))
}
