//! The version of the protocol, and who may talk to whom.

use crate::wire;

/// What this build speaks. A new field or message kind raises `minor`; anything else raises `major`.
pub const PROTOCOL: Version = Version { major: 1, minor: 5 };

/// A protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Sides with different majors refuse each other.
    pub major: u32,
    /// Sides with different minors pass over what they don't know.
    pub minor: u32,
}

/// The other side speaks a protocol that this side can't.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the {side} speaks protocol {theirs}, this side speaks {ours}: install the same release on both"
)]
pub struct Incompatible {
    /// "agent" or "controller".
    pub side: &'static str,
    /// What it speaks.
    pub theirs: Version,
    /// What we speak.
    pub ours: Version,
}

impl Version {
    /// Checks that `side`, which speaks `theirs`, can be talked to.
    ///
    /// # Errors
    /// [`Incompatible`] where the majors differ.
    pub fn check(theirs: Option<wire::Version>, side: &'static str) -> Result<Self, Incompatible> {
        let theirs = theirs.unwrap_or_default();
        let theirs = Self { major: theirs.major, minor: theirs.minor };
        if theirs.major == PROTOCOL.major {
            Ok(theirs)
        } else {
            Err(Incompatible { side, theirs, ours: PROTOCOL })
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl From<Version> for wire::Version {
    fn from(version: Version) -> Self {
        Self { major: version.major, minor: version.minor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_minor_version_is_welcome() {
        let theirs = wire::Version { major: PROTOCOL.major, minor: PROTOCOL.minor + 7 };
        assert_eq!(Version::check(Some(theirs), "agent").unwrap().minor, PROTOCOL.minor + 7);
    }

    #[test]
    fn another_major_version_is_refused_by_name() {
        let error = Version::check(None, "agent").unwrap_err();
        assert!(error.to_string().starts_with("the agent speaks protocol 0.0"), "{error}");
    }
}
