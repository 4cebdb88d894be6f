//! A response of SageMaker -> success, a retry after a pause, or an error. Pure.

use backon::ExponentialBuilder;
use model::words;
use std::time::Duration;

const MAX_ATTEMPTS: usize = 7;

/// The pauses between attempts, without jitter.
pub fn pauses(first: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(first * 16)
        .with_max_times(MAX_ATTEMPTS - 1)
}

words!(
    /// An action of the API.
    Action, "action", {
        Create = "CreateProcessingJob",
        Describe = "DescribeProcessingJob",
        Stop = "StopProcessingJob",
    }
);

/// The outcome of an unsuccessful attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// HTTP status 400 or above. The kind is such as `ResourceLimitExceeded`, without a namespace.
    Refused { status: u16, kind: String, message: String },
    /// No connection.
    NotSent(String),
    /// Sent without a response: it may have been executed.
    NoAnswer(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "SageMaker can't start {target} for {name}: {message}: request a quota increase in Service Quotas, \
         Amazon SageMaker, \"{target} for processing job usage\" in this region"
    )]
    Limit { name: String, target: String, message: String },
    #[error(
        "SageMaker denied {} ({kind}): {message}: the credentials need sagemaker:CreateProcessingJob, \
         sagemaker:DescribeProcessingJob, sagemaker:StopProcessingJob and sagemaker:AddTags, and iam:PassRole for the role",
        action.as_str()
    )]
    Denied { action: Action, kind: String, message: String },
    #[error("a job {name} of another launch already exists: try again")]
    Exists { name: String },
    #[error("SageMaker rejected {} of {name} ({kind}): {message}", action.as_str())]
    Refused { action: Action, name: String, kind: String, message: String },
    #[error("{} of {name} failed after {MAX_ATTEMPTS} attempts: {reason}", action.as_str())]
    GaveUp { action: Action, name: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Retry after this pause.
    Wait(Duration),
    /// An earlier attempt without a response was executed.
    AlreadyDone,
    /// The job doesn't exist.
    NoJob,
    GiveUp(Error),
}

/// A request and its attempts so far.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub action: Action,
    pub name: &'a str,
    /// The instance type; empty if it isn't needed.
    pub target: &'a str,
    /// Whether an earlier attempt may have been executed.
    pub may_be_done: bool,
}

impl<'a> Call<'a> {
    pub fn new(action: Action, name: &'a str) -> Self {
        Self { action, name, target: "", may_be_done: false }
    }

    #[must_use]
    pub fn on(self, target: &'a str) -> Self {
        Self { target, ..self }
    }
}

/// `pauses` is the iterator of [`pauses`].
pub fn next(call: Call<'_>, answer: &Answer, pauses: &mut impl Iterator<Item = Duration>) -> Next {
    let Call { action, name, .. } = call;
    let name = || name.to_owned();
    let reason = match answer {
        Answer::NotSent(reason) => format!("no connection: {reason}"),
        Answer::NoAnswer(reason) => format!("no answer: {reason}"),
        Answer::Refused { status, kind, message } => {
            let (kind, message) = (kind.clone(), message.clone());
            match kind.as_str() {
                _ if is_temporary(*status, &kind) => format!("{status} {kind} {message}"),
                "ResourceInUse" if action == Action::Create && call.may_be_done => {
                    return Next::AlreadyDone;
                }
                "ResourceInUse" if action == Action::Create => {
                    return Next::GiveUp(Error::Exists { name: name() });
                }
                "ResourceLimitExceeded" => {
                    let target = call.target.to_owned();
                    return Next::GiveUp(Error::Limit { name: name(), target, message });
                }
                "ResourceNotFound" if action != Action::Create => return Next::NoJob,
                "ValidationException" | "ValidationError"
                    if action != Action::Create && message.contains("ould not find") =>
                {
                    return Next::NoJob;
                }
                _ if is_denial(*status, &kind) => {
                    return Next::GiveUp(Error::Denied { action, kind, message });
                }
                _ => {
                    return Next::GiveUp(Error::Refused { action, name: name(), kind, message });
                }
            }
        }
    };
    if let Some(pause) = pauses.next() {
        Next::Wait(pause)
    } else {
        let reason = reason.trim().to_owned();
        Next::GiveUp(Error::GaveUp { action, name: name(), reason })
    }
}

fn is_temporary(status: u16, kind: &str) -> bool {
    let known = ["Throttling", "TooManyRequests", "RequestLimitExceeded", "RequestTimeout"];
    status == 429 || status >= 500 || known.iter().any(|known| kind.starts_with(known))
}

fn is_denial(status: u16, kind: &str) -> bool {
    let known = ["AccessDenied", "UnrecognizedClient", "ExpiredToken", "InvalidSignature"];
    matches!(status, 401 | 403)
        || known.iter().any(|known| kind.starts_with(known))
        || ["InvalidClientTokenId", "IncompleteSignature", "MissingAuthenticationToken"]
            .contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backon::BackoffBuilder;

    fn first(call: Call<'_>, answer: &Answer) -> Next {
        next(call, answer, &mut pauses(Duration::from_secs(1)).build())
    }

    fn call(action: Action) -> Call<'static> {
        Call::new(action, "job").on("ml.g4dn.xlarge")
    }

    fn refused(status: u16, kind: &str, message: &str) -> Answer {
        Answer::Refused { status, kind: kind.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn temporary_failures_are_retried_with_pauses_that_double_up_to_a_limit() {
        let answers = [
            refused(400, "ThrottlingException", "Rate exceeded"),
            refused(500, "InternalFailure", ""),
            refused(503, "", ""),
            refused(429, "", ""),
            Answer::NotSent("refused".to_owned()),
            Answer::NoAnswer("timed out".to_owned()),
        ];
        for answer in &answers {
            let mut pauses = pauses(Duration::from_secs(1)).build();
            let mut next = || next(call(Action::Create), answer, &mut pauses);
            for seconds in [1, 2, 4, 8, 16, 16] {
                assert_eq!(next(), Next::Wait(Duration::from_secs(seconds)), "{answer:?}");
            }
            assert!(matches!(next(), Next::GiveUp(Error::GaveUp { .. })), "{answer:?}");
        }
    }

    #[test]
    fn an_exceeded_quota_is_reported_by_its_name() {
        let answer = refused(400, "ResourceLimitExceeded", "0 Instances");
        let Next::GiveUp(error) = first(call(Action::Create), &answer) else { panic!("given up") };
        let text = error.to_string();
        assert!(text.contains("\"ml.g4dn.xlarge for processing job usage\""), "{text}");
    }

    #[test]
    fn a_job_created_by_an_unanswered_attempt_counts_as_created() {
        let answer = refused(400, "ResourceInUse", "Job name already exists");
        let again = Call { may_be_done: true, ..call(Action::Create) };
        assert_eq!(first(again, &answer), Next::AlreadyDone);
        let first = first(call(Action::Create), &answer);
        assert!(matches!(first, Next::GiveUp(Error::Exists { .. })));
    }

    #[test]
    fn a_missing_job_needs_no_stop() {
        for answer in [
            refused(400, "ResourceNotFound", "Requested resource not found."),
            refused(400, "ValidationException", "Could not find processing job 'arn:…'."),
        ] {
            assert_eq!(first(call(Action::Stop), &answer), Next::NoJob);
        }
        let other = refused(400, "ValidationException", "The job is in status Completed");
        let next = first(call(Action::Stop), &other);
        assert!(matches!(next, Next::GiveUp(Error::Refused { .. })));
    }

    #[test]
    fn a_denial_lists_the_required_permissions() {
        let answer = refused(400, "AccessDeniedException", "User is not authorized");
        let Next::GiveUp(error) = first(call(Action::Create), &answer) else { panic!("given up") };
        assert!(error.to_string().contains("iam:PassRole"), "{error}");
    }
}
