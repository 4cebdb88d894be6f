//! What may have been started, on disk before it is: whoever comes later can stop it, whatever became of us.

use chrono::{DateTime, Utc};
use ops::atomic_file;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder of launches in the data folder.
const FOLDER: &str = "launches";
const START: &str = "sagemaker-";

/// One launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Tells it from every other.
    pub id: String,
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// Where its jobs are.
    pub region: String,
    /// And how that is asked.
    pub endpoint: String,
    /// The names of its jobs, each created or not.
    pub jobs: Vec<String>,
    /// SageMaker itself ends each after so many seconds.
    pub max_runtime_s: u64,
}

/// The record can't be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is started without it.
    #[error("can't write {}: give another --data-dir; without this record nobody could stop the jobs later", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is there and can't be read.
    #[error("can't read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Launch {
    fn path(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(FOLDER).join(format!("{START}{}.json", self.id))
    }

    /// Writes it, whole and to the disk, before this returns.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn keep(&self, data_dir: &Path) -> Result<(), Error> {
        let path = self.path(data_dir);
        let write = || -> io::Result<()> {
            let folder = data_dir.join(FOLDER);
            atomic_file::replace(&path, |path| {
                let mut file = File::create(path)?;
                file.write_all(&serde_json::to_vec_pretty(self)?)?;
                file.sync_all()
            })?;
            File::open(&folder)?.sync_all()
        };
        write().map_err(|source| Error::Write { path: path.clone(), source })
    }

    /// Nothing of it runs any more.
    pub fn forget(&self, data_dir: &Path) {
        // Where it stays, its jobs are only found to be over once more.
        drop(std::fs::remove_file(self.path(data_dir)));
    }

    /// All that are on record, the oldest first.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn all(data_dir: &Path) -> Result<Vec<Self>, Error> {
        let folder = data_dir.join(FOLDER);
        let error = |path: &Path, source| Error::Read { path: path.to_owned(), source };
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(error(&folder, source)),
        };
        let mut launches = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| error(&folder, source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with(START) || path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|source| error(&path, source))?;
            let launch: Self =
                serde_json::from_slice(&bytes).map_err(|source| error(&path, source.into()))?;
            launches.push(launch);
        }
        launches.sort_by(|a, b| (a.begun_at, &a.id).cmp(&(b.begun_at, &b.id)));
        Ok(launches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(id: &str, seconds: i64) -> Launch {
        Launch {
            id: id.to_owned(),
            begun_at: DateTime::from_timestamp(seconds, 0).unwrap(),
            region: "us-east-1".to_owned(),
            endpoint: "https://api.sagemaker.us-east-1.amazonaws.com".to_owned(),
            jobs: vec![format!("fleetmark-{id}-1")],
            max_runtime_s: 3600,
        }
    }

    #[test]
    fn what_is_kept_is_found_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(Launch::all(folder).unwrap(), []);
        let (newer, older) = (launch("a", 2), launch("b", 1));
        newer.keep(folder).unwrap();
        older.keep(folder).unwrap();
        assert_eq!(Launch::all(folder).unwrap(), [older.clone(), newer.clone()]);
        older.forget(folder);
        assert_eq!(Launch::all(folder).unwrap(), [newer]);
    }

    #[test]
    fn a_record_that_was_cut_off_is_told() {
        let folder = tempfile::tempdir().unwrap();
        launch("a", 1).keep(folder.path()).unwrap();
        let path = launch("a", 1).path(folder.path());
        std::fs::write(&path, "{").unwrap();
        let error = Launch::all(folder.path()).unwrap_err();
        assert!(error.to_string().contains("sagemaker-a.json"), "{error}");
    }
}
