//! Messages to one agent, and the check of its answers.

use super::stream_protocol::{Place, StreamProtocol};
use proto::wire::{self, from_agent};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::{fmt, pin::Pin};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Queue length per agent, which gets one shard at a time and one acknowledgment per batch.
const CAPACITY: usize = 4096;

type Order = Result<wire::FromController, Status>;

/// Sender to one agent; clones share the queue. An agent that lets the queue fill up is disconnected.
#[derive(Clone)]
pub struct Outbox {
    orders: mpsc::Sender<Order>,
    /// The final status, which bypasses the queue.
    refusal: mpsc::Sender<Status>,
    protocol: Arc<Mutex<StreamProtocol>>,
    overflow: CancellationToken,
    /// Set by a refusal: the stream ends whether or not the agent reads it.
    refused: Arc<OnceLock<Status>>,
    ended: CancellationToken,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// The queued messages of one agent, as a stream.
#[derive(Debug)]
pub struct Orders {
    orders: mpsc::Receiver<Order>,
    refusal: mpsc::Receiver<Status>,
}

impl Orders {
    /// The next queued message, without waiting.
    pub fn try_next(&mut self) -> Option<Result<wire::FromController, Status>> {
        let refusal = self.refusal.try_recv().ok().map(Err);
        refusal.or_else(|| self.orders.try_recv().ok())
    }
}

impl Stream for Orders {
    type Item = Order;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Order>> {
        if let Poll::Ready(Some(status)) = self.refusal.poll_recv(context) {
            return Poll::Ready(Some(Err(status)));
        }
        self.orders.poll_recv(context)
    }
}

impl Outbox {
    pub fn pair() -> (Self, Orders) {
        let (orders, waiting) = mpsc::channel(CAPACITY);
        let (refusal, last) = mpsc::channel(1);
        let (overflow, ended) = (CancellationToken::new(), CancellationToken::new());
        let (protocol, refused) = (Arc::default(), Arc::default());
        let outbox = Self { orders, refusal, protocol, overflow, refused, ended };
        (outbox, Orders { orders: waiting, refusal: last })
    }

    pub fn offer(&self, offer: wire::ShardOffer) {
        self.protocol().offer(&offer);
        self.send(wire::from_controller::Message::ShardOffer(offer));
    }

    /// Acknowledges that everything up to `sequence` is stored.
    pub fn acknowledge(&self, shard: usize, attempt: u64, sequence: u64) {
        let ack = wire::Ack { shard: shard as u64, attempt, sequence };
        self.send(wire::from_controller::Message::Ack(ack));
    }

    pub fn cancel(&self, shard: usize, attempt: u64, reason: &str) {
        let cancel = wire::Cancel { shard: shard as u64, attempt, reason: reason.to_owned() };
        self.send(wire::from_controller::Message::Cancel(cancel));
    }

    /// All agents that measure a run together have warmed up.
    pub fn start(&self, shard: usize, attempt: u64) {
        let start = wire::Start { shard: shard as u64, attempt };
        self.send(wire::from_controller::Message::Start(start));
    }

    /// The campaign is over: the agent finishes and exits.
    pub fn drain(&self, reason: &str) {
        let drain = wire::Drain { reason: reason.to_owned() };
        self.send(wire::from_controller::Message::Drain(drain));
    }

    pub(super) fn welcome(&self, welcome: wire::Welcome) {
        self.send(wire::from_controller::Message::Welcome(welcome));
    }

    /// Ends the stream with an error that the agent prints.
    pub fn refuse(&self, status: Status) {
        // A second refusal adds nothing.
        if self.refused.set(status.clone()).is_ok() {
            drop(self.refusal.try_send(status));
        }
        self.ended.cancel();
    }

    /// Resolves when the campaign refuses the agent.
    pub(super) async fn refused(&self) -> Status {
        self.ended.cancelled().await;
        self.refused.get().cloned().unwrap_or_else(|| Status::aborted("refused"))
    }

    /// Resolves when the queue overflows.
    pub(super) async fn overflowed(&self) {
        self.overflow.cancelled().await;
    }

    /// Checks a message against the stream protocol.
    pub(super) fn is_in_order(&self, message: &from_agent::Message) -> Result<(), Status> {
        let heard = self.protocol().hear(message);
        heard.map_err(|violation| Status::invalid_argument(violation.to_string()))
    }

    /// What an open attempt measures.
    pub(super) fn place(&self, attempt: u64) -> Option<Place> {
        self.protocol().place(attempt).cloned()
    }

    fn protocol(&self) -> MutexGuard<'_, StreamProtocol> {
        self.protocol.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: wire::from_controller::Message) {
        let message = wire::FromController { message: Some(message) };
        match self.orders.try_send(Ok(message)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.overflow.cancel(),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::debug!("message dropped: the agent is gone");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;

    #[tokio::test]
    async fn a_refusal_bypasses_a_full_queue() {
        let (outbox, mut orders) = Outbox::pair();
        for sequence in 0..=CAPACITY as u64 {
            outbox.acknowledge(0, 1, sequence);
        }
        outbox.overflowed().await;
        outbox.refuse(Status::resource_exhausted("slow"));
        assert_eq!(orders.next().await.unwrap().unwrap_err().message(), "slow");
    }
}
