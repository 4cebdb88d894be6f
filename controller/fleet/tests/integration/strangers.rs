//! Strangers on raw sockets: their connections end, whatever they send or don't read, and agents get in.

use crate::hostile::{FINE, joined, serve_with};
use fleet::{ConnectionLimits, Reason};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

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
    // Three connections of both listeners together.
    let limits = ConnectionLimits::new(6);
    let (mut first, mut second) = (serve_with(limits.clone()).await, serve_with(limits).await);
    let one = joined(&mut first, "one").await;
    let _two = joined(&mut first, "two").await;
    let _three = joined(&mut second, "three").await;
    assert!(timeout(SHORT, joined(&mut second, "four")).await.is_err(), "a fourth is open");
    drop(one);
    let _four = joined(&mut second, "four").await;
}
