//! Paths in a list of files: relative, with slashes.

use std::path::Path;

/// Folders that a file may be in.
pub(super) const MAX_DEPTH: usize = 8;

/// Not hidden, as version control and caches are, and not too deep.
pub(super) fn is_visible(path: &str) -> bool {
    path.split('/').count() <= MAX_DEPTH + 1 && !path.split('/').any(|part| part.starts_with('.'))
}

/// Without those that the trainer wrote as intermediate checkpoints, unless there are no others.
pub(super) fn without_checkpoints(mut folders: Vec<&str>) -> Vec<&str> {
    let is_checkpoint =
        |folder: &str| folder.split('/').any(|part| part.starts_with("checkpoint-"));
    if folders.iter().any(|folder| !is_checkpoint(folder)) {
        folders.retain(|folder| !is_checkpoint(folder));
    }
    folders
}

/// For errors.
pub(super) fn listed(folders: &[&str]) -> String {
    folders.iter().map(|folder| format!("./{folder}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a file in an archive, if it is visible.
pub(super) fn visible_name(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| is_visible(path)).map(file_name)
}

pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
