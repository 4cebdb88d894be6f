//! SageMaker's API over HTTPS, signed: create, describe and stop a processing job. Trouble that may pass is waited out.

use super::answer::{self, Action, Answer, Asked, Next};
use super::request::Request;
use backon::BackoffBuilder;
use fetch::aws::{Access, Service, Unsigned};
use ops::clock::Clock;
use ops::error_chain::root_cause;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// How SageMaker is called, signed for and found.
pub const SERVICE: Service =
    Service { id: "SageMaker", signed_for: "sagemaker", host: "api.sagemaker" };

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// From the first byte sent to the last one of the answer.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// SageMaker can't be asked, or doesn't do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It answered so, or not at all.
    #[error(transparent)]
    Answer(#[from] answer::Error),
    /// Nobody can sign.
    #[error(transparent)]
    Access(#[from] fetch::Error),
    /// The system has no TLS.
    #[error("the system has no TLS")]
    Client(#[source] reqwest::Error),
    /// An answer that isn't one.
    #[error("{}'s answer can't be read: {reason}", action.as_str())]
    Unreadable {
        /// What was asked.
        action: Action,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a job is, as SageMaker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Where it stands.
    pub state: State,
    /// Why it failed, or what its container said last; empty where nothing is told.
    pub reason: String,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum State {
    /// It is being started, or runs: it costs.
    InProgress,
    /// Its agent was sent home.
    Completed,
    /// Its agent ended with an error, or couldn't be started.
    Failed,
    /// It is being ended.
    Stopping,
    /// It was ended, by us or by its deadline.
    Stopped,
}

impl State {
    /// Whether nothing is left to stop.
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

/// The way to SageMaker.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    access: Access,
    clock: Clock,
    first_wait: Duration,
}

impl Client {
    /// Asks as `access` says; the first wait after trouble is `first_wait`.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn new(access: Access, clock: Clock, first_wait: Duration) -> Result<Self, Error> {
        let http = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("fleetmark/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { http: http.map_err(Error::Client)?, access, clock, first_wait })
    }

    /// Creates a job. It may be there even where this fails without an answer.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn create(&self, request: &Request) -> Result<(), Error> {
        let (name, target) = (&request.name, request.target.as_str());
        self.persist(Action::Create, (name, target), &request.body).await.map(drop)
    }

    /// How a job is; null where there is none of this name.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn describe(&self, name: &str) -> Result<Option<Job>, Error> {
        let body = json!({ "ProcessingJobName": name });
        let Some(answer) = self.persist(Action::Describe, (name, ""), &body).await? else {
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

    /// Ends a job. A job that is over, or that isn't there, is as good as ended; says whether there was something to end.
    ///
    /// # Errors
    /// [`Error`] where it may go on.
    pub async fn stop(&self, name: &str) -> Result<bool, Error> {
        let body = json!({ "ProcessingJobName": name });
        match self.persist(Action::Stop, (name, ""), &body).await {
            Ok(answer) => Ok(answer.is_some()),
            Err(error) => match self.describe(name).await {
                // SageMaker refuses to end what is over.
                Ok(job) if job.as_ref().is_none_or(|job| job.state.is_over()) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// Asks until it is done, or [`answer::next`] gives up. Null where SageMaker knows no such job.
    async fn persist(
        &self,
        action: Action,
        (name, target): (&str, &str),
        body: &Value,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut asked = Asked { action, name, target, is_open: false };
        let mut pauses = answer::pauses(self.first_wait).with_jitter().build();
        loop {
            let answer = match self.once(action, body).await? {
                Ok(body) => return Ok(Some(body)),
                Err(answer) => answer,
            };
            match answer::next(asked, &answer, &mut pauses) {
                Next::Wait(wait) => {
                    tracing::info!(?answer, ?wait, job = name, "SageMaker is asked again");
                    tokio::time::sleep(wait).await;
                }
                Next::DoneBefore => return Ok(Some(Vec::new())),
                Next::NoJob => return Ok(None),
                Next::GiveUp(error) => return Err(error.into()),
            }
            // A server that broke off may have done it, too.
            let is_open = match answer {
                Answer::NoAnswer(_) => true,
                Answer::Refused { status, .. } => status >= 500,
                Answer::NotSent(_) => false,
            };
            asked.is_open |= is_open;
        }
    }

    async fn once(&self, action: Action, body: &Value) -> Result<Result<Vec<u8>, Answer>, Error> {
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
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => {
                let is_unsent = error.is_connect() || error.is_builder();
                let reason = root_cause(&error);
                return Ok(Err(if is_unsent {
                    Answer::NotSent(reason)
                } else {
                    Answer::NoAnswer(reason)
                }));
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
        let (status, message) = (status.as_u16(), refusal.message);
        Ok(Err(Answer::Refused { status, kind, message }))
    }
}

/// `com.amazonaws.sagemaker#ResourceInUse:http://…` without what stands around it.
fn plain_kind(kind: &str) -> String {
    let kind = kind.split(':').next().unwrap_or_default();
    kind.rsplit('#').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::plain_kind;

    #[test]
    fn the_name_of_an_error_stands_alone() {
        for kind in
            ["ResourceInUse", "com.amazonaws.sagemaker#ResourceInUse", "ResourceInUse:http://x/"]
        {
            assert_eq!(plain_kind(kind), "ResourceInUse");
        }
        assert_eq!(plain_kind(""), "");
    }
}
