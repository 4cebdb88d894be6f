//! OpenAI's API: `/v1/models`, `/v1/completions` and `/v1/chat/completions`, whole or as a stream.
//!
//! A request is translated to an [`Invocation`], so that it is checked, queued and decoded like any
//! other.

use super::body::{Invocation, Summary};
use super::{AppState, Form, Pending, Refusal, enqueue, finish, loading};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{Role, Turn};
use model::generation::Settings;
use model::sample::Finish;
use ops::clock::Clock;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// The only model; requests may name any.
const MODEL: &str = "fleetmark";

/// The two routes that generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Completions,
    Chat,
}

/// A request of either route. A `temperature` above 0 samples. Other parameters that would change the
/// text are refused unless they have the value that changes nothing; unknown ones are refused by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    n: Option<u32>,
    best_of: Option<u32>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    echo: Option<bool>,
    logprobs: Option<Value>,
    stop: Option<Value>,
    seed: Option<i64>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: AskedRole,
    content: Content,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AskedRole {
    /// OpenAI's newer models call the system that.
    #[serde(alias = "developer")]
    System,
    User,
    Assistant,
}

impl From<Message> for Turn {
    fn from(Message { role, content }: Message) -> Self {
        let role = match role {
            AskedRole::System => Role::System,
            AskedRole::User => Role::User,
            AskedRole::Assistant => Role::Assistant,
        };
        let content = match content {
            Content::Text(text) => text,
            Content::Parts(parts) => parts.into_iter().map(|Part::Text { text }| text).collect(),
        };
        Self { role, content }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
}

impl Asked {
    /// The last turn, which is the user's, and those before it.
    fn chat(&mut self, route: Route) -> Result<(String, Vec<Turn>), String> {
        match (route, self.prompt.take(), self.messages.take()) {
            (Route::Completions, Some(prompt), None) => Ok((prompt, Vec::new())),
            (Route::Completions, ..) => Err("expected prompt, a text".to_owned()),
            (Route::Chat, None, Some(messages)) => {
                let mut turns: Vec<Turn> = messages.into_iter().map(Turn::from).collect();
                match turns.pop() {
                    Some(Turn { role: Role::User, content }) => Ok((content, turns)),
                    Some(Turn { role, .. }) => {
                        Err(format!("the last message has the role {role}: expected user"))
                    }
                    None => Err("expected messages, at least one".to_owned()),
                }
            }
            (Route::Chat, ..) => Err("expected messages, at least one".to_owned()),
        }
    }

    /// What the request says about sampling. Without a temperature it samples if it has another
    /// `top_p` than 1, with a temperature of 1 as in OpenAI's API.
    fn sampling(&self) -> Result<Settings, String> {
        let within = |name: &str, value: Option<f64>, most: f64| match value {
            Some(value) if !(0.0..=most).contains(&value) => {
                Err(format!("{name} = {value}: expected 0 to {most}"))
            }
            value => Ok(value),
        };
        let temperature = within("temperature", self.temperature, 2.0)?;
        let top_p = within("top_p", self.top_p, 1.0)?;
        let is_zero = |value: Option<f64>| value.is_some_and(|value| value <= 0.0);
        if is_zero(temperature) || is_zero(top_p) {
            return Ok(Settings { do_sample: Some(false), ..Settings::default() });
        }
        if temperature.is_none() && top_p.is_none_or(|top_p| top_p >= 1.0) {
            return Ok(Settings::default());
        }
        Ok(Settings {
            do_sample: Some(true),
            // OpenAI's API has neither beams nor top-k.
            num_beams: Some(1),
            top_k: Some(0),
            temperature: Some(temperature.unwrap_or(1.0)),
            top_p: Some(top_p.unwrap_or(1.0)),
            seed: self.seed.map(i64::cast_unsigned),
            ..Settings::default()
        })
    }

    /// Refuses what would change the text.
    fn check(&self) -> Result<(), String> {
        let numbers = [
            ("n", self.n.map(f64::from), 1.0),
            ("best_of", self.best_of.map(f64::from), 1.0),
            ("presence_penalty", self.presence_penalty, 0.0),
            ("frequency_penalty", self.frequency_penalty, 0.0),
        ];
        for (name, asked, neutral) in numbers {
            if let Some(asked) = asked.filter(|asked| (asked - neutral).abs() > f64::EPSILON) {
                return Err(format!("{name} = {asked} is not supported: expected {neutral}"));
            }
        }
        if self.echo == Some(true) {
            return Err("echo = true is not supported: expected false".to_owned());
        }
        let is_off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        if self.logprobs.as_ref().is_some_and(|value| !is_off(value)) {
            return Err("logprobs are not supported: expected false".to_owned());
        }
        let is_none = |stop: &Value| stop.is_null() || stop.as_array().is_some_and(Vec::is_empty);
        if self.stop.as_ref().is_some_and(|stop| !is_none(stop)) {
            return Err("stop is not supported: expected an empty list".to_owned());
        }
        Ok(())
    }
}

/// What every part of an answer repeats.
#[derive(Debug, Clone)]
struct Identity {
    route: Route,
    id: String,
    created: i64,
    model: String,
}

impl Identity {
    fn new(route: Route, model: Option<String>) -> Self {
        /// Unique within this process.
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let kind = if route == Route::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            route,
            id: format!("{kind}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            created: Clock::System.now().timestamp(),
            model: model.unwrap_or_else(|| MODEL.to_owned()),
        }
    }

    fn with(&self, object: &str, choices: &[Value], usage: Option<Value>) -> Value {
        let Self { id, created, model, .. } = self;
        let mut answer = json!({
            "id": id, "object": object, "created": created, "model": model, "choices": choices,
        });
        if let Some(usage) = usage {
            answer["usage"] = usage;
        }
        answer
    }

    fn whole(&self, text: &str, finish: &str, usage: Value) -> Value {
        let choice = match self.route {
            Route::Completions => json!({ "index": 0, "text": text, "finish_reason": finish }),
            Route::Chat => {
                let message = json!({ "role": "assistant", "content": text });
                json!({ "index": 0, "message": message, "finish_reason": finish })
            }
        };
        let object = match self.route {
            Route::Completions => "text_completion",
            Route::Chat => "chat.completion",
        };
        self.with(object, &[choice], Some(usage))
    }

    /// A part of a stream; without text in a chat, the one that names the role.
    fn part(&self, text: Option<&str>, finish: Option<&str>) -> Value {
        let choice = match self.route {
            Route::Completions => {
                json!({ "index": 0, "text": text.unwrap_or_default(), "finish_reason": finish })
            }
            Route::Chat => {
                let delta = match (text, finish) {
                    (Some(text), _) => json!({ "content": text }),
                    (None, None) => json!({ "role": "assistant", "content": "" }),
                    (None, Some(_)) => json!({}),
                };
                json!({ "index": 0, "delta": delta, "finish_reason": finish })
            }
        };
        self.with(self.part_object(), &[choice], None)
    }

    fn usage_part(&self, usage: Value) -> Value {
        self.with(self.part_object(), &[], Some(usage))
    }

    fn part_object(&self) -> &'static str {
        match self.route {
            Route::Completions => "text_completion",
            Route::Chat => "chat.completion.chunk",
        }
    }
}

fn usage(summary: &Summary) -> Value {
    let tokens = |tokens: Option<u32>| tokens.unwrap_or_default();
    let (prompt, completion) = (tokens(summary.input_tokens), tokens(summary.output_tokens));
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": u64::from(prompt) + u64::from(completion),
    })
}

fn finish_reason(summary: &Summary) -> &'static str {
    if summary.finish == Finish::Length.as_str() { "length" } else { "stop" }
}

/// A refusal in the form of this API.
pub(super) struct ApiRefusal(Refusal);

impl From<Refusal> for ApiRefusal {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for ApiRefusal {
    fn into_response(self) -> Response {
        let status = self.0.status;
        let body = Json(error_object(self.0));
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
            return (status, [(header::RETRY_AFTER, "1")], body).into_response();
        }
        (status, body).into_response()
    }
}

/// As a response, and as an event of a stream.
fn error_object(Refusal { status, reason }: Refusal) -> Value {
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    };
    json!({ "error": { "message": reason, "type": kind, "code": status.as_u16() } })
}

pub(super) async fn models(State(state): State<Arc<AppState>>) -> Result<Json<Value>, ApiRefusal> {
    state.jobs.get().ok_or_else(loading)?;
    let model = json!({ "id": MODEL, "object": "model", "created": 0, "owned_by": "fleetmark" });
    Ok(Json(json!({ "object": "list", "data": [model] })))
}

pub(super) async fn completions(
    state: State<Arc<AppState>>,
    body: Body,
) -> Result<Response, ApiRefusal> {
    generate(state, Route::Completions, body).await
}

pub(super) async fn chat_completions(
    state: State<Arc<AppState>>,
    body: Body,
) -> Result<Response, ApiRefusal> {
    generate(state, Route::Chat, body).await
}

async fn generate(
    State(state): State<Arc<AppState>>,
    route: Route,
    body: Body,
) -> Result<Response, ApiRefusal> {
    let (body, mut permit) = state.bodies.read(body).await?;
    let arrived_ns = state.stopwatch.now_ns();
    let text = state.bodies.decode(&body, &mut permit)?;
    let bad = |reason: String| Refusal::new(StatusCode::BAD_REQUEST, reason);
    let mut asked: Asked = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    drop(text);
    drop(body);
    asked.check().map_err(bad)?;
    let (prompt, earlier) = asked.chat(route).map_err(bad)?;
    let limit = asked.max_completion_tokens.or(asked.max_tokens);
    let sampling = asked.sampling().map_err(bad)?;
    let parameter = match asked.temperature {
        Some(temperature) => format!("temperature = {temperature}"),
        None => format!("top_p = {}", asked.top_p.unwrap_or(1.0)),
    };
    state.options.sampling.check(&sampling, &parameter).map_err(bad)?;
    let invocation = Invocation::of(prompt, earlier, limit, sampling);
    let identity = Identity::new(route, asked.model.take());
    if asked.stream != Some(true) {
        let pending = one(enqueue(&state, Form::Json, vec![invocation], arrived_ns, None)?);
        let summary = finish(pending, arrived_ns).await?.remove(0);
        let text = summary.generated_text.as_deref().unwrap_or_default();
        let whole = identity.whole(text, finish_reason(&summary), usage(&summary));
        let timing = [("server-timing", format!("total;dur={}", summary.server_ms))];
        return Ok((timing, Json(whole)).into_response());
    }
    let (sender, mut pieces) = unbounded_channel::<String>();
    let pending = one(enqueue(&state, Form::Json, vec![invocation], arrived_ns, Some(&sender))?);
    drop(sender);
    let has_usage = asked.stream_options.and_then(|options| options.include_usage) == Some(true);
    let (events, receiver) = unbounded_channel::<Value>();
    let caller = events.clone();
    let answer = async move {
        let send = |event: Value| {
            // The caller may have gone away.
            drop(events.send(event));
        };
        if identity.route == Route::Chat {
            send(identity.part(None, None));
        }
        let mut told = 0;
        while let Some(piece) = pieces.recv().await {
            told += piece.len();
            send(identity.part(Some(&piece), None));
        }
        let ended = finish(pending, arrived_ns).await.map(|mut summaries| summaries.remove(0));
        last_parts(&identity, ended, told, has_usage).into_iter().for_each(send);
        drop(permit);
    };
    tokio::spawn(async move {
        tokio::select! {
            // Its text is no longer decoded.
            () = caller.closed() => {}
            () = answer => {}
        }
    });
    let events = UnboundedReceiverStream::new(receiver).map(|event| format!("data: {event}\n\n"));
    let events = events.chain(tokio_stream::once("data: [DONE]\n\n".to_owned()));
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, body).into_response())
}

/// The end of a stream of which `told` bytes of text were sent. An engine that tells no text while
/// it decodes gives all of it here.
fn last_parts(
    identity: &Identity,
    ended: Result<Summary, Refusal>,
    told: usize,
    has_usage: bool,
) -> Vec<Value> {
    let summary = match ended {
        Ok(summary) => summary,
        Err(refusal) => return vec![error_object(refusal)],
    };
    let text = summary.generated_text.as_deref().unwrap_or_default();
    let rest = text.get(told..).filter(|rest| !rest.is_empty());
    let rest = rest.map(|rest| identity.part(Some(rest), None));
    let end = identity.part(None, Some(finish_reason(&summary)));
    let usage = has_usage.then(|| identity.usage_part(usage(&summary)));
    rest.into_iter().chain([end]).chain(usage).collect()
}

/// The only one of a list of one.
fn one(mut pending: Vec<Pending>) -> Pending {
    pending.remove(0)
}
