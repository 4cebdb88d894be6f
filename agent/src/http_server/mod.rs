//! SageMaker's container contract (`GET /ping`, `POST /invocations`) around one engine.
//!
//! Requests wait in a bounded queue; one thread decodes them in batches. Requests that find a full
//! queue are rejected at once.

mod body;
mod worker;

pub use body::Limits;

use crate::engines;
use axum::extract::{DefaultBodyLimit, State, rejection::JsonRejection};
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

/// SageMaker's maximum request size.
const MAX_BODY_BYTES: usize = 25 << 20;
/// SageMaker kills a container two minutes after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(110);

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Maximum and default of a request's limits.
    pub limits: Limits,
    /// Capacity, in texts.
    pub queue: usize,
    pub batch_size: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Drained,
    TimedOut,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Engine(#[from] engines::Error),
    #[error("the HTTP server failed")]
    System(#[from] std::io::Error),
    #[error("the engine's thread panicked")]
    Broken,
}

#[derive(Debug)]
struct AppState {
    options: Options,
    stopwatch: Stopwatch,
    /// Set once the engine is loaded.
    jobs: OnceLock<mpsc::Sender<Job>>,
}

/// Serves until `stop` resolves and accepted requests are answered. `load` runs on the engine's
/// thread; until it returns, `/ping` responds 503.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    load: impl FnOnce() -> Result<Box<dyn Engine>, engines::Error> + Send + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Ending, Error> {
    let stopwatch = Stopwatch::start();
    let state = Arc::new(AppState { options, stopwatch: stopwatch.clone(), jobs: OnceLock::new() });
    let (tell_end, end) = oneshot::channel();
    let of_worker = Arc::downgrade(&state);
    std::thread::Builder::new().name("serve".to_owned()).spawn(move || {
        let done = load().map(|engine| {
            let (sender, jobs) = mpsc::channel(options.queue);
            // Only the handlers keep the queue open.
            if let Some(state) = of_worker.upgrade() {
                // Set only here.
                drop(state.jobs.set(sender));
            }
            worker::work(engine, jobs, options.batch_size, &stopwatch);
        });
        // The server may have ended first.
        drop(tell_end.send(done));
    })?;
    let router = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocations))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state);
    let (begin_stop, stopping) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        stop.await;
        drop(begin_stop);
    });
    let time_is_over = async {
        // Always an error: the sender is dropped.
        drop(stopping.await);
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        ended = server.into_future() => Ok(ended.map(|()| Ending::Drained)?),
        () = time_is_over => Ok(Ending::TimedOut),
        done = end => match done {
            Ok(Err(error)) => Err(error.into()),
            // The queue stays open as long as the server runs.
            Ok(Ok(())) | Err(_) => Err(Error::Broken),
        },
    }
}

async fn ping(State(state): State<Arc<AppState>>) -> Response {
    match state.jobs.get() {
        Some(_) => Json(json!({ "status": "ready" })).into_response(),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "the model is loading"),
    }
}

async fn invocations(
    State(state): State<Arc<AppState>>,
    body: Result<Json<Invocation>, JsonRejection>,
) -> Response {
    let arrived_ns = state.stopwatch.now_ns();
    let invocation = match body {
        Ok(Json(invocation)) => invocation,
        Err(rejection) => return refusal(rejection.status(), &rejection.body_text()),
    };
    let details = invocation.parameters.details;
    let limits = match invocation.limits(state.options.limits) {
        Ok(limits) => limits,
        Err(reason) => return refusal(StatusCode::BAD_REQUEST, &reason),
    };
    let texts = invocation.inputs.into_vec();
    if texts.is_empty() || texts.len() > state.options.queue {
        let most = state.options.queue;
        let reason = format!("inputs: expected 1 to {most} texts, found {}", texts.len());
        return refusal(StatusCode::BAD_REQUEST, &reason);
    }
    let Some(jobs) = state.jobs.get() else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "the model is loading");
    };
    let Ok(places) = jobs.try_reserve_many(texts.len()) else {
        let reason = format!("the queue of {} texts is full; try again later", state.options.queue);
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
            Err(_) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the engine stopped"),
        }
    }
    // Of the slowest text: the rest of the caller's time is the network's.
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
