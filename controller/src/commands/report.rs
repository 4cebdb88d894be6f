//! `controller report`, and the end of `controller run`: store -> statistics -> cost -> results.

mod made;
mod place;
mod source;
mod stored;

pub(super) use made::{Made, Pricing, made, unwritten};
pub(super) use place::Place;
pub(super) use source::Source;

use super::{artifacts, prices};
use crate::cli;
use crate::progress::Verbosity;
use ::artifacts::Placed;
use ::report::document::{Document, Tone, Verdict, document};
use ::report::{annotations, csv, html, junit, markdown, mlperf, pdf, terminal as summary};
use anyhow::{Context, bail};
use cost::PriceBook;
use matrix::{Format, Matrix};
use ops::atomic_file::{self, Unfinished};
use ops::terminal;
use place::{CELLS, ROWS, ReportFiles, unwritable};
use results::parquet;
use results::{Results, json};
use std::path::{Path, PathBuf};
use store::{self, CampaignNo, CampaignRow, Store, folder_of};
use stored::Origin;

pub(super) async fn run(options: &cli::Report) -> anyhow::Result<()> {
    if let Some(origin) = Origin::of(&options.campaign)? {
        return Box::pin(stored::run(options, origin)).await;
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
    let rows = (unwritten(), unwritten());
    let mut results = made(Source::Store(store, no), rows, Pricing::of(book)).await?.results;
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
    let Made { results, samples, telemetry, .. } =
        made(Source::Store(store, no), rows, Pricing::of(book)).await?;
    let mut files = vec![("samples", finish(samples)?)];
    if results.campaign.telemetry_file.is_some() {
        files.push(("telemetry", finish(telemetry)?));
    }
    Ok((results, files))
}

fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    atomic_file::write(path, bytes).with_context(|| unwritable(path))
}
