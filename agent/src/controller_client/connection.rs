//! One connection, from dialing to its end.

use super::signing::ShardSigner;
use super::{Disconnect, Ending, Inbox, Options, convert, dial::Dialer, is_final, spans::Spans};
use crate::metrics::Metrics;
use crate::runner::{Activity, Command, Report, Runner};
use host::Host;
use model::engine::AskedEngine;
use model::failure::{Failure, Kind, Retry};
use model::ids;
use model::text::plain;
use model::version::{PROTOCOL, Version};
use ops::{error_chain::root_cause, terminal};
use proto::wire::{self, fleet_client::FleetClient, from_agent::Message, from_controller};
use std::{error::Error as _, future::Future, pin::Pin, time::Duration};
use telemetry::sampler::{Observation, Observations};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

/// Outgoing messages buffered for a slow controller; more wait in the runner's channel.
const CAPACITY: usize = 64;
/// Time for the controller to receive everything from a leaving agent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer reasons of the controller are truncated to this many characters.
const MAX_REASON: usize = 2000;

pub(super) async fn serve(
    options: &Options,
    host: &Host,
    runner: &Runner,
    inbox: &mut Inbox,
    metrics: &Metrics,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
) -> Disconnect {
    metrics.connections.inc();
    let prepared = Dialer::new(&options.controller, &options.identity)
        .and_then(|dial| Ok((dial, options.identity.header()?)));
    let (dial, header) = match prepared {
        Ok(prepared) => prepared,
        // A certificate file may be being replaced right now.
        Err(error) => return Disconnect::Broken(error.to_string()),
    };
    let channel = tokio::select! {
        () = &mut *stop => return Disconnect::Ended(Ending::Stopped),
        connected = dial.connect() => match connected {
            Ok(channel) => channel,
            Err(error) => return broken(&dial, &error),
        },
    };
    let (outgoing, receiver) = mpsc::channel(CAPACITY);
    // The channel is empty, so Hello fits.
    drop(outgoing.try_send(message(Message::Hello(hello(options, host)))));
    let mut request = Request::new(ReceiverStream::new(receiver));
    if let Some(header) = header {
        request.metadata_mut().insert("authorization", header);
    }
    let mut client = FleetClient::new(channel)
        .max_decoding_message_size(proto::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(proto::MAX_BATCH_BYTES);
    let joined = tokio::select! {
        () = &mut *stop => return Disconnect::Ended(Ending::Stopped),
        joined = client.join(request) => joined,
    };
    let incoming = match joined {
        Ok(response) => response.into_inner(),
        Err(status) => return ended_by(&dial, &status, false),
    };
    let activity = (Activity::Idle, None);
    let mut session = Session {
        dial: &dial,
        runner,
        outgoing,
        metrics,
        spans: Spans::new(&options.traces),
        signer: dial.signer(),
        activity,
        current: None,
        stopping: false,
        is_ready: false,
    };
    let disconnect = session.run(incoming, inbox, stop).await;
    metrics.joined.set(0);
    if let Some((_, attempt)) = session.current {
        // The attempt is lost with the connection; the runner stops after the current batch.
        runner.cancel(attempt);
    }
    disconnect
}

fn broken(dial: &Dialer, error: &(dyn std::error::Error + 'static)) -> Disconnect {
    dial.refusal(error).map_or_else(|| Disconnect::Broken(root_cause(error)), Disconnect::Refused)
}

fn closed(was_welcome: bool) -> Disconnect {
    let reason = "the controller closed the stream".to_owned();
    if was_welcome { Disconnect::BrokenAfterWelcome(reason) } else { Disconnect::Broken(reason) }
}

fn ended_by(dial: &Dialer, status: &Status, was_welcome: bool) -> Disconnect {
    if let Some(reason) = dial.refusal(status) {
        return Disconnect::Refused(reason);
    }
    // Statuses from the controller have no source; transport errors do.
    let reason = match status.source() {
        Some(source) => root_cause(source),
        None => plain(status.message(), MAX_REASON),
    };
    match (is_final(status.code()), was_welcome) {
        (true, _) => Disconnect::Refused(reason),
        (false, true) => Disconnect::BrokenAfterWelcome(reason),
        (false, false) => Disconnect::Broken(reason),
    }
}

fn drained(drain: &wire::Drain) -> Disconnect {
    Disconnect::Ended(Ending::Drained(plain(&drain.reason, MAX_REASON)))
}

fn message(message: Message) -> wire::FromAgent {
    wire::FromAgent { message: Some(message) }
}

fn hello(options: &Options, host: &Host) -> wire::Hello {
    wire::Hello {
        protocol: Some(PROTOCOL.into()),
        agent_id: options.agent_id.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        target: options.target.clone(),
        host: Some(wire::Host::new(host.boot_id.clone(), host.facts.clone())),
        devices: options.devices.iter().map(convert::device).collect(),
        threads: options.threads,
        labels: std::collections::HashMap::new(),
        instruments: Some(options.instruments.clone().into()),
    }
}

/// Reads what the controller sent before it stopped reading: its reason, if it gave one.
async fn last_message(
    dial: &Dialer,
    mut incoming: tonic::Streaming<wire::FromController>,
    was_welcome: bool,
) -> Disconnect {
    let last = async {
        loop {
            match incoming.message().await {
                Ok(Some(wire::FromController {
                    message: Some(from_controller::Message::Drain(drain)),
                })) => {
                    return drained(&drain);
                }
                Ok(Some(_)) => {}
                Ok(None) => return closed(was_welcome),
                Err(status) => return ended_by(dial, &status, was_welcome),
            }
        }
    };
    tokio::time::timeout(DRAIN_TIMEOUT, last).await.unwrap_or_else(|_| closed(was_welcome))
}

type Sent = Result<(), mpsc::error::SendError<wire::FromAgent>>;

struct Session<'a> {
    dial: &'a Dialer,
    runner: &'a Runner,
    outgoing: mpsc::Sender<wire::FromAgent>,
    metrics: &'a Metrics,
    spans: Spans,
    /// None without a certificate.
    signer: Option<ShardSigner>,
    activity: (Activity, Option<(u64, u64)>),
    /// The shard and attempt that the runner works on. Only their reports are forwarded.
    current: Option<(u64, u64)>,
    stopping: bool,
    /// Set after Ready: before that the controller does not accept telemetry.
    is_ready: bool,
}

impl Session<'_> {
    async fn run(
        &mut self,
        mut incoming: tonic::Streaming<wire::FromController>,
        inbox: &mut Inbox,
        stop: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Disconnect {
        let mut was_welcome = false;
        let mut heartbeat = tokio::time::interval(Duration::from_secs(1));
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let sent = tokio::select! {
                received = incoming.message() => match received {
                    Ok(Some(received)) => match received.message {
                        Some(from_controller::Message::Drain(drain)) => {
                            return drained(&drain);
                        }
                        Some(from_controller::Message::Welcome(welcome)) => {
                            was_welcome = true;
                            self.metrics.joined.set(1);
                            if welcome.heartbeat_ms > 0 {
                                let period = Duration::from_millis(welcome.heartbeat_ms.into());
                                heartbeat = tokio::time::interval(period);
                            }
                            match self.welcome(welcome) {
                                Ok(()) => Ok(()),
                                Err(reason) => return Disconnect::Refused(reason),
                            }
                        }
                        Some(other) => self.take(other).await,
                        None => Ok(()),
                    },
                    Ok(None) => return closed(was_welcome),
                    Err(status) => return ended_by(self.dial, &status, was_welcome),
                },
                report = inbox.reports.recv() => {
                    let Some(report) = report else {
                        // What it reported last is still to be sent.
                        self.flush(incoming).await;
                        return Disconnect::RunnerPanicked;
                    };
                    // Telemetry of a shard must arrive before its end.
                    let observed = match report {
                        Report::Finished { .. } | Report::Failed { .. } => self.observe(&mut inbox.observations).await,
                        _ => Ok(()),
                    };
                    match observed {
                        Ok(()) => self.pass_on(report).await,
                        broken => broken,
                    }
                }
                _ = heartbeat.tick() => match self.observe(&mut inbox.observations).await {
                    Ok(()) => self.send_heartbeat().await,
                    broken => broken,
                },
                () = &mut *stop, if !self.stopping => self.leave().await,
            };
            if sent.is_err() {
                return last_message(self.dial, incoming, was_welcome).await;
            }
            if self.stopping && self.current.is_none() {
                self.flush(incoming).await;
                return Disconnect::Ended(Ending::Stopped);
            }
        }
    }

    async fn send(&self, kind: Message) -> Sent {
        self.outgoing.send(message(kind)).await
    }

    fn welcome(&mut self, welcome: wire::Welcome) -> Result<(), String> {
        Version::from(welcome.protocol.unwrap_or_default())
            .check("controller")
            .map_err(|error| error.to_string())?;
        self.spans.welcomed(&welcome);
        if let Some(signer) = &mut self.signer {
            signer.welcome(&welcome);
        }
        terminal::note(&format!(
            "joined campaign {} for {}",
            plain(&welcome.campaign, ids::MAX_BYTES),
            plain(&welcome.target, ids::MAX_BYTES)
        ));
        let engines =
            welcome.engines.into_iter().map(AskedEngine::try_from).collect::<Result<_, _>>();
        let too_old = |error| format!("{error}: this agent is too old for the campaign");
        let engines = engines.map_err(too_old)?;
        let telemetry = Duration::from_millis(welcome.telemetry_ms.into());
        self.runner.send(Command::Inspect { engines, telemetry });
        Ok(())
    }

    async fn take(&mut self, received: from_controller::Message) -> Sent {
        match received {
            from_controller::Message::ShardOffer(offer) => {
                let (shard, attempt) = (offer.shard, offer.attempt);
                self.current = Some((shard, attempt));
                self.spans.leased(&offer);
                let salt = self.signer.as_mut().map(|signer| signer.begin(&offer));
                let salt = salt.unwrap_or_default();
                let accepted = wire::ShardAccepted { shard, attempt, salt };
                self.send(Message::ShardAccepted(accepted)).await?;
                match convert::offer(offer) {
                    Ok(offer) => {
                        self.runner.send(Command::Measure(Box::new(offer)));
                        Ok(())
                    }
                    Err(error) => {
                        let (retry, kind) = (Retry::Never, Kind::Internal);
                        let failure = Failure { retry, kind, detail: error.to_string() };
                        self.pass_on(Report::Failed { shard, attempt, failure }).await
                    }
                }
            }
            from_controller::Message::Cancel(cancel) => {
                tracing::info!(reason = cancel.reason, "the shard was cancelled");
                self.runner.cancel(cancel.attempt);
                Ok(())
            }
            from_controller::Message::Start(start) => {
                self.runner.begin(start.attempt);
                Ok(())
            }
            // Samples are sent once and in order; if the stream breaks, the attempt is lost. So
            // acknowledgements free nothing here.
            from_controller::Message::Ack(_)
            | from_controller::Message::Welcome(_)
            | from_controller::Message::Drain(_) => Ok(()),
        }
    }

    async fn pass_on(&mut self, report: Report) -> Sent {
        match report {
            Report::Inspected(found) => {
                let engines = found
                    .into_iter()
                    .map(|found| match found {
                        Ok(facts) => {
                            wire::EngineReport { facts: Some(facts.into()), refusal: String::new() }
                        }
                        Err(failure) => wire::EngineReport { facts: None, refusal: failure.detail },
                    })
                    .collect();
                self.is_ready = true;
                self.spans.inspected();
                self.send(Message::Ready(wire::Ready { engines })).await
            }
            Report::Activity(activity, of) => {
                self.activity = (activity, of);
                if of.is_some() && of == self.current {
                    self.spans.activity(activity);
                }
                self.send_heartbeat().await
            }
            Report::Batch(samples) if self.current == Some((samples.shard, samples.attempt)) => {
                self.metrics.batches.inc();
                if let Some(signer) = &mut self.signer {
                    signer.add(&samples);
                }
                let failed =
                    samples.samples.iter().filter(|(_, sample)| !sample.outcome.is_ok()).count();
                let ok = samples.samples.len() - failed;
                self.metrics.samples.with_label_values(&["ok"]).inc_by(ok as u64);
                self.metrics.samples.with_label_values(&["failed"]).inc_by(failed as u64);
                self.send(Message::Samples(convert::samples(*samples))).await
            }
            Report::Finished { shard, attempt, last_sequence, segment }
                if self.current == Some((shard, attempt)) =>
            {
                self.current = None;
                self.spans.end(None);
                self.metrics.shards.with_label_values(&["finished"]).inc();
                let segment = Some(segment.into());
                let signature = self.signer.as_mut().and_then(|signer| signer.sign(attempt));
                let finished =
                    wire::ShardFinished { shard, attempt, last_sequence, segment, signature };
                self.send(Message::ShardFinished(finished)).await
            }
            Report::Failed { shard, attempt, failure }
                if self.current == Some((shard, attempt)) =>
            {
                self.current = None;
                self.spans.end(Some(&failure.to_string()));
                self.metrics.shards.with_label_values(&["failed"]).inc();
                let failure = Some(failure.into());
                self.send(Message::ShardFailed(wire::ShardFailed { shard, attempt, failure })).await
            }
            // Reports of an attempt that was lost with its connection.
            Report::Batch(_) | Report::Finished { .. } | Report::Failed { .. } => Ok(()),
        }
    }

    async fn observe(&self, observations: &mut Observations) -> Sent {
        if !self.is_ready {
            return Ok(());
        }
        let mut telemetry =
            wire::Telemetry { dropped: observations.take_dropped(), ..wire::Telemetry::default() };
        for observed in observations.take() {
            match observed {
                Observation::Window(window) => telemetry.windows.push((*window).into()),
                Observation::Absent(absence) => telemetry.absences.push(absence.into()),
            }
        }
        if telemetry == wire::Telemetry::default() {
            return Ok(());
        }
        self.send(Message::Telemetry(telemetry)).await
    }

    async fn send_heartbeat(&self) -> Sent {
        let (activity, of) = self.activity;
        let (shard, attempt) = of.unwrap_or_default();
        let heartbeat =
            wire::Heartbeat { activity: convert::activity(activity).into(), shard, attempt };
        self.send(Message::Heartbeat(heartbeat)).await
    }

    /// Closes the sending side and waits for the controller's: unsent messages would be lost.
    async fn flush(&mut self, mut incoming: tonic::Streaming<wire::FromController>) {
        let (nothing_more, _) = mpsc::channel(1);
        self.outgoing = nothing_more;
        let heard = async { while let Ok(Some(_)) = incoming.message().await {} };
        drop(tokio::time::timeout(DRAIN_TIMEOUT, heard).await);
    }

    /// Accepts no more shards, and returns the current one after its current batch.
    async fn leave(&mut self) -> Sent {
        self.stopping = true;
        if let Some((_, attempt)) = self.current {
            self.runner.cancel(attempt);
        }
        let reason = "the agent is stopping".to_owned();
        self.send(Message::Leaving(wire::Leaving { reason })).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_the_controller_is_escaped() {
        let reason = "over\n::error::x\u{1b}[2J\u{202e}\u{2028}".to_owned();
        let Disconnect::Ended(Ending::Drained(reason)) = drained(&wire::Drain { reason }) else {
            panic!("it is drained");
        };
        assert_eq!(reason, "over\\n::error::x\\u{1b}[2J\\u{202e}\\u{2028}");
    }
}
