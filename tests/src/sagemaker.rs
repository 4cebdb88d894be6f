//! A server on loopback with SageMaker's processing jobs and the S3 objects that they read. It fails on
//! demand, and its jobs can end, unlike moto's.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How one response fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Another response: a status, the kind of the error, and its message.
    Answer(u16, &'static str, &'static str),
    /// The operation is executed, but the connection breaks before the response.
    Lost,
}

#[derive(Debug, Clone)]
pub struct Job {
    /// `InProgress`, `Completed`, `Failed` or `Stopped`.
    pub status: String,
    /// The request that created it.
    pub request: Value,
    /// It completes after this many polls; null: never.
    polls: Option<u32>,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<String, Job>,
    faults: Vec<(String, Fault)>,
    log: Vec<String>,
    signatures: Vec<String>,
    polls: Option<u32>,
    has_no_objects: bool,
}

/// Runs until the test ends.
#[derive(Debug, Clone)]
pub struct SageMaker {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Default for SageMaker {
    fn default() -> Self {
        Self::start()
    }
}

impl SageMaker {
    /// Starts it on a free port. Its jobs run until they are stopped.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let server = Self { address, state: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // Tests request broken connections.
                std::thread::spawn(move || drop(server.serve(&stream)));
            }
        });
        server
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs complete after this many polls.
    #[must_use]
    pub fn completing_after(self, polls: u32) -> Self {
        self.state().polls = Some(polls);
        self
    }

    /// S3 contains no objects.
    #[must_use]
    pub fn without_objects(self) -> Self {
        self.state().has_no_objects = true;
        self
    }

    /// The next request of this operation fails; `CreateProcessingJob 2` selects the second one.
    pub fn fail(&self, operation: &str, fault: Fault) {
        self.state().faults.push((operation.to_owned(), fault));
    }

    /// All jobs by name.
    pub fn jobs(&self) -> BTreeMap<String, Job> {
        self.state().jobs.clone()
    }

    /// The number of jobs with this status.
    pub fn count(&self, status: &str) -> usize {
        self.state().jobs.values().filter(|job| job.status == status).count()
    }

    /// Ends a job with this status.
    ///
    /// # Panics
    /// If there is no job of this name.
    pub fn end(&self, name: &str, status: &str) {
        status.clone_into(&mut self.state().jobs.get_mut(name).expect("the job exists").status);
    }

    /// The requested operations.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// The `authorization` headers of requests to SageMaker.
    pub fn signatures(&self) -> Vec<String> {
        self.state().signatures.clone()
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut first = String::new();
            if reader.read_line(&mut first)? == 0 {
                return Ok(());
            }
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            let length = headers.get("content-length").and_then(|text| text.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body)?;
            let Some((status, head, answer)) = self.answer(&first, &headers, &body) else {
                return stream.shutdown(std::net::Shutdown::Both);
            };
            let mut stream = stream;
            write!(
                stream,
                "HTTP/1.1 {status} x\r\n{head}content-length: {}\r\n\r\n{answer}",
                answer.len()
            )?;
        }
    }

    /// A status, headers and a body; null if the connection breaks.
    fn answer(
        &self,
        first: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Option<(u16, &'static str, String)> {
        let Some(operation) = headers.get("x-amz-target") else {
            // S3 is only asked whether objects exist.
            let exists = first.starts_with("HEAD ") && !self.state().has_no_objects;
            let status = if exists { 200 } else { 404 };
            return Some((
                status,
                "etag: \"0\"\r\nlast-modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n",
                String::new(),
            ));
        };
        let operation = operation.strip_prefix("SageMaker.").unwrap_or(operation);
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut state = self.state();
        state.log.push(operation.to_owned());
        state.signatures.push(headers.get("authorization").cloned().unwrap_or_default());
        let number = state.log.iter().filter(|known| *known == operation).count();
        let is_meant = |(asked, _): &(String, Fault)| {
            asked == operation || *asked == format!("{operation} {number}")
        };
        let fault = state.faults.iter().position(is_meant);
        let fault = fault.map(|index| state.faults.remove(index).1);
        if let Some(Fault::Answer(status, kind, message)) = fault {
            return Some((status, "", json!({ "__type": kind, "message": message }).to_string()));
        }
        let (status, answer) = state.done(operation, body);
        (fault != Some(Fault::Lost)).then(|| (status, "", answer.to_string()))
    }
}

impl State {
    fn done(&mut self, operation: &str, body: Value) -> (u16, Value) {
        let name = body["ProcessingJobName"].as_str().unwrap_or_default().to_owned();
        let refusal =
            |kind: &str, message: &str| (400, json!({ "__type": kind, "message": message }));
        if operation == "CreateProcessingJob" {
            if self.jobs.contains_key(&name) {
                return refusal("ResourceInUse", "Job name must be unique");
            }
            let status = "InProgress".to_owned();
            self.jobs.insert(name.clone(), Job { status, request: body, polls: self.polls });
            return (200, json!({ "ProcessingJobArn": format!("arn:aws:sagemaker:::{name}") }));
        }
        let Some(job) = self.jobs.get_mut(&name) else {
            return refusal("ResourceNotFound", "Requested resource not found.");
        };
        match operation {
            "DescribeProcessingJob" => {
                match &mut job.polls {
                    Some(0) if job.status == "InProgress" => {
                        "Completed".clone_into(&mut job.status);
                    }
                    Some(polls) => *polls = polls.saturating_sub(1),
                    None => {}
                }
                (200, json!({ "ProcessingJobName": name, "ProcessingJobStatus": job.status }))
            }
            "StopProcessingJob" if job.status == "InProgress" => {
                "Stopped".clone_into(&mut job.status);
                (200, json!({}))
            }
            "StopProcessingJob" => {
                refusal("ValidationException", "The job can't be stopped: it is over")
            }
            _ => refusal("UnknownOperationException", operation),
        }
    }
}
