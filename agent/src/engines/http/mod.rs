//! An existing endpoint over HTTP: a URL that accepts JSON POST requests, or a SageMaker endpoint.
//!
//! A batch is sent as concurrent requests, one connection each or as streams of one; the next batch
//! starts after the last response. Under a load each request is sent when it arrives, however many are in flight
//! (`load`). A failed request is a failed row and does not affect the others. The clock stops at
//! the last byte of a response; the responses of a batch are parsed after all have arrived, so
//! parsing is not measured. A stream is parsed as it arrives, and its clock stops at its final
//! event.
//!
//! The model behind the endpoint is opaque: no weights, device or memory.

mod aws_frames;
mod connection;
mod credentials;
mod load;
mod multiplexed;
mod permissions;
mod proxy;
mod response;
mod route;
mod sse;
mod stamped_tcp;
mod stream;
mod template;
mod timed_io;

pub use permissions::Permissions;

use crate::model_source;
use connection::{Body, Connection, Response, Target};
use credentials::Credentials;
use engine::files::{ReadError, TokenizerFiles};
use engine::{Engine, Intake, Request, Row, count, plain_prompt};
use generation::tokenizer::{self, PromptForm, Tokenizer};
use hyper::{StatusCode, Version};
use model::endpoint::{Endpoint, Place};
use model::engine::{EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::{Generation, INSTRUCTION, Settings, Stop};
use model::panic::words;
use model::sample::{Finish, HttpTiming, MAX_TEXT_BYTES};
use model::text::plain;
use ops::error_chain::one_line;
use ops::secret::shown_url;
use response::{Parsed, ResponseFields, Unusable};
use std::sync::Arc;
use std::{io, time::Duration};
use stopwatch::Stopwatch;
use stream::{Broken, StreamFields, Streamed};
use template::Template;
use tokio::{runtime::Runtime, task::JoinSet};

const PROBE: &str = "Summarize: Ann: Is the report done? Ben: Tonight.";
const PROBE_LIMITS: (u32, u32) = (64, 8);
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const MAX_QUOTED_CHARS: usize = 300;
/// Room for four wrong pointers.
const MAX_REASON_CHARS: usize = 1200;
/// Of T5, whose texts end with one special token.
const FORM: PromptForm = PromptForm { start: None, end: Some(1), longest: None };

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{model} is an endpoint without a request template: use it in a matrix, with a controller of this release"
    )]
    NoEndpoint { model: String },
    #[error("invalid endpoint address `{address}`: expected https://host/path or http://host/path")]
    Address { address: String },
    #[error("the request template of {model} is not valid JSON")]
    Template { model: String, source: serde_json::Error },
    #[error(
        "header {header}: the environment variable {variable} is unset or not a single line of text"
    )]
    Variable { header: String, variable: String },
    #[error(
        "the matrix sends {} of the agent's environment to an endpoint, which this agent doesn't allow: allow it with {} (of agent join, or of controller run for its local agents)",
        variables.join(", "),
        variables.iter().map(|name| format!("--endpoint-env {name}")).collect::<Vec<_>>().join(" ")
    )]
    Forbidden { variables: Vec<String> },
    #[error(
        "{address} is plain HTTP, which shows dialogues and headers to the network: use https://, or allow it with --allow-plain-http (of agent join, or of controller run for its local agents)"
    )]
    PlainHttp { address: String },
    #[error(
        "the metrics at {address} are not on the host of the endpoint, which this agent requires"
    )]
    MetricsHost { address: String },
    #[error(transparent)]
    Access(#[from] fetch::Error),
    #[error(transparent)]
    TokenizerFile(#[from] Box<model_source::Error>),
    #[error(transparent)]
    Parsed(#[from] ReadError),
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    #[error(
        "the proxy in the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) can't be used: expected http://HOST:PORT"
    )]
    Proxy,
    #[error(
        "http_version = \"2\" can't be used for http:// through the proxy in the environment (HTTP_PROXY or ALL_PROXY): use https://, or add the host to NO_PROXY"
    )]
    PlainHttp2Proxy,
    #[error("failed to initialize TLS or the async runtime: {0}")]
    System(String),
    #[error("probe request to {place} failed: {failure}{hint}")]
    Probe { place: String, failure: Failure, hint: String },
}

#[derive(Debug)]
pub struct Http {
    facts: EngineFacts,
    template: Template,
    fields: Arc<ResponseFields>,
    tokenizer: Option<Tokenizer>,
    target: Target,
    connections: Vec<Connection>,
    runtime: Runtime,
}

impl Http {
    /// Prepares the engine without sending a request. `variable` reads the environment, after the permissions are checked.
    pub fn open(
        spec: &EngineSpec,
        permissions: &Permissions,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let no_endpoint = || Error::NoEndpoint { model: shown_url(&spec.model) };
        let endpoint = spec.endpoint.as_ref().ok_or_else(no_endpoint)?;
        let place = Place::of(&spec.model).ok_or_else(no_endpoint)?;
        permissions.check(place, endpoint)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error: io::Error| Error::System(error.to_string()))?;
        let credentials = runtime.block_on(Credentials::find(place, endpoint, variable))?;
        let fields = Arc::new(ResponseFields::of(endpoint));
        let stream = endpoint.stream.clone();
        let stream = stream.map(|rules| StreamFields { fields: Arc::clone(&fields), rules });
        let address = credentials.address(place, endpoint);
        let target = Target::new(&address, credentials, endpoint, stream, variable)?;
        let template = Template::new(&endpoint.request)
            .map_err(|source| Error::Template { model: shown_url(&spec.model), source })?;
        let (tokenizer, tokenizer_sha256) = tokenizer_of(spec)?;
        let facts = facts(spec, endpoint, &target, tokenizer.as_ref(), tokenizer_sha256);
        let connections = Vec::new();
        Ok(Self { facts, template, fields, tokenizer, target, connections, runtime })
    }

    /// Sends a probe request, so that wrong credentials, addresses and JSON pointers fail before
    /// measuring. It has the system message of the first one in `asked`. Retries for some seconds
    /// while the endpoint is busy or starting.
    pub fn probed(mut self, asked: &[&Generation]) -> Result<Self, Error> {
        let (max_input_tokens, max_new_tokens) = PROBE_LIMITS;
        let system = asked.first().and_then(|asked| asked.settings.system.clone());
        let generation = Generation {
            prompt: None,
            max_input_tokens,
            stop: Stop::Eos,
            settings: Settings {
                max_new_tokens: Some(max_new_tokens),
                system,
                ..Settings::default()
            },
        };
        let stopwatch = Stopwatch::start();
        let mut pauses = PAUSES.iter();
        loop {
            let response =
                self.ask(vec![self.template.fill(PROBE, &generation)], &stopwatch).remove(0);
            let version = response.as_ref().ok().map(|response| response.version);
            let failure = match self.tried(response, &generation) {
                Ok(note) => {
                    self.facts.notes.extend(version.map(version_note));
                    self.facts.notes.extend(note);
                    return Ok(self);
                }
                Err(failure) => failure,
            };
            let may_pass = failure.retry == Retry::SameAgent;
            let Some(pause) = pauses.next().filter(|_| may_pass) else {
                let (place, hint) =
                    (self.target.shown().to_owned(), self.target.hint(failure.kind));
                return Err(Error::Probe { place, failure, hint });
            };
            // The timer is made inside the runtime.
            self.runtime.block_on(async { tokio::time::sleep(*pause).await });
        }
    }

    /// Checks the response to the probe request. An empty, aborted or filtered summary is a finding
    /// about the endpoint, which is there and answers: it is noted, and measuring begins.
    fn tried(
        &self,
        response: Result<Response, Failure>,
        generation: &Generation,
    ) -> Result<Option<String>, Failure> {
        let response = response?;
        let total_ns = response.timing.total_ns;
        let (wrong, body) = match &response.body {
            Body::Document(body) => (self.fields.wrong_pointers(body, total_ns), body.clone()),
            Body::Stream(Ok(streamed)) => (streamed.wrong_pointers.clone(), "".into()),
            Body::Stream(Err(_)) => (Vec::new(), "".into()),
        };
        let note = match self.row(PROBE, Ok(response), generation) {
            Ok(_) => None,
            Err(failure)
                if matches!(failure.kind, Kind::Empty | Kind::Aborted | Kind::Filtered) =>
            {
                Some(format!("the probe request returned no summary: {failure}"))
            }
            // What the pointers lead to says more than the missing finish reason.
            Err(failure) if failure.kind == Kind::Unfinished && !wrong.is_empty() => None,
            Err(failure) => return Err(failure),
        };
        if wrong.is_empty() {
            return Ok(note);
        }
        Err(failed(Kind::Answer, self.quoted(&wrong.join("; "), &body)))
    }

    /// Sends all requests concurrently, one connection each. Responses are in order.
    fn ask(
        &mut self,
        bodies: Vec<Vec<u8>>,
        stopwatch: &Stopwatch,
    ) -> Vec<Result<Response, Failure>> {
        let mut answers: Vec<Option<Result<Response, Failure>>> =
            bodies.iter().map(|_| None).collect();
        let Self { target, connections, runtime, .. } = self;
        let mut under_way = JoinSet::new();
        for (index, body) in bodies.into_iter().enumerate() {
            let mut connection = connections.pop().unwrap_or_default();
            let (target, stopwatch) = (target.clone(), stopwatch.clone());
            let ask = async move {
                let response = connection.ask(&target, body, &stopwatch).await;
                (index, connection, response)
            };
            under_way.spawn_on(ask, runtime.handle());
        }
        let mut reason = "the request was aborted".to_owned();
        runtime.block_on(async {
            while let Some(ended) = under_way.join_next().await {
                match ended {
                    Ok((index, connection, response)) => {
                        connections.push(connection);
                        answers[index] = Some(response);
                    }
                    // The panic was printed where it happened; its request stays unanswered.
                    Err(error) => {
                        if let Ok(panic) = error.try_into_panic() {
                            reason = format!("the request panicked: {}", words(&*panic));
                        }
                    }
                }
            }
        });
        let broken = || Err(failed(Kind::Internal, reason.clone()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(broken)).collect()
    }

    fn row(
        &self,
        prompt: &str,
        response: Result<Response, Failure>,
        generation: &Generation,
    ) -> Result<Row, Failure> {
        let Response { status, headers, body, timing, end_ns, .. } = response?;
        let (read, first_token_ns, chunk_gaps) = match body {
            Body::Document(body) if !status.is_success() => {
                return Err(self.error_response(status, &body));
            }
            Body::Document(body) => (self.document(&body)?, None, None),
            Body::Stream(Ok(streamed)) => {
                let Streamed { parsed, first_text_ns, chunk_gaps, .. } = *streamed;
                // Some servers end a stream as usual when they interrupt it for another request.
                if parsed.finish.is_none() && self.fields.has_finish() {
                    let reason =
                        "the stream ended without a finish reason: the server interrupted it";
                    return Err(failed(Kind::Unfinished, reason.to_owned()));
                }
                (parsed, Some(first_text_ns), Some(chunk_gaps))
            }
            Body::Stream(Err(broken)) => {
                let Broken { unusable, last } = broken;
                return Err(self.unusable(unusable, &last));
            }
        };
        if read.text.len() > MAX_TEXT_BYTES {
            let bytes = read.text.len();
            let detail = format!("summary of {bytes} bytes exceeds the limit of {MAX_TEXT_BYTES}");
            return Err(failed(Kind::Answer, detail));
        }
        // Counts of the endpoint and of the tokenizer are never mixed.
        let counted = |text: &str, is_by_endpoint: bool| {
            if is_by_endpoint { None } else { self.count_tokens(text) }
        };
        let all =
            read.output_tokens.or_else(|| counted(&read.text, self.fields.has_output_tokens()));
        let finish = read.finish.unwrap_or(match all {
            Some(tokens) if tokens >= generation.settings.token_limit() => Finish::Length,
            _ => Finish::Eos,
        });
        // A truncated text has no end-of-sequence token.
        let has_no_end = read.output_tokens.is_none() && finish == Finish::Length;
        let output_tokens = all.map(|tokens| tokens - u32::from(has_no_end).min(tokens));
        let server_ns = read.server_ns.or_else(|| response::server_timing(&headers));
        let timing = HttpTiming { server_ns, ..timing };
        Ok(Row {
            input_tokens: read
                .input_tokens
                .or_else(|| counted(prompt, self.fields.has_input_tokens())),
            cut_tokens: 0,
            output_ids: Vec::new(),
            output_tokens,
            unknown_tokens: 0,
            first_token_ns,
            end_ns,
            finish,
            text: Some(read.text),
            http: Some(timing.plausible()),
            chunk_gaps,
            drafts: None,
        })
    }

    /// A response of one JSON document with a success status.
    fn document(&self, body: &[u8]) -> Result<Parsed, Failure> {
        let read = self.fields.read(body);
        if !self.target.streams() {
            return read.map_err(|unusable| self.unusable(unusable, body));
        }
        // An error object in place of a stream has its class.
        let named = read.err().filter(|unusable| unusable.status != StatusCode::OK);
        let reason = "one document and no stream of events (text/event-stream): turn streaming on in the request".to_owned();
        let no_stream = Unusable { status: StatusCode::OK, kind: Kind::Answer, reason };
        Err(self.unusable(named.unwrap_or(no_stream), body))
    }

    fn unusable(&self, unusable: Unusable, body: &[u8]) -> Failure {
        let Unusable { status, kind, reason } = unusable;
        let retry = if response::may_pass(status) { Retry::SameAgent } else { Retry::Never };
        Failure { retry, kind, detail: self.quoted(&reason, body) }
    }

    /// What is wrong with a response, and its beginning, without secrets.
    fn quoted(&self, reason: &str, body: &[u8]) -> String {
        let reason = plain(&self.target.redacted(reason), MAX_REASON_CHARS);
        if body.is_empty() {
            return reason;
        }
        let said = self.target.redacted(&String::from_utf8_lossy(body));
        format!("{reason} in the response {}", plain(said.trim(), MAX_QUOTED_CHARS))
    }

    fn error_response(&self, answered: StatusCode, body: &[u8]) -> Failure {
        let status = response::original_status(answered, body);
        let retry = if response::may_pass(status) { Retry::SameAgent } else { Retry::Never };
        let said = self.target.redacted(&String::from_utf8_lossy(body));
        let said = plain(said.trim(), MAX_QUOTED_CHARS);
        Failure { retry, kind: response::class(status), detail: format!("{answered}: {said}") }
    }
}

/// The version of HTTP that the endpoint answered with, and how requests share connections.
fn version_note(version: Version) -> String {
    match version {
        Version::HTTP_2 => "requests are streams of one HTTP/2 connection".to_owned(),
        Version::HTTP_10 => "requests use HTTP/1.0, each with a connection of its own".to_owned(),
        _ => "requests use HTTP/1.1, each in flight with a connection of its own".to_owned(),
    }
}

/// A failure that no retry mends. Measured requests are never retried: the failure is the
/// measurement. The probe request is, after [`Retry::SameAgent`].
fn failed(kind: Kind, detail: String) -> Failure {
    Failure { retry: Retry::Never, kind, detail }
}

fn tokenizer_of(spec: &EngineSpec) -> Result<(Option<Tokenizer>, Option<String>), Error> {
    let found = model_source::tokenizer(spec.tokenizer.as_deref()).map_err(Box::new)?;
    let Some(blob) = found else { return Ok((None, None)) };
    let sha256 = blob.sha256()?;
    Ok((Some(Tokenizer::load(&TokenizerFiles::Whole(blob), FORM, usize::MAX)?), Some(sha256)))
}

fn facts(
    spec: &EngineSpec,
    endpoint: &Endpoint,
    target: &Target,
    tokenizer: Option<&Tokenizer>,
    tokenizer_sha256: Option<String>,
) -> EngineFacts {
    let mut notes = vec![format!(
        "dtype {} is taken from the matrix; the endpoint does not report it",
        spec.dtype
    )];
    notes.extend(
        match (&endpoint.output_tokens, tokenizer) {
            (Some(_), _) => Some("summary tokens are counted by the endpoint"),
            (None, Some(_)) => Some("tokens are counted with the tokenizer from the matrix"),
            (None, None) => Some("tokens are not counted"),
        }
        .map(str::to_owned),
    );
    notes.extend(tokenizer.iter().flat_map(|tokenizer| &tokenizer.notes).cloned());
    notes.extend(
        target.proxy().map(|proxy| format!("requests go through the proxy {}", proxy.shown())),
    );
    EngineFacts {
        tokenizer_sha256,
        device: EngineFacts::ENDPOINT.to_owned(),
        kernel: "http".to_owned(),
        // A request is sent whenever it arrives.
        continuous_batching: true,
        endpoint: Some(target.shown().to_owned()),
        notes,
        ..EngineFacts::default()
    }
}

impl Engine for Http {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn count_tokens(&self, text: &str) -> Option<u32> {
        let counted = self.tokenizer.as_ref()?.count(text);
        counted.inspect_err(|error| tracing::warn!(error = one_line(error))).ok().map(count)
    }

    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        let prompt = generation.prompt_or(INSTRUCTION);
        let prompts: Vec<String> = batch
            .iter()
            .map(|request| plain_prompt(prompt, &request.earlier, &request.dialogue))
            .collect();
        let bodies = prompts.iter().map(|prompt| self.template.fill(prompt, generation)).collect();
        let answers = self.ask(bodies, stopwatch);
        let rows = prompts.iter().zip(answers);
        Ok(rows.map(|(prompt, response)| self.row(prompt, response, generation)).collect())
    }

    fn serve(
        &mut self,
        intake: &mut dyn Intake,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        self.carry(intake, generation, stopwatch);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
