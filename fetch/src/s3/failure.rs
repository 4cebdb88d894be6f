//! The meaning of S3's error responses.

use super::Address;
use crate::Error;
use crate::retry::Failure;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use ops::error_chain::root_cause;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Read,
    List,
    Write,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
        }
    }
}

/// Whether a later attempt may succeed. S3 completes an upload in parts with a 200 before it knows the outcome, so that
/// a failure may follow in the body.
fn may_pass(status: u16, code: &str) -> bool {
    matches!(status, 408 | 429 | 500..)
        || (status == 200
            && matches!(
                code,
                "InternalError" | "SlowDown" | "ServiceUnavailable" | "RequestTimeout"
            ))
}

/// Sorts an SDK error into transient and final; `missing` is the error for a 404.
pub(super) fn failure<E>(
    error: &SdkError<E, HttpResponse>,
    address: &Address,
    action: Action,
    missing: impl FnOnce() -> Error,
) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let what = address.to_string();
    let Some(response) = error.raw_response() else {
        let reason = root_cause(error);
        return match error {
            SdkError::ConstructionFailure(_) => Failure::Final(Error::Answer { what, reason }),
            _ => Failure::transient(format!("no answer from S3 ({reason})")),
        };
    };
    let header = |name: &str| response.headers().get(name).map(str::to_owned);
    let status = response.status().as_u16();
    let code = error.code().unwrap_or_default();
    let denied = || Error::Denied {
        what: what.clone(),
        code: if code.is_empty() { status.to_string() } else { code.to_owned() },
        action: action.as_str(),
    };
    match (status, code) {
        (_, "NoSuchBucket") => Failure::Final(Error::NoBucket { bucket: address.bucket.clone() }),
        (301 | 307, _)
        | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            let region = header("x-amz-bucket-region");
            Failure::Final(Error::OtherRegion { what, region })
        }
        (401 | 403, _) | (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            Failure::Final(denied())
        }
        (404, _) => Failure::Final(missing()),
        (409 | 412, _) if action == Action::Write => Failure::Final(Error::Exists { what }),
        (412, _) => {
            let reason = "it was replaced during the download: try again".to_owned();
            Failure::Final(Error::Answer { what, reason })
        }
        _ if may_pass(status, code) => Failure::Transient {
            reason: format!("S3 answered {status} {code}").trim_end().to_owned(),
            retry_after: header("retry-after")
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        },
        _ => {
            let said = error.message().unwrap_or_default();
            let reason = format!("S3 answered {status} {code}: {said}");
            Failure::Final(Error::Answer { what, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_told_in_a_200_may_pass_like_one_with_its_own_status() {
        for (status, code) in
            [(200, "InternalError"), (200, "SlowDown"), (503, "SlowDown"), (429, "")]
        {
            assert!(may_pass(status, code), "{status} {code}");
        }
        for (status, code) in [(200, "PreconditionFailed"), (400, "InternalError"), (403, "")] {
            assert!(!may_pass(status, code), "{status} {code}");
        }
    }
}
