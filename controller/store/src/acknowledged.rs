//! How many samples of a campaign were acknowledged, on disk beside the database.
//!
//! SQLite drops the part of a damaged write-ahead log that it can't read, and a database without it looks like one that
//! was never written. This record tells them apart. It is written and synced after each commit and before the samples
//! are acknowledged, so the database never has fewer samples than the record, unless its files were damaged or replaced.

use super::database::{Database, Record, Value};
use super::{CampaignNo, Error, Store, folder_of};
use model::ids::CampaignId;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// In the campaign's folder: a decimal number of fixed width, which is overwritten in place.
const FILE: &str = "acknowledged";
const DIGITS: usize = 20;

/// Acknowledged samples that the database lacks. Windows of a sustained load count as samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    pub acknowledged: u64,
    pub stored: u64,
}

/// The record of a campaign that is held.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    path: PathBuf,
    count: AtomicU64,
    pub(super) loss: Option<Loss>,
}

impl Acknowledged {
    /// Opens the record of a campaign with so many samples in the database, or begins one.
    pub(super) fn open(data_dir: &Path, id: &CampaignId, stored: u64) -> Result<Self, Error> {
        let path = folder_of(data_dir, id).join(FILE);
        let failed = |source| Error::Folder { path: path.clone(), source };
        let mut options = File::options();
        let file = options.create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(failed)?;
        let acknowledged = read(&path);
        let loss = (acknowledged > stored).then_some(Loss { acknowledged, stored });
        let record = Self { file, path, count: AtomicU64::new(stored), loss };
        if record.loss.is_none() {
            record.write()?;
        }
        Ok(record)
    }

    /// Counts samples that were committed.
    pub(super) fn add(&self, samples: u64) -> Result<(), Error> {
        if samples == 0 {
            return Ok(());
        }
        self.count.fetch_add(samples, Ordering::Relaxed);
        self.write()
    }

    /// Writes the count, which after a loss is that of the database.
    pub(super) fn write(&self) -> Result<(), Error> {
        let text = format!("{:0DIGITS$}\n", self.count.load(Ordering::Relaxed));
        let write = || {
            self.file.write_all_at(text.as_bytes(), 0)?;
            self.file.sync_data()
        };
        write().map_err(|source| Error::Folder { path: self.path.clone(), source })
    }
}

/// The number in a record; 0 without one, and for one that can't be read, which proves nothing.
fn read(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim_end().parse().unwrap_or_default()
}

/// Campaigns of a data folder with acknowledged samples.
fn recorded(data_dir: &Path) -> Vec<(CampaignId, u64)> {
    let folders = data_dir.join("campaigns").read_dir().into_iter().flatten().flatten();
    let of_folder = |folder: std::fs::DirEntry| {
        let id = CampaignId::try_from(folder.file_name().to_str()?.to_owned()).ok()?;
        let acknowledged = read(&folder_of(data_dir, &id).join(FILE));
        (acknowledged > 0).then_some((id, acknowledged))
    };
    let mut all: Vec<_> = folders.filter_map(of_folder).collect();
    all.sort();
    all
}

impl Store {
    /// Samples and windows that count.
    pub(super) async fn stored_count(&self, campaign: CampaignNo) -> Result<u64, Error> {
        let sql = "SELECT (SELECT count(*) FROM sample WHERE campaign = $1 AND counted = 1) \
                   + (SELECT count(*) FROM load_window WHERE campaign = $1 AND counted = 1) AS stored";
        let stored = |row: &Record<'_>| row.get::<i64>("stored");
        let found = self.database.rows(sql, &[Value::Int(campaign.0)], stored).await?;
        Ok(found.into_iter().sum::<i64>().unsigned_abs())
    }

    /// Campaigns of this folder whose samples were acknowledged and that the database doesn't know, with the number of
    /// their samples. None on PostgreSQL.
    pub async fn lost_campaigns(&self, data_dir: &Path) -> Result<Vec<(CampaignId, u64)>, Error> {
        if !matches!(self.database, Database::Sqlite(_)) {
            return Ok(Vec::new());
        }
        let mut lost = recorded(data_dir);
        let id = |row: &Record<'_>| row.get::<String>("id");
        let known = self.database.rows("SELECT id FROM campaign", &[], id).await?;
        lost.retain(|(id, _)| !known.iter().any(|known| known == id.as_str()));
        Ok(lost)
    }

    /// Whether the database lacks samples that are recorded as acknowledged.
    pub(super) async fn has_losses(&self, data_dir: &Path) -> Result<bool, Error> {
        for (id, acknowledged) in recorded(data_dir) {
            match self.find(id.as_str()).await {
                Ok(no) if self.stored_count(no).await? >= acknowledged => {}
                Ok(_) | Err(Error::UnknownCampaign { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
