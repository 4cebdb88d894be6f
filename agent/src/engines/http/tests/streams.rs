//! A scripted server of event streams, and loads of requests to it.

use super::{ask, open, spec};
use crate::engines::http::*;
use engine::{Entry, Intake};
use model::endpoint::EventStream;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// What the server does, one step after the other.
#[derive(Debug, Clone)]
enum Step {
    Send(String),
    /// One event, as a chunk.
    Event(&'static str),
    Wait(Duration),
    /// Ends the response as it should end.
    End,
    /// Closes the connection.
    Close,
    /// Sends nothing more until the client goes away.
    Stall,
}

use Step::{Close, End, Event, Send, Stall, Wait};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const SO: &str = r#"{"choices": [{"delta": {"content": "so"}}]}"#;
const IT_IS: &str = r#"{"choices": [{"delta": {"content": " it is"}}]}"#;
const STOP: &str = r#"{"choices": [{"delta": {}, "finish_reason": "stop"}]}"#;
const USAGE: &str = r#"{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}"#;
const DONE: &str = "[DONE]";

fn head() -> Step {
    Send(HEAD.to_owned())
}

/// Text after 30 ms, more after another 40 ms.
fn good() -> Vec<Step> {
    let slow = [head(), Wait(ms(30)), Event(SO), Wait(ms(40)), Event(IT_IS)];
    slow.into_iter().chain([Event(STOP), Event(USAGE), Event(DONE), End]).collect()
}

/// `script` gets the body of a request and its number on its connection, from 1.
fn server(
    script: impl Fn(&str, usize) -> Vec<Step> + Sync + std::marker::Send + 'static,
) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let script = Arc::new(script);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let script = Arc::clone(&script);
            std::thread::spawn(move || serve(stream, &*script));
        }
    });
    address
}

#[expect(clippy::disallowed_methods, reason = "the script has pauses")]
fn serve(mut stream: TcpStream, script: &dyn Fn(&str, usize) -> Vec<Step>) {
    stream.set_nodelay(true).unwrap();
    let (mut received, mut number) = (Vec::new(), 0);
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut part) {
        received.extend_from_slice(&part[..length]);
        // The tests' bodies end with their only closing brace.
        if !received.ends_with(b"}") {
            continue;
        }
        number += 1;
        let request = String::from_utf8_lossy(&std::mem::take(&mut received)).into_owned();
        for step in script(&request, number) {
            let text = match step {
                Send(text) => text,
                Event(data) => {
                    let event = format!("data: {data}\n\n");
                    format!("{:x}\r\n{event}\r\n", event.len())
                }
                End => "0\r\n\r\n".to_owned(),
                Wait(time) => {
                    std::thread::sleep(time);
                    continue;
                }
                Close => return,
                Stall => {
                    while matches!(stream.read(&mut part), Ok(1..)) {}
                    return;
                }
            };
            // The client may have gone away.
            if stream.write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    }
}

pub(super) fn streaming(address: &str) -> EngineSpec {
    let mut spec = spec(address);
    let endpoint = spec.endpoint.as_mut().unwrap();
    let pointer = |pointer: &str| Some(pointer.to_owned());
    endpoint.answer = "/choices/0/delta/content".to_owned();
    endpoint.input_tokens = pointer("/usage/prompt_tokens");
    endpoint.output_tokens = pointer("/usage/completion_tokens");
    endpoint.finish = pointer("/choices/0/finish_reason");
    endpoint.timeout_ms = 5_000;
    endpoint.stream =
        Some(EventStream { done: EventStream::DONE.to_owned(), skip: None, idle_timeout_ms: 300 });
    spec
}

#[test]
fn a_stream_has_its_first_token_and_its_gaps_and_its_connection_is_used_again() {
    let mut engine = open(&streaming(&server(|_, _| good())));
    for connects in [true, false, false] {
        let rows = ask(&mut engine, &["a"]);
        let row = rows[0].as_ref().unwrap();
        assert_eq!(row.text.as_deref(), Some("so it is"));
        assert_eq!((row.input_tokens, row.output_tokens), (Some(9), Some(3)));
        assert_eq!(row.finish, Finish::Eos);
        let timing = row.http.unwrap();
        assert_eq!(timing.connect_ns.is_some(), connects);
        let start_ns = row.end_ns - timing.total_ns;
        let to_first = Duration::from_nanos(row.first_token_ns.unwrap() - start_ns);
        assert!(to_first >= ms(30), "{to_first:?}");
        let gaps = row.chunk_gaps.as_ref().unwrap();
        assert_eq!(gaps.chunks(), 2);
        let gap = Duration::from_micros(gaps.sum_us());
        // The client may see the first chunk late, but not the second one early.
        assert!(to_first + gap >= ms(70), "{to_first:?} + {gap:?}");
        assert!(row.first_token_ns.unwrap() + gaps.sum_us() * 1_000 <= row.end_ns + 1_000);
    }
}

#[test]
fn a_broken_stream_has_its_class_and_leaves_its_neighbors_alone() {
    let script = |request: &str, _: usize| {
        let begun = |rest: &[Step]| [&[head(), Event(SO)], rest].concat();
        match () {
            () if request.contains("stalls") => begun(&[Stall]),
            () if request.contains("pings") => {
                // Comments are no progress.
                let ping = Send("8\r\n: ping\n\n\r\n".to_owned());
                let pings = [ping, Wait(ms(50))].into_iter().cycle().take(40);
                begun(&pings.collect::<Vec<_>>())
            }
            () if request.contains("breaks") => begun(&[Close]),
            () if request.contains("half") => begun(&[Send("20\r\ndata: {".to_owned()), Close]),
            () if request.contains("forgets") => begun(&[Event(STOP), Event(USAGE), End]),
            () if request.contains("yields") => begun(&[Event(USAGE), Event(DONE), End]),
            () if request.contains("fails") => {
                begun(&[Event(r#"{"error": {"message": "out of memory", "code": 500}}"#), End])
            }
            () if request.contains("nothing") => vec![head(), Event(STOP), Event(DONE), End],
            () if request.contains("document") => {
                let body = r#"{"choices": [{"delta": {"content": "so"}}]}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                vec![Send(head + body)]
            }
            () if request.contains("busy") => {
                let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 5\r\n\r\nlater";
                vec![Send(head.to_owned())]
            }
            () if request.contains("waits") => vec![head(), Stall],
            () => good(),
        }
    };
    let mut spec = streaming(&server(script));
    spec.endpoint.as_mut().unwrap().timeout_ms = 1_500;
    let mut engine = open(&spec);
    let asked = [
        ("good", None),
        ("stalls", Some(Kind::Stalled)),
        ("pings", Some(Kind::Stalled)),
        ("breaks", Some(Kind::CutOff)),
        ("half", Some(Kind::CutOff)),
        ("forgets", Some(Kind::Unfinished)),
        // Its final event came, and no finish reason: cut short for another request.
        ("yields", Some(Kind::Unfinished)),
        ("fails", Some(Kind::StreamError)),
        ("nothing", Some(Kind::Empty)),
        ("document", Some(Kind::Answer)),
        ("busy", Some(Kind::Throttled)),
        // No text came: the server may be busy with others.
        ("waits", Some(Kind::TimedOut)),
    ];
    let rows = ask(&mut engine, &asked.map(|(dialogue, _)| dialogue));
    for ((dialogue, expected), row) in asked.iter().zip(&rows) {
        let kind = row.as_ref().err().map(|failure| failure.kind);
        assert_eq!(kind, *expected, "{dialogue}: {row:?}");
    }
    let detail = |index: usize| rows[index].as_ref().unwrap_err().detail.clone();
    assert!(detail(1).contains("no event for 0.3 s after 1 events"), "{}", detail(1));
    assert!(detail(7).contains("out of memory"), "{}", detail(7));
    assert!(detail(9).contains("turn streaming on"), "{}", detail(9));
    assert!(ask(&mut engine, &["good"; 11]).iter().all(Result::is_ok));
}

#[test]
fn a_trial_of_a_stream_names_every_wrong_pointer() {
    let mut wrong = streaming(&server(|_, _| good()));
    let endpoint = wrong.endpoint.as_mut().unwrap();
    endpoint.output_tokens = Some("/usage/tokens".to_owned());
    endpoint.finish = Some("/why".to_owned());
    let error = one_line(&open(&wrong).probed(&[]).unwrap_err());
    let expected = "output_tokens: nothing at /usage/tokens in any event; the last one holds `choices`, `usage`";
    assert!(error.contains(expected), "{error}");
    assert!(error.contains("finish: nothing at /why in any event"), "{error}");
    let engine = open(&streaming(&server(|_, _| good()))).probed(&[]).unwrap();
    assert!(engine.facts().notes.iter().any(|note| note.contains("counted by the endpoint")));
}

/// Hands over requests as soon as they are asked for, and keeps their rows.
struct Crowd {
    left: Vec<Request>,
    rows: Vec<Option<Result<Row, Failure>>>,
    cancels_after: Option<usize>,
}

impl Crowd {
    fn of(count: usize) -> Self {
        let request = |index: usize| Request {
            sample_id: format!("s{index}"),
            dialogue: format!("number {index}"),
            earlier: Vec::new(),
            reference: None,
        };
        let rows = (0..count).map(|_| None).collect();
        Self { left: (0..count).map(request).collect(), rows, cancels_after: None }
    }

    fn count(&self) -> usize {
        self.rows.iter().flatten().count()
    }
}

impl Intake for Crowd {
    fn enter(&mut self) -> Vec<Request> {
        unreachable!("endpoints poll")
    }

    fn poll(&mut self) -> Entry {
        if self.cancels_after.is_some_and(|count| self.count() >= count) {
            return Entry::Cancelled;
        }
        if self.left.is_empty() {
            Entry::Over
        } else {
            Entry::Requests(std::mem::take(&mut self.left))
        }
    }

    fn ended(&mut self, number: usize, row: Result<Row, Failure>) {
        assert!(self.rows[number].replace(row).is_none(), "a request ends once");
    }
}

fn carry(engine: &mut Http, crowd: &mut Crowd) {
    let generation = Generation {
        prompt: None,
        max_input_tokens: 512,
        stop: Stop::Eos,
        settings: Settings { max_new_tokens: Some(60), ..Settings::default() },
    };
    engine.serve(crowd, &generation, &Stopwatch::start()).unwrap();
}

#[test]
fn requests_are_in_flight_at_the_same_time_and_each_ends_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (in_flight, peak) = (Arc::clone(&now), Arc::clone(&most));
    // Nobody gets an answer before 24 have asked; one in eight is cut off.
    let script = move |request: &str, _: usize| {
        peak.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        while peak.load(Ordering::SeqCst) < 24 {
            std::thread::yield_now();
        }
        in_flight.fetch_sub(1, Ordering::SeqCst);
        if request.contains("number 7") || request.contains("number 17") {
            vec![head(), Event(SO), Close]
        } else {
            good()
        }
    };
    let mut engine = open(&streaming(&server(script)));
    let mut crowd = Crowd::of(24);
    carry(&mut engine, &mut crowd);
    assert_eq!(most.load(Ordering::SeqCst), 24);
    for (number, row) in crowd.rows.iter().enumerate() {
        let kind = row.as_ref().unwrap().as_ref().err().map(|failure| failure.kind);
        let expected = number.to_string().contains('7').then_some(Kind::CutOff);
        assert_eq!(kind, expected, "{number}");
    }
}

#[test]
fn a_cancelled_load_leaves_its_requests() {
    let script = |request: &str, _: usize| {
        if request.contains("number 0") { good() } else { vec![head(), Stall] }
    };
    let mut spec = streaming(&server(script));
    // Far beyond the patience of any test.
    spec.endpoint.as_mut().unwrap().timeout_ms = 3_600_000;
    let mut engine = open(&spec);
    let mut crowd = Crowd { cancels_after: Some(1), ..Crowd::of(5) };
    carry(&mut engine, &mut crowd);
    assert_eq!(crowd.count(), 1);
    // The next load is not disturbed.
    let mut crowd = Crowd::of(1);
    carry(&mut engine, &mut crowd);
    assert!(crowd.rows[0].as_ref().unwrap().is_ok());
}
