//! The database: what was asked, who measured, and every sample. SQLite in the data folder, or PostgreSQL.
//!
//! An edge. Statistics, cost and reports work only on what is read back from here, so any old campaign can
//! be reported and compared without its agents. A sample is on disk before its agent hears that it is.

#![forbid(unsafe_code)]

mod acknowledged;
mod credentials;
mod database;
mod delete;
mod hold;
mod load;
mod migrations;
mod read;
mod schema;
mod signatures;
mod sqlite_file;
mod telemetry;
mod write;

pub use acknowledged::Loss;
pub use credentials::{CredentialKind, CredentialRow, Which};
pub use hold::Hold;
pub use read::Texts;
pub use records::{
    AgentRow, AgentWrite, CampaignRow, CountedBatch, DatasetFacts, DialogueRow, EventRow,
    LoadWindowRow, NewCampaign, PriceRow, RowSetAside, RowsSetAside, SampleRow, SegmentRow,
    SignatureRow, State, WindowRow, Write,
};
pub use schema::Schema;

use database::Database;
use sqlite_file::{Moved, SqliteFile};
use std::path::{Path, PathBuf};
use std::{fmt, sync::Arc};

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
    /// Acknowledged samples are gone. What is left stays, and they are measured again when the campaign is resumed.
    #[error(
        "{missing} of {acknowledged} acknowledged samples of campaign {id} are missing in {}: the file or its \
         write-ahead log was damaged or replaced{}; use controller run --resume {id} to measure them again",
        path.display(),
        kept_log_at(kept_log.as_deref())
    )]
    Lost { id: String, acknowledged: u64, missing: u64, path: PathBuf, kept_log: Option<PathBuf> },
    /// Nothing of it is left in the database.
    #[error(
        "campaign {id} is missing in {}, although {acknowledged} of its samples were acknowledged: the file or its \
         write-ahead log was damaged, deleted or replaced{}; restore it, or start a new campaign",
        path.display(),
        kept_log_at(kept_log.as_deref())
    )]
    CampaignLost { id: String, acknowledged: u64, path: PathBuf, kept_log: Option<PathBuf> },
    /// The rows that were being written are not acknowledged; all others were saved.
    #[error(
        "{} was deleted or replaced while it was in use: all samples were saved in {}; {}",
        path.display(),
        saved.display(),
        if path == saved {
            "use controller run --resume".to_owned()
        } else {
            format!("move it to {}, then use controller run --resume", path.display())
        }
    )]
    Moved { path: PathBuf, saved: PathBuf },
    #[error("{} was deleted or replaced while it was in use, and its samples could not be saved", path.display())]
    Unsaved {
        path: PathBuf,
        #[source]
        source: Box<Error>,
    },
    #[error(
        "the database is damaged: restore it from a copy, or recover what is left with sqlite3's .recover"
    )]
    Corrupt(#[source] sqlx::Error),
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

impl Error {
    /// Whether acknowledged samples are gone, or were nearly: the campaign is incomplete, and its user didn't ask for
    /// anything wrong.
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::CampaignLost { .. }
                | Self::Moved { .. }
                | Self::Unsaved { .. }
                | Self::Corrupt(_)
        )
    }
}

fn kept_log_at(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" (a copy of the log is {})", path.display()))
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
            // CORRUPT and NOTADB.
            (code, Ok(number)) if code.len() < 5 && matches!(number & 0xff, 11 | 26) => {
                Self::Corrupt(error)
            }
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
    /// Of SQLite.
    file: Option<Arc<SqliteFile>>,
}

/// The number of a campaign in this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CampaignNo(pub(crate) i64);

impl Store {
    /// Opens the database and brings its schema up to date; makes folder and file where they are missing.
    pub async fn open(place: &Place) -> Result<Self, Error> {
        let folder = match place {
            Place::Folder(folder) => folder,
            Place::Server { url, .. } => {
                let database = Database::open_postgres(place, url).await?;
                return Ok(Self { database, file: None });
            }
        };
        let mut file = SqliteFile::before_open(folder.join(FILE));
        let database = Database::open_sqlite(folder, file.log()).await?;
        let mut store = Self { database, file: None };
        file.opened();
        if file.had_log() && !store.has_losses(folder).await? {
            file.drop_copy();
        }
        store.file = Some(Arc::new(file));
        Ok(store)
    }

    /// After a commit: an error if its file is no longer the database. All rows are saved first.
    async fn check_in_place(&self) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let Some(moved) = file.moved() else { return Ok(()) };
        let path = file.path.clone();
        let saved = match moved {
            // The database takes the rows of its log.
            Moved::Log => self.database.checkpoint().await.map(|()| path.clone()),
            Moved::Database => self.save(file).await,
        };
        Err(match saved {
            Ok(saved) => Error::Moved { path, saved },
            Err(source) => Error::Unsaved { path, source: Box::new(source) },
        })
    }

    /// Writes a copy of the database, and puts it back if the place is free. The store is closed.
    async fn save(&self, file: &SqliteFile) -> Result<PathBuf, Error> {
        let failed = |source| Error::Folder { path: file.path.clone(), source };
        let saved = file.free_path().map_err(failed)?;
        self.database.copy_to(&saved).await?;
        self.database.close().await;
        Ok(file.put_back(saved))
    }

    /// The error for a campaign whose record says that more samples were acknowledged than are stored.
    fn lost(&self, id: &str, loss: Loss) -> Error {
        let (path, kept_log) = self.files();
        let Loss { acknowledged, stored } = loss;
        let missing = acknowledged.saturating_sub(stored);
        Error::Lost { id: id.to_owned(), acknowledged, missing, path, kept_log }
    }

    /// The error for a campaign that only its record knows.
    pub fn campaign_lost(&self, id: &str, acknowledged: u64) -> Error {
        let (path, kept_log) = self.files();
        Error::CampaignLost { id: id.to_owned(), acknowledged, path, kept_log }
    }

    fn files(&self) -> (PathBuf, Option<PathBuf>) {
        let file = self.file.as_ref();
        let path = file.map(|file| file.path.clone()).unwrap_or_default();
        (path, file.and_then(|file| file.kept_log()))
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
