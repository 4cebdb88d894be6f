//! How exactly streams are timed: a server that notes when it sends each piece, and what the client
//! measures of it, on one clock.

use super::{open, spec};
use crate::engines::http::Http;
use engine::{Engine, Request, Row};
use model::endpoint::EventStream;
use model::generation::{Generation, Settings, Stop};
use ops::terminal;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Pieces of each stream, and the time between them.
const PIECES: u64 = 32;
const GAP: Duration = Duration::from_millis(50);

/// By the prompt of a request.
type Sent = Arc<Mutex<HashMap<String, Served>>>;

/// On the clock: when a request had arrived, and when each piece was sent.
struct Served {
    received_ns: u64,
    pieces_ns: Vec<u64>,
}

async fn serve(mut stream: TcpStream, sent: Sent, clock: Stopwatch) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        let Ok(body) = serde_json::from_str::<serde_json::Value>(body) else { continue };
        let received_ns = clock.now_ns();
        bytes.clear();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut ticks = tokio::time::interval(GAP);
        ticks.tick().await;
        let mut pieces_ns = Vec::new();
        for _ in 0..PIECES {
            ticks.tick().await;
            let event = "data: {\"text\":\"so \"}\n\n";
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            pieces_ns.push(clock.now_ns());
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
        let prompt = body["inputs"].as_str().unwrap().to_owned();
        sent.lock().unwrap().insert(prompt, Served { received_ns, pieces_ns });
        let end = "data: [DONE]\n\n";
        let end = format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len());
        stream.write_all(end.as_bytes()).await.unwrap();
    }
}

/// The address of the server, which runs on threads of its own.
fn start(sent: &Sent, clock: &Stopwatch) -> (SocketAddr, tokio::runtime::Runtime) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (sent, clock) = (Arc::clone(sent), clock.clone());
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&sent), clock.clone()));
        }
    });
    (address, runtime)
}

fn client(address: SocketAddr) -> Http {
    let mut spec = spec(&format!("http://{address}/stream"));
    let endpoint = spec.endpoint.as_mut().unwrap();
    endpoint.answer = "/text".to_owned();
    (endpoint.output_tokens, endpoint.finish) = (None, None);
    let done = EventStream::DONE.to_owned();
    endpoint.stream = Some(EventStream { done, skip: None, idle_timeout_ms: 10_000 });
    open(&spec)
}

/// One batch of streams at the same time: their prompts and rows.
fn streamed(engine: &mut Http, streams: u64, clock: &Stopwatch) -> Vec<(String, Row)> {
    let generation = Generation {
        prompt: Some("{dialogue}".to_owned()),
        max_input_tokens: 512,
        settings: Settings { max_new_tokens: Some(60), ..Settings::default() },
        stop: Stop::Eos,
    };
    let request = |number: u64| Request {
        sample_id: number.to_string(),
        dialogue: format!("prompt {number}"),
        earlier: Vec::new(),
        reference: None,
    };
    let batch: Vec<Request> = (0..streams).map(request).collect();
    let rows = engine.generate(&batch, &generation, clock).unwrap().into_iter().map(Result::unwrap);
    batch.into_iter().map(|request| request.dialogue).zip(rows).collect()
}

/// The errors of one batch in ms: of TTFT, and of the gaps.
fn errors(engine: &mut Http, sent: &Sent, streams: u64, clock: &Stopwatch) -> [Vec<f64>; 2] {
    sent.lock().unwrap().clear();
    let rows = streamed(engine, streams, clock);
    let sent = sent.lock().unwrap();
    let mut errors = [Vec::new(), Vec::new()];
    for (prompt, row) in rows {
        let Served { received_ns, pieces_ns } = &sent[&prompt];
        let ttft_ns = row.first_token_ns.unwrap() - row.start_ns().unwrap();
        errors[0].push((ttft_ns as f64 - (pieces_ns[0] - received_ns) as f64) / 1e6);
        let truth = pieces_ns.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6);
        let gaps = row.chunk_gaps.unwrap();
        assert_eq!(gaps.chunks() as u64, PIECES);
        errors[1].extend(truth.zip(gaps.iter_us()).map(|(truth, us)| f64::from(us) / 1e3 - truth));
    }
    errors
}

fn figures(mut errors: Vec<f64>) -> String {
    errors.iter_mut().for_each(|error| *error = error.abs());
    errors.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| errors[(errors.len() - 1) * percent / 100];
    format!("{:.3} {:.3} {:.3}", at(50), at(99), at(100))
}

#[test]
fn every_piece_is_timed_after_it_was_sent() {
    let (sent, clock) = (Sent::default(), Stopwatch::start());
    let (address, _runtime) = start(&sent, &clock);
    let [first, gaps] = errors(&mut client(address), &sent, 2, &clock);
    assert!(first.iter().all(|error| *error >= 0.0), "{first:?}");
    assert_eq!(gaps.len() as u64, 2 * (PIECES - 1));
    // What one gap has too much, another one has too little: none are lost.
    let sum = gaps.iter().take(gaps.len() / 2).sum::<f64>();
    assert!(sum > -first[0] - 0.05, "{sum} {first:?}");
}

#[test]
fn each_request_of_a_batch_starts_when_it_is_sent() {
    let (sent, clock) = (Sent::default(), Stopwatch::start());
    let (address, _runtime) = start(&sent, &clock);
    let mut engine = client(address);
    // The first batch opens the connections: its requests start before those.
    for is_connected in [false, true] {
        sent.lock().unwrap().clear();
        let batch_ns = clock.now_ns();
        let rows = streamed(&mut engine, 20, &clock);
        let sent = sent.lock().unwrap();
        let mut starts: Vec<u64> = rows.iter().map(|(_, row)| row.start_ns().unwrap()).collect();
        for ((prompt, row), start_ns) in rows.iter().zip(&starts) {
            let connect_ns = row.http.unwrap().connect_ns;
            assert_eq!(connect_ns.is_none(), is_connected);
            let received_ns = sent[prompt].received_ns;
            assert!((batch_ns..received_ns).contains(start_ns));
            assert!(connect_ns.is_none_or(|connect_ns| start_ns + connect_ns < received_ns));
        }
        // One thread sends one after the other.
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), 20);
    }
}

#[test]
#[ignore = "needs an idle machine: prints how exactly streams are timed"]
fn errors_of_ttft_and_of_gaps() {
    let (sent, clock) = (Sent::default(), Stopwatch::start());
    let (address, _runtime) = start(&sent, &clock);
    let mut engine = client(address);
    terminal::note("absolute errors in ms: streams, ttft p50 p99 max, gaps p50 p99 max");
    for streams in [1, 50, 200] {
        let mut all = [Vec::new(), Vec::new()];
        // The first batch opens the connections.
        for batch in 0..=if streams == 1 { 30 } else { 3 } {
            let errors = errors(&mut engine, &sent, streams, &clock);
            if batch > 0 {
                all.iter_mut().zip(errors).for_each(|(all, errors)| all.extend(errors));
            }
        }
        let [ttft, gaps] = all.map(figures);
        terminal::note(&format!("{streams}: {ttft}   {gaps}"));
    }
}
