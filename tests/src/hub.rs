//! A server on loopback that responds like the Hugging Face hub, and fails on demand.
//!
//! Files of 1,000 bytes and more are large: their response redirects to the content and contains its
//! sha256.

use crate::Workspace;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

/// The commit of every branch.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files of this length and longer are large.
const LARGE: usize = 1000;

/// How one response fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks after this many bytes of the body.
    Cut(usize),
    /// Another status, optionally with `Retry-After`.
    Status(u16, Option<u32>),
    /// The first byte differs.
    Wrong,
    /// The body is sent byte by byte.
    Slow,
}

#[derive(Debug, Default)]
struct State {
    /// By kind and name, such as `models/org/tiny`.
    repositories: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Pending faults, each with the end of its path.
    faults: Vec<(String, Fault)>,
    token: Option<String>,
    log: Vec<String>,
}

/// Runs until the test ends.
#[derive(Debug, Clone)]
pub struct Hub {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::start()
    }
}

impl Hub {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let hub = Self { address, state: Arc::default() };
        let serving = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hub = serving.clone();
                std::thread::spawn(move || hub.serve(stream));
            }
        });
        hub
    }

    /// Points a program at this hub, with empty caches in `workspace`.
    pub fn at<'a>(&self, command: &'a mut Command, workspace: &Workspace) -> &'a mut Command {
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"] {
            command.env_remove(name);
        }
        command
            .env("HF_ENDPOINT", self.url())
            .env("HF_HOME", workspace.path("hf"))
            .env("FLEETMARK_CACHE", workspace.path("cache"))
            .env("NO_PROXY", "*")
    }

    /// For `HF_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds a file to a repository, such as `models/org/tiny`.
    #[must_use]
    pub fn with(self, repository: &str, file: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let files = |state: &mut State| {
            let files = state.repositories.entry(repository.to_owned()).or_default();
            files.insert(file.to_owned(), bytes.into());
        };
        files(&mut self.state());
        self
    }

    /// The next response with a body to a path with this end fails; several faults occur in order.
    #[must_use]
    pub fn failing(self, path: &str, fault: Fault) -> Self {
        self.state().faults.push((path.to_owned(), fault));
        self
    }

    /// Rejects requests without this token.
    #[must_use]
    pub fn gated(self, token: &str) -> Self {
        self.state().token = Some(token.to_owned());
        self
    }

    /// The requests so far: method, path, and `Range` if there was one.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(clone) = stream.try_clone() else { return };
        let mut reader = BufReader::new(clone);
        let mut stream = stream;
        // Tests request broken connections.
        while let Some(request) = Request::read(&mut reader) {
            if self.answer(&request, &mut stream).is_none() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request, stream: &mut TcpStream) -> Option<()> {
        let fault = {
            let mut state = self.state();
            let range = request.range.as_ref().map_or(String::new(), |range| format!(" {range}"));
            state.log.push(format!("{} {}{range}", request.method, request.path));
            let is_meant = |(path, fault): &(String, Fault)| {
                request.path.ends_with(path)
                    && (request.method == "GET" || matches!(fault, Fault::Status(..)))
                    // A redirect has no body that could break.
                    && (!request.is_resolve() || matches!(fault, Fault::Status(..)))
            };
            let next = state.faults.iter().position(is_meant);
            next.map(|index| state.faults.remove(index).1)
        };
        let mut answer = self.page(request);
        match fault {
            Some(Fault::Status(status, after)) => {
                answer = Answer { status, ..Answer::default() };
                answer.headers.extend(after.map(|s| ("Retry-After".to_owned(), s.to_string())));
            }
            Some(Fault::Wrong) => answer.body[0] ^= 1,
            _ => {}
        }
        answer.send(request, stream, fault.as_ref()).ok()
    }

    fn page(&self, request: &Request) -> Answer {
        let state = self.state();
        if state.token.as_ref().is_some_and(|token| request.token.as_ref() != Some(token)) {
            return Answer::status(401, "GatedRepo");
        }
        let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["api", kind, owner, name, "revision", revision] => {
                let Some(files) = state.repositories.get(&format!("{kind}/{owner}/{name}")) else {
                    return Answer::status(404, "RepoNotFound");
                };
                if ![COMMIT, "main"].contains(revision) {
                    return Answer::status(404, "RevisionNotFound");
                }
                let siblings: Vec<_> =
                    files.keys().map(|file| serde_json::json!({ "rfilename": file })).collect();
                let id = format!("{owner}/{name}");
                let page = serde_json::json!({ "id": id, "sha": COMMIT, "siblings": siblings });
                Answer { body: page.to_string().into_bytes(), ..Answer::default() }
            }
            ["datasets", owner, name, "resolve", commit, file @ ..] => {
                state.file(&format!("datasets/{owner}/{name}"), commit, &file.join("/"))
            }
            ["lfs", kind, owner, name, file @ ..] => {
                let repository = &state.repositories[&format!("{kind}/{owner}/{name}")];
                Answer { body: repository[&file.join("/")].clone(), ..Answer::default() }
            }
            [owner, name, "resolve", commit, file @ ..] => {
                state.file(&format!("models/{owner}/{name}"), commit, &file.join("/"))
            }
            _ => Answer::status(404, "RepoNotFound"),
        }
    }
}

impl State {
    fn file(&self, repository: &str, commit: &str, file: &str) -> Answer {
        let found = self.repositories.get(repository).and_then(|files| files.get(file));
        let Some(bytes) = found.filter(|_| commit == COMMIT) else {
            return Answer::status(404, "EntryNotFound");
        };
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        let header = |name: &str, value: String| (name.to_owned(), value);
        let commit = header("X-Repo-Commit", COMMIT.to_owned());
        if bytes.len() < LARGE {
            // In place of git's object id.
            let headers = vec![commit, header("ETag", format!("\"{}\"", &sha256[..40]))];
            return Answer { headers, body: bytes.clone(), ..Answer::default() };
        }
        let headers = vec![
            commit,
            header("X-Linked-Etag", format!("\"{sha256}\"")),
            header("X-Linked-Size", bytes.len().to_string()),
            header("Location", format!("/lfs/{repository}/{file}")),
        ];
        Answer { status: 302, headers, body: Vec::new() }
    }
}

#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    range: Option<String>,
    token: Option<String>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (mut range, mut token) = (None, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Some(value.to_owned()),
                "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
                _ => {}
            }
        }
        Some(Self { method, path, range, token })
    }

    /// Whether the response may be a redirect to the content.
    fn is_resolve(&self) -> bool {
        self.path.contains("/resolve/") && self.path.ends_with(".safetensors")
    }

    fn from(&self) -> Option<usize> {
        self.range.as_ref()?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { status: 200, headers: Vec::new(), body: Vec::new() }
    }
}

impl Answer {
    fn status(status: u16, code: &str) -> Self {
        let headers = vec![("X-Error-Code".to_owned(), code.to_owned())];
        Self { status, headers, body: Vec::new() }
    }

    fn send(
        mut self,
        request: &Request,
        stream: &mut TcpStream,
        fault: Option<&Fault>,
    ) -> std::io::Result<()> {
        if let Some(from) = request.from().filter(|_| self.status == 200) {
            let whole = self.body.len();
            let range = format!("bytes {from}-{}/{whole}", whole - 1);
            self.headers.push(("Content-Range".to_owned(), range));
            self.body.drain(..from);
            self.status = 206;
        }
        let mut head =
            format!("HTTP/1.1 {} x\r\nContent-Length: {}\r\n", self.status, self.body.len());
        for (name, value) in &self.headers {
            head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" {
            return Ok(());
        }
        match fault {
            Some(Fault::Cut(after)) => {
                stream.write_all(&self.body[..*after])?;
                stream.flush()?;
                stream.shutdown(std::net::Shutdown::Both)
            }
            Some(Fault::Slow) => self.body.iter().try_for_each(|byte| stream.write_all(&[*byte])),
            _ => stream.write_all(&self.body),
        }
    }
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
