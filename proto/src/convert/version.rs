//! Protocol versions.

use crate::wire;
use model::version::Version;

impl From<Version> for wire::Version {
    fn from(version: Version) -> Self {
        Self { major: version.major, minor: version.minor }
    }
}

/// An unset version is 0.0, which no build speaks.
impl From<wire::Version> for Version {
    fn from(wire: wire::Version) -> Self {
        Self { major: wire.major, minor: wire.minor }
    }
}
