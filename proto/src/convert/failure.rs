//! Failures.

use crate::wire;
use model::failure::{Failure, Kind, Retry};
use model::text::plain;

/// Longer details are truncated to this many characters.
const MAX_DETAIL: usize = 2000;

impl From<Failure> for wire::Failure {
    fn from(failure: Failure) -> Self {
        let retry = match failure.retry {
            Retry::SameAgent => wire::Retry::SameAgent,
            Retry::OtherAgent => wire::Retry::OtherAgent,
            Retry::Never => wire::Retry::Never,
        };
        Self { retry: retry.into(), kind: failure.kind.as_str().to_owned(), detail: failure.detail }
    }
}

impl From<wire::Failure> for Failure {
    /// An unknown retry class of a newer agent becomes [`Retry::OtherAgent`], an unknown kind [`Kind::Internal`].
    fn from(wire: wire::Failure) -> Self {
        let retry = match wire.retry() {
            wire::Retry::SameAgent => Retry::SameAgent,
            wire::Retry::Never => Retry::Never,
            wire::Retry::OtherAgent | wire::Retry::Unspecified => Retry::OtherAgent,
        };
        Self {
            retry,
            kind: wire.kind.parse().unwrap_or(Kind::Internal),
            detail: plain(&wire.detail, MAX_DETAIL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_wire() {
        for &kind in Kind::ALL {
            for retry in [Retry::SameAgent, Retry::OtherAgent, Retry::Never] {
                let failure = Failure { retry, kind, detail: "no room".to_owned() };
                assert_eq!(Failure::from(wire::Failure::from(failure.clone())), failure);
            }
        }
    }

    #[test]
    fn a_detail_is_escaped() {
        let wire = wire::Failure { detail: "a\u{1b}[31mb".to_owned(), ..Default::default() };
        assert_eq!(Failure::from(wire).detail, "a\\u{1b}[31mb");
    }
}
