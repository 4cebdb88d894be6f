//! SageMaker's API: create, describe and stop processing jobs. Retries temporary failures.

use super::answer::{self, Action, Answer, Call, Next};
use super::request::Request;
use backon::BackoffBuilder;
use fetch::aws::{self, Access, Service, Unsigned};
use ops::{clock::Clock, error_chain::root_cause};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

pub const SERVICE: Service =
    Service { id: "SageMaker", signed_for: "sagemaker", host: "api.sagemaker" };

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// For a whole request.
const TIME_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Answer(#[from] answer::Error),
    /// No credentials.
    #[error(transparent)]
    Access(#[from] fetch::Error),
    #[error("can't create an HTTPS client")]
    Client(#[source] reqwest::Error),
    #[error("can't parse the response to {}: {reason}", action.as_str())]
    Unreadable { action: Action, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub state: State,
    /// The failure reason or the exit message of the container; may be empty.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum State {
    /// Starting or running, and billed.
    InProgress,
    /// The controller drained the agent.
    Completed,
    /// The agent exited with an error or couldn't be started.
    Failed,
    Stopping,
    /// By a request or by its deadline.
    Stopped,
}

impl State {
    /// Whether there is nothing left to stop.
    pub fn is_over(self) -> bool {
        self != Self::InProgress
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    processing_job_status: State,
    #[serde(default)]
    failure_reason: String,
    #[serde(default)]
    exit_message: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default, rename = "__type")]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
    clock: Clock,
    first_wait: Duration,
}

impl Client {
    /// `first_wait` is the wait before the first retry.
    pub fn new(access: Access, clock: Clock, first_wait: Duration) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("fleetmark/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { http: http.map_err(Error::Client)?, access, clock, first_wait })
    }

    /// Creates a job. It may exist even if this fails without a response.
    pub async fn create(&self, request: &Request) -> Result<(), Error> {
        let call = Call::new(Action::Create, &request.name).on(request.target.as_str());
        self.send(call, &request.body).await.map(drop)
    }

    /// The state of a job; `None` if it doesn't exist.
    pub async fn describe(&self, name: &str) -> Result<Option<Job>, Error> {
        let body = json!({ "ProcessingJobName": name });
        let Some(answer) = self.send(Call::new(Action::Describe, name), &body).await? else {
            return Ok(None);
        };
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            action: Action::Describe,
            reason: error.to_string(),
        };
        let described: Described = serde_json::from_slice(&answer).map_err(unreadable)?;
        let reason = [described.failure_reason, described.exit_message];
        let reason = reason.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        Ok(Some(Job { state: described.processing_job_status, reason }))
    }

    /// Stops a job. Returns whether it was running; an error if it may still be running.
    pub async fn stop(&self, name: &str) -> Result<bool, Error> {
        let body = json!({ "ProcessingJobName": name });
        match self.send(Call::new(Action::Stop, name), &body).await {
            Ok(answer) => Ok(answer.is_some()),
            Err(error) => match self.describe(name).await {
                // SageMaker rejects stopping a job that has ended.
                Ok(job) if job.as_ref().is_none_or(|job| job.state.is_over()) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Sends a request until it succeeds or [`answer::next`] gives up. `None` if the job doesn't exist.
    async fn send(&self, mut call: Call<'_>, body: &Value) -> Result<Option<Vec<u8>>, Error> {
        let mut pauses = answer::pauses(self.first_wait).with_jitter().build();
        loop {
            let answer = match self.send_once(call.action, body).await? {
                Ok(body) => return Ok(Some(body)),
                Err(answer) => answer,
            };
            match answer::next(call, &answer, &mut pauses) {
                Next::Wait(wait) => {
                    tracing::info!(?answer, ?wait, job = call.name, "retrying a SageMaker request");
                    tokio::time::sleep(wait).await;
                }
                Next::AlreadyDone => return Ok(Some(Vec::new())),
                Next::NoJob => return Ok(None),
                Next::GiveUp(error) => return Err(error.into()),
            }
            // After a server error the request may have been executed, too.
            call.may_be_done |= match answer {
                Answer::NoAnswer(_) => true,
                Answer::Refused { status, .. } => status >= 500,
                Answer::NotSent(_) => false,
            };
        }
    }

    async fn send_once(
        &self,
        action: Action,
        body: &Value,
    ) -> Result<Result<Vec<u8>, Answer>, Error> {
        let body = body.to_string().into_bytes();
        let uri = format!("{}/", self.access.endpoint());
        let operation = format!("SageMaker.{}", action.as_str());
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", operation.as_str())];
        let unsigned = Unsigned { method: "POST", uri: &uri, headers: &headers, body: &body };
        let signature = self.access.sign(&unsigned, SystemTime::from(self.clock.now())).await?;
        let mut request = self.http.post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let redaction = aws::redaction(&signature);
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => {
                let is_unsent = error.is_connect() || error.is_builder();
                let answer = if is_unsent { Answer::NotSent } else { Answer::NoAnswer };
                return Ok(Err(answer(root_cause(&error))));
            }
        };
        let status = response.status();
        let kind = response.headers().get("x-amzn-errortype").and_then(|kind| kind.to_str().ok());
        let kind = kind.map(str::to_owned);
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes.to_vec(),
            Err(error) => return Ok(Err(Answer::NoAnswer(root_cause(&error)))),
        };
        if status.is_success() {
            return Ok(Ok(bytes));
        }
        let refusal: Refusal = serde_json::from_slice(&bytes).unwrap_or_default();
        let kind = plain_kind(&kind.unwrap_or(refusal.kind));
        let (status, message) = (status.as_u16(), redaction.redacted(&refusal.message));
        Ok(Err(Answer::Refused { status, kind, message }))
    }
}

/// `com.amazonaws.sagemaker#ResourceInUse:http://...` -> `ResourceInUse`.
fn plain_kind(kind: &str) -> String {
    let kind = kind.split(':').next().unwrap_or_default();
    kind.rsplit('#').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::plain_kind;

    #[test]
    fn error_kinds_have_no_namespace_or_url() {
        for kind in
            ["ResourceInUse", "com.amazonaws.sagemaker#ResourceInUse", "ResourceInUse:http://x/"]
        {
            assert_eq!(plain_kind(kind), "ResourceInUse");
        }
        assert_eq!(plain_kind(""), "");
    }
}
