//! What the environment says: the one place that reads it. Secrets come this way, never as arguments.

#![expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]

/// A variable that the matrix names; one that isn't UTF-8 counts as unset.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `DATABASE_URL`: a PostgreSQL server instead of the SQLite file; empty counts as unset.
pub fn database_url() -> Option<String> {
    std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())
}
