//! The schema by version. A released version is never edited: a change is a new entry with a file of its own.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// Number, name and text, in the order in which a database takes up those that it lacks.
const VERSIONS: [(i64, &str, &str); 5] = [
    (1, "campaigns", include_str!("schema.sql")),
    (2, "signatures", include_str!("signatures.sql")),
    (3, "chunk gaps", include_str!("chunk_gaps.sql")),
    (4, "endpoint metrics", include_str!("endpoint_metrics.sql")),
    (5, "drafts", include_str!("drafts.sql")),
];

pub(super) fn newest() -> i64 {
    VERSIONS.iter().map(|(number, ..)| *number).max().unwrap_or(0)
}

pub(super) fn all() -> Migrator {
    let version = |&(number, name, sql): &(i64, &'static str, &'static str)| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(number, name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(VERSIONS.iter().map(version).collect())
}
