//! The location of /proc and /sys, so that tests can use a folder instead of the machine.

use std::{path::PathBuf, str::FromStr};

/// The folder that contains `proc` and `sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self(PathBuf::from("/"))
    }
}

impl Root {
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `path` is relative, without a leading slash.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The trimmed contents of a file. `None` if unreadable.
    pub fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    pub fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Sorted paths in `folder`, relative to the root, whose names start with `prefix`.
    pub fn list(&self, folder: &str, prefix: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut paths: Vec<String> = names
            .filter(|name| name.starts_with(prefix))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        paths.sort();
        paths
    }
}
