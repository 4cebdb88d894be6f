//! The environment: the only code that reads it. Secrets come this way, never as arguments.

#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

/// The value of a variable; `None` if it is unset or isn't UTF-8.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
