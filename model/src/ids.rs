//! Names that travel between programs. Each is checked once, where it enters.

use crate::text::{LineBreaks, is_unprintable, printable};
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
    #[error("{what} has U+{:04X} at byte {at}, which isn't shown or changes what is shown around it", u32::from(*.c))]
    Unprintable { what: &'static str, c: char, at: usize },
    #[error(
        "{what} can't name a folder: byte {at} is not a letter, a digit, `-`, `_` or a later `.`"
    )]
    Plain { what: &'static str, at: usize },
}

/// Checks that `name` is neither empty nor too long and consists of characters that are shown as they are.
pub fn check(name: &str, what: &'static str) -> Result<(), Error> {
    check_text(name, what)?;
    // An emoji may hold a joiner, so the characters alone don't decide.
    if printable(name, LineBreaks::Escaped).chars().eq(name.chars()) {
        return Ok(());
    }
    match name.char_indices().find(|(_, c)| is_unprintable(*c)) {
        Some((at, c)) => Err(Error::Unprintable { what, c, at }),
        // It starts like a command of a CI system, which is escaped where it is shown.
        None => Ok(()),
    }
}

/// Checks that `name` is neither empty nor too long and has no control characters: enough for the ids of a dataset, which
/// nobody can change, and which are escaped where they are shown.
fn check_text(name: &str, what: &'static str) -> Result<(), Error> {
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

/// As [`check`], for a name of a folder: letters, digits, dots, dashes and underscores, and no dot at the start.
fn check_plain(name: &str, what: &'static str) -> Result<(), Error> {
    check(name, what)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match name.char_indices().find(|&(at, c)| !is_plain(c) || (at, c) == (0, '.')) {
        Some((at, _)) => Err(Error::Plain { what, at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
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
                $check(&name, $what)?;
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
    /// One execution of a matrix. It names a folder, so it is plain.
    CampaignId, "campaign id", check_plain
);
name!(
    /// One combination of the matrix, such as `tiny.f32.b8.offline@one-thread`.
    CellId, "cell id", check
);
name!(
    /// A dialogue of the dataset.
    SampleId, "sample id", check_text
);
name!(
    /// An agent process and its connection, as `PROCESS.CONNECTION`; never reused.
    AgentId, "agent id", check
);

impl AgentId {
    /// The part before the connection's number.
    pub fn process(&self) -> &str {
        self.0.rsplit_once('.').map_or(self.as_str(), |(process, _)| process)
    }
}

name!(
    /// A machine, identified by its boot id.
    HostId, "host id", check
);
name!(
    /// The hardware under comparison, such as the instance type `ml.g4dn.xlarge`.
    TargetName, "target", check
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
    fn marks_that_change_what_is_shown_are_refused_in_names_and_not_in_ids_of_a_dataset() {
        for c in ['\u{202e}', '\u{2028}', '\u{200b}', '\u{e0041}'] {
            let name = format!("a{c}b");
            let error = AgentId::try_from(name.as_str()).unwrap_err();
            assert_eq!(error, Error::Unprintable { what: "agent id", c, at: 1 });
            assert!(TargetName::try_from(name.as_str()).is_err());
            assert!(SampleId::try_from(name.as_str()).is_ok());
        }
        assert!(AgentId::try_from("\u{1f9d1}\u{200d}\u{1f680}").is_ok());
        let error = AgentId::try_from("a\u{202e}").unwrap_err().to_string();
        assert_eq!(
            error,
            "agent id has U+202E at byte 1, which isn't shown or changes what is shown around it"
        );
    }

    #[test]
    fn a_campaign_id_stays_in_its_folder() {
        for id in ["..", ".", ".hidden", "a/b", "/etc", "../x", "a\\b", "a b", "é"] {
            let error = CampaignId::try_from(id).unwrap_err();
            assert!(matches!(error, Error::Plain { .. }), "{id}: {error}");
        }
        CampaignId::try_from("quickstart-20261123-084507-123").unwrap();
        CampaignId::try_from("a.b_c-1").unwrap();
    }

    #[test]
    fn a_line_break_is_refused_with_its_place() {
        let error = SampleId::try_from("a\nb").unwrap_err();
        assert_eq!(error, Error::Control { what: "sample id", at: 1 });
    }
}
