//! What the controller says to one agent, and what it may answer.

use super::ledger::Ledger;
use proto::wire::{self, from_agent};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// How many messages may wait for a slow agent. It gets one shard at a time and an acknowledgement a batch.
const CAPACITY: usize = 4096;

type Order = Result<wire::FromController, Status>;

/// The way to one agent; clones share it. An agent that doesn't read until it is full is cut off.
#[derive(Clone)]
pub struct Outbox {
    orders: mpsc::Sender<Order>,
    /// The last word, which overtakes what waits.
    refusal: mpsc::Sender<Status>,
    ledger: Arc<Mutex<Ledger>>,
    overflow: CancellationToken,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// What waits for one agent, as its stream.
#[derive(Debug)]
pub struct Orders {
    orders: mpsc::Receiver<Order>,
    refusal: mpsc::Receiver<Status>,
}

impl Orders {
    /// What waits next, where something does; without waiting for more.
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
    /// The way to one agent, and its other end.
    pub fn pair() -> (Self, Orders) {
        let (orders, waiting) = mpsc::channel(CAPACITY);
        let (refusal, last) = mpsc::channel(1);
        let (ledger, overflow) = (Arc::default(), CancellationToken::new());
        (Self { orders, refusal, ledger, overflow }, Orders { orders: waiting, refusal: last })
    }

    /// Offers a shard.
    pub fn offer(&self, offer: wire::ShardOffer) {
        self.ledger().offer(&offer);
        self.send(wire::from_controller::Message::ShardOffer(offer));
    }

    /// Says that everything up to `sequence` is stored.
    pub fn acknowledge(&self, shard: usize, attempt: u64, sequence: u64) {
        let ack = wire::Ack { shard: shard as u64, attempt, sequence };
        self.send(wire::from_controller::Message::Ack(ack));
    }

    /// Takes a shard back.
    pub fn cancel(&self, shard: usize, attempt: u64, reason: &str) {
        let cancel = wire::Cancel { shard: shard as u64, attempt, reason: reason.to_owned() };
        self.send(wire::from_controller::Message::Cancel(cancel));
    }

    /// Sends it home: the campaign is over.
    pub fn drain(&self, reason: &str) {
        let drain = wire::Drain { reason: reason.to_owned() };
        self.send(wire::from_controller::Message::Drain(drain));
    }

    pub(super) fn welcome(&self, welcome: wire::Welcome) {
        self.send(wire::from_controller::Message::Welcome(welcome));
    }

    /// Ends the stream with an error that the agent shows.
    pub fn refuse(&self, status: Status) {
        // A second refusal says nothing new.
        drop(self.refusal.try_send(status));
    }

    /// Ready when the agent didn't read for so long that no more fits.
    pub(super) async fn overflowed(&self) {
        self.overflow.cancelled().await;
    }

    /// Whether the agent may say this now.
    pub(super) fn is_in_order(&self, message: &from_agent::Message) -> Result<(), Status> {
        let heard = self.ledger().hear(message);
        heard.map_err(|violation| Status::invalid_argument(violation.to_string()))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, message: wire::from_controller::Message) {
        let message = wire::FromController { message: Some(message) };
        match self.orders.try_send(Ok(message)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.overflow.cancel(),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                tracing::debug!("an agent is gone; a message was dropped");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt;

    #[tokio::test]
    async fn a_refusal_overtakes_what_an_agent_does_not_read() {
        let (outbox, mut orders) = Outbox::pair();
        for sequence in 0..=CAPACITY as u64 {
            outbox.acknowledge(0, 1, sequence);
        }
        outbox.overflowed().await;
        outbox.refuse(Status::resource_exhausted("slow"));
        assert_eq!(orders.next().await.unwrap().unwrap_err().message(), "slow");
    }
}
