//! The file of a bundle -> its content, as far as form, hashes and signature hold.

use anyhow::{Context, bail};
use bundle::archive::MAX_BYTES;
use bundle::{Bundle, Content};
use ops::input_file;
use results::Results;
use std::io::Read;
use std::path::Path;

/// Reads a bundle whose figures are used as they are stated.
pub(super) fn read(path: &Path) -> anyhow::Result<Bundle> {
    open(path)?.with_context(|| format!("{} was changed or is damaged", path.display()))
}

/// Reads a bundle; the inner error says what doesn't hold. A file of another format is an outer one.
pub(super) fn open(path: &Path) -> anyhow::Result<Result<Bundle, bundle::Error>> {
    let shown = path.display();
    let unreadable = || format!("can't read the bundle {shown}");
    let file = input_file::open(path).with_context(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("{shown} has more than {} GiB", MAX_BYTES >> 30);
    }
    match Bundle::read(&bytes.into()) {
        Err(error) if error.is_other_format() => Err(error)
            .with_context(|| format!("{shown} is no bundle: expected a file of controller bundle")),
        read => Ok(read),
    }
}

/// The results that a bundle states.
pub(super) fn stated_results(content: &Content) -> anyhow::Result<Results> {
    serde_json::from_slice(&content.results).context("results.json doesn't match its schema")
}
