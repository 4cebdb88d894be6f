//! The schema, version by version. A released version is never edited; a change is a file of its own.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// Number, name and text. A database takes up what it lacks, in this order.
const VERSIONS: [(i64, &str, &str); 9] = [
    (1, "campaigns", include_str!("migrations/0001_campaigns.sql")),
    (2, "starts", include_str!("migrations/0002_starts.sql")),
    (3, "held", include_str!("migrations/0003_held.sql")),
    (4, "reference_tokens", include_str!("migrations/0004_reference_tokens.sql")),
    (5, "telemetry", include_str!("migrations/0005_telemetry.sql")),
    (6, "credentials", include_str!("migrations/0006_credentials.sql")),
    (7, "loads", include_str!("migrations/0007_loads.sql")),
    (8, "exchanges", include_str!("migrations/0008_exchanges.sql")),
    (9, "output_ids", include_str!("migrations/0009_output_ids.sql")),
];

/// The newest version.
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
