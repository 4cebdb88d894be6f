//! One agent's stream, from its Hello to its end.

use super::check::{self, Newcomer};
use super::door::Peer;
use super::identity::{Denied, Identity, METADATA_KEY};
use super::outbox::{Orders, Outbox};
use super::pace::{Observing, Pace};
use super::refusals::Reason;
use super::room::Rooms;
use super::{Event, Joined, Options, Said};
use model::ids::AgentId;
use model::version::PROTOCOL;
use proto::wire::{self, from_agent::Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

/// How long a connection may be silent before it says who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Service {
    pub(super) options: Arc<Options>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) rooms: Rooms,
}

/// The way into the campaign: a full one slows agents down.
#[derive(Debug, Clone)]
struct Inbox {
    events: mpsc::Sender<Event>,
    rooms: Rooms,
}

impl Inbox {
    /// Hands on what an agent says. Returns whether anybody listens.
    async fn put(&self, agent: &AgentId, said: Said) -> bool {
        let room = self.rooms.take(&said).await;
        self.events.send(Event { agent: agent.clone(), said, room }).await.is_ok()
    }
}

/// Why a stream was ended by us.
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
            return Err(Status::internal("the connection didn't come through the door"));
        };
        let header = request.metadata().get(METADATA_KEY).and_then(|value| value.to_str().ok());
        let proof = peer.certificate.as_deref();
        let identity = match self.options.guard.admit(header, proof).await {
            Ok(identity) => identity,
            Err(denied) => {
                self.options.tally.refusals.add(reason(denied), Some(peer.address), &denied);
                peer.cut_off();
                return Err(Status::unauthenticated(denied.to_string()));
            }
        };
        let incoming = request.into_inner();
        let (outbox, orders) = Outbox::pair();
        let options = Arc::clone(&self.options);
        let inbox = Inbox { events: self.events.clone(), rooms: self.rooms.clone() };
        tokio::spawn(async move {
            if let Err(Refused(reason, status)) =
                converse(incoming, &options, &outbox, &inbox, &peer, &identity).await
            {
                let told = format!("{identity}: {}", status.message());
                options.tally.refusals.add(reason, Some(peer.address), &told);
                outbox.refuse(status);
            }
            // An agent dials anew for its next stream.
            peer.cut_off();
        });
        Ok(Response::new(orders))
    }
}

fn reason(denied: Denied) -> Reason {
    if denied.is_revoked() { Reason::Revoked } else { Reason::Identity }
}

/// The whole conversation. Whatever ends it, the campaign hears that an agent that had joined is gone.
async fn converse(
    mut incoming: Streaming<wire::FromAgent>,
    options: &Options,
    outbox: &Outbox,
    inbox: &Inbox,
    peer: &Peer,
    identity: &Identity,
) -> Result<(), Refused> {
    let first = tokio::time::timeout(HELLO_WITHIN, incoming.message()).await.map_err(|_| {
        Refused(Reason::Silent, Status::deadline_exceeded("no Hello came within 10 s"))
    })?;
    let first = match first {
        Err(status) if is_said(&status) => return Err(status.into()),
        Err(_) => return Ok(()),
        Ok(first) => first,
    };
    let Some(Message::Hello(hello)) = first.and_then(|first| first.message) else {
        return Err(Status::invalid_argument("the first message must be a Hello").into());
    };
    let newcomer =
        check::hello(hello, options).map_err(|status| Refused(Reason::Mismatch, status))?;
    peer.stay();
    let agent = newcomer.agent.clone();
    tracing::info!(%agent, peer = %peer.address, "let in by {identity}");
    let engines = &options.engines[newcomer.target];
    outbox.welcome(wire::Welcome {
        protocol: Some(PROTOCOL.into()),
        campaign: options.campaign.to_string(),
        target: options.targets[newcomer.target].to_string(),
        engines: engines.iter().map(wire::Engine::from).collect(),
        heartbeat_ms: u32::try_from(options.heartbeat.as_millis()).unwrap_or(u32::MAX),
        generation: Some((&options.generation).into()),
        telemetry_ms: u32::try_from(options.telemetry.as_millis()).unwrap_or(u32::MAX),
        trace_parent: options.trace_parent.clone(),
    });
    let mut has_joined = false;
    let ended = tokio::select! {
        ended = listen(incoming, newcomer, engines.len(), outbox, inbox, (options, &mut has_joined)) => ended,
        denied = options.guard.denied(identity) => {
            Err(Refused(reason(denied), Status::unauthenticated(denied.to_string())))
        }
        () = outbox.overflowed() => {
            Err(Refused(Reason::SlowReader, Status::resource_exhausted("it doesn't read what it is told")))
        }
    };
    if has_joined {
        options.tally.agents.dec();
        // The receiver is gone only when the campaign is over.
        inbox.put(&agent, Said::Gone).await;
    }
    ended
}

/// Hands on what the agent says until its stream ends. What can't be taken ends it.
async fn listen(
    mut incoming: Streaming<wire::FromAgent>,
    newcomer: Newcomer,
    engines: usize,
    outbox: &Outbox,
    inbox: &Inbox,
    (options, has_joined): (&Options, &mut bool),
) -> Result<(), Refused> {
    let agent = newcomer.agent.clone();
    let mut newcomer = Some(newcomer);
    let (mut pace, mut observing) = (Pace::default(), Observing::each(options.telemetry));
    loop {
        let message = match incoming.message().await {
            Ok(Some(message)) => message.message,
            Ok(None) => return Ok(()),
            // Too long, or not a message; everything else is a connection that broke.
            Err(status) if is_said(&status) => return Err(status.into()),
            Err(status) => {
                tracing::debug!(%agent, %status, "an agent's stream broke");
                return Ok(());
            }
        };
        pace.wait().await;
        options.tally.message(message.as_ref());
        let mut said = match message {
            Some(Message::Ready(ready)) => match newcomer.take() {
                Some(newcomer) => joined(newcomer, ready, engines, outbox.clone())?,
                None => return Err(Status::invalid_argument("Ready came twice").into()),
            },
            // It looks at its engines, and may have to fetch them first.
            Some(Message::Heartbeat(beat))
                if newcomer.is_some() && beat.activity() == wire::Activity::Loading =>
            {
                if !inbox.put(&agent, Said::Preparing).await {
                    return Ok(());
                }
                continue;
            }
            // A message kind of a newer agent, or a heartbeat before it looks.
            None => continue,
            Some(_) if newcomer.is_some() => continue,
            Some(message) => {
                outbox.is_in_order(&message)?;
                check::said(message)?
            }
        };
        observing.cut(&mut said);
        if !std::mem::replace(has_joined, true) {
            options.tally.agents.inc();
        }
        if !inbox.put(&agent, said).await {
            return Ok(());
        }
    }
}

/// Whether a stream ended by what was said on it, not by how it was carried.
fn is_said(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::OutOfRange | tonic::Code::ResourceExhausted)
        || (status.code() == tonic::Code::Internal && status.message().contains("decode"))
}

fn joined(
    newcomer: Newcomer,
    ready: wire::Ready,
    engines: usize,
    outbox: Outbox,
) -> Result<Said, Status> {
    if ready.engines.len() != engines {
        return Err(Status::invalid_argument("Ready doesn't answer for every engine"));
    }
    let engines = ready.engines.into_iter().map(check::engine).collect::<Result<_, _>>()?;
    let Newcomer { host, target, facts, .. } = newcomer;
    Ok(Said::Joined(Box::new(Joined { host, target, facts, engines, outbox })))
}
