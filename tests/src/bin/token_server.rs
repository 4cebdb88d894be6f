//! A server of OpenAI's API that streams tokens at given times, and knows when it sent each of them:
//! `token_server FIRST-MS GAP-MS TOKENS`. It prints its address. `GET /truth` returns the times of all
//! requests since the last call: percentiles of the time from a whole request to its first token, of the
//! gaps between tokens, and of the time to the last token, in milliseconds; and the rate of arrivals.

use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
struct Script {
    first: Duration,
    gap: Duration,
    tokens: u32,
}

/// What was sent, in milliseconds.
#[derive(Debug, Default)]
struct Truth {
    first: Vec<f64>,
    gaps: Vec<f64>,
    whole: Vec<f64>,
    /// When whole requests had arrived.
    received: Vec<Instant>,
}

type Shared = Arc<Mutex<Truth>>;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [first, gap, tokens] = words.as_slice() else {
        return Err(io::Error::other("token_server FIRST-MS GAP-MS TOKENS"));
    };
    let millis = |word: &str| word.parse().map(Duration::from_millis).map_err(io::Error::other);
    let tokens = tokens.parse().map_err(io::Error::other)?;
    let script = Script { first: millis(first)?, gap: millis(gap)?, tokens };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(listen(script))
}

async fn listen(script: Script) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(io::stdout(), "http://{}", listener.local_addr()?)?;
    let truth = Shared::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let truth = Arc::clone(&truth);
        tokio::spawn(async move { serve(stream, script, &truth).await });
    }
}

/// Answers the requests of a connection, one after the other.
async fn serve(mut stream: TcpStream, script: Script, truth: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let Some(path) = request(&mut stream, &mut bytes).await? else { return Ok(()) };
        let received = Instant::now();
        let answer = match path.as_str() {
            "/truth" => truth_of(truth),
            "/v1/models" => {
                json!({"object": "list", "data": [{"id": "tokens", "object": "model"}]})
            }
            "/v1/chat/completions" | "/v1/completions" => {
                let is_chat = path.contains("chat");
                send_tokens(&mut stream, script, is_chat, received, truth).await?;
                continue;
            }
            _ => json!({}),
        };
        let answer = answer.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        let whole = format!("{head} {}\r\n\r\n{answer}", answer.len());
        stream.write_all(whole.as_bytes()).await?;
    }
}

/// The path of the next request, whose body is of no interest; none at the end of the connection.
async fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            let whole = end + 4 + length.unwrap_or(0);
            if bytes.len() >= whole {
                bytes.drain(..whole);
                return Ok(Some(head.split(' ').nth(1).unwrap_or_default().to_owned()));
            }
        }
        if stream.read_buf(bytes).await? == 0 {
            return Ok(None);
        }
    }
}

async fn send_tokens(
    stream: &mut TcpStream,
    script: Script,
    is_chat: bool,
    received: Instant,
    truth: &Shared,
) -> io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let token = if is_chat {
        json!({"id": "t", "object": "chat.completion.chunk", "created": 0, "model": "tokens",
            "choices": [{"index": 0, "delta": {"content": "so "}, "finish_reason": null}]})
    } else {
        json!({"id": "t", "object": "text_completion", "created": 0, "model": "tokens",
            "choices": [{"index": 0, "text": "so ", "finish_reason": null}]})
    };
    let token = chunk(&token);
    let mut sent = Vec::new();
    for number in 0..script.tokens {
        tokio::time::sleep_until(received + script.first + script.gap * number).await;
        sent.push(Instant::now());
        stream.write_all(token.as_bytes()).await?;
    }
    let delta = if is_chat { json!({"delta": {}}) } else { json!({"text": ""}) };
    let mut choice = json!({"index": 0, "finish_reason": "stop"});
    if let (Some(choice), Value::Object(delta)) = (choice.as_object_mut(), delta) {
        choice.extend(delta);
    }
    let object = if is_chat { "chat.completion.chunk" } else { "text_completion" };
    let event = |choices: Value, usage: Value| {
        chunk(&json!({"id": "t", "object": object, "created": 0, "model": "tokens",
            "choices": choices, "usage": usage}))
    };
    let usage = json!({"prompt_tokens": 1, "completion_tokens": script.tokens,
        "total_tokens": script.tokens + 1});
    let (last, usage) = (event(json!([choice]), Value::Null), event(json!([]), usage));
    let done = "data: [DONE]\n\n";
    let end = format!("{last}{usage}{:x}\r\n{done}\r\n0\r\n\r\n", done.len());
    stream.write_all(end.as_bytes()).await?;
    let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
    let mut truth = truth.lock().unwrap_or_else(PoisonError::into_inner);
    truth.received.push(received);
    truth.first.extend(sent.first().map(|at| ms(received, *at)));
    truth.gaps.extend(sent.windows(2).map(|pair| ms(pair[0], pair[1])));
    truth.whole.extend(sent.last().map(|at| ms(received, *at)));
    Ok(())
}

/// An event of a stream as a chunk of HTTP.
fn chunk(event: &Value) -> String {
    let event = format!("data: {event}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

fn truth_of(truth: &Shared) -> Value {
    let mut taken = std::mem::take(&mut *truth.lock().unwrap_or_else(PoisonError::into_inner));
    taken.received.sort_unstable();
    // The first requests and the last ones may be tests of the connection.
    let edge = taken.received.len() / 20;
    let middle = taken.received.get(edge..taken.received.len() - edge).unwrap_or_default();
    let received_per_s = match middle {
        [first, .., last] => Some((middle.len() - 1) as f64 / (*last - *first).as_secs_f64()),
        _ => None,
    };
    let figures = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        let at =
            |percent: usize| values.get(values.len().saturating_sub(1) * percent / 100).copied();
        json!({"p50": at(50), "p90": at(90), "p99": at(99), "n": values.len()})
    };
    json!({"first": figures(taken.first), "gaps": figures(taken.gaps), "whole": figures(taken.whole),
        "received_per_s": received_per_s})
}
