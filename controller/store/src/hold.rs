//! Two controllers never run one campaign: whoever holds it writes, and the lock survives nothing.

use super::acknowledged::{Acknowledged, Loss};
use super::database::{Database, Record, Transaction, Value};
use super::{CampaignNo, Error, Store, folder_of};
use chrono::{DateTime, Utc};
use model::ids::CampaignId;
use records::Write;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Keys of our locks in PostgreSQL: "FM" above the number of the campaign.
pub(super) const LOCK_SPACE: i64 = 0x464d << 32;

/// The right to write a campaign. It ends with this value, with its process, and on PostgreSQL with its connection.
#[derive(Debug)]
pub struct Hold {
    pub(super) no: CampaignNo,
    id: CampaignId,
    starts: u64,
    _lock: Option<File>,
    /// Of SQLite: a server keeps what it has confirmed.
    pub(super) acknowledged: Option<Acknowledged>,
}

impl Hold {
    /// The number below the first attempt of this holder: above every attempt that was ever leased before.
    pub fn attempts_from(&self) -> u64 {
        (self.starts - 1) << 32
    }

    fn loss(&self) -> Option<Loss> {
        self.acknowledged.as_ref()?.loss
    }

    /// Makes sure that the campaign is still held: a connection that broke has lost its lock, and another
    /// controller may have taken it.
    pub(super) async fn confirm(&self, transaction: &mut Transaction) -> Result<(), Error> {
        match transaction {
            // The lock of a file goes with the process.
            Transaction::Sqlite(_) => Ok(()),
            Transaction::Postgres(_) => lock(transaction, self.no, &self.id).await,
        }
    }
}

async fn lock(transaction: &mut Transaction, no: CampaignNo, id: &CampaignId) -> Result<(), Error> {
    let sql = "SELECT pg_try_advisory_lock($1) AS is_held";
    let values = [Value::Int(LOCK_SPACE + no.0)];
    let is_held = transaction.row(sql, &values, |row: &Record<'_>| row.get("is_held")).await?;
    if is_held { Ok(()) } else { Err(Error::Held { id: id.to_string() }) }
}

impl Store {
    /// Takes the right to write a campaign; `data_dir` holds the campaign's own files.
    pub async fn hold(&self, no: CampaignNo, data_dir: &Path) -> Result<Hold, Error> {
        let id = self.campaign_id(no).await?;
        let lock_file = match &self.database {
            Database::Sqlite(_) => Some(lock_file(data_dir, &id)?),
            Database::Postgres(_) => None,
        };
        let mut transaction = self.database.begin().await?;
        if let Transaction::Postgres(_) = transaction {
            lock(&mut transaction, no, &id).await?;
        }
        let sql = "UPDATE campaign SET starts = starts + 1 WHERE no = $1 RETURNING starts";
        let starts: i64 =
            transaction.row(sql, &[Value::Int(no.0)], |row| row.get("starts")).await?;
        transaction.commit().await?;
        let starts = u64::try_from(starts).map_err(|_| Error::Damaged { what: "starts" })?;
        let acknowledged = match &self.database {
            Database::Sqlite(_) => {
                Some(Acknowledged::open(data_dir, &id, self.stored_count(no).await?)?)
            }
            Database::Postgres(_) => None,
        };
        Ok(Hold { no, id, starts: starts.max(1), _lock: lock_file, acknowledged })
    }

    /// The error that says which acknowledged samples are gone, if any are. It is recorded as an event of the campaign
    /// and said once: the campaign can be resumed afterwards.
    pub async fn take_loss(&self, hold: &Hold, at: DateTime<Utc>) -> Result<(), Error> {
        let Some(loss) = hold.loss() else { return Ok(()) };
        let lost = self.lost(hold.id.as_str(), loss);
        let detail = lost.to_string();
        self.write(hold, &[Write::Event { at, kind: "samples_lost", detail }]).await?;
        if let Some(acknowledged) = &hold.acknowledged {
            acknowledged.write()?;
        }
        Err(lost)
    }
}

/// Whether another process has locked the campaign's file; without a file, none has.
pub(super) fn is_locked(data_dir: &Path, id: &CampaignId) -> Result<bool, Error> {
    let path = lock_path(data_dir, id);
    let failed = |source| Error::Folder { path: path.clone(), source };
    match File::options().write(true).open(&path) {
        Ok(file) => try_lock(&file).map(|is_free| !is_free).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(failed(source)),
    }
}

/// Locks a file until it is closed; false if another process has locked it.
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn lock_path(data_dir: &Path, id: &CampaignId) -> PathBuf {
    folder_of(data_dir, id).join("lock")
}

fn lock_file(data_dir: &Path, id: &CampaignId) -> Result<File, Error> {
    let folder = folder_of(data_dir, id);
    let path = lock_path(data_dir, id);
    let failed = |source| Error::Folder { path: path.clone(), source };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(failed)?;
    let is_free = try_lock(&file).map_err(failed)?;
    if is_free { Ok(file) } else { Err(Error::Held { id: id.to_string() }) }
}
