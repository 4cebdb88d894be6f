//! An endpoint on a bad day: a script decides what it does with each request.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A request, by its numbers.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Among all requests, from 1.
    pub number: u64,
    /// Among those of its connection, from 1.
    pub on_connection: u64,
}

#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    /// Sent afterwards, each after a pause.
    paced: Vec<(Duration, Vec<u8>)>,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    /// Closes the connection, unannounced.
    Close,
    /// Sends nothing more until the client goes away.
    Stall,
}

impl Reply {
    /// A whole answer, such as `200 OK`.
    pub fn new(status: &str, body: impl AsRef<[u8]>) -> Self {
        Self::with(status, "content-type: application/json\r\n", body)
    }

    /// The same with header lines, each with its end.
    pub fn with(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
        Self { bytes: [head.as_bytes(), body].concat(), paced: Vec::new(), then: Then::Keep }
    }

    /// Nothing: the connection closes.
    pub fn nothing() -> Self {
        Self { bytes: Vec::new(), paced: Vec::new(), then: Then::Close }
    }

    /// Events with chunked encoding, which don't end.
    pub fn events(events: &[&str]) -> Self {
        let paced = events.iter().map(|event| (Duration::ZERO, (*event).to_owned()));
        Self::paced_events(paced).after(events.len()).silent()
    }

    /// Events with chunked encoding, each after a pause, and the end of the response.
    pub fn paced_events(events: impl IntoIterator<Item = (Duration, String)>) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = |(pause, event): (Duration, String)| {
            let event = format!("data: {event}\n\n");
            (pause, format!("{:x}\r\n{event}\r\n", event.len()).into_bytes())
        };
        let end = (Duration::ZERO, b"0\r\n\r\n".to_vec());
        let paced = events.into_iter().map(chunk).chain([end]).collect();
        Self { bytes: head.as_bytes().to_vec(), paced, then: Then::Keep }
    }

    /// Only the first parts of a paced answer, without its end.
    #[must_use]
    pub fn after(mut self, parts: usize) -> Self {
        self.paced.truncate(parts);
        self
    }

    /// Sends nothing more after its parts.
    #[must_use]
    pub fn silent(self) -> Self {
        Self { then: Then::Stall, ..self }
    }

    /// Closes the connection after the answer.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    /// Closes the connection before the last byte.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.bytes.pop();
        self.closing()
    }

    /// Never sends the last byte.
    #[must_use]
    pub fn stalling(mut self) -> Self {
        self.bytes.pop();
        Self { then: Then::Stall, ..self }
    }
}

/// A server on loopback; it ends with the process.
#[derive(Debug)]
pub struct BadEndpoint {
    pub url: String,
    asked: Arc<AtomicU64>,
}

impl BadEndpoint {
    /// # Panics
    /// If no port is free.
    pub fn start(script: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/ask", listener.local_addr().expect("it has one"));
        let (asked, script) = (Arc::new(AtomicU64::new(0)), Arc::new(script));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (count, script) = (Arc::clone(&count), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &count, script.as_ref()));
            }
        });
        Self { url, asked }
    }

    /// How many requests for a summary came.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[expect(clippy::disallowed_methods, reason = "a script may have pauses")]
fn serve(mut stream: TcpStream, count: &AtomicU64, script: &dyn Fn(Asked) -> Reply) {
    // A part is sent when its pause is over. An error shows in the next write.
    drop(stream.set_nodelay(true));
    let mut received = Vec::new();
    for on_connection in 1.. {
        let Some(method) = read_request(&mut stream, &mut received) else { return };
        if method == Method::Get {
            // It has no metrics.
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            if stream.write_all(answer).is_err() {
                return;
            }
            continue;
        }
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let Reply { bytes, paced, then } = script(Asked { number, on_connection });
        // The client may have gone away.
        if stream.write_all(&bytes).is_err() {
            return;
        }
        for (pause, bytes) in paced {
            std::thread::sleep(pause);
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
        match then {
            Then::Keep => {}
            Then::Close => return,
            Then::Stall => {
                let mut rest = [0; 1024];
                while matches!(stream.read(&mut rest), Ok(1..)) {}
                return;
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
}

/// Takes one request off the connection; `None` at its end.
fn read_request(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<Method> {
    loop {
        if let Some(length) = request_length(received)
            && received.len() >= length
        {
            let method = if received.starts_with(b"GET ") { Method::Get } else { Method::Post };
            received.drain(..length);
            return Some(method);
        }
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(read @ 1..) => received.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}

/// The bytes of a request with its body, once its head is there.
fn request_length(received: &[u8]) -> Option<usize> {
    let head = received.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&received[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    Some(head + length.and_then(|length| length.trim().parse().ok()).unwrap_or(0))
}
