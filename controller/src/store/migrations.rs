//! The schema, version by version. A released version is never edited; a change is a file of its own.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

const VERSIONS: [(&str, &str); 5] = [
    ("campaigns", include_str!("migrations/0001_campaigns.sql")),
    ("starts", include_str!("migrations/0002_starts.sql")),
    ("held", include_str!("migrations/0003_held.sql")),
    ("reference_tokens", include_str!("migrations/0004_reference_tokens.sql")),
    ("telemetry", include_str!("migrations/0005_telemetry.sql")),
];

pub(super) fn all() -> Migrator {
    let version = |(number, (name, sql)): (i64, &(&'static str, &'static str))| {
        let sql = AssertSqlSafe(*sql).into_sql_str();
        Migration::new(number, (*name).into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations((1..).zip(&VERSIONS).map(version).collect())
}
