//! Names of repositories: `owner/name@revision/path`.

use crate::Error;
use std::fmt;
use std::str::FromStr;

/// The default revision.
const MAIN: &str = "main";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Model,
    Dataset,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        }
    }

    /// In paths of the hub's API and of its cache.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    pub kind: Kind,
    /// `owner/name`.
    pub name: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

/// A repository, or one file of it, as written after `hf://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `owner/name`.
    pub name: String,
    pub revision: Option<String>,
    pub path: Option<String>,
}

impl FromStr for Address {
    type Err = Error;

    /// Parses `[hf://]owner/name[@revision][/path]`; a slash in a revision is written `%2F`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::Address {
            given: text.to_owned(),
            expected: "hf://owner/name or hf://owner/name@revision",
        };
        let rest = text.strip_prefix("hf://").unwrap_or(text);
        let mut parts = rest.splitn(3, '/');
        let (owner, second) = (parts.next().unwrap_or(""), parts.next().ok_or_else(error)?);
        let path = parts.next().filter(|path| !path.is_empty()).map(str::to_owned);
        let (name, revision) = match second.split_once('@') {
            Some((name, revision)) => {
                (name, Some(revision.replace("%2F", "/").replace("%2f", "/")))
            }
            None => (second, None),
        };
        let is_inside = |text: &str| text.split('/').all(|part| !["", ".", ".."].contains(&part));
        let is_good = is_name(owner)
            && is_name(name)
            && revision.as_deref().is_none_or(is_revision)
            && path.as_deref().is_none_or(is_inside);
        if is_good {
            Ok(Self { name: format!("{owner}/{name}"), revision, path })
        } else {
            Err(error())
        }
    }
}

impl Address {
    /// The repository of this kind; `revision` is one given apart from the address.
    ///
    /// # Errors
    /// If the two revisions differ.
    pub fn repository(&self, kind: Kind, revision: Option<&str>) -> Result<Repository, Error> {
        let named = match (self.revision.as_deref(), revision) {
            (Some(own), Some(given)) if own != given => {
                return Err(Error::Address {
                    given: format!("{}@{own} with revision {given}", self.name),
                    expected: "one revision",
                });
            }
            (own, given) => own.or(given).unwrap_or(MAIN),
        };
        if !is_revision(named) {
            return Err(Error::NoRevision { name: self.name.clone(), revision: named.to_owned() });
        }
        Ok(Repository { kind, name: self.name.clone(), revision: named.to_owned() })
    }
}

impl Repository {
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }

    /// Its folder in the hub's cache.
    pub(super) fn folder_name(&self) -> String {
        format!("{}--{}", self.kind.plural(), self.name.replace('/', "--"))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.revision)
    }
}

/// 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty()
        && text.len() <= 96
        && !text.contains("--")
        && !text.contains("..")
        && !text.starts_with('.')
        && text.chars().all(is_plain)
}

/// A valid Git revision that is safe as part of a path.
fn is_revision(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+/".contains(c);
    text.len() <= 250
        && text.chars().all(is_plain)
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<(String, Option<String>, Option<String>)> {
        let address: Address = text.parse().ok()?;
        Some((address.name, address.revision, address.path))
    }

    #[test]
    fn addresses_are_parsed() {
        let some = |text: &str| Some(text.to_owned());
        let name = || "google/flan-t5-base".to_owned();
        assert_eq!(parsed("google/flan-t5-base"), Some((name(), None, None)));
        assert_eq!(parsed("hf://google/flan-t5-base@v1.0"), Some((name(), some("v1.0"), None)));
        assert_eq!(
            parsed("hf://google/flan-t5-base@refs%2Fpr%2F1/data/test.csv"),
            Some((name(), some("refs/pr/1"), some("data/test.csv")))
        );
    }

    #[test]
    fn a_path_that_leaves_the_cache_is_invalid() {
        for text in
            ["samsum", "a/..", "../a", "a/b@../../x", "a/b/../../x", "a/b@", "a//b", "a/b c"]
        {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn two_revisions_that_differ_are_refused() {
        let address: Address = "a/b@v1".parse().unwrap();
        assert_eq!(address.repository(Kind::Model, Some("v1")).unwrap().revision, "v1");
        assert!(address.repository(Kind::Model, Some("v2")).is_err());
        let plain: Address = "a/b".parse().unwrap();
        assert_eq!(plain.repository(Kind::Model, None).unwrap().to_string(), "a/b@main");
        assert!(plain.repository(Kind::Model, Some("../x")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_leaves_the_cache(text in "[a-c./@%F2-]{0,24}") {
            if let Ok(address) = text.parse::<Address>() {
                let repository = address.repository(Kind::Model, None).unwrap();
                for part in [repository.folder_name(), repository.revision, address.path.unwrap_or_default()] {
                    prop_assert!(!part.split('/').any(|part| part == ".."), "{}", part);
                    prop_assert!(!part.starts_with('/'), "{}", part);
                }
            }
        }
    }
}
