//! `controller report`, and the end of `controller run`: store -> statistics -> cost -> results.

use crate::cli;
use crate::clock::Clock;
use crate::matrix::Format;
use crate::report::document::{Document, document};
use crate::report::parquet::{self, Samples};
use crate::report::view::SamplesFile;
use crate::report::{
    Read, Results, annotations, csv, html, json, junit, markdown, pdf, table, view_of,
};
use crate::store::{CampaignNo, Store, Texts, folder_of};
use crate::terminal;
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Where reports go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Where campaigns are kept.
    pub(super) data_dir: &'a Path,
    /// results.json, where it is not in the folder; the others lie beside it.
    pub(super) output: Option<&'a Path>,
    /// Where all files go; the campaign's own folder where none is given.
    pub(super) folder: Option<&'a Path>,
}

pub(super) async fn run(options: &cli::Report) -> anyhow::Result<()> {
    let store = super::store(&options.data_dir).await?;
    let no = store.find(&options.campaign).await?;
    let place = Place {
        data_dir: &options.data_dir,
        output: options.output.as_deref(),
        folder: options.output_dir.as_deref(),
    };
    write(&store, no, place, options.formats.clone()).await.map(drop)
}

/// What was written, and where.
pub(super) struct Written {
    pub(super) results: Results,
    pub(super) results_file: PathBuf,
}

/// Reads a campaign back, prints its table and writes its reports: the formats that are given, or results.json and what
/// the matrix says.
pub(super) async fn write(
    store: &Store,
    no: CampaignNo,
    place: Place<'_>,
    formats: Option<Vec<Format>>,
) -> anyhow::Result<Written> {
    let campaign = store.campaign(no).await?;
    let (agents, segments) = (store.agents(no).await?, store.segments(no).await?);
    let (events, dialogues) = (store.events(no).await?, store.dialogues(no).await?);
    let samples = store.samples(no, Texts::Read).await?;
    let mut formats = formats.unwrap_or_else(|| {
        let of_matrix = campaign.matrix.report.formats.iter().copied();
        std::iter::once(Format::Json).chain(of_matrix).collect()
    });
    formats.sort_unstable();
    formats.dedup();

    let results_file = match (place.output, place.folder) {
        (Some(path), _) => path.to_owned(),
        (None, Some(folder)) => folder.join("results.json"),
        (None, None) => folder_of(place.data_dir, &campaign.id).join("results.json"),
    };
    let mut files: Vec<(&str, PathBuf)> = Vec::new();
    let mut samples_file = None;
    if formats.contains(&Format::Json) {
        let rows = Samples {
            campaign: campaign.id.as_str(),
            plan: &campaign.plan,
            dialogues: &dialogues,
            agents: &agents,
            samples: &samples,
        };
        let path = results_file.with_extension("samples.parquet");
        // The samples first: results.json names them by their hash.
        samples_file = Some(write_samples(&rows, &path)?);
        files.push(("samples", path));
    }
    let read = Read {
        campaign: &campaign,
        agents: &agents,
        dialogues: &dialogues,
        segments: &segments,
        samples: &samples,
        events: &events,
        today: Clock::System.now().date_naive(),
    };
    let results = view_of(&read, samples_file);
    let document = document(&results);
    for &format in &formats {
        let Some((name, bytes)) = render(&results, &document, format)? else { continue };
        let path = match format {
            Format::Json => results_file.clone(),
            _ => results_file.with_file_name(name),
        };
        replace(&path, &bytes)?;
        files.push((name, path));
    }
    terminal::result(&table::render(&results));
    if formats.contains(&Format::Github) {
        terminal::result(&annotations::render(&results, &document));
    }
    let line = |(name, path): &(&str, PathBuf)| format!("{name} {}", path.display());
    terminal::say(&files.iter().map(line).collect::<Vec<_>>().join("\n"));
    Ok(Written { results, results_file })
}

/// A format as a file with its name; none for what is only printed.
fn render(
    results: &Results,
    document: &Document,
    format: Format,
) -> anyhow::Result<Option<(&'static str, Vec<u8>)>> {
    Ok(Some(match format {
        Format::Json => ("results.json", json::render(results).into_bytes()),
        Format::Html => ("report.html", html::render(document).into_bytes()),
        Format::Pdf => ("report.pdf", pdf::render(document)?),
        Format::Markdown => ("report.md", markdown::render(document).into_bytes()),
        Format::Junit => ("junit.xml", junit::render(results).into_bytes()),
        Format::Csv => ("cells.csv", csv::render(results)),
        Format::Github => return Ok(None),
    }))
}

fn write_samples(rows: &Samples<'_>, path: &Path) -> anyhow::Result<SamplesFile> {
    let mut bytes = Vec::new();
    parquet::write(rows, &mut bytes).context("the samples can't be written as Parquet")?;
    replace(path, &bytes)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(SamplesFile {
        name: name.unwrap_or_default(),
        sha256: crate::dataset::hexadecimal(&Sha256::digest(&bytes)),
        rows: rows.samples.len() as u64,
    })
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
            format!(
                "can't write {}: choose another place with --output or --output-dir",
                path.display()
            )
        })
}
