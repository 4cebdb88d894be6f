//! What S3's refusals mean.

use super::Address;
use crate::Error;
use crate::patience::Trouble;
use crate::transfer::root_cause;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::time::Duration;

/// What was to be done.
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

/// Whether it may pass, or what it means. `missing` is what a 404 is.
pub(super) fn trouble<E>(
    error: &SdkError<E, HttpResponse>,
    address: &Address,
    action: Action,
    missing: impl FnOnce() -> Error,
) -> Trouble
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let what = address.to_string();
    let Some(response) = error.raw_response() else {
        let reason = root_cause(error);
        return match error {
            SdkError::ConstructionFailure(_) => Trouble::Final(Error::Answer { what, reason }),
            _ => Trouble::passing(format!("S3 doesn't answer ({reason})")),
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
        (_, "NoSuchBucket") => Trouble::Final(Error::NoBucket { bucket: address.bucket.clone() }),
        (301 | 307, _)
        | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
            let region = header("x-amz-bucket-region");
            Trouble::Final(Error::OtherRegion { what, region })
        }
        (401 | 403, _) | (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            Trouble::Final(denied())
        }
        (404, _) => Trouble::Final(missing()),
        (409 | 412, _) if action == Action::Write => Trouble::Final(Error::Exists { what }),
        (412, _) => {
            let reason = "it was replaced while it was fetched: try again".to_owned();
            Trouble::Final(Error::Answer { what, reason })
        }
        (408 | 429 | 500.., _) => Trouble::Passing {
            reason: format!("S3 answers {status} {code}").trim_end().to_owned(),
            after: header("retry-after")
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        },
        _ => {
            let said = error.message().unwrap_or_default();
            let reason = format!("S3 answers {status} {code}: {said}");
            Trouble::Final(Error::Answer { what, reason })
        }
    }
}
