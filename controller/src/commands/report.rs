//! `controller report`, and the end of `controller run`: store -> statistics -> cost -> results.

use crate::cli;
use crate::clock::Clock;
use crate::report::parquet::{self, Samples};
use crate::report::view::{Results, SamplesFile};
use crate::report::{Read, json, table, view_of};
use crate::store::{CampaignNo, Store, Texts, folder_of};
use crate::terminal;
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

pub(super) async fn run(options: &cli::Report) -> anyhow::Result<()> {
    let store = super::store(&options.data_dir).await?;
    let no = store.find(&options.campaign).await?;
    write(&store, no, &options.data_dir, options.output.as_deref()).await.map(drop)
}

/// What was written, and where.
pub(super) struct Written {
    pub(super) results: Results,
    pub(super) results_file: PathBuf,
}

/// Reads a campaign back, prints its table and writes results.json with its Parquet file.
pub(super) async fn write(
    store: &Store,
    no: CampaignNo,
    data_dir: &Path,
    output: Option<&Path>,
) -> anyhow::Result<Written> {
    let campaign = store.campaign(no).await?;
    let (agents, segments) = (store.agents(no).await?, store.segments(no).await?);
    let (events, dialogues) = (store.events(no).await?, store.dialogues(no).await?);
    let samples = store.samples(no, Texts::Read).await?;

    let results_file = match output {
        Some(path) => path.to_owned(),
        None => folder_of(data_dir, &campaign.id).join("results.json"),
    };
    let samples_path = samples_path(&results_file);
    let mut bytes = Vec::new();
    let rows = Samples {
        campaign: campaign.id.as_str(),
        plan: &campaign.plan,
        dialogues: &dialogues,
        agents: &agents,
        samples: &samples,
    };
    parquet::write(&rows, &mut bytes).context("the samples can't be written as Parquet")?;
    let name = samples_path.file_name().map(|name| name.to_string_lossy().into_owned());
    let file = SamplesFile {
        name: name.unwrap_or_default(),
        sha256: crate::dataset::hexadecimal(&Sha256::digest(&bytes)),
        rows: samples.len() as u64,
    };
    let read = Read {
        campaign: &campaign,
        agents: &agents,
        dialogues: &dialogues,
        segments: &segments,
        samples: &samples,
        events: &events,
        today: Clock::System.now().date_naive(),
    };
    let results = view_of(&read, Some(file));
    // The samples first: results.json names them by their hash.
    replace(&samples_path, &bytes)?;
    replace(&results_file, json::render(&results).as_bytes())?;
    terminal::result(&table::render(&results));
    terminal::say(&format!(
        "results {}\nsamples {}",
        results_file.display(),
        samples_path.display()
    ));
    Ok(Written { results, results_file })
}

/// `X.json` -> `X.samples.parquet`.
fn samples_path(results_file: &Path) -> PathBuf {
    results_file.with_extension("samples.parquet")
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&unfinished, bytes))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| {
            format!("can't write {}: choose another place with --output", path.display())
        })
}
