//! The database: what was asked, who measured, and every sample. SQLite in the data folder.
//!
//! An edge. Statistics, cost and reports work only on what is read back from here, so any old campaign can
//! be reported and compared without its agents. A sample is on disk before its agent hears that it is.

mod read;
pub mod rows;
mod write;

pub use read::Texts;
pub use rows::{
    AgentFacts, AgentRow, CampaignRow, DatasetFacts, DialogueRow, EventRow, Outcome, PriceRow,
    SampleRow, SegmentFacts, SegmentRow, State,
};
pub use write::{NewCampaign, SampleWrite};

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlitePool};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The database file in the data folder.
pub const FILE: &str = "fleetmark.db";

/// What can go wrong, by what can be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder can't be used.
    #[error("can't open {}: choose another folder with --data-dir", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file was written by a newer release, or isn't ours.
    #[error("{} was written by another release: use that one, or another --data-dir", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// No room.
    #[error("the disk is full: make room, then go on with controller run --resume")]
    DiskFull(#[source] sqlx::Error),
    /// Another process holds it.
    #[error("the database is locked by another process: end it, or use another --data-dir")]
    Locked(#[source] sqlx::Error),
    /// No such campaign.
    #[error("no campaign \"{id}\" in this data folder{}", known(known_ids))]
    UnknownCampaign {
        /// As asked.
        id: String,
        /// The newest ones.
        known_ids: Vec<String>,
    },
    /// A row that this release can't read.
    #[error(
        "the database holds a row that can't be read ({what}): it was changed by hand or is damaged"
    )]
    Damaged {
        /// Which column.
        what: &'static str,
    },
    /// Anything else.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

fn known(ids: &[String]) -> String {
    if ids.is_empty() {
        ", which is empty".to_owned()
    } else {
        format!("; newest: {}", ids.join(", "))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(database) => database.code().map(std::borrow::Cow::into_owned),
            _ => None,
        };
        // Primary result codes of SQLite: 13 is FULL, 5 and 6 are BUSY and LOCKED.
        match code.as_deref().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
            Some(13) => Self::DiskFull(error),
            Some(5 | 6) => Self::Locked(error),
            _ => Self::Database(error),
        }
    }
}

/// A handle; clones share the connection.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// The number of a campaign in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CampaignNo(pub(crate) i64);

impl Store {
    /// Opens the database of a data folder and brings its schema up to date; makes both where they are missing.
    ///
    /// # Errors
    /// [`Error::Open`] where the folder can't be used, [`Error::Schema`] where a newer release wrote it.
    pub async fn open(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(FILE);
        let open = |source| Error::Open { path: path.clone(), source };
        std::fs::create_dir_all(data_dir).map_err(|error| open(sqlx::Error::Io(error)))?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is on disk when it returns: samples are acknowledged after it.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(open)?;
        migrator()
            .run(&pool)
            .await
            .map_err(|source| Error::Schema { path: path.clone(), source })?;
        Ok(Self { pool })
    }

    /// Waits until everything is written and closes the file.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

fn migrator() -> Migrator {
    let sql = AssertSqlSafe(include_str!("migrations/0001_campaigns.sql")).into_sql_str();
    let first = Migration::new(1, "campaigns".into(), MigrationType::Simple, sql, false);
    Migrator::with_migrations(vec![first])
}

#[cfg(test)]
mod tests;
