//! An endpoint that exists already, asked over HTTP: an address that takes a JSON POST, or one of SageMaker's.
//!
//! A batch is as many requests at once, each on a connection of its own; the next batch begins when the last one is
//! answered. A request that fails is a failed row and leaves its neighbours alone. The clock runs until the last byte of
//! an answer is there; what an answer means is read when all have come, so that reading takes nobody's time.
//!
//! What stands behind the endpoint is not seen: no weights, no device, no memory, no first token.

mod answer;
mod connection;
mod keys;
mod template;

use crate::model_source;
use answer::Meaning;
use connection::{Connection, Heard, Line};
use engine::files::ReadError;
use engine::{Engine, Request, Row, count};
use hyper::StatusCode;
use keys::Keys;
use model::endpoint::{Endpoint, Place};
use model::engine::{EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::{Generation, Stop};
use model::sample::{Finish, MAX_TEXT_BYTES};
use model::text::plain;
use ops::error_chain::one_line;
use std::io;
use std::time::Duration;
use stopwatch::Stopwatch;
use t5::tokenizer::{self, Tokenizer};
use template::Template;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// What an endpoint is asked when the agent looks at it: short, and never counted.
const TRIAL: &str = "Summarize: Ann: Is the report done? Ben: Tonight.";
const TRIAL_LIMITS: (u32, u32) = (64, 8);
/// Pauses before it is tried again where it is busy, or still being started.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// How much of a refusal is repeated, in characters.
const REFUSAL: usize = 300;
/// What T5's texts end with.
const EOS: u32 = 1;

/// An endpoint that can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No matrix, or an older controller.
    #[error(
        "{model} is an endpoint, and nothing says how to ask it: only a matrix does, from a controller of this release"
    )]
    NoEndpoint {
        /// Its id.
        model: String,
    },
    /// Its address.
    #[error(
        "{address} is no address of an endpoint: expected https://host/path or http://host/path"
    )]
    Address {
        /// As given.
        address: String,
    },
    /// Its request.
    #[error("the request of {model} is no JSON")]
    Template {
        /// Its id.
        model: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A header's value isn't there.
    #[error(
        "the header {header} comes from the variable {variable}, which this agent's environment doesn't hold, or not as one line of text"
    )]
    Variable {
        /// Which header.
        header: String,
        /// Which variable.
        variable: String,
    },
    /// AWS's credentials or region.
    #[error(transparent)]
    Access(#[from] fetch::Error),
    /// The tokenizer can't be had.
    #[error(transparent)]
    TokenizerFile(#[from] Box<model_source::Error>),
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tokenizer can't be used.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The system.
    #[error("the system has no TLS or no runtime: {0}")]
    System(String),
    /// It was tried, and gave no summary.
    #[error("{place} was asked for a trial and gave no summary: {failure}{hint}")]
    Trial {
        /// Where it is.
        place: String,
        /// What it said instead.
        failure: Failure,
        /// What to look at.
        hint: String,
    },
}

/// An endpoint, and the connections to it.
#[derive(Debug)]
pub struct Http {
    facts: EngineFacts,
    template: Template,
    meaning: Meaning,
    tokenizer: Option<Tokenizer>,
    line: Line,
    connections: Vec<Connection>,
    runtime: Runtime,
}

impl Http {
    /// Finds all that is needed to ask the endpoint of `spec`; nothing is asked yet. `variable` reads the environment.
    ///
    /// # Errors
    /// [`Error`], naming the variable, the file and the way out.
    pub fn open(
        spec: &EngineSpec,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let no_endpoint = || Error::NoEndpoint { model: spec.model.clone() };
        let endpoint = spec.endpoint.as_ref().ok_or_else(no_endpoint)?;
        let place = Place::of(&spec.model).ok_or_else(no_endpoint)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error: io::Error| Error::System(error.to_string()))?;
        let keys = runtime.block_on(Keys::find(place, endpoint, variable))?;
        let line = Line::new(&keys.address(place), keys, endpoint)?;
        let template = Template::new(&endpoint.request)
            .map_err(|source| Error::Template { model: spec.model.clone(), source })?;
        let (tokenizer, tokenizer_sha256) = tokenizer_of(spec)?;
        let facts = facts(spec, endpoint, &line, (tokenizer.as_ref(), tokenizer_sha256));
        let meaning = Meaning::of(endpoint);
        let connections = Vec::new();
        Ok(Self { facts, template, meaning, tokenizer, line, connections, runtime })
    }

    /// Asks it once, so that wrong credentials and places are told before anything is measured. Where it is busy or
    /// still being started it is tried again, for some seconds.
    ///
    /// # Errors
    /// [`Error::Trial`].
    pub fn tried(mut self) -> Result<Self, Error> {
        let (max_input_tokens, max_new_tokens) = TRIAL_LIMITS;
        let generation = Generation {
            prompt: TRIAL.to_owned(),
            max_input_tokens,
            max_new_tokens,
            stop: Stop::Eos,
        };
        let stopwatch = Stopwatch::start();
        let mut pauses = PAUSES.iter();
        loop {
            let heard =
                self.ask(vec![self.template.fill(TRIAL, &generation)], &stopwatch).remove(0);
            let Err(failure) = self.row(TRIAL, heard, &generation) else { return Ok(self) };
            let may_pass = matches!(failure.kind, Kind::Throttled | Kind::ServerError);
            let Some(pause) = pauses.next().filter(|_| may_pass) else {
                let (place, hint) = (self.line.shown().to_owned(), self.line.hint(failure.kind));
                return Err(Error::Trial { place, failure, hint });
            };
            self.runtime.block_on(tokio::time::sleep(*pause));
        }
    }

    /// Sends requests at once, each on a connection of its own; answers in their order.
    fn ask(&mut self, bodies: Vec<Vec<u8>>, stopwatch: &Stopwatch) -> Vec<Result<Heard, Failure>> {
        let mut answers: Vec<Option<Result<Heard, Failure>>> =
            bodies.iter().map(|_| None).collect();
        let Self { line, connections, runtime, .. } = self;
        let mut under_way = JoinSet::new();
        for (index, body) in bodies.into_iter().enumerate() {
            let mut connection = connections.pop().unwrap_or_default();
            let (line, stopwatch) = (line.clone(), stopwatch.clone());
            let ask = async move {
                let heard = connection.ask(&line, body, &stopwatch).await;
                (index, connection, heard)
            };
            under_way.spawn_on(ask, runtime.handle());
        }
        runtime.block_on(async {
            while let Some(ended) = under_way.join_next().await {
                // A panic was printed where it happened; its request stays without an answer.
                if let Ok((index, connection, heard)) = ended {
                    connections.push(connection);
                    answers[index] = Some(heard);
                }
            }
        });
        let broken = || Err(failed(Kind::Internal, "the request broke off".to_owned()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(broken)).collect()
    }

    /// What an answer means.
    fn row(
        &self,
        prompt: &str,
        heard: Result<Heard, Failure>,
        generation: &Generation,
    ) -> Result<Row, Failure> {
        let heard = heard?;
        if !heard.status.is_success() {
            return Err(self.refusal(&heard));
        }
        let read = self.meaning.read(&heard.body).map_err(|reason| {
            let answer = self.line.redacted(&String::from_utf8_lossy(&heard.body));
            failed(Kind::Answer, format!("{reason} in the answer {}", plain(&answer, REFUSAL)))
        })?;
        if read.text.len() > MAX_TEXT_BYTES {
            let bytes = read.text.len();
            let detail = format!("a summary of {bytes} bytes, at most {MAX_TEXT_BYTES} are taken");
            return Err(failed(Kind::Answer, detail));
        }
        let counted = |text: &str| self.count_tokens(text);
        let all = read.output_tokens.or_else(|| counted(&read.text));
        let finish = read.finish.unwrap_or(match all {
            Some(tokens) if tokens >= generation.max_new_tokens => Finish::Length,
            _ => Finish::Eos,
        });
        // A text that was cut off has no end mark.
        let has_no_end = read.output_tokens.is_none() && finish == Finish::Length;
        let output_tokens = all.map(|tokens| tokens - u32::from(has_no_end).min(tokens));
        let server_ns = read.server_ns.or_else(|| answer::server_timing(&heard.headers));
        let mut timing = heard.timing;
        timing.server_ns = server_ns;
        Ok(Row {
            input_tokens: read.input_tokens.or_else(|| counted(prompt)),
            cut_tokens: 0,
            output_ids: Vec::new(),
            output_tokens,
            unknown_tokens: 0,
            first_token_ns: None,
            end_ns: heard.end_ns,
            finish,
            text: Some(read.text),
            http: Some(timing.plausible()),
        })
    }

    fn refusal(&self, heard: &Heard) -> Failure {
        let kind = match heard.status {
            StatusCode::TOO_MANY_REQUESTS => Kind::Throttled,
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Kind::TimedOut,
            status if status.is_server_error() => Kind::ServerError,
            _ => Kind::Rejected,
        };
        let said = self.line.redacted(&String::from_utf8_lossy(&heard.body));
        failed(kind, format!("{}: {}", heard.status, plain(said.trim(), REFUSAL)))
    }
}

/// A request that failed is not sent again: that it failed is what was measured.
fn failed(kind: Kind, detail: String) -> Failure {
    Failure { retry: Retry::Never, kind, detail }
}

fn tokenizer_of(spec: &EngineSpec) -> Result<(Option<Tokenizer>, Option<String>), Error> {
    let found = model_source::tokenizer(spec.tokenizer.as_deref()).map_err(Box::new)?;
    let Some(blob) = found else { return Ok((None, None)) };
    let sha256 = blob.sha256()?;
    Ok((Some(Tokenizer::load(&blob, EOS, usize::MAX)?), Some(sha256)))
}

fn facts(
    spec: &EngineSpec,
    endpoint: &Endpoint,
    line: &Line,
    (tokenizer, tokenizer_sha256): (Option<&Tokenizer>, Option<String>),
) -> EngineFacts {
    let mut notes =
        vec![format!("dtype {} is what the matrix says; the endpoint doesn't tell", spec.dtype)];
    notes.extend(
        match (&endpoint.output_tokens, tokenizer) {
            (Some(_), _) => Some("tokens of summaries are those that the endpoint counts"),
            (None, Some(_)) => Some("tokens are counted with the matrix's tokenizer"),
            (None, None) => Some("nobody counts tokens"),
        }
        .map(str::to_owned),
    );
    notes.extend(tokenizer.iter().flat_map(|tokenizer| tokenizer.notes()).cloned());
    EngineFacts {
        tokenizer_sha256,
        device: EngineFacts::ENDPOINT.to_owned(),
        kernel: "http".to_owned(),
        endpoint: Some(line.shown().to_owned()),
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
        let prompts: Vec<String> =
            batch.iter().map(|request| generation.prompt_for(&request.dialogue)).collect();
        let bodies = prompts.iter().map(|prompt| self.template.fill(prompt, generation)).collect();
        let answers = self.ask(bodies, stopwatch);
        let rows = prompts.iter().zip(answers);
        Ok(rows.map(|(prompt, heard)| self.row(prompt, heard, generation)).collect())
    }
}

#[cfg(test)]
mod tests;
