//! The HTTP edge: SageMaker's container contract (`GET /ping`, `POST /invocations`) around one engine.
//!
//! Requests wait in a queue with a limit; one thread decodes them, together where several wait. What comes in while
//! the queue is full is refused at once, so that a caller can go elsewhere.

mod body;
mod worker;

pub use body::Limits;

use crate::engines;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use body::{Invocation, Summary};
use engine::Engine;
use model::failure::Kind;
use serde_json::json;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stopwatch::Stopwatch;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use worker::{Answer, Job};

/// What SageMaker sends at most.
const MOST_BYTES: usize = 25 << 20;
/// SageMaker kills a container two minutes after it asked it to end.
const DRAINED_AFTER: Duration = Duration::from_secs(110);

/// How requests are served.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What a request may ask for at most, and gets where it doesn't say.
    pub limits: Limits,
    /// How many texts may wait.
    pub queue: usize,
    /// How many are decoded together at most.
    pub batch_size: usize,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All that was asked is answered.
    Drained,
    /// Something was still under way when the time for it was over.
    Cut,
}

/// Why nothing is served any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine can't be loaded.
    #[error(transparent)]
    Engine(#[from] engines::Error),
    /// The system.
    #[error("the system can't serve")]
    System(#[from] std::io::Error),
    /// A bug in the engine; it was printed where it happened.
    #[error("the engine's thread broke off")]
    Broken,
}

/// What the handlers share.
#[derive(Debug)]
struct Desk {
    options: Options,
    stopwatch: Stopwatch,
    /// Empty until the engine is there.
    jobs: OnceLock<mpsc::Sender<Job>>,
}

/// Serves until `stop` is ready and what was asked before it is answered. `load` makes the engine, on the thread
/// that will use it; until it is there, `/ping` says 503.
///
/// # Errors
/// What `load` says, or the system.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    load: impl FnOnce() -> Result<Box<dyn Engine>, engines::Error> + Send + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Ending, Error> {
    let stopwatch = Stopwatch::start();
    let desk = Arc::new(Desk { options, stopwatch: stopwatch.clone(), jobs: OnceLock::new() });
    let (tell_end, end) = oneshot::channel();
    let of_worker = Arc::downgrade(&desk);
    std::thread::Builder::new().name("serve".to_owned()).spawn(move || {
        let done = load().map(|engine| {
            let (sender, jobs) = mpsc::channel(options.queue);
            // Only the handlers keep the queue open: where none is left, neither is work.
            if let Some(desk) = of_worker.upgrade() {
                // It is set here only.
                drop(desk.jobs.set(sender));
            }
            worker::work(engine, jobs, options.batch_size, &stopwatch);
        });
        // Nobody listens where the server ended first.
        drop(tell_end.send(done));
    })?;
    let router = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocations))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(desk);
    let (begin_stop, stopping) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        stop.await;
        drop(begin_stop);
    });
    let time_is_over = async {
        // An error, and always one: the sender is dropped.
        drop(stopping.await);
        tokio::time::sleep(DRAINED_AFTER).await;
    };
    tokio::select! {
        ended = server.into_future() => Ok(ended.map(|()| Ending::Drained)?),
        () = time_is_over => Ok(Ending::Cut),
        done = end => match done {
            Ok(Err(error)) => Err(error.into()),
            // The queue is open as long as the server is there.
            Ok(Ok(())) | Err(_) => Err(Error::Broken),
        },
    }
}

async fn ping(State(desk): State<Arc<Desk>>) -> Response {
    match desk.jobs.get() {
        Some(_) => Json(json!({ "status": "ready" })).into_response(),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "the model is being loaded"),
    }
}

async fn invocations(
    State(desk): State<Arc<Desk>>,
    body: Result<Json<Invocation>, JsonRejection>,
) -> Response {
    let arrived_ns = desk.stopwatch.now_ns();
    let invocation = match body {
        Ok(Json(invocation)) => invocation,
        Err(rejection) => return refusal(rejection.status(), &rejection.body_text()),
    };
    let details = invocation.parameters.details;
    let limits = match invocation.limits(desk.options.limits) {
        Ok(limits) => limits,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, &reason),
    };
    let texts = invocation.inputs.into_vec();
    if texts.is_empty() || texts.len() > desk.options.queue {
        let most = desk.options.queue;
        let reason = format!("inputs: expected 1 to {most} texts, found {}", texts.len());
        return refusal(StatusCode::BAD_REQUEST, &reason);
    }
    let Some(jobs) = desk.jobs.get() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "the model is being loaded");
    };
    let Ok(places) = jobs.try_reserve_many(texts.len()) else {
        let reason = format!("{} texts wait already; try again later", desk.options.queue);
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &reason);
    };
    let mut answers = Vec::with_capacity(texts.len());
    for (place, text) in places.zip(texts) {
        let (answer, answered) = oneshot::channel();
        place.send(Job { text, limits, answer });
        answers.push(answered);
    }
    let mut summaries = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer.await {
            Ok(Ok(answer)) => summaries.push(summary(answer, arrived_ns, details)),
            Ok(Err(failure)) => {
                let status = match failure.kind {
                    Kind::Input => StatusCode::BAD_REQUEST,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return refusal(status, &failure.detail);
            }
            Err(_) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the engine broke off"),
        }
    }
    // Of the text that took longest: what is left of the caller's time is the network's.
    let server_ms = summaries.iter().map(|summary| summary.server_ms).fold(0.0, f64::max);
    ([("server-timing", format!("total;dur={server_ms}"))], Json(summaries)).into_response()
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

fn refusal(status: StatusCode, reason: &str) -> Response {
    let body = Json(json!({ "error": reason }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return (status, [(header::RETRY_AFTER, "1")], body).into_response();
    }
    (status, body).into_response()
}
