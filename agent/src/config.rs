//! What the environment says: the one place that reads it. Secrets come this way, never as arguments.

#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

/// A variable; one that isn't UTF-8 counts as unset.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
