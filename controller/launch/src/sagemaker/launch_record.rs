//! A record of the jobs of a launch, written before they are created. After a crash, they can be stopped from it.

use chrono::{DateTime, Utc};
use ops::{atomic_file, input_file};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// In the data folder.
const FOLDER: &str = "launches";
const PREFIX: &str = "sagemaker-";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchRecord {
    pub id: String,
    #[serde(rename = "begun_at")]
    pub started_at: DateTime<Utc>,
    pub region: String,
    /// URL of the SageMaker API.
    pub endpoint: String,
    /// Names of the jobs, created or not.
    pub jobs: Vec<String>,
    /// SageMaker stops each job after this time.
    pub max_runtime_s: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't write the launch record {}, which is required to stop the jobs later: use another --data-dir", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("can't read the launch record {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl LaunchRecord {
    fn path(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(FOLDER).join(format!("{PREFIX}{}.json", self.id))
    }

    /// Writes the record atomically and syncs it to disk.
    pub fn write(&self, data_dir: &Path) -> Result<(), Error> {
        let path = self.path(data_dir);
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from);
        text.and_then(|text| atomic_file::write_synced(&path, &text))
            .map_err(|source| Error::Write { path, source })
    }

    /// Deletes the record once all jobs have ended.
    pub fn remove(&self, data_dir: &Path) {
        // A leftover record is harmless: a later stop finds its jobs ended.
        drop(std::fs::remove_file(self.path(data_dir)));
    }

    /// All records, oldest first.
    pub fn all(data_dir: &Path) -> Result<Vec<Self>, Error> {
        let folder = data_dir.join(FOLDER);
        let error = |path: &Path, source| Error::Read { path: path.to_owned(), source };
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(error(&folder, source)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| error(&folder, source))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with(PREFIX) || path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let bytes = input_file::read(&path).map_err(|source| error(&path, source))?;
            let record: Self =
                serde_json::from_slice(&bytes).map_err(|source| error(&path, source.into()))?;
            records.push(record);
        }
        records.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, seconds: i64) -> LaunchRecord {
        LaunchRecord {
            id: id.to_owned(),
            started_at: DateTime::from_timestamp(seconds, 0).unwrap(),
            region: "us-east-1".to_owned(),
            endpoint: "https://api.sagemaker.us-east-1.amazonaws.com".to_owned(),
            jobs: vec![format!("fleetmark-{id}-1")],
            max_runtime_s: 3600,
        }
    }

    #[test]
    fn records_are_listed_until_they_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(LaunchRecord::all(folder).unwrap(), []);
        let (newer, older) = (record("a", 2), record("b", 1));
        newer.write(folder).unwrap();
        older.write(folder).unwrap();
        assert_eq!(LaunchRecord::all(folder).unwrap(), [older.clone(), newer.clone()]);
        older.remove(folder);
        assert_eq!(LaunchRecord::all(folder).unwrap(), [newer]);
    }

    #[test]
    fn a_truncated_record_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        record("a", 1).write(folder.path()).unwrap();
        let path = record("a", 1).path(folder.path());
        std::fs::write(&path, "{").unwrap();
        let error = LaunchRecord::all(folder.path()).unwrap_err();
        assert!(error.to_string().contains("sagemaker-a.json"), "{error}");
    }
}
