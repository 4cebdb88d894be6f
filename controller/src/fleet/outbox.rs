//! What the controller says to one agent.

use proto::wire;
use tokio::sync::mpsc;
use tonic::Status;

/// How many messages may wait for a slow agent. It gets one shard at a time and an acknowledgement a batch.
pub(super) const CAPACITY: usize = 4096;

/// The way to one agent; clones share it. Messages to an agent that is gone, or that doesn't read, are
/// dropped: its lease runs out.
#[derive(Debug, Clone)]
pub struct Outbox(pub(super) mpsc::Sender<Result<wire::FromController, Status>>);

impl Outbox {
    /// Letters that go to `receiver`'s other end.
    pub fn new(sender: mpsc::Sender<Result<wire::FromController, Status>>) -> Self {
        Self(sender)
    }

    /// Offers a shard.
    pub fn offer(&self, offer: wire::ShardOffer) {
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
        drop(self.0.try_send(Err(status)));
    }

    fn send(&self, message: wire::from_controller::Message) {
        let message = wire::FromController { message: Some(message) };
        if self.0.try_send(Ok(message)).is_err() {
            tracing::debug!("an agent is gone or doesn't read; a message was dropped");
        }
    }
}
