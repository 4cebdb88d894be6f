//! Decides after each answer of SageMaker: accepted, retry after a pause, or give up. Pure.

use backon::ExponentialBuilder;
use std::time::Duration;

/// The most attempts at one request.
const ATTEMPTS: usize = 7;

/// The pauses between attempts, beginning with `first`.
pub fn pauses(first: Duration) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(first * 16)
        .with_max_times(ATTEMPTS - 1)
}

/// What is asked of SageMaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start a job.
    Create,
    /// How is it?
    Describe,
    /// End it.
    Stop,
}

impl Action {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CreateProcessingJob",
            Self::Describe => "DescribeProcessingJob",
            Self::Stop => "StopProcessingJob",
        }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A status above 399, with what it says.
    Refused {
        /// Of HTTP.
        status: u16,
        /// Such as `ResourceLimitExceeded`, without a namespace.
        kind: String,
        /// In SageMaker's words.
        message: String,
    },
    /// Nothing was sent: no connection.
    NotSent(String),
    /// It was sent, and no answer came: it may have been done.
    NoAnswer(String),
}

/// SageMaker doesn't do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are no such instances to be had, by the account's quota.
    #[error(
        "SageMaker starts no {target} for {name}: {message}: ask for more at Service Quotas, Amazon SageMaker, \
         \"{target} for processing job usage\" in this region"
    )]
    Limit {
        /// Which job.
        name: String,
        /// Its instance type.
        target: String,
        /// In SageMaker's words.
        message: String,
    },
    /// The credentials may not.
    #[error(
        "SageMaker denies {} ({kind}): {message}: the credentials need sagemaker:CreateProcessingJob, \
         sagemaker:DescribeProcessingJob, sagemaker:StopProcessingJob and sagemaker:AddTags, and iam:PassRole for the role",
        action.as_str()
    )]
    Denied {
        /// What was asked.
        action: Action,
        /// As SageMaker calls it.
        kind: String,
        /// In its words.
        message: String,
    },
    /// A job of this name was there before.
    #[error("there is a job {name} already, which isn't of this launch: try again")]
    Exists {
        /// Its name.
        name: String,
    },
    /// It is refused as it stands.
    #[error("SageMaker refuses {} of {name} ({kind}): {message}", action.as_str())]
    Refused {
        /// What was asked.
        action: Action,
        /// Which job.
        name: String,
        /// As SageMaker calls it.
        kind: String,
        /// In its words.
        message: String,
    },
    /// Trouble that should have passed didn't.
    #[error("{} of {name}: given up after {ATTEMPTS} tries: {reason}", action.as_str())]
    GaveUp {
        /// What was asked.
        action: Action,
        /// Which job.
        name: String,
        /// What went wrong last.
        reason: String,
    },
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send it again after this wait.
    Wait(Duration),
    /// It was done by an earlier try, whose answer was lost.
    DoneBefore,
    /// SageMaker knows no job of this name.
    NoJob,
    /// Say why.
    GiveUp(Error),
}

/// What an answer is about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What was asked.
    pub action: Action,
    /// Which job.
    pub name: &'a str,
    /// Its instance type; empty where nobody says.
    pub target: &'a str,
    /// Whether an answer to an earlier try was lost.
    pub is_open: bool,
}

/// The step after an answer; `pauses` are those of [`pauses`].
pub fn next(
    asked: Asked<'_>,
    answer: &Answer,
    pauses: &mut impl Iterator<Item = Duration>,
) -> Next {
    let Asked { action, name, .. } = asked;
    let name = || name.to_owned();
    let reason = match answer {
        Answer::NotSent(reason) => format!("no connection: {reason}"),
        Answer::NoAnswer(reason) => format!("no answer: {reason}"),
        Answer::Refused { status, kind, message } => {
            let (kind, message) = (kind.clone(), message.clone());
            match kind.as_str() {
                _ if is_passing(*status, &kind) => format!("{status} {kind} {message}"),
                "ResourceInUse" if action == Action::Create && asked.is_open => {
                    return Next::DoneBefore;
                }
                "ResourceInUse" if action == Action::Create => {
                    return Next::GiveUp(Error::Exists { name: name() });
                }
                "ResourceLimitExceeded" => {
                    let target = asked.target.to_owned();
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
    match pauses.next() {
        Some(pause) => Next::Wait(pause),
        None => {
            let reason = reason.trim().to_owned();
            Next::GiveUp(Error::GaveUp { action, name: name(), reason })
        }
    }
}

fn is_passing(status: u16, kind: &str) -> bool {
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

    fn first(asked: Asked<'_>, answer: &Answer) -> Next {
        next(asked, answer, &mut pauses(Duration::from_secs(1)).build())
    }

    fn asked(action: Action) -> Asked<'static> {
        Asked { action, name: "job", target: "ml.g4dn.xlarge", is_open: false }
    }

    fn refused(status: u16, kind: &str, message: &str) -> Answer {
        Answer::Refused { status, kind: kind.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn trouble_that_may_pass_is_waited_out_and_waits_double_up_to_a_limit() {
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
            let mut next = || next(asked(Action::Create), answer, &mut pauses);
            for seconds in [1, 2, 4, 8, 16, 16] {
                assert_eq!(next(), Next::Wait(Duration::from_secs(seconds)), "{answer:?}");
            }
            assert!(matches!(next(), Next::GiveUp(Error::GaveUp { .. })), "{answer:?}");
        }
    }

    #[test]
    fn a_quota_is_called_by_its_name() {
        let answer = refused(400, "ResourceLimitExceeded", "0 Instances");
        let Next::GiveUp(error) = first(asked(Action::Create), &answer) else { panic!("given up") };
        let text = error.to_string();
        assert!(text.contains("\"ml.g4dn.xlarge for processing job usage\""), "{text}");
    }

    #[test]
    fn a_job_that_an_unanswered_try_made_is_ours() {
        let answer = refused(400, "ResourceInUse", "Job name already exists");
        let again = Asked { is_open: true, ..asked(Action::Create) };
        assert_eq!(first(again, &answer), Next::DoneBefore);
        let first = first(asked(Action::Create), &answer);
        assert!(matches!(first, Next::GiveUp(Error::Exists { .. })));
    }

    #[test]
    fn a_job_that_is_not_there_needs_no_end() {
        for answer in [
            refused(400, "ResourceNotFound", "Requested resource not found."),
            refused(400, "ValidationException", "Could not find processing job 'arn:…'."),
        ] {
            assert_eq!(first(asked(Action::Stop), &answer), Next::NoJob);
        }
        let other = refused(400, "ValidationException", "The job is in status Completed");
        let next = first(asked(Action::Stop), &other);
        assert!(matches!(next, Next::GiveUp(Error::Refused { .. })));
    }

    #[test]
    fn a_denial_says_what_the_credentials_need() {
        let answer = refused(400, "AccessDeniedException", "User is not authorized");
        let Next::GiveUp(error) = first(asked(Action::Create), &answer) else { panic!("given up") };
        assert!(error.to_string().contains("iam:PassRole"), "{error}");
    }
}
