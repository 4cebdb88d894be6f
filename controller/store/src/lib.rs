//! The database: what was asked, who measured, and every sample. SQLite in the data folder, or PostgreSQL.
//!
//! An edge. Statistics, cost and reports work only on what is read back from here, so any old campaign can
//! be reported and compared without its agents. A sample is on disk before its agent hears that it is.

#![forbid(unsafe_code)]

mod credentials;
mod database;
mod delete;
mod hold;
mod load;
mod migrations;
mod read;
mod schema;
mod telemetry;
mod write;

pub use credentials::{CredentialKind, CredentialRow, Which};
pub use hold::Hold;
pub use read::Texts;
pub use records::{
    AgentRow, AgentWrite, CampaignRow, CountedBatch, DatasetFacts, DialogueRow, EventRow,
    LoadWindowRow, NewCampaign, PriceRow, RowSetAside, RowsSetAside, SampleRow, SegmentRow, State,
    WindowRow, Write,
};
pub use schema::Schema;

use database::Database;
use std::fmt;
use std::path::{Path, PathBuf};

/// The database file in the data folder.
pub const FILE: &str = "fleetmark.db";

/// Where the database is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A SQLite file in this folder.
    Folder(PathBuf),
    /// A PostgreSQL server, and its name without secrets.
    Server { url: Url, name: String },
}

impl Place {
    /// A server, by `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    pub fn server(url: String) -> Result<Self, Error> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(Error::Url);
        }
        let name = database::name_of(&url)?;
        Ok(Self::Server { url: Url(url), name })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.join(FILE).display()),
            Self::Server { name, .. } => f.write_str(name),
        }
    }
}

/// A secret: it may hold a password.
#[derive(Clone)]
pub struct Url(String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(…)")
    }
}

/// What can go wrong, by what can be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't open {}: choose another folder with --data-dir", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    #[error("invalid DATABASE_URL: expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url,
    #[error("can't use {server}: check that it runs and that DATABASE_URL is correct")]
    Server {
        server: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "lost the connection to the database: check that it runs, then use controller run --resume"
    )]
    Gone(#[source] sqlx::Error),
    #[error("{place} was written by another release: use that one, or another --data-dir")]
    Schema {
        place: String,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    #[error("the disk is full: free disk space, then use controller run --resume")]
    DiskFull(#[source] sqlx::Error),
    #[error(
        "the database is locked by another process: stop it, then try again or use controller run --resume"
    )]
    Locked(#[source] sqlx::Error),
    #[error("campaign {id} is held by another controller: wait for it to end, or stop it")]
    Held { id: String },
    #[error("can't write {}: choose another folder with --data-dir", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no campaign \"{id}\" in this data folder{}", known(known_ids))]
    UnknownCampaign { id: String, known_ids: Vec<String> },
    #[error(
        "the database holds a row that can't be read ({what}): it was changed by hand or is damaged"
    )]
    Damaged { what: &'static str },
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
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
                return Self::Gone(error);
            }
            _ => None,
        };
        let Some(code) = code else { return Self::Database(error) };
        // PostgreSQL's codes have five characters. disk_full, lock_not_available, admin_shutdown and crash_shutdown:
        match (code.as_str(), code.parse::<u32>()) {
            ("53100", _) => Self::DiskFull(error),
            ("55P03", _) => Self::Locked(error),
            ("57P01" | "57P02" | "57P03", _) => Self::Gone(error),
            // Primary result codes of SQLite: 13 is FULL, 5 and 6 are BUSY and LOCKED.
            (code, Ok(number)) if code.len() < 5 && number & 0xff == 13 => Self::DiskFull(error),
            (code, Ok(number)) if code.len() < 5 && matches!(number & 0xff, 5 | 6) => {
                Self::Locked(error)
            }
            _ => Self::Database(error),
        }
    }
}

/// A handle; clones share the connection.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
}

/// The number of a campaign in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CampaignNo(pub(crate) i64);

impl Store {
    /// Opens the database and brings its schema up to date; makes folder and file where they are missing.
    pub async fn open(place: &Place) -> Result<Self, Error> {
        Ok(Self { database: Database::open(place).await? })
    }

    /// Waits until everything is written and closes it.
    pub async fn close(self) {
        self.database.close().await;
    }
}

/// Where a campaign's own files lie in a data folder.
pub fn folder_of(data_dir: &Path, campaign: &model::ids::CampaignId) -> PathBuf {
    data_dir.join("campaigns").join(campaign.as_str())
}

#[cfg(test)]
mod tests;
