//! HTTP/2, against a real server of the protocol.

use super::streams::streaming;
use super::*;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use hyper::body::Bytes;
use hyper::{Request as Asked, Response as Answer};
use model::endpoint::HttpVersion;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

/// Streams that a client may open at the same time.
const MOST_STREAMS: u32 = 4;

/// What a server saw.
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    targets: Mutex<Vec<String>>,
    /// Opens for as many requests as may be open.
    full: Barrier,
}

struct Server {
    seen: Arc<Seen>,
    address: String,
    _runtime: tokio::runtime::Runtime,
}

/// What a server does with its connection.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// Announces its end; open streams are still answered.
    GoAway,
    Abort,
}

impl Server {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}/ask?key=1", listener.local_addr().unwrap());
        let seen = Arc::new(Seen {
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            targets: Mutex::default(),
            full: Barrier::new(MOST_STREAMS as usize),
        });
        let of_server = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                of_server.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&of_server)));
            }
        });
        Self { seen, address, _runtime: runtime }
    }

    /// Connections and requests.
    fn counts(&self) -> [usize; 2] {
        let Seen { connections, requests, .. } = &*self.seen;
        [connections, requests].map(|count| count.load(Ordering::SeqCst))
    }

    fn engine(&self) -> Http {
        open(&over_http2(spec(&self.address)))
    }
}

fn over_http2(mut spec: EngineSpec) -> EngineSpec {
    spec.endpoint.as_mut().unwrap().http_version = HttpVersion::Http2;
    spec
}

async fn serve(stream: TcpStream, seen: Arc<Seen>) {
    let mut settings = h2::server::Builder::new();
    let handshake = settings.max_concurrent_streams(MOST_STREAMS).handshake(stream);
    let Ok(mut connection) = handshake.await else { return };
    let pings = Arc::new(tokio::sync::Mutex::new(connection.ping_pong().unwrap()));
    let (thens, mut then) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let control = Control { then: thens.clone(), pings: Arc::clone(&pings) };
                tokio::spawn(handle(request, respond, Arc::clone(&seen), control));
            }
            Some(then) = then.recv() => match then {
                Then::GoAway => connection.graceful_shutdown(),
                Then::Abort => connection.abrupt_shutdown(Reason::NO_ERROR),
            }
        }
    }
}

/// What a request does with its connection.
struct Control {
    then: mpsc::UnboundedSender<Then>,
    pings: Arc<tokio::sync::Mutex<h2::PingPong>>,
}

impl Control {
    /// Returns when the client has received what was sent before: the first ping may overtake it.
    async fn flushed(&self) {
        let mut pings = self.pings.lock().await;
        for _ in 0..2 {
            pings.ping(h2::Ping::opaque()).await.unwrap();
        }
    }
}

/// Does what the dialogue says.
async fn handle(
    request: Asked<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: Arc<Seen>,
    control: Control,
) {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    seen.most_open.fetch_max(seen.open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    seen.targets.lock().unwrap().push(request.uri().to_string());
    let mut body = request.into_body();
    let mut said = Vec::new();
    while let Some(Ok(part)) = body.data().await {
        said.extend_from_slice(&part);
    }
    let said = String::from_utf8(said).unwrap();
    if said.contains("together") {
        seen.full.wait().await;
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
    let resets = [
        ("refused", Reason::REFUSED_STREAM),
        ("calm", Reason::ENHANCE_YOUR_CALM),
        ("broken", Reason::INTERNAL_ERROR),
        ("cancelled", Reason::CANCEL),
    ];
    if let Some((_, reason)) = resets.iter().find(|(word, _)| said.contains(word)) {
        return respond.send_reset(*reason);
    }
    if said.contains("aborts") {
        return control.then.send(Then::Abort).unwrap();
    }
    let is_stream = said.contains("stream");
    let kind = if is_stream { "text/event-stream" } else { "application/json" };
    let head = Answer::builder().header("content-type", kind).body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    let event = |data: &str| Bytes::from(format!("data: {data}\n\n"));
    if is_stream {
        body.send_data(event(r#"{"choices": [{"delta": {"content": "so"}}]}"#), false).unwrap();
        if said.contains("half") {
            control.flushed().await;
            return body.send_reset(Reason::INTERNAL_ERROR);
        }
        let last = r#"{"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}"#;
        body.send_data(event(last), false).unwrap();
        return body.send_data(event("[DONE]"), true).unwrap();
    }
    let answer = r#"[{"generated_text": "so", "output_tokens": 3, "finish": "length"}]"#;
    if said.contains("leaves") {
        control.then.send(Then::GoAway).unwrap();
    }
    body.send_data(Bytes::from_static(answer.as_bytes()), true).unwrap();
}

fn kinds(rows: &[Result<Row, Failure>]) -> Vec<Option<Kind>> {
    rows.iter().map(|row| row.as_ref().err().map(|failure| failure.kind)).collect()
}

#[test]
fn the_requests_of_a_batch_are_streams_of_one_connection_up_to_the_servers_limit() {
    let server = Server::start();
    let mut engine = server.engine();
    // The server answers once it has four of them, and takes no fifth.
    let rows = ask(&mut engine, &["together"; 12]);
    assert_eq!(kinds(&rows), [None; 12], "{rows:?}");
    assert_eq!(server.counts(), [1, 12]);
    assert_eq!(server.seen.most_open.load(Ordering::SeqCst), MOST_STREAMS as usize);
    let connects =
        rows.iter().filter(|row| row.as_ref().unwrap().http.unwrap().connect_ns.is_some());
    assert_eq!(connects.count(), 1, "one request opens the connection");
    assert!(server.seen.targets.lock().unwrap().iter().all(|target| *target == server.address));
    let next = ask(&mut engine, &["more"]);
    let timing = next[0].as_ref().unwrap().http.unwrap();
    assert_eq!((timing.connect_ns, timing.is_reconnected), (None, false));
}

#[test]
fn a_stream_that_is_reset_has_its_class_and_is_not_sent_again() {
    let server = Server::start();
    let mut engine = server.engine();
    let rows = ask(&mut engine, &["refused", "calm", "broken", "cancelled", "good"]);
    let expected = [
        Some(Kind::Throttled),
        Some(Kind::Throttled),
        Some(Kind::ServerError),
        Some(Kind::Unreachable),
        None,
    ];
    assert_eq!(kinds(&rows), expected, "{rows:?}");
    assert_eq!(server.counts(), [1, 5]);
}

#[test]
fn events_are_measured_as_they_arrive_and_a_reset_among_them_cuts_them_off() {
    let server = Server::start();
    let mut engine = open(&over_http2(streaming(&server.address)));
    let rows = ask(&mut engine, &["stream", "half a stream", "stream"]);
    assert_eq!(kinds(&rows), [None, Some(Kind::CutOff), None], "{rows:?}");
    let row = rows[0].as_ref().unwrap();
    assert_eq!((row.text.as_deref(), row.output_tokens), (Some("so"), Some(3)));
    assert!(row.first_token_ns.is_some());
    assert_eq!(server.counts(), [1, 3]);
}

#[test]
fn a_connection_that_goes_away_is_replaced_and_one_that_is_lost_fails_its_requests_once() {
    let server = Server::start();
    let mut engine = server.engine();
    assert_eq!(kinds(&ask(&mut engine, &["leaves"])), [None]);
    // Until the announcement arrives, the server answers on the old connection.
    let mut asked = 1;
    let timing = loop {
        let rows = ask(&mut engine, &["good"]);
        asked += 1;
        let timing = rows[0].as_ref().unwrap().http.unwrap();
        if timing.connect_ns.is_some() {
            break timing;
        }
    };
    assert!(timing.is_reconnected, "{timing:?}");
    assert_eq!(server.counts(), [2, asked]);
    let rows = ask(&mut engine, &["aborts"]);
    assert_eq!(kinds(&rows), [Some(Kind::Unreachable)], "{rows:?}");
    assert_eq!(server.counts(), [2, asked + 1], "it isn't sent again");
    assert_eq!(kinds(&ask(&mut engine, &["good"])), [None]);
    assert_eq!(server.counts(), [3, asked + 2]);
}

#[test]
fn the_version_is_noted_and_a_server_without_it_is_unreachable() {
    let server = Server::start();
    let engine = server.engine().probed(&[]).unwrap();
    let noted = |engine: &Http, note: &str| engine.facts().notes.iter().any(|one| one == note);
    assert!(noted(&engine, "requests are streams of one HTTP/2 connection"));
    let served = super::serve();
    let old = open(&spec(&served.address)).probed(&[]).unwrap();
    assert!(noted(&old, "requests use HTTP/1.1, each in flight with a connection of its own"));
    // Bytes of HTTP/1.1 are no frames.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }
    });
    let rows = ask(&mut open(&over_http2(spec(&address))), &["good"]);
    assert_eq!(kinds(&rows), [Some(Kind::Unreachable)], "{rows:?}");
}
