//! `controller report`, and the end of `controller run`: store -> statistics -> cost -> results.

mod from_s3;
mod place;

pub(super) use place::Place;

use super::{artifacts, prices};
use crate::cli;
use crate::progress::Verbosity;
use ::artifacts::Placed;
use ::report::document::{Document, Tone, Verdict, document};
use ::report::{annotations, csv, html, junit, markdown, mlperf, pdf, terminal as summary};
use anyhow::{Context, bail};
use cost::PriceBook;
use matrix::{Format, Matrix, plan::Plan};
use ops::atomic_file::{self, Unfinished};
use ops::{clock::Clock, terminal};
use place::{CELLS, ROWS, ReportFiles, unwritable};
use results::build::{
    self, CellSamplesBuilder, Files, Scorer, StoredCampaign, SustainedLoads, Windows,
    precision_rule,
};
use results::parquet::{self, Names, SamplesWriter, TelemetryWriter};
use results::{Results, RowsFile, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::{io::Write, ops::Range};
use store::{self, CampaignNo, CampaignRow, SampleRow, Store, Texts, WindowRow, folder_of};

pub(super) async fn run(options: &cli::Report) -> anyhow::Result<()> {
    if options.campaign.starts_with("s3://") {
        return Box::pin(from_s3::run(options)).await;
    }
    let store = super::store(&options.data_dir).await?;
    let no = store.find(&options.campaign).await?;
    let book = options.prices.as_deref().map(prices::read_book).transpose()?;
    if options.output.as_deref() == Some(Path::new("-")) {
        return to_standard_output(&store, no, options.formats.as_deref(), book.as_ref()).await;
    }
    // Other prices make other results. Those of the campaign stay as they are.
    let record = folder_of(&options.data_dir, &store.campaign(no).await?.id);
    let repriced = record.join("repriced");
    let folder = options.output_dir.as_deref();
    let folder = if book.is_some() { folder.or(Some(&repriced)) } else { folder };
    let place = Place {
        data_dir: &options.data_dir,
        output: options.output.as_deref(),
        folder,
        verbosity: Verbosity::Normal,
    };
    if book.is_some() && place.results_file(&record) == record.join("results.json") {
        bail!(
            "--prices would replace the results of the campaign in {}: choose another place with --output or --output-dir, or omit both for {}",
            record.display(),
            repriced.display()
        );
    }
    write(&store, no, place, (options.formats.clone(), book.as_ref())).await.map(drop)
}

/// Prints one format, by default JSON, and writes no files.
async fn to_standard_output(
    store: &Store,
    no: CampaignNo,
    formats: Option<&[Format]>,
    book: Option<&PriceBook>,
) -> anyhow::Result<()> {
    let format = printed_format(formats)?;
    let results = without_rows(store, no, book).await?;
    print(&results, &document(&results), format)
}

/// The one format of `--output -`, by default JSON.
pub(super) fn printed_format(formats: Option<&[Format]>) -> anyhow::Result<Format> {
    match formats.unwrap_or(&[Format::Json]) {
        [Format::Pdf] => {
            bail!("--output -: `{}` is not text: give a folder with --output-dir", Format::Pdf)
        }
        [format] => Ok(*format),
        _ => {
            bail!("--output - writes one format: give one to --formats, such as --formats markdown")
        }
    }
}

/// Prints a format that is text.
pub(super) fn print(results: &Results, document: &Document, format: Format) -> anyhow::Result<()> {
    let bytes = render(results, document, format)?;
    let text = String::from_utf8(bytes).context("the format is not text")?;
    match format {
        Format::Json => terminal::json(&text)?,
        _ => terminal::document(&text)?,
    }
    Ok(())
}

/// The results alone: no samples or telemetry are written, and none are named.
async fn without_rows(
    store: &Store,
    no: CampaignNo,
    book: Option<&PriceBook>,
) -> anyhow::Result<Results> {
    let mut results = made(store, no, (unwritten(), unwritten()), book).await?.results;
    results.campaign.samples_file = None;
    results.campaign.telemetry_file = None;
    Ok(results)
}

pub(super) struct Written {
    pub(super) results: Results,
    pub(super) verdict: Verdict,
    pub(super) results_file: PathBuf,
    /// Where all of it lies in S3, where the matrix wants it there.
    pub(super) placed: Option<Placed>,
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
    let formats = chosen_formats(formats, &campaign.matrix);
    let own = folder_of(place.data_dir, &campaign.id);
    let ReportFiles { results_file, stream } = place.check(&own, &formats)?;
    let mut files: Vec<(&str, PathBuf)> = Vec::new();
    let results = if formats.contains(&Format::Json) {
        let (results, rows) = with_rows(store, no, &results_file, book).await?;
        files.extend(rows);
        let path = results_file.with_extension(CELLS);
        let mut cells = Vec::new();
        parquet::write_cells(&results, &mut cells).context("can't write the cells as Parquet")?;
        replace(&path, &cells)?;
        files.push(("cells", path));
        results
    } else {
        without_rows(store, no, book).await?
    };
    let document = document(&results);
    let mut logs: Vec<PathBuf> = Vec::new();
    for &format in &formats {
        let Some((name, path)) = place::file_of(format, &results_file) else { continue };
        if format == Format::Mlperf {
            logs = write_logs(&results, &path)?;
            files.push((name, path));
            continue;
        }
        let bytes = render(&results, &document, format)?;
        replace(&path, &bytes)?;
        if let Some(stream) = stream.filter(|_| format == Format::Json) {
            replace(stream, &bytes)?;
        }
        files.push((name, path));
    }
    if place.verbosity == Verbosity::Quiet {
        terminal::result(&document.verdict.text())?;
    }
    if place.verbosity == Verbosity::Normal {
        show(&document)?;
        if formats.contains(&Format::Github) {
            print(&results, &document, Format::Github)?;
        }
        let line =
            |(name, path): &(&str, PathBuf)| format!("{name} {}", terminal::value(path.display()));
        terminal::note(&files.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    let mut placed = None;
    if let Some(prefix) =
        campaign.matrix.artifacts.as_ref().filter(|_| formats.contains(&Format::Json))
    {
        let is_file = |(_, path): &(&str, PathBuf)| !path.is_dir();
        let mut paths: Vec<PathBuf> =
            files.into_iter().filter(is_file).map(|(_, path)| path).chain(logs).collect();
        // It names the others, so it comes last.
        paths.sort_by_key(|path| *path == results_file);
        placed = artifacts::upload(prefix, campaign.id.as_str(), &paths, &results_file).await;
    }
    Ok(Written { results, verdict: document.verdict, results_file, placed })
}

/// Prints the summary.
pub(super) fn show(document: &Document) -> Result<(), terminal::Error> {
    let width = terminal::width();
    let color = |(word, tone): (&'static str, Tone)| match tone {
        Tone::Bad => (word, terminal::Color::Red),
        _ => (word, terminal::Color::Yellow),
    };
    let words = summary::TONES.map(color);
    let lead = summary::lead(document, width);
    terminal::highlighted(&lead, &summary::render(document, width), &words)
}

/// These formats, or JSON and those of the matrix; each once.
fn chosen_formats(formats: Option<Vec<Format>>, matrix: &Matrix) -> Vec<Format> {
    let of_matrix = || [&[Format::Json], &matrix.report.formats[..]].concat();
    let mut formats = formats.unwrap_or_else(of_matrix);
    formats.sort_unstable();
    formats.dedup();
    formats
}

/// Checks, before a campaign is measured, that its reports can be written.
pub(super) fn check(place: Place<'_>, campaign: &CampaignRow) -> anyhow::Result<()> {
    let own = folder_of(place.data_dir, &campaign.id);
    place.check(&own, &chosen_formats(None, &campaign.matrix)).map(drop)
}

/// The content of a format.
fn render(results: &Results, document: &Document, format: Format) -> anyhow::Result<Vec<u8>> {
    Ok(match format {
        Format::Json => json::render(results).into_bytes(),
        Format::Html => html::render(document).into_bytes(),
        Format::Pdf => pdf::render(document)?,
        Format::Markdown => markdown::render(document).into_bytes(),
        Format::Junit => junit::render(results).into_bytes(),
        Format::Csv => csv::render(results),
        Format::Mlperf => {
            let summaries: Vec<String> =
                mlperf::render(results).into_iter().map(|logs| logs.summary).collect();
            summaries.join("\n").into_bytes()
        }
        Format::Github => annotations::render(results, document).into_bytes(),
    })
}

/// Writes the logs of every cell to a folder of its own, and names their files.
fn write_logs(results: &Results, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for logs in mlperf::render(results) {
        let folder = folder.join(&logs.folder);
        for (name, text) in
            [("mlperf_log_summary.txt", logs.summary), ("mlperf_log_detail.txt", logs.detail)]
        {
            let path = folder.join(name);
            replace(&path, text.as_bytes())?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Makes the view and writes samples and telemetry beside it: results.json names them by their hashes, so they come
/// first.
async fn with_rows(
    store: &Store,
    no: CampaignNo,
    results_file: &Path,
    book: Option<&PriceBook>,
) -> anyhow::Result<(Results, Vec<(&'static str, PathBuf)>)> {
    let create = |extension| {
        let path = results_file.with_extension(extension);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = Unfinished::create(path).with_context(|| unwritable(results_file))?;
        anyhow::Ok((name, file))
    };
    let finish = |file: Unfinished| {
        let path = file.path().to_owned();
        file.finish().with_context(|| unwritable(&path))?;
        anyhow::Ok(path)
    };
    let rows = (create(ROWS[0])?, create(ROWS[1])?);
    let Made { results, samples, telemetry } = made(store, no, rows, book).await?;
    let mut files = vec![("samples", finish(samples)?)];
    if results.campaign.telemetry_file.is_some() {
        files.push(("telemetry", finish(telemetry)?));
    }
    Ok((results, files))
}

/// A campaign as it is written: the view, and where its samples and its telemetry went.
pub(super) struct Made<S, T> {
    pub(super) results: Results,
    pub(super) samples: S,
    pub(super) telemetry: T,
}

/// A file's name in the view, and what it is written to.
pub(super) type Named<W> = (String, W);

/// A file that nobody reads.
pub(super) fn unwritten() -> Named<std::io::Sink> {
    (String::new(), std::io::sink())
}

/// Reads a campaign back, run by run, and makes its view; its samples and its telemetry go where `rows` says.
/// The prices are those of `book` where one is given, else those of the campaign's day.
pub(super) async fn made<S: Write + Send, T: Write + Send>(
    store: &Store,
    no: CampaignNo,
    rows: (Named<S>, Named<T>),
    book: Option<&PriceBook>,
) -> anyhow::Result<Made<S, T>> {
    let ((samples_name, samples), (telemetry_name, telemetry)) = rows;
    let mut campaign = store.campaign(no).await?;
    if let Some(book) = book {
        campaign.prices = prices::from_book(&campaign.matrix, &campaign.prices, book)?;
    }
    let (agents, segments) = (store.agents(no).await?, store.segments(no).await?);
    let (events, dialogues) = (store.events(no).await?, store.dialogues(no).await?);
    let plan = &campaign.plan;
    let names = Names {
        campaign: campaign.id.as_str(),
        matrix: &campaign.matrix,
        plan,
        dialogues: &dialogues,
        agents: &agents,
    };
    let unwritten = "can't write the telemetry as Parquet";
    let mut file = TelemetryWriter::new(names, Hashing::new(telemetry)).context(unwritten)?;
    let mut windows = Windows::default();
    let mut written = Ok(());
    let each = |window: WindowRow| {
        windows.add(&window);
        if written.is_ok() {
            written = file.add(window);
        }
    };
    store.windows(no, each).await?;
    written.context(unwritten)?;
    let (telemetry, rows) = file.finish().context(unwritten)?;
    let (telemetry, telemetry_file) = telemetry.file(telemetry_name, rows);

    let unwritten = "can't write the samples as Parquet";
    let mut file = SamplesWriter::new(names, Hashing::new(samples)).context(unwritten)?;
    let rule = precision_rule(&campaign.matrix.protocol);
    let mut loads = sustained(store, no, &campaign).await?;
    let mut late = store.late(no).await?.into_iter().peekable();
    let mut observed = Vec::with_capacity(plan.cells.len());
    let runs = campaign.matrix.protocol.most_runs();
    let mut ahead = ReadAhead::new(store, no, plan, runs);
    let mut rouge = Scorer::new(plan, &agents, &dialogues);
    for cell in 0..plan.cells.len() {
        let mut observing = CellSamplesBuilder::new(plan, cell, &agents, rule.as_ref());
        for (run, part) in (1..=runs).flat_map(|run| parts(plan).map(move |part| (run, part))) {
            let mut rows = ahead.next().await?;
            if part.end == u32::MAX {
                let is_its = |row: &SampleRow| (row.key.cell as usize, row.key.run) == (cell, run);
                rows.extend(std::iter::from_fn(|| late.next_if(is_its)));
            }
            let scores = rouge.score(&rows);
            observing.add(&rows, &scores);
            windows.see(&rows);
            file.write(rows, scores).context(unwritten)?;
        }
        for (run, windows) in loads.runs(cell) {
            observing.add_run(run, windows);
        }
        observed.push(observing.finish());
    }
    let (samples, rows) = file.finish().context(unwritten)?;
    let (samples, samples_file) = samples.file(samples_name, rows);
    let files = Files {
        samples: Some(samples_file),
        telemetry: Some(telemetry_file).filter(|file| file.rows > 0),
    };
    let read = StoredCampaign {
        campaign: &campaign,
        agents: &agents,
        dialogues: &dialogues,
        segments: &segments,
        observed: &observed,
        events: &events,
        today: Clock::System.now().date_naive(),
        windows: &windows,
    };
    Ok(Made { results: build::results(&read, files), samples, telemetry })
}

/// Samples are read so many at a time: with their texts they take about 20 MB.
const PART: u32 = 1 << 16;

/// The dialogues of a run in parts; the last one is open, and there is one at least.
fn parts(plan: &Plan) -> impl Iterator<Item = Range<u32>> + use<> {
    let samples = u32::try_from(plan.samples).unwrap_or(u32::MAX);
    let last = samples.saturating_sub(1) / PART;
    (0..=last).map(move |part| {
        let end = if part == last { u32::MAX } else { (part + 1) * PART };
        part * PART..end
    })
}

/// The counted samples of every run of every cell, part by part in this order: the next one is read while one is
/// worked on.
struct ReadAhead<'a> {
    store: &'a Store,
    no: CampaignNo,
    keys: Box<dyn Iterator<Item = (usize, u32, Range<u32>)> + Send + 'a>,
    reading: Option<Reading>,
}

type Reading = tokio::task::JoinHandle<Result<Vec<SampleRow>, store::Error>>;

impl<'a> ReadAhead<'a> {
    fn new(store: &'a Store, no: CampaignNo, plan: &'a Plan, runs: u32) -> Self {
        let runs =
            (0..plan.cells.len()).flat_map(move |cell| (1..=runs).map(move |run| (cell, run)));
        let keys = runs.flat_map(move |(cell, run)| parts(plan).map(move |part| (cell, run, part)));
        let mut ahead = Self { store, no, keys: Box::new(keys), reading: None };
        ahead.reading = ahead.begin();
        ahead
    }

    fn begin(&mut self) -> Option<Reading> {
        let (store, no, (cell, run, part)) = (self.store.clone(), self.no, self.keys.next()?);
        let read = async move { store.counted_part(no, (cell, run), part, Texts::Read).await };
        Some(tokio::spawn(read))
    }

    /// The next part; nothing after the last.
    async fn next(&mut self) -> anyhow::Result<Vec<SampleRow>> {
        let Some(reading) = self.reading.take() else { return Ok(Vec::new()) };
        let rows = reading.await.context("reading was interrupted")??;
        self.reading = self.begin();
        Ok(rows)
    }
}

/// The windows of sustained loads, with what was observed in them.
async fn sustained(
    store: &Store,
    no: CampaignNo,
    campaign: &CampaignRow,
) -> anyhow::Result<SustainedLoads> {
    let mut loads = SustainedLoads::default();
    let cells = campaign.plan.cells.iter().enumerate();
    for (cell, _) in cells.filter(|(_, cell)| cell.sustained().is_some()) {
        for run in 1..=campaign.matrix.protocol.most_runs() {
            loads.add_run(cell, run, store.load_windows(no, (cell, run)).await?);
        }
    }
    if !loads.is_empty() {
        store.windows(no, |window| loads.observe(&window)).await?;
    }
    Ok(loads)
}

/// Hashes what passes through.
struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W> Hashing<W> {
    fn new(out: W) -> Self {
        Self { out, hash: Sha256::new() }
    }

    fn file(self, name: String, rows: u64) -> (W, RowsFile) {
        let sha256 = hex::encode(self.hash.finalize());
        (self.out, RowsFile { name, sha256, rows })
    }
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

fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    atomic_file::write(path, bytes).with_context(|| unwritable(path))
}
