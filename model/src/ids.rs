//! Names that travel between programs. Each is checked once, where it enters.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest accepted name.
pub const MAX_BYTES: usize = 256;

/// A rejected name; `what` is its kind, such as `sample id`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("{what} has {bytes} bytes, the limit is {MAX_BYTES}")]
    TooLong { what: &'static str, bytes: usize },
    #[error("{what} has a control character at byte {at}")]
    Control { what: &'static str, at: usize },
}

/// Checks that `name` is neither empty nor too long and has no control characters.
pub fn check(name: &str, what: &'static str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Empty { what });
    }
    if name.len() > MAX_BYTES {
        return Err(Error::TooLong { what, bytes: name.len() });
    }
    match name.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(Error::Control { what, at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(name: String) -> Result<Self, Error> {
                check(&name, $what)?;
                Ok(Self(name))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(name: &str) -> Result<Self, Error> {
                Self::try_from(name.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// One run of a matrix.
    CampaignId, "campaign id"
);
name!(
    /// One combination of the matrix, such as `tiny.f32.b8.offline@one-thread`.
    CellId, "cell id"
);
name!(
    /// A dialogue of the dataset.
    SampleId, "sample id"
);
name!(
    /// An agent process and its connection, as `PROCESS.CONNECTION`; never reused.
    AgentId, "agent id"
);

impl AgentId {
    /// The part before the connection's number.
    pub fn process(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.as_str(), |(process, _)| process)
    }
}

name!(
    /// A machine, identified by its boot id.
    HostId, "host id"
);
name!(
    /// The hardware under comparison, such as the instance type `ml.g4dn.xlarge`.
    TargetName, "target"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_that_is_taken_holds_no_control_character(text in "\\PC{0,40}|.{0,40}") {
            if let Ok(id) = SampleId::try_from(text.as_str()) {
                prop_assert!(!id.as_str().chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn a_line_break_is_refused_with_its_place() {
        let error = SampleId::try_from("a\nb").unwrap_err();
        assert_eq!(error, Error::Control { what: "sample id", at: 1 });
    }
}
