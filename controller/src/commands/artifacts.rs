//! Upload of results to S3.

use super::fetcher;
use crate::progress::Verbosity;
use anyhow::Context;
use artifacts::{self, Artifact, Placed};
use fetch::s3::{Address, Reader};
use matrix::Artifacts;
use notify::message::File;
use ops::terminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Uploads files as set in the matrix, and prints their addresses. They have the same places
/// relative to each other. A failure is only a warning, since the local files are complete.
pub(super) async fn upload(
    artifacts: &Artifacts,
    campaign: &str,
    files: &[PathBuf],
    results_file: &Path,
) -> Option<Placed> {
    let prefix = &artifacts.s3;
    match Box::pin(try_upload(prefix, campaign, files, results_file)).await {
        Ok(placed) => {
            for address in &placed.uploaded {
                terminal::note(&format!("uploaded {address}"));
            }
            for address in &placed.kept {
                terminal::note(&format!("unchanged {address}"));
            }
            Some(placed)
        }
        Err(error) => {
            let error = error
                .context(format!("incomplete upload at {prefix}; the local files are complete"));
            terminal::warning(&error);
            None
        }
    }
}

async fn try_upload(
    prefix: &str,
    campaign: &str,
    files: &[PathBuf],
    results_file: &Path,
) -> anyhow::Result<Placed> {
    let prefix: Address = prefix.parse()?;
    let folder = results_file.parent().unwrap_or(Path::new(""));
    let artifact = |path: &PathBuf| -> anyhow::Result<Artifact> {
        let bytes =
            std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        Ok(Artifact { content_type: content_type(path), name, bytes: bytes.into() })
    };
    let artifacts = files.iter().map(artifact).collect::<anyhow::Result<Vec<_>>>()?;
    let fetcher = fetcher(Verbosity::Normal)?;
    Ok(artifacts::place(&fetcher, &prefix, campaign, &artifacts).await?)
}

/// Links to uploaded files, as set in the matrix. A failure is only a warning.
pub(super) async fn links(artifacts: &Artifacts, placed: &Placed) -> Vec<File> {
    Box::pin(try_links(artifacts, placed)).await.unwrap_or_else(|error| {
        terminal::warning(&error.context("messages contain no links to S3"));
        Vec::new()
    })
}

async fn try_links(artifacts: &Artifacts, placed: &Placed) -> anyhow::Result<Vec<File>> {
    let fetcher = fetcher(Verbosity::Quiet)?;
    let reader = match artifacts.link_days {
        Some(days) => Reader::Anyone(Duration::from_hours(24 * u64::from(days))),
        None => Reader::Authorized,
    };
    let mut files = Vec::new();
    // The logs of cells are in folders of their own: a message doesn't list them.
    let is_listed = |address: &&Address| placed.folder.below(address.name()) == **address;
    for address in placed.kept.iter().chain(&placed.uploaded).filter(is_listed) {
        let url = fetcher.s3_link(address, reader).await?;
        files.push(File { name: address.name().to_owned(), address: address.to_string(), url });
    }
    Ok(files)
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => "application/json",
        Some("parquet") => "application/vnd.apache.parquet",
        Some("html") => "text/html; charset=utf-8",
        Some("pdf") => "application/pdf",
        Some("md") => "text/markdown; charset=utf-8",
        Some("csv") => "text/csv; charset=utf-8",
        Some("txt") => "text/plain; charset=utf-8",
        Some("xml") => "application/xml",
        _ => "application/octet-stream",
    }
}
