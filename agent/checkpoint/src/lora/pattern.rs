//! Patterns of module names: Python's expressions, which can look ahead and behind.

use fancy_regex::Regex;

#[derive(Debug)]
pub(super) struct Pattern {
    key: &'static str,
    text: String,
    regex: Regex,
}

#[derive(Debug, thiserror::Error)]
#[error("{key}: invalid pattern `{pattern}`")]
pub struct Error {
    key: &'static str,
    pattern: String,
    source: Box<fancy_regex::Error>,
}

impl Pattern {
    /// Matches a name from one of its dots on, like peft's `get_pattern_key`.
    pub(super) fn of_ends(key: &'static str, pattern: &str) -> Result<Self, Error> {
        Self::compiled(key, pattern, &format!("^(.*\\.)?({pattern})$"))
    }

    /// Matches whole names.
    pub(super) fn of_names(key: &'static str, pattern: &str) -> Result<Self, Error> {
        Self::compiled(key, pattern, &format!("^(?:{pattern})$"))
    }

    fn compiled(key: &'static str, pattern: &str, regex: &str) -> Result<Self, Error> {
        match Regex::new(regex) {
            Ok(regex) => Ok(Self { key, text: pattern.to_owned(), regex }),
            Err(source) => {
                Err(Error { key, pattern: pattern.to_owned(), source: Box::new(source) })
            }
        }
    }

    /// An error if the search takes too many steps.
    pub(super) fn matches(&self, module: &str) -> Result<bool, Error> {
        self.regex.is_match(module).map_err(|source| Error {
            key: self.key,
            pattern: self.text.clone(),
            source: Box::new(source),
        })
    }
}
