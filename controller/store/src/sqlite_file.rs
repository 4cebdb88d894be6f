//! The files of a SQLite database: whether they are still in place, and a copy of a log that may be damaged.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let of_file = |facts: Metadata| Self { device: facts.dev(), inode: facts.ino() };
        path.metadata().ok().map(of_file)
    }
}

/// What was deleted or replaced while it was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Database,
    /// The write-ahead log alone.
    Log,
}

/// The log of one connection: SQLite creates it with the first write, and deletes it with the last connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Option<Identity>>>);

impl Log {
    fn known(&self) -> MutexGuard<'_, Option<Identity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection has a log of its own.
    pub(super) fn forget(&self) {
        *self.known() = None;
    }
}

#[derive(Debug)]
pub(super) struct SqliteFile {
    pub(super) path: PathBuf,
    identity: Option<Identity>,
    log: Log,
    /// The copy of a log that was there before the database was opened.
    copy: Option<PathBuf>,
}

impl SqliteFile {
    /// Copies the log, if there is one: after a crash, SQLite reads it up to the first damage and then overwrites it.
    pub(super) fn before_open(path: PathBuf) -> Self {
        let log = with_ending(&path, "-wal");
        let copy = with_ending(&path, "-wal.kept");
        let has_log = log.metadata().is_ok_and(|facts| facts.len() > 0);
        // An earlier copy was kept because of a loss. Without space for a copy, the database is opened all the same.
        let is_copied = has_log && !copy.exists() && std::fs::copy(&log, &copy).is_ok();
        Self { path, identity: None, log: Log::default(), copy: is_copied.then_some(copy) }
    }

    pub(super) fn log(&self) -> Log {
        self.log.clone()
    }

    pub(super) fn opened(&mut self) {
        self.identity = Identity::of(&self.path);
    }

    /// Whether the database was opened after a crash, or beside another process.
    pub(super) fn had_log(&self) -> bool {
        self.copy.is_some()
    }

    /// Deletes the copy of the log, of which nothing was lost.
    pub(super) fn drop_copy(&mut self) {
        if let Some(copy) = self.copy.take() {
            drop(std::fs::remove_file(copy));
        }
    }

    /// The copy of a damaged log, if there is one.
    pub(super) fn kept_log(&self) -> Option<PathBuf> {
        Some(with_ending(&self.path, "-wal.kept")).filter(|copy| copy.exists())
    }

    /// What is no longer in place, after a commit.
    pub(super) fn moved(&self) -> Option<Moved> {
        if Identity::of(&self.path) != self.identity {
            return Some(Moved::Database);
        }
        let log = Identity::of(&with_ending(&self.path, "-wal"));
        let mut known = self.log.known();
        match *known {
            // Some file systems don't support one.
            None => {
                *known = log;
                None
            }
            same if same == log => None,
            Some(_) => Some(Moved::Log),
        }
    }

    /// A path for a database that is saved, and does not exist yet.
    pub(super) fn free_path(&self) -> io::Result<PathBuf> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let numbered = |number: u32| with_ending(&self.path, &format!(".saved-{number}"));
        let free = (1..=u32::MAX).map(numbered).find(|path| !path.exists());
        free.ok_or_else(|| io::ErrorKind::AlreadyExists.into())
    }

    /// Puts a saved database back after the other was closed, if nothing else is there; returns where it is.
    pub(super) fn put_back(&self, saved: PathBuf) -> PathBuf {
        // SQLite leaves the log of a database that is gone, and would read it as that of the copy.
        let log = with_ending(&self.path, "-wal");
        let is_own = Identity::of(&log).is_some_and(|log| *self.log.known() == Some(log));
        if is_own && !self.path.exists() {
            drop(std::fs::remove_file(log));
            drop(std::fs::remove_file(with_ending(&self.path, "-shm")));
        }
        let is_free =
            ["", "-wal", "-shm"].iter().all(|ending| !with_ending(&self.path, ending).exists());
        if is_free && std::fs::rename(&saved, &self.path).is_ok() {
            self.path.clone()
        } else {
            saved
        }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
