//! A folder on this disk whose files are named as the user sees them, and the files below it.

use super::tree_path;
use engine::files::{Blob, ReadError};
use ops::placeholder::Placeholder;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// As for archives.
const MAX_ENTRIES: usize = super::archive::MAX_ENTRIES;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open {file}")]
    Open { file: String, source: io::Error },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{file} {placeholder}")]
    Placeholder { file: String, placeholder: Placeholder },
    #[error("cannot list {folder}")]
    List { folder: String, source: io::Error },
    #[error(
        "{folder} has more than {most} files and folders: specify the folder of the model or adapter itself"
    )]
    TooMany { folder: String, most: usize },
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// What stands before the name of a file: the folder or address and a slash, or an archive, a
    /// colon and the folder in it.
    prefix: String,
}

impl Folder {
    /// A folder of the user.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), prefix: path.join("").display().to_string() }
    }

    /// A copy, at `path`, of what the user calls `name`.
    pub(super) fn copy(path: PathBuf, name: &str) -> Self {
        Self { path, prefix: format!("{}/", name.trim_end_matches('/')) }
    }

    /// The files, unpacked to `path`, of a folder in an archive; it is empty for the root.
    pub(super) fn unpacked(path: PathBuf, archive: &str, folder: &str) -> Self {
        Self { path, prefix: format!("{archive}:{}", tree_path::join(folder, "")) }
    }

    pub(super) fn below(&self, folder: &str) -> Self {
        let prefix = format!("{}{}", self.prefix, tree_path::join(folder, ""));
        Self { path: self.path.join(folder), prefix }
    }

    /// For errors.
    pub(super) fn name(&self) -> String {
        match self.prefix.strip_suffix(['/', ':']) {
            None | Some("") => self.prefix.clone(),
            Some(name) => name.to_owned(),
        }
    }

    pub(super) fn name_of(&self, file: &str) -> String {
        format!("{}{file}", self.prefix)
    }

    /// Opens a file, unless it holds something in place of its content.
    pub(super) fn open(&self, file: &str) -> Result<Blob, Error> {
        open(&self.path.join(file), &self.name_of(file))
    }

    /// The files below that `is_wanted` by their names, as paths with slashes. No other folder is
    /// read if one in the folder itself `decides`.
    pub(super) fn files(
        &self,
        is_wanted: fn(&str) -> bool,
        decides: fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let mut walk = Walk { folder: self, is_wanted, entries: 0, seen: BTreeSet::new() };
        let (mut files, mut folders) = walk.list("")?;
        if !files.iter().any(|file| decides(file)) {
            while let Some(folder) = folders.pop() {
                let (more_files, more_folders) = walk.list(&folder)?;
                files.extend(more_files);
                folders.extend(more_folders);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Opens a file that errors call `name`, unless it holds something in place of its content.
pub(super) fn open(path: &Path, name: &str) -> Result<Blob, Error> {
    let unopened = |source| Error::Open { file: name.to_owned(), source };
    genuine(Blob::open_as(path, name).map_err(unopened)?)
}

pub(super) fn genuine(blob: Blob) -> Result<Blob, Error> {
    match blob.placeholder()? {
        None => Ok(blob),
        Some(placeholder) => Err(Error::Placeholder { file: blob.name().to_owned(), placeholder }),
    }
}

struct Walk<'a> {
    folder: &'a Folder,
    is_wanted: fn(&str) -> bool,
    entries: usize,
    /// Links can form cycles.
    seen: BTreeSet<PathBuf>,
}

impl Walk<'_> {
    /// The wanted files and the visible folders in a folder.
    fn list(&mut self, below: &str) -> Result<(Vec<String>, Vec<String>), Error> {
        let path = self.folder.path.join(below);
        let unlisted = |source| Error::List { folder: self.folder.name_of(below), source };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        if !self.seen.insert(path.canonicalize().map_err(unlisted)?) {
            return Ok((files, folders));
        }
        for entry in path.read_dir().map_err(unlisted)? {
            let entry = entry.map_err(unlisted)?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(Error::TooMany { folder: self.folder.name(), most: MAX_ENTRIES });
            }
            let Some(name) = entry.file_name().to_str().map(|name| tree_path::join(below, name))
            else {
                continue;
            };
            if !tree_path::is_visible(&name) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(name);
            } else if (self.is_wanted)(tree_path::file_name(&name)) {
                files.push(name);
            }
        }
        Ok((files, folders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn json(name: &str) -> bool {
        name.ends_with(".json")
    }

    #[test]
    fn files_are_listed_in_visible_folders_and_the_root_ends_the_search() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let deep = "a/".repeat(tree_path::MAX_DEPTH + 1);
        for name in ["x/y/z/1.json", "x/2.json", ".git/3.json", "x/4.txt", &format!("{deep}5.json")]
        {
            write(name);
        }
        let folder = Folder::new(place.path());
        std::os::unix::fs::symlink(place.path(), place.path().join("x/cycle")).unwrap();
        let files = || folder.files(json, |name| name == "0.json").unwrap();
        write("6.json");
        assert_eq!(files(), ["6.json", "x/2.json", "x/y/z/1.json"]);
        write("0.json");
        assert_eq!(files(), ["0.json", "6.json"]);
    }

    #[test]
    fn a_folder_with_too_many_entries_is_not_searched() {
        let place = tempfile::tempdir().unwrap();
        for count in 0..=MAX_ENTRIES {
            fs::write(place.path().join(count.to_string()), "").unwrap();
        }
        let error = Folder::new(place.path()).files(json, json).unwrap_err();
        assert!(matches!(error, Error::TooMany { .. }), "{error}");
    }

    #[test]
    fn files_have_the_names_that_the_user_knows() {
        let path = PathBuf::from("/cache/ab12");
        let name = |folder: &Folder| (folder.name(), folder.name_of("config.json"));
        for (folder, expected) in [
            (Folder::new(Path::new("m")).below("x"), ("m/x", "m/x/config.json")),
            (Folder::new(Path::new("m/")), ("m", "m/config.json")),
            (Folder::new(Path::new("/")), ("/", "/config.json")),
            (Folder::copy(path.clone(), "s3://b/p/"), ("s3://b/p", "s3://b/p/config.json")),
            (Folder::unpacked(path.clone(), "m.tgz", ""), ("m.tgz", "m.tgz:config.json")),
            (Folder::unpacked(path, "m.tgz", "a/b"), ("m.tgz:a/b", "m.tgz:a/b/config.json")),
        ] {
            let (name, file) = name(&folder);
            assert_eq!((name.as_str(), file.as_str()), expected);
        }
    }
}
