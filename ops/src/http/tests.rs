//! Clients that don't finish, don't read or don't leave. Deadlines that must not matter to a test are an hour.

use super::*;
use axum::routing::{get, post};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const HALF_A_HEADER: &str = "GET / HTTP/1.1\r\nhost: local";
const HALF_A_BODY: &str = "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nhalf";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const SHORT: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_hours(1);
const PATIENT: Timeouts =
    Timeouts { headers: HOUR, body: HOUR, idle: HOUR, write: HOUR, stop: HOUR };

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Ending>,
    /// `/slow` has been called.
    called: Arc<Notify>,
    /// Lets `/slow` respond.
    go: Arc<Notify>,
}

async fn served(connections: usize, timeouts: Timeouts) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (called, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (of_route, to_go) = (Arc::clone(&called), Arc::clone(&go));
    let slow = async move || {
        of_route.notify_one();
        to_go.notified().await;
    };
    let router = Router::new()
        .route("/", get(async || "here"))
        .route("/large", get(async || "x".repeat(1 << 20)))
        .route("/echo", post(async |body: String| body))
        .route("/slow", get(slow));
    let (stop, stopped) = oneshot::channel();
    let limits = Limits { connections, drain: HOUR };
    let server = tokio::spawn(serve_within(listener, router, limits, timeouts, async {
        drop(stopped.await);
    }));
    Served { address, stop, server, called, go }
}

async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// What the server says until it closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection with unread bytes is reset.
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn incomplete_headers_have_a_deadline() {
    let served = served(8, Timeouts { headers: SHORT, ..PATIENT }).await;
    assert_eq!(until_closed(say(served.address, "").await).await, "");
    assert_eq!(until_closed(say(served.address, HALF_A_HEADER).await).await, "");
    let again = format!("{REQUEST}{HALF_A_HEADER}");
    let mut again = say(served.address, &again[..REQUEST.len()]).await;
    again.read_exact(&mut [0; 12]).await.unwrap();
    again.write_all(HALF_A_HEADER.as_bytes()).await.unwrap();
    assert!(until_closed(again).await.ends_with("here"));
}

#[tokio::test]
async fn an_incomplete_body_has_a_deadline() {
    let served = served(8, Timeouts { body: SHORT, ..PATIENT }).await;
    assert_eq!(until_closed(say(served.address, HALF_A_BODY).await).await, "");
}

#[tokio::test]
async fn an_idle_connection_has_a_deadline() {
    let served = served(8, Timeouts { idle: SHORT, ..PATIENT }).await;
    let answer = until_closed(say(served.address, REQUEST).await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_has_a_deadline() {
    let served = served(8, Timeouts { write: SHORT, ..PATIENT }).await;
    let mut stream = say(served.address, "").await;
    let request = REQUEST.replace("/ ", "/large ");
    // Fails once the server has closed the connection; until then it waits.
    while stream.write_all(request.as_bytes()).await.is_ok() {}
}

#[tokio::test]
async fn a_slow_answer_has_no_deadline() {
    let served =
        served(8, Timeouts { headers: SHORT, body: SHORT, idle: SHORT, write: SHORT, stop: SHORT })
            .await;
    let client = say(served.address, "GET /slow HTTP/1.0\r\n\r\n").await;
    served.called.notified().await;
    // A stranger that came later is closed first.
    until_closed(say(served.address, HALF_A_BODY).await).await;
    served.go.notify_one();
    let answer = until_closed(client).await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_for_a_free_connection() {
    let served = served(2, Timeouts { headers: SHORT, ..PATIENT }).await;
    let start = Instant::now();
    let _strangers = [say(served.address, "").await, say(served.address, "").await];
    let mut client = say(served.address, REQUEST).await;
    client.read_exact(&mut [0; 12]).await.unwrap();
    assert!(start.elapsed() >= SHORT, "three connections were open: {:?}", start.elapsed());
}

#[tokio::test]
async fn incomplete_requests_do_not_delay_the_stop() {
    let served = served(8, Timeouts { stop: SHORT, ..PATIENT }).await;
    let mut strangers = Vec::new();
    for said in ["", HALF_A_HEADER, HALF_A_BODY, REQUEST] {
        strangers.push(say(served.address, said).await);
    }
    // The server has accepted all of them when it answers this.
    let mut last = say(served.address, REQUEST).await;
    last.read_exact(&mut [0; 12]).await.unwrap();
    drop(served.stop);
    assert_eq!(served.server.await.unwrap(), Ending::Drained);
}

#[tokio::test]
async fn complete_requests_are_answered_after_the_stop() {
    let served = served(8, Timeouts { stop: Duration::ZERO, ..PATIENT }).await;
    let client = say(served.address, "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let idle = say(served.address, "").await;
    served.called.notified().await;
    drop(served.stop);
    assert_eq!(until_closed(idle).await, "");
    assert!(TcpStream::connect(served.address).await.is_err(), "it accepts no new connections");
    served.go.notify_one();
    let answer = until_closed(client).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(served.server.await.unwrap(), Ending::Drained);
}
