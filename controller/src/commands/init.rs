//! `controller init`: a commented matrix to start from.

use crate::cli;
use anyhow::{Context, bail};
use ops::{atomic_file, terminal};
use std::io::ErrorKind;

const MATRIX: &str = include_str!("init.toml");

/// Never overwrites a file.
pub(super) fn run(options: &cli::Init) -> anyhow::Result<()> {
    let path = options.matrix.display();
    match atomic_file::create(&options.matrix, MATRIX.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("`{path}` exists: choose another name, or delete it first")
        }
        created => created.with_context(|| format!("can't write `{path}`"))?,
    }
    terminal::note(&format!("wrote {path}; next: controller plan {path}"));
    Ok(())
}
