//! The peer's end of a connection: writes frames of HTTP/2, and reads the messages of the controller from them.

use prost::Message as _;
use proto::wire::{self, from_controller::Message};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

/// The connection preface (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_HEADERS: u8 = 4;
/// Length, kind, flags and stream.
const FRAME_HEAD: usize = 9;
/// The longest frame without settings that allow more.
const FRAME_BYTES: usize = 1 << 14;
/// A flag and a length.
const MESSAGE_HEAD: usize = 5;
/// How long a peer waits to be read, in simulated time.
const READ_TIMEOUT: Duration = Duration::from_millis(10);

pub(super) struct Peer {
    pipe: DuplexStream,
    /// Received, and no whole frame yet.
    frames: Vec<u8>,
    /// Received, and no whole message yet.
    messages: Vec<u8>,
    /// The last offer, and how many of its batches were sent as planned.
    pub(super) offer: Option<wire::ShardOffer>,
    pub(super) sent: u32,
}

impl Peer {
    pub(super) fn new(pipe: DuplexStream) -> Self {
        Self { pipe, frames: Vec::new(), messages: Vec::new(), offer: None, sent: 0 }
    }

    /// Sends bytes as they are. A controller that doesn't read them loses them.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        drop(timeout(READ_TIMEOUT, self.pipe.write_all(bytes)).await);
    }

    pub(super) async fn preface(&mut self) {
        self.send(PREFACE).await;
        self.frame(SETTINGS, 0, 0, &[]).await;
    }

    pub(super) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, content: &[u8]) {
        let length = u32::try_from(content.len()).expect("it is short").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.send(&[&head, content].concat()).await;
    }

    /// Begins a request.
    pub(super) async fn request(&mut self, stream: u32, path: &str, token: Option<&str>) {
        let mut fields = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        fields.extend(token.map(|token| ("authorization", token)));
        let headers: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
        self.frame(HEADERS, END_HEADERS, stream, &headers).await;
    }

    /// Sends a message of gRPC on the first stream.
    pub(super) async fn message(&mut self, message: &[u8]) {
        let length = u32::try_from(message.len()).expect("it is short");
        self.message_of(length, message).await;
    }

    /// The same, with another length.
    pub(super) async fn message_of(&mut self, length: u32, message: &[u8]) {
        let message = [&[0], &length.to_be_bytes()[..], message].concat();
        for part in message.chunks(FRAME_BYTES) {
            self.frame(DATA, 0, 1, part).await;
        }
    }

    /// Reads what has arrived.
    pub(super) async fn read(&mut self) {
        let mut part = [0; 4096];
        while let Ok(Ok(read @ 1..)) = timeout(READ_TIMEOUT, self.pipe.read(&mut part)).await {
            self.frames.extend_from_slice(&part[..read]);
        }
        while let Some(frame) = whole(&mut self.frames, FRAME_HEAD, &[0, 1, 2]) {
            if frame[3] == DATA {
                self.messages.extend_from_slice(&frame[FRAME_HEAD..]);
            }
        }
        while let Some(message) = whole(&mut self.messages, MESSAGE_HEAD, &[1, 2, 3, 4]) {
            let message = wire::FromController::decode(&message[MESSAGE_HEAD..]);
            // Other services answer on other streams.
            if let Ok(wire::FromController { message: Some(Message::ShardOffer(offer)) }) = message
            {
                self.offer = Some(offer);
                self.sent = 0;
            }
        }
    }
}

/// Takes what begins with a head that holds its length at these places.
fn whole(bytes: &mut Vec<u8>, head: usize, places: &[usize]) -> Option<Vec<u8>> {
    let digits = bytes.get(..head)?;
    let length = places.iter().fold(0, |length, place| length << 8 | usize::from(digits[*place]));
    (bytes.len() >= head + length).then(|| bytes.drain(..head + length).collect())
}

/// A header field without compression (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("it is short");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}
