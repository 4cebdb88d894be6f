//! Strangers on raw sockets: their connections end, whatever they send or don't read, and agents get in. What is sent in
//! part is limited, with a token, too.

use crate::hostile::{FINE, Served, hello, joined, serve, serve_with};
use fleet::{ConnectionLimits, Reason};
use http_body::Frame;
use prost::Message as _;
use proto::wire::{self, from_agent::Message};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::codegen::{Body, Bytes, Service, http};
use tonic::transport::{Channel, Endpoint};

const SHORT: Duration = Duration::from_secs(1);
/// The connection preface and empty settings (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A PING (RFC 9113, 6.7).
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\08 octets";

/// Sends PINGs without reading the answers, until the connection is closed.
async fn ping_and_never_read(url: String) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect(FINE);
    stream.write_all(PREFACE).await.expect(FINE);
    let pings = PING.repeat(1000);
    while stream.write_all(&pings).await.is_ok() {}
}

#[tokio::test]
async fn a_stranger_that_does_not_read_is_closed_at_the_deadline() {
    let served = serve_with(ConnectionLimits::new(1024).join_within(SHORT)).await;
    ping_and_never_read(served.url.clone()).await;
    assert_eq!(served.metrics.refusals.count(Reason::Silent), 1);
}

#[tokio::test]
async fn a_flood_before_the_join_is_read_up_to_a_limit() {
    let served = serve().await;
    let mut stream =
        TcpStream::connect(served.url.trim_start_matches("http://")).await.expect(FINE);
    stream.write_all(PREFACE).await.expect(FINE);
    let (mut reader, mut writer) = stream.into_split();
    let flood = tokio::spawn(async move {
        let pings = PING.repeat(1000);
        while writer.write_all(&pings).await.is_ok() {}
    });
    // The answers are read: only the limit stops the flood.
    let mut answers = 0;
    let mut part = vec![0; 1 << 16];
    while let Ok(Ok(read @ 1..)) = timeout(SHORT, reader.read(&mut part)).await {
        answers += read;
        assert!(answers < 1 << 20, "the flood is read without end");
    }
    assert!(answers > 100 << 10, "{answers}");
    flood.abort();
}

#[tokio::test]
async fn an_agent_gets_in_when_the_strangers_before_it_are_closed() {
    // Four connections that haven't joined.
    let limits = ConnectionLimits::new(64).join_within(SHORT);
    let mut served = serve_with(limits).await;
    let strangers: Vec<_> =
        (0..8).map(|_| tokio::spawn(ping_and_never_read(served.url.clone()))).collect();
    let mut strangers = strangers.into_iter();
    strangers.next().expect("there are eight").await.expect(FINE);
    let (_client, _outbox) = joined(&mut served, "honest").await;
    for stranger in strangers {
        stranger.await.expect(FINE);
    }
    assert_eq!(served.metrics.refusals.count(Reason::Silent), 8);
}

#[tokio::test]
async fn agents_take_no_more_than_half_of_the_descriptors() {
    // Five connections of both listeners together. A listener that waits for its next connection holds one of them.
    let limits = ConnectionLimits::new(10);
    let (mut first, mut second) = (serve_with(limits.clone()).await, serve_with(limits).await);
    let one = joined(&mut first, "one").await;
    let _two = joined(&mut first, "two").await;
    let _three = joined(&mut second, "three").await;
    let _four = joined(&mut second, "four").await;
    assert!(timeout(SHORT, joined(&mut second, "five")).await.is_err(), "one too many is open");
    drop(one);
    let _five = joined(&mut second, "five").await;
}

/// A request body that announces the longest message, and lacks its last byte.
struct HalfSent {
    head: Option<Bytes>,
    left: usize,
    sent: Arc<AtomicUsize>,
    /// Ends the body: a client that is dropped would go on to offer it.
    end: oneshot::Receiver<()>,
}

impl Body for HalfSent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if Pin::new(&mut self.end).poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        let piece = self.left.min(1 << 14);
        if piece == 0 {
            return Poll::Pending;
        }
        self.left -= piece;
        self.sent.fetch_add(piece, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(vec![0; piece].into()))))
    }
}

/// The bytes of a [`HalfSent`] message after its announcement.
const HALF: usize = proto::MAX_BATCH_BYTES - 1;

/// A connection with a half-sent message.
struct HalfJoined {
    _connection: (Channel, http::Response<tonic::body::Body>),
    _end: oneshot::Sender<()>,
    sent: Arc<AtomicUsize>,
}

impl HalfJoined {
    async fn dial(served: &Served, name: &str) -> Self {
        let endpoint = Endpoint::from_shared(served.url.clone()).expect(FINE);
        let mut channel = endpoint.connect().await.expect(FINE);
        let hello = wire::FromAgent { message: Some(Message::Hello(hello(name))) }.encode_to_vec();
        let prefix = |length: usize| {
            let length = u32::try_from(length).expect(FINE).to_be_bytes();
            [&[0], &length[..]].concat()
        };
        let head = [prefix(hello.len()), hello, prefix(proto::MAX_BATCH_BYTES)].concat();
        let sent = Arc::new(AtomicUsize::new(0));
        let (end, ended) = oneshot::channel();
        let body =
            HalfSent { head: Some(head.into()), left: HALF, sent: Arc::clone(&sent), end: ended };
        let request = http::Request::post(format!("{}/fleetmark.v1.Fleet/Join", served.url))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", &served.header)
            .body(tonic::body::Body::new(body))
            .expect(FINE);
        std::future::poll_fn(|context| channel.poll_ready(context)).await.expect(FINE);
        let response = channel.call(request).await.expect(FINE);
        Self { _connection: (channel, response), _end: end, sent }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn half_sent_messages_of_agents_share_64_mib() {
    let served = serve().await;
    let mut agents = Vec::new();
    for index in 0..16 {
        agents.push(HalfJoined::dial(&served, &format!("agent-{index}")).await);
    }
    // The first eight, and then one more in place of one that leaves.
    for _ in 0..2 {
        while agents.iter().filter(|agent| agent.sent() == HALF).count() < 8 {
            tokio::task::yield_now().await;
        }
        let sent: Vec<usize> = agents.iter().map(HalfJoined::sent).collect();
        let others = sent.iter().filter(|sent| **sent < HALF);
        assert!(others.clone().all(|sent| *sent < 1 << 20), "{sent:?}");
        let left = agents.iter().position(|agent| agent.sent() == HALF).expect("there are eight");
        drop(agents.remove(left));
    }
}
