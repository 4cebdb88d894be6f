//! The protocol's version, and compatibility of two builds.

/// The protocol of this build. A new field or message kind raises `minor`; anything else raises
/// `major`. 4.0: a model can ask for engine candle, and an endpoint for HTTP/2, which an older agent
/// would ignore.
pub const PROTOCOL: Version = Version { major: 4, minor: 0 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Different majors are incompatible.
    pub major: u32,
    /// Different minors ignore unknown fields and messages.
    pub minor: u32,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the {side} speaks protocol {theirs}, this program {ours}: install the same release of both"
)]
pub struct Incompatible {
    /// `agent` or `controller`.
    pub side: &'static str,
    pub theirs: Version,
    pub ours: Version,
}

impl Version {
    /// Checks that `side`, which speaks this version, is compatible with this build.
    pub fn check(self, side: &'static str) -> Result<(), Incompatible> {
        if self.major == PROTOCOL.major {
            Ok(())
        } else {
            Err(Incompatible { side, theirs: self, ours: PROTOCOL })
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_minor_version_is_compatible() {
        let theirs = Version { major: PROTOCOL.major, minor: PROTOCOL.minor + 7 };
        assert_eq!(theirs.check("agent"), Ok(()));
    }

    #[test]
    fn another_major_version_is_refused_by_name() {
        let error = Version { major: 0, minor: 0 }.check("agent").unwrap_err();
        assert!(error.to_string().starts_with("the agent speaks protocol 0.0"), "{error}");
    }
}
