//! Callers that leave, over real connections, with an engine that decodes until they do.

use super::*;
use engine::{Intake, Request, Row};
use model::engine::EngineFacts;
use model::generation::Generation;
use model::sample::Finish;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Hangs only if the code is wrong.
const NEVER: Duration = Duration::from_mins(1);

/// What the engine saw.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Entered(String),
    Left(String),
}

/// Continuous batching of rows that never end, except those whose prompt is a number, the steps
/// that they take, or "gated": they end once the gate is open. All have one piece of text.
struct Steps {
    facts: EngineFacts,
    seen: UnboundedSender<Seen>,
    gate: Arc<AtomicBool>,
}

struct LiveRow {
    prompt: String,
    steps: u32,
}

impl LiveRow {
    fn has_ended(&self, gate: &AtomicBool) -> bool {
        match self.prompt.as_str() {
            "gated" => gate.load(Ordering::SeqCst),
            prompt => prompt.parse() == Ok(self.steps),
        }
    }
}

fn row(text: &str, now_ns: u64) -> Row {
    Row {
        input_tokens: Some(3),
        cut_tokens: 0,
        output_ids: Vec::new(),
        output_tokens: Some(2),
        unknown_tokens: 0,
        first_token_ns: Some(now_ns),
        end_ns: now_ns,
        finish: Finish::Eos,
        text: Some(text.to_owned()),
        http: None,
        chunk_gaps: None,
        drafts: None,
    }
}

impl Engine for Steps {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn generate(
        &mut self,
        _batch: &[Request],
        _generation: &Generation,
        _stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        unreachable!("the server lets requests enter the running batch")
    }

    fn serve(
        &mut self,
        intake: &mut dyn Intake,
        _generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        let mut live: BTreeMap<usize, LiveRow> = BTreeMap::new();
        let mut entered = 0;
        loop {
            for number in intake.take_cancelled() {
                let LiveRow { prompt, .. } = live.remove(&number).expect("it is live");
                drop(self.seen.send(Seen::Left(prompt)));
            }
            for Request { dialogue, .. } in intake.enter() {
                drop(self.seen.send(Seen::Entered(dialogue.clone())));
                live.insert(entered, LiveRow { prompt: dialogue, steps: 0 });
                entered += 1;
            }
            if live.is_empty() {
                return Ok(());
            }
            for (number, row) in &mut live {
                row.steps += 1;
                if row.steps == 1 && intake.wants_text(*number) {
                    intake.text(*number, "x");
                }
            }
            for (number, _) in live.extract_if(.., |_, row| row.has_ended(&self.gate)) {
                intake.ended(number, Ok(row("x", stopwatch.now_ns())));
            }
            std::thread::yield_now();
        }
    }
}

struct Served {
    address: SocketAddr,
    seen: UnboundedReceiver<Seen>,
    gate: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<Ending, Error>>,
}

impl Served {
    async fn start(queue: usize, batch_size: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = unbounded_channel();
        let gate = Arc::new(AtomicBool::new(false));
        let of_engine = Arc::clone(&gate);
        let limits = Limits { max_input_tokens: 9, max_new_tokens: 9 };
        let (settings, sampling) = (Settings::default(), RequestSampling::Refused);
        let options = Options { limits, settings, sampling, queue, batch_size };
        let load = move || -> Result<Box<dyn Engine>, engines::Error> {
            Ok(Box::new(Steps { facts: EngineFacts::default(), seen: sender, gate: of_engine }))
        };
        let (stop, stopped) = oneshot::channel();
        let (tell_ready, ready) = oneshot::channel();
        let ready_now = move || tell_ready.send(()).expect("the test waits for it");
        let stopped = async {
            drop(stopped.await);
        };
        let server = tokio::spawn(serve(listener, options, load, ready_now, stopped));
        ready.await.unwrap();
        Self { address, seen, gate, stop, server }
    }

    async fn ask(&self, path: &str, body: serde_json::Value) -> TcpStream {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        stream
    }

    async fn saw(&mut self) -> Seen {
        let seen = tokio::time::timeout(NEVER, self.seen.recv()).await;
        seen.expect("the engine reports it").expect("the engine runs")
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(stream).await
    }

    async fn stop(self) {
        drop(self.stop);
        let ended = tokio::time::timeout(NEVER, self.server).await.expect("it drains");
        assert!(matches!(ended, Ok(Ok(Ending::Drained))), "{ended:?}");
    }
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let read = tokio::time::timeout(NEVER, stream.read_to_string(&mut answer)).await;
    read.expect("it answers").unwrap();
    answer
}

/// Reads until `text` has come.
async fn until(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let byte = tokio::time::timeout(NEVER, stream.read_u8()).await;
        read.push(byte.expect("it sends on").unwrap());
    }
}

fn entered(prompt: &str) -> Seen {
    Seen::Entered(prompt.to_owned())
}

fn left(prompt: &str) -> Seen {
    Seen::Left(prompt.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_takes_its_row_from_the_batch_and_no_other() {
    let mut served = Served::start(8, 3).await;
    let whole = served.ask("/v1/completions", json!({ "prompt": "whole" })).await;
    assert_eq!(served.saw().await, entered("whole"));
    let mut stream = served
        .ask(
            "/v1/chat/completions",
            json!({ "messages": [{ "role": "user", "content": "stream" }], "stream": true }),
        )
        .await;
    assert_eq!(served.saw().await, entered("stream"));
    until(&mut stream, "\"content\":\"x\"").await;
    let invocation = served.ask("/invocations", json!({ "inputs": "invocation" })).await;
    assert_eq!(served.saw().await, entered("invocation"));
    // The batch is full: these wait.
    let waiting = served.ask("/v1/completions", json!({ "prompt": "waiting" })).await;
    let metrics = served.metrics().await;
    assert!(metrics.contains("\nfleetmark_serve_requests_running 3\n"), "{metrics}");

    drop(whole);
    assert_eq!(served.saw().await, left("whole"));
    assert_eq!(served.saw().await, entered("waiting"));
    for (connection, prompt) in
        [(stream, "stream"), (invocation, "invocation"), (waiting, "waiting")]
    {
        drop(connection);
        assert_eq!(served.saw().await, left(prompt));
    }
    let metrics = served.metrics().await;
    for line in
        ["requests_running 0", "requests_waiting 0", "requests_total{outcome=\"cancelled\"} 4"]
    {
        assert!(metrics.contains(&format!("\nfleetmark_serve_{line}\n")), "{line}: {metrics}");
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_own_text_and_not_with_its_batch() {
    let mut served = Served::start(8, 2).await;
    let endless = served.ask("/v1/completions", json!({ "prompt": "endless" })).await;
    assert_eq!(served.saw().await, entered("endless"));
    let stream = served.ask("/v1/completions", json!({ "prompt": "4", "stream": true })).await;
    let answer = rest(stream).await;
    assert!(answer.contains("data: [DONE]"), "{answer}");
    let whole = rest(served.ask("/v1/completions", json!({ "prompt": "2" })).await).await;
    assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
    let metrics = served.metrics().await;
    for line in [
        "requests_running 1",
        "requests_total{outcome=\"answered\"} 2",
        "prompt_tokens_total 6",
        "output_tokens_total 4",
        "time_to_first_token_seconds_count 2",
        "request_seconds_count 2",
    ] {
        assert!(metrics.contains(&format!("\nfleetmark_serve_{line}\n")), "{line}: {metrics}");
    }
    drop(endless);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_429_with_retry_after_and_a_drain_ends_what_runs() {
    let mut served = Served::start(1, 1).await;
    let gated = json!({ "prompt": "gated", "stream": true });
    let mut running = served.ask("/v1/completions", gated).await;
    assert_eq!(served.saw().await, entered("gated"));
    until(&mut running, "\"text\":\"x\"").await;
    // Of two, one finds a full queue, whichever comes first.
    let mut asked = JoinSet::new();
    for _ in 0..2 {
        let stream = served.ask("/v1/completions", json!({ "prompt": "3" })).await;
        asked.spawn(rest(stream));
    }
    let refused = asked.join_next().await.unwrap().unwrap();
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("\"type\":\"rate_limit_error\""), "{refused}");

    let Served { address, gate, stop, server, .. } = served;
    drop(stop);
    // The listener closes at once, while the stream goes on.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.store(true, Ordering::SeqCst);
    let ended = rest(running).await;
    assert!(ended.contains("\"finish_reason\":\"stop\"") && ended.contains("[DONE]"), "{ended}");
    let answered = asked.join_next().await.unwrap().unwrap();
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    let ended = tokio::time::timeout(NEVER, server).await.expect("it drains");
    assert!(matches!(ended, Ok(Ok(Ending::Drained))), "{ended:?}");
}
