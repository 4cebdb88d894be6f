//! `controller report`, and the end of `controller run`: store -> statistics -> cost -> results.

use super::prices;
use crate::cli;
use crate::clock::Clock;
use crate::cost::PriceBook;
use crate::matrix::Format;
use crate::report::document::{Document, document};
use crate::report::parquet::{self, Names, SamplesWriter};
use crate::report::view::SamplesFile;
use crate::report::{
    Observing, Read, Results, annotations, csv, html, json, junit, markdown, pdf, precision_rule,
    scores, table, view_of,
};
use crate::store::{CampaignNo, SampleRow, Store, Texts, folder_of};
use crate::terminal;
use anyhow::Context;
use sha2::{Digest, Sha256};
use std::io::{BufWriter, Write};
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
    let book = options.prices.as_deref().map(prices::read_book).transpose()?;
    write(&store, no, place, (options.formats.clone(), book.as_ref())).await.map(drop)
}

/// What was written, and where.
pub(super) struct Written {
    pub(super) results: Results,
    pub(super) results_file: PathBuf,
}

/// Reads a campaign back, prints its table and writes its reports: the formats that are given, or results.json and what
/// the matrix says. The prices are those of the book where one is given, else those of the campaign's day.
pub(super) async fn write(
    store: &Store,
    no: CampaignNo,
    place: Place<'_>,
    (formats, book): (Option<Vec<Format>>, Option<&PriceBook>),
) -> anyhow::Result<Written> {
    let campaign = store.campaign(no).await?;
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
    let results = if formats.contains(&Format::Json) {
        let path = results_file.with_extension("samples.parquet");
        let results = with_samples(store, no, &path, book).await?;
        files.push(("samples", path));
        let path = results_file.with_extension("cells.parquet");
        let mut cells = Vec::new();
        parquet::write_cells(&results, &mut cells)
            .context("the cells can't be written as Parquet")?;
        replace(&path, &cells)?;
        files.push(("cells", path));
        results
    } else {
        let unwritten = (String::new(), std::io::sink());
        let mut results = made(store, no, unwritten, book).await?.results;
        results.campaign.samples_file = None;
        results
    };
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

/// Makes the view and writes the samples beside it: results.json names them by their hash, so they come first.
async fn with_samples(
    store: &Store,
    no: CampaignNo,
    path: &Path,
    book: Option<&PriceBook>,
) -> anyhow::Result<Results> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let unfinished = path.with_extension("unfinished");
    let unwritten = || unwritable(path);
    let out = created(&unfinished).with_context(unwritten)?;
    let Made { results, mut samples } =
        made(store, no, (name.unwrap_or_default(), out), book).await?;
    samples.flush().and_then(|()| std::fs::rename(&unfinished, path)).with_context(unwritten)?;
    Ok(results)
}

fn unwritable(path: &Path) -> String {
    format!("can't write {}: choose another place with --output or --output-dir", path.display())
}

/// A campaign as it is written: the view, and where its samples went.
pub(super) struct Made<W> {
    pub(super) results: Results,
    pub(super) samples: W,
}

/// Reads a campaign back, run by run, and makes its view; its samples go to `out`, called `samples_name` in the view.
/// The prices are those of `book` where one is given, else those of the campaign's day.
pub(super) async fn made<W: Write + Send>(
    store: &Store,
    no: CampaignNo,
    (samples_name, out): (String, W),
    book: Option<&PriceBook>,
) -> anyhow::Result<Made<W>> {
    let mut campaign = store.campaign(no).await?;
    if let Some(book) = book {
        campaign.prices = prices::again(&campaign.matrix, &campaign.prices, book)?;
    }
    let (agents, segments) = (store.agents(no).await?, store.segments(no).await?);
    let (events, dialogues) = (store.events(no).await?, store.dialogues(no).await?);
    let plan = &campaign.plan;
    let names =
        Names { campaign: campaign.id.as_str(), plan, dialogues: &dialogues, agents: &agents };
    let unwritten = "the samples can't be written as Parquet";
    let out = Hashing { out, hash: Sha256::new() };
    let mut file = SamplesWriter::new(names, out).context(unwritten)?;
    let rule = precision_rule(&campaign.matrix.protocol);
    let mut late = store.late(no).await?.into_iter().peekable();
    let mut observed = Vec::with_capacity(plan.cells.len());
    for cell in 0..plan.cells.len() {
        let mut observing = Observing::new(plan, cell, &agents, rule.as_ref());
        for run in 1..=campaign.matrix.protocol.most_runs() {
            let mut rows = store.counted(no, (cell, run), Texts::Read).await?;
            let is_its = |row: &SampleRow| (row.cell as usize, row.run) == (cell, run);
            rows.extend(std::iter::from_fn(|| late.next_if(is_its)));
            let scores = scores(plan, &agents, &dialogues, &rows);
            observing.add(&rows, &scores);
            file.write(rows, scores).context(unwritten)?;
        }
        observed.push(observing.finish());
    }
    let (Hashing { out, hash }, rows) = file.finish().context(unwritten)?;
    let sha256 = crate::dataset::hexadecimal(&hash.finalize());
    let read = Read {
        campaign: &campaign,
        agents: &agents,
        dialogues: &dialogues,
        segments: &segments,
        observed: &observed,
        events: &events,
        today: Clock::System.now().date_naive(),
    };
    let results = view_of(&read, Some(SamplesFile { name: samples_name, sha256, rows }));
    Ok(Made { results, samples: out })
}

/// Hashes what passes through.
struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A file to write to, in a folder that is made where it is missing.
fn created(path: &Path) -> std::io::Result<BufWriter<std::fs::File>> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create(path).map(BufWriter::new)
}

/// Writes a file whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&unfinished, bytes))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| unwritable(path))
}
