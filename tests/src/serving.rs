//! `agent serve` for scenarios, with a client.

use crate::{Finished, Running, Workspace};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

async fn round_trip(request: RequestBuilder) -> Result<Answer, String> {
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    Ok((status, answer.json().await.map_err(|error| error.to_string())?))
}

/// An agent that serves on a free loopback port.
#[derive(Debug)]
pub struct Serving {
    agent: Running,
    address: String,
    client: Client,
    runtime: Runtime,
}

/// A response: its status, and its body as JSON.
pub type Answer = (u16, Value);

/// A request in flight.
#[derive(Debug)]
pub struct Asked(tokio::task::JoinHandle<Result<Answer, String>>);

impl Serving {
    /// Starts it and waits until its model is loaded.
    ///
    /// # Panics
    /// If it exits first.
    pub fn start(workspace: &Workspace, model: &str, options: &[&str]) -> Self {
        let own = ["serve", "--model", model, "--listen", "127.0.0.1:0", "--threads", "1"];
        let mut agent = Running::of(&mut workspace.agent(&[&own[..], options].concat()));
        let line = agent.until("listening on");
        let address = line.split([' ', ';']).find(|word| word.starts_with("http://"));
        let address = address.expect("the line contains a URL").to_owned();
        let _ = agent.until("serving ");
        let runtime = Runtime::new().expect("threads can be started");
        // Ignores proxies in the environment.
        let client = Client::builder().no_proxy().build().expect("a client can be created");
        Self { agent, address, client, runtime }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    pub fn url(&self) -> String {
        format!("{}/invocations", self.address)
    }

    /// Sends a body to `/invocations`.
    pub fn ask(&self, body: &str) -> Asked {
        let request = self.client.post(self.url()).header("content-type", "application/json");
        self.send(request.body(body.to_owned()))
    }

    /// Sends JSON Lines to `/invocations`; returns the status, the content type and the body.
    ///
    /// # Panics
    /// If there is no response.
    pub fn ask_lines(&self, body: &str) -> (u16, String, String) {
        let request = self.client.post(self.url()).header("content-type", "application/jsonlines");
        self.runtime.block_on(async {
            let answer = request.body(body.to_owned()).send().await.expect("it responds");
            let status = answer.status().as_u16();
            let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default().to_owned();
            (status, kind, answer.text().await.expect("the body arrives"))
        })
    }

    /// Requests `/ping`.
    pub fn ping(&self) -> Asked {
        self.send(self.client.get(format!("{}/ping", self.address)))
    }

    fn send(&self, request: RequestBuilder) -> Asked {
        Asked(self.runtime.spawn(round_trip(request)))
    }

    /// Sends the same body several times at once.
    pub fn ask_often(
        &self,
        path: &str,
        times: usize,
        body: &str,
    ) -> JoinSet<Result<Answer, String>> {
        let mut asked = JoinSet::new();
        let url = format!("{}{path}", self.address);
        for _ in 0..times {
            let request = self.client.post(&url).header("content-type", "application/json");
            asked.spawn_on(round_trip(request.body(body.to_owned())), self.runtime.handle());
        }
        asked
    }

    /// The next of several responses.
    ///
    /// # Errors
    /// If the request fails.
    ///
    /// # Panics
    /// If there are no more.
    pub fn next(&self, asked: &mut JoinSet<Result<Answer, String>>) -> Result<Answer, String> {
        let next = self.runtime.block_on(asked.join_next()).expect("one is left");
        next.expect("the task doesn't panic")
    }

    /// Waits for a response.
    ///
    /// # Errors
    /// If the request fails.
    ///
    /// # Panics
    /// If its task panics.
    pub fn answer(&self, asked: Asked) -> Result<Answer, String> {
        self.runtime.block_on(asked.0).expect("the task doesn't panic")
    }

    /// The most memory it has used.
    ///
    /// # Panics
    /// If it has ended.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.agent.id()));
        let status = status.expect("it is running");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.expect("the system counts it").trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("it is a number") << 10
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        self.agent.signal(name);
    }

    /// Reads its standard error up to a line that contains `text`.
    pub fn until(&mut self, text: &str) -> String {
        self.agent.until(text)
    }

    /// Waits for its exit.
    pub fn finish(self) -> Finished {
        self.agent.finish()
    }
}
