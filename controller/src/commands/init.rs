//! `controller init`: a commented matrix to start from.

use crate::cli;
use anyhow::{Context, bail};
use ops::terminal;
use std::fs::File;
use std::io::{ErrorKind, Write};

const MATRIX: &str = include_str!("init.toml");

/// Never overwrites a file.
pub(super) fn run(options: &cli::Init) -> anyhow::Result<()> {
    let path = options.matrix.display();
    let mut file = match File::create_new(&options.matrix) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("`{path}` exists: choose another name, or delete it first")
        }
        created => created.with_context(|| format!("can't write `{path}`"))?,
    };
    file.write_all(MATRIX.as_bytes()).with_context(|| format!("can't write `{path}`"))?;
    terminal::note(&format!("wrote {path}; next: controller plan {path}"));
    Ok(())
}
