//! Secrets come from the environment and show nowhere.

use std::fmt;

/// Looks a variable up; in tests, a map.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A password, a key, or an address that lets its holder write.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads a variable; `None` where it isn't set or holds nothing.
    pub fn read(variable: &str, environment: Environment<'_>) -> Option<Self> {
        let value = environment(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| Self(value.to_owned()))
    }

    /// The plain value, only for sending it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
