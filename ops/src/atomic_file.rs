//! Files that are replaced in one step.
//!
//! A new version is written to a temporary file in the same folder and renamed over the old one, so that
//! readers, and a program that starts after this one was killed, see the old version or the new one and
//! never a part. Nothing is synced to the disk: after a power failure either version may be damaged.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Replaces the file at `path` by what `write` leaves at the path it is given. Missing folders are created.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = unfinished_path(path)?;
    let replaced = write(&unfinished).and_then(|()| std::fs::rename(&unfinished, path));
    if replaced.is_err() {
        drop(std::fs::remove_file(&unfinished));
    }
    replaced
}

pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |file| std::fs::write(file, bytes))
}

/// Where the next version of a file is written: in the same folder, since a file can't be renamed to another disk,
/// and under this process's id, so that two processes don't write to one file.
fn unfinished_path(path: &Path) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(path.with_added_extension(format!("{}.unfinished", std::process::id())))
}

/// A file that appears under its name when it is finished. Dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
}

impl Unfinished {
    /// Begins the file at `path`. Missing folders are created.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let temporary = unfinished_path(&path)?;
        let out = BufWriter::new(File::create(&temporary)?);
        Ok(Self { path, temporary, out })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()?;
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `finish` the file has its new name and this finds nothing.
        drop(std::fs::remove_file(&self.temporary));
    }
}

impl Write for Unfinished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = folder.read_dir().unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/results.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["results.json"]);
    }

    #[test]
    fn a_failed_write_keeps_the_old_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        write(&path, b"old").unwrap();
        let failed = replace(&path, |file| {
            std::fs::write(file, b"ne")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["token"]);
    }

    #[test]
    fn an_unfinished_file_has_no_name_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.csv");
        let mut file = Unfinished::create(path.clone()).unwrap();
        file.write_all(b"a,b").unwrap();
        assert!(!path.exists());
        drop(file);
        assert!(names(folder.path()).is_empty());
        let mut file = Unfinished::create(path.clone()).unwrap();
        file.write_all(b"a,b").unwrap();
        file.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a,b");
        assert_eq!(names(folder.path()), ["samples.csv"]);
    }
}
