//! Files that are whole at every moment.

use std::io;
use std::path::Path;

/// Replaces a file by what `write` writes to the path that it is given: whoever reads the file meanwhile, or after this
/// process was killed, finds the one before or this one.
///
/// # Errors
/// Where it can't be written.
pub fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = path.with_added_extension("unfinished");
    write(&unfinished)?;
    std::fs::rename(&unfinished, path)
}
