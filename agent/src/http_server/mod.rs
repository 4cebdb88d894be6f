//! SageMaker's container contract (`GET /ping`, `POST /invocations`) and OpenAI's API around one
//! engine.
//!
//! Requests wait in a bounded queue; one thread decodes them in batches. Requests that find a full
//! queue are rejected at once, and those whose callers leave are no longer decoded.
//!
//! A panic is an answer: of a handler to its request, of the engine's thread to all requests that
//! wait for it. The latter ends the service, with the panic's words as its error.

mod body;
mod metrics;
mod openai;
mod received;
mod worker;

pub use body::Limits;
pub use ops::http::Ending;

use crate::engines;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use body::{Invocation, MAX_TEXTS, Parameters, Summary, Truncation};
use engine::{Engine, Turn};
use generation::tokenizer::{self, MAX_TEXT_BYTES};
use metrics::{Metrics, Outcome};
use model::failure::{Failure, Kind};
use model::generation::Settings;
use model::panic::words;
use ops::{descriptors, http};
use received::BodyBudget;
use serde_json::json;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use worker::{Answer, Job};

/// Load generators keep a connection for each concurrent request.
const CONNECTIONS: usize = 1024;
/// SageMaker kills a container two minutes after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(110);
/// Time for the answers to leave that tell of the engine's panic.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct Options {
    /// Maximum and default of a request's limits.
    pub limits: Limits,
    /// What requests that don't say otherwise ask for.
    pub settings: Settings,
    pub sampling: RequestSampling,
    /// Capacity, in texts.
    pub queue: usize,
    pub batch_size: usize,
}

/// Whether requests may ask for sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestSampling {
    Allowed,
    Refused,
}

impl RequestSampling {
    /// `asked`: the parameter that asks for sampling, with its value.
    fn check(self, search: &Settings, asked: &str) -> Result<(), String> {
        if self == Self::Allowed || !search.samples() {
            return Ok(());
        }
        Err(format!(
            "{asked} asks for sampling, which this server does not allow: remove it, or start the server with \
             --allow-sampling"
        ))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engines::Error),
    #[error("the HTTP server failed")]
    System(#[from] std::io::Error),
    #[error("the engine's thread panicked: {words}; this is a bug")]
    Panicked { words: String },
}

#[derive(Debug)]
struct AppState {
    options: Options,
    stopwatch: Stopwatch,
    bodies: BodyBudget,
    metrics: Metrics,
    /// Set once the engine is loaded.
    jobs: OnceLock<mpsc::Sender<Job>>,
}

/// An engine on a thread of its own, and the router of the requests that it answers.
#[derive(Debug)]
pub struct Service {
    pub router: Router,
    end: oneshot::Receiver<Result<(), Error>>,
}

impl Service {
    /// `load` runs on the engine's thread; until it returns, `/ping` responds 503. `ready` runs once
    /// requests are accepted.
    pub fn start(
        options: Options,
        load: impl FnOnce() -> Result<Box<dyn Engine>, engines::Error> + Send + 'static,
        ready: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let stopwatch = Stopwatch::start();
        let Options { queue, batch_size, .. } = options;
        let metrics = Metrics::default();
        let state = Arc::new(AppState {
            options,
            stopwatch: stopwatch.clone(),
            bodies: BodyBudget::default(),
            metrics: metrics.clone(),
            jobs: OnceLock::new(),
        });
        let (tell_end, end) = oneshot::channel();
        let of_worker = Arc::downgrade(&state);
        std::thread::Builder::new().name("serve".to_owned()).spawn(move || {
            let work = AssertUnwindSafe(|| {
                load().map(|engine| {
                    let (sender, jobs) = mpsc::channel(queue);
                    // Only the handlers keep the queue open.
                    if let Some(state) = of_worker.upgrade() {
                        // Set only here.
                        drop(state.jobs.set(sender));
                    }
                    ready();
                    worker::work(engine, jobs, batch_size, &stopwatch, &metrics);
                })
            });
            let done = match catch_unwind(work) {
                Ok(done) => done.map_err(Error::Engine),
                Err(panic) => Err(Error::Panicked { words: words(&*panic).to_owned() }),
            };
            // The server may have ended first.
            drop(tell_end.send(done));
        })?;
        let router = Router::new()
            .route("/ping", get(ping))
            .route("/metrics", get(metrics_page))
            .route("/invocations", post(invocations))
            .route("/v1/models", get(openai::models))
            .route("/v1/completions", post(openai::completions))
            .route("/v1/chat/completions", post(openai::chat_completions))
            .layer(from_fn(caught))
            .with_state(state);
        Ok(Self { router, end })
    }
}

/// Serves until `stop` resolves and accepted requests are answered.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    load: impl FnOnce() -> Result<Box<dyn Engine>, engines::Error> + Send + 'static,
    ready: impl FnOnce() + Send + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Ending, Error> {
    let Service { router, end } = Service::start(options, load, ready)?;
    let (tell_broken, broken) = oneshot::channel::<()>();
    let stop = async {
        tokio::select! {
            () = stop => {}
            _ = broken => {}
        }
    };
    let limits =
        http::Limits { connections: descriptors::share(CONNECTIONS, 2), drain: DRAIN_TIMEOUT };
    let mut server = std::pin::pin!(http::serve(listener, router, limits, stop));
    tokio::select! {
        ended = &mut server => Ok(ended),
        done = end => {
            drop(tell_broken);
            drop(tokio::time::timeout(LAST_ANSWERS_TIMEOUT, server).await);
            // The queue stays open as long as the server runs.
            let closed = || Error::Panicked { words: "the queue is closed".to_owned() };
            Err(done.map_or_else(|_| closed(), |done| done.err().unwrap_or_else(closed)))
        },
    }
}

/// Answers a request whose handler panics. A request whose caller has gone ends with this future.
async fn caught(request: Request, next: Next) -> Response {
    let mut handler = JoinSet::new();
    handler.spawn(next.run(request));
    match handler.join_next().await {
        Some(Ok(response)) => response,
        Some(Err(error)) if error.is_panic() => {
            let reason = format!("the handler panicked: {}", words(&*error.into_panic()));
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason).into_response()
        }
        _ => {
            let reason = "the handler was aborted".to_owned();
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason).into_response()
        }
    }
}

/// Why a request is not answered.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: String) -> Self {
        Self { status, reason }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.reason }));
        match self.status {
            // Clients of SageMaker's containers repeat 503.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let headers = [(header::RETRY_AFTER, "1")];
                (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
            }
            status => (status, body).into_response(),
        }
    }
}

fn loading() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the model is loading".to_owned())
}

async fn ping(State(state): State<Arc<AppState>>) -> Response {
    match state.jobs.get() {
        Some(_) => Json(json!({ "status": "ready" })).into_response(),
        None => loading().into_response(),
    }
}

async fn metrics_page(State(state): State<Arc<AppState>>) -> Response {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], state.metrics.text()).into_response()
}

/// Media types of JSON Lines: one invocation per line, one response per line.
const LINES: [&str; 5] = [
    "application/jsonlines",
    "application/x-jsonlines",
    "application/jsonl",
    "application/x-ndjson",
    "application/ndjson",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
}

impl Form {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if LINES.contains(&kind.as_str()) {
            return Some(Self::Lines);
        }
        let is_json = kind == "application/json"
            || (kind.starts_with("application/") && kind.ends_with("+json"));
        is_json.then_some(Self::Json)
    }

    /// What stands before the reason of an invocation's refusal.
    fn place(self, index: usize) -> String {
        match self {
            Self::Json => String::new(),
            Self::Lines => format!("record {}: ", index + 1),
        }
    }

    /// A refusal of one invocation.
    fn at(self, index: usize, Refusal { status, reason }: Refusal) -> Refusal {
        Refusal::new(status, format!("{}{reason}", self.place(index)))
    }

    fn parse(self, text: &str) -> Result<Vec<Invocation>, Refusal> {
        let lines = text.as_bytes().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let records: &mut dyn Iterator<Item = &[u8]> = match self {
            Self::Json => &mut std::iter::once(text.as_bytes()),
            Self::Lines => &mut lines.filter(|line| !line.is_empty()),
        };
        let (mut parsed, mut texts) = (Vec::new(), 0);
        for (index, record) in records.enumerate() {
            let Json(invocation) = Json::<Invocation>::from_bytes(record).map_err(|rejection| {
                let reason = format!("{}{}", self.place(index), rejection.body_text());
                Refusal::new(rejection.status(), reason)
            })?;
            texts += invocation.texts();
            // More lines would not change the refusal.
            if texts > MAX_TEXTS {
                return Err(wrong_count(MAX_TEXTS, &format!("at least {texts}")));
            }
            parsed.push(invocation);
        }
        Ok(parsed)
    }

    fn respond(self, answers: &[Vec<Summary>]) -> Response {
        // Of the slowest text: the rest of the caller's time is the network's.
        let times = answers.iter().flatten().map(|summary| summary.server_ms);
        let timing = format!("total;dur={}", times.fold(0.0, f64::max));
        let timing = [("server-timing", timing)];
        match self {
            Self::Json => (timing, Json(answers.concat())).into_response(),
            Self::Lines => {
                let line = |answer: &Vec<Summary>| json!(answer).to_string() + "\n";
                let body: String = answers.iter().map(line).collect();
                (timing, [(header::CONTENT_TYPE, LINES[0])], body).into_response()
            }
        }
    }
}

/// The answers to the texts of one invocation.
struct Pending {
    details: bool,
    truncation: Truncation,
    limits: Limits,
    settings: Settings,
    /// The turns of a chat before the only text.
    earlier: Vec<Turn>,
    answers: Vec<oneshot::Receiver<Result<Answer, Failure>>>,
}

async fn invocations(
    State(state): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Some(form) = Form::of(&headers) else {
        let reason = "expected the content type application/json or application/jsonlines";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason.to_owned()));
    };
    let (body, mut permit) = state.bodies.read(body).await?;
    let arrived_ns = state.stopwatch.now_ns();
    let text = state.bodies.decode(&body, &mut permit)?;
    let parsed = form.parse(&text)?;
    drop(text);
    drop(body);
    let pending = enqueue(&state, form, parsed, arrived_ns, None)?;
    let mut answers = Vec::with_capacity(pending.len());
    for (index, invocation) in pending.into_iter().enumerate() {
        let answered = finish(invocation, arrived_ns).await;
        answers.push(answered.map_err(|refusal| form.at(index, refusal))?);
    }
    Ok(form.respond(&answers))
}

/// `expected` is how many texts a request may have.
fn wrong_count(expected: usize, found: &str) -> Refusal {
    let reason = format!("inputs: expected 1 to {expected} texts, found {found}");
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

/// Queues the texts of all invocations, or none. `pieces` receives the text of an only one while it
/// is decoded.
fn enqueue(
    state: &AppState,
    form: Form,
    invocations: Vec<Invocation>,
    arrived_ns: u64,
    pieces: Option<&UnboundedSender<String>>,
) -> Result<Vec<Pending>, Refusal> {
    let most = state.options.queue.min(MAX_TEXTS);
    let mut checked = Vec::with_capacity(invocations.len());
    for (index, invocation) in invocations.into_iter().enumerate() {
        let limits = invocation
            .limits(state.options.limits)
            .map_err(|reason| form.at(index, Refusal::new(StatusCode::BAD_REQUEST, reason)))?;
        let (texts, parameters) = invocation.into_parts();
        let Parameters { details, truncation, search, earlier, .. } = parameters;
        state
            .options
            .sampling
            .check(&search, "do_sample = true")
            .map_err(|reason| form.at(index, Refusal::new(StatusCode::BAD_REQUEST, reason)))?;
        let mut settings = search.or(&state.options.settings);
        // Only greedy decoding has drafts: those of the server don't count beside a request's beams.
        if settings.samples() || settings.num_beams.is_some_and(|beams| beams > 1) {
            settings.prompt_lookup_num_tokens = None;
        }
        let earlier_bytes: usize = earlier.iter().map(|turn| turn.content.len()).sum();
        let bytes = |text: &String| earlier_bytes + text.len();
        if let Some(bytes) = texts.iter().map(bytes).find(|bytes| *bytes > MAX_TEXT_BYTES) {
            let reason = tokenizer::Error::TooLong { bytes };
            let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("inputs: {reason}"));
            return Err(form.at(index, refusal));
        }
        let answers = Vec::new();
        checked.push((texts, Pending { details, truncation, limits, settings, earlier, answers }));
    }
    let count: usize = checked.iter().map(|(texts, _)| texts.len()).sum();
    if count == 0 || count > most {
        return Err(wrong_count(most, &count.to_string()));
    }
    let jobs = state.jobs.get().ok_or_else(loading)?;
    let mut places = jobs.try_reserve_many(count).map_err(|error| {
        let queue = state.options.queue;
        let full = || format!("the queue of {queue} texts is full; try again later");
        match error {
            TrySendError::Full(()) => {
                state.metrics.ended_all(Outcome::Refused, count);
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, full())
            }
            TrySendError::Closed(()) => {
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the engine stopped".to_owned())
            }
        }
    })?;
    let mut following = count;
    let mut queue = |(texts, mut pending): (Vec<String>, Pending)| {
        for (text, place) in texts.into_iter().zip(places.by_ref()) {
            let (answer, answered) = oneshot::channel();
            following -= 1;
            let (limits, settings) = (pending.limits, pending.settings.clone());
            let pieces = pieces.cloned();
            let counted = state.metrics.waiting();
            place.send(Job {
                text,
                earlier: std::mem::take(&mut pending.earlier),
                limits,
                settings,
                arrived_ns,
                following,
                answer,
                pieces,
                counted,
            });
            pending.answers.push(answered);
        }
        pending
    };
    Ok(checked.into_iter().map(&mut queue).collect())
}

async fn finish(invocation: Pending, arrived_ns: u64) -> Result<Vec<Summary>, Refusal> {
    let Pending { details, truncation, limits, answers, .. } = invocation;
    let mut summaries = Vec::with_capacity(answers.len());
    for answer in answers {
        let answer = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => {
                let status = match failure.kind {
                    Kind::Input => StatusCode::BAD_REQUEST,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return Err(Refusal::new(status, failure.detail));
            }
            Err(_) => {
                let reason = "the engine stopped".to_owned();
                return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason));
            }
        };
        if truncation == Truncation::Forbidden && answer.row.cut_tokens > 0 {
            let most = limits.max_input_tokens;
            let reason = format!(
                "inputs: a prompt has {} tokens more than the limit of {most}, and truncation is off",
                answer.row.cut_tokens
            );
            return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
        }
        summaries.push(summary(answer, arrived_ns, details));
    }
    Ok(summaries)
}

fn summary(Answer { row, end_ns }: Answer, arrived_ns: u64, details: bool) -> Summary {
    Summary {
        generated_text: row.text,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        finish: row.finish.as_str(),
        server_ms: end_ns.saturating_sub(arrived_ns) as f64 / 1e6,
        output_ids: details.then_some(row.output_ids),
    }
}

#[cfg(test)]
mod cancellation_tests;

#[cfg(test)]
mod tests {
    use super::*;

    async fn panics() -> Response {
        panic!("no such luck")
    }

    async fn answers() -> &'static str {
        "fine"
    }

    #[tokio::test]
    async fn a_panic_of_a_handler_is_its_answer_and_the_service_goes_on() {
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/answers", get(answers))
            .layer(from_fn(caught));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let ask = async |path: &str| {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let told = r#"{"error":"the handler panicked: no such luck"}"#;
        assert_eq!(ask("/panics").await, (500, told.to_owned()));
        assert_eq!(ask("/answers").await, (200, "fine".to_owned()));
    }
}
