//! S3 for scenarios: a real server, and a proxy in front of it that fails on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How one response fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks after this many bytes of the response, including its head.
    Cut(usize),
    /// Another response: a status, and an error code of S3.
    Answer(u16, &'static str),
}

/// The proxy.
#[derive(Debug, Clone)]
pub struct S3 {
    address: String,
    faults: Arc<Mutex<Vec<(String, Fault)>>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl S3 {
    /// Starts a proxy in front of the server at `upstream`.
    ///
    /// # Panics
    /// If no port is free.
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let s3 = Self { address, faults: Arc::default(), log: Arc::default() };
        let (serving, upstream) = (s3.clone(), upstream.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (s3, upstream) = (serving.clone(), upstream.clone());
                // Tests request broken connections.
                std::thread::spawn(move || drop(s3.pass_on(stream, &upstream)));
            }
        });
        s3
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next response to a request whose first line contains `words` fails; several faults occur in
    /// order.
    ///
    /// # Panics
    /// If another thread panicked.
    pub fn fail(&self, words: &str, fault: Fault) {
        self.faults.lock().expect("nobody panicked").push((words.to_owned(), fault));
    }

    /// The requests so far: method, path, and `range` if there was one.
    ///
    /// # Panics
    /// If another thread panicked.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("nobody panicked").clone()
    }

    pub fn bucket(&self, name: &str) {
        self.ask("PUT", &format!("/{name}"), b"");
    }

    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.ask("PUT", path, bytes);
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.ask("GET", path, b"")
    }

    /// Sends a request of the test itself, to which no fault applies.
    ///
    /// # Panics
    /// If the response isn't 200.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).expect("the proxy listens");
        // The server doesn't check signatures, but requests without one see only public objects.
        let authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                   SignedHeaders=host, Signature=0";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\
             Content-Length: {}\r\nX-Test: 1\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("the proxy reads");
        stream.write_all(body).expect("the proxy reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the proxy responds");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {head}");
        answer.split_off(end + 4)
    }

    fn pass_on(&self, client: TcpStream, upstream: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let mut client = client;
        let mut first = String::new();
        reader.read_line(&mut first)?;
        // One request per connection: the end of a response is the end of its connection.
        let mut head = format!("{first}Connection: close\r\n");
        let (mut length, mut is_test, mut range, mut is_waiting) = (0, false, String::new(), false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let lower = line.to_ascii_lowercase();
            if let Some(number) = lower.strip_prefix("content-length:") {
                length = number.trim().parse().unwrap_or(0);
            }
            if lower.starts_with("range:") {
                range = format!(" {}", lower.trim());
            }
            is_test |= lower.starts_with("x-test");
            is_waiting |= lower.starts_with("expect: 100-continue");
            if !lower.starts_with("connection:") && !lower.starts_with("expect:") {
                head.push_str(&line);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        if is_waiting {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let fault = if is_test { None } else { self.next_fault(first.trim(), &range) };
        if let Some(Fault::Answer(status, code)) = fault {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
            let has_body = !first.starts_with("HEAD");
            let head = format!(
                "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
                body.len(),
                if has_body { body.as_str() } else { "" }
            );
            return client.write_all(head.as_bytes());
        }
        let mut server = TcpStream::connect(upstream)?;
        server.write_all(head.as_bytes())?;
        server.write_all(&body)?;
        match fault {
            Some(Fault::Cut(after)) => {
                std::io::copy(&mut server.take(after as u64), &mut client)?;
                client.shutdown(std::net::Shutdown::Both)
            }
            _ => std::io::copy(&mut server, &mut client).map(drop),
        }
    }

    fn next_fault(&self, first: &str, range: &str) -> Option<Fault> {
        self.log.lock().expect("nobody panicked").push(format!("{first}{range}"));
        let mut faults = self.faults.lock().expect("nobody panicked");
        let next = faults.iter().position(|(words, _)| first.contains(words.as_str()));
        next.map(|index| faults.remove(index).1)
    }
}
