//! `controller report` of results that are stored elsewhere, in S3 or in a bundle: prints the table, and writes the
//! formats that are asked for.
//!
//! JSON and the samples are copies of the stored files, byte by byte; other formats are rendered from the results.

use super::place::{file_of, unwritable};
use super::{Place, ReportFiles, print, printed_format, render, replace, show, write_logs};
use crate::commands::{bundle_file, fetcher};
use crate::{cli, progress::Verbosity};
use ::artifacts::read_back;
use ::report::document::document;
use anyhow::{Context, bail};
use bundle::archive;
use bytes::Bytes;
use fetch::s3::Address;
use matrix::Format;
use ops::atomic_file::{self, Unfinished};
use ops::{input_file, terminal, text_file};
use results::Results;
use std::io;
use std::path::{Path, PathBuf};

/// Where results are stored.
pub(super) enum Origin {
    S3(Address),
    Bundle(PathBuf),
}

impl Origin {
    /// An address or the path of a bundle; none for the name of a campaign.
    pub(super) fn of(campaign: &str) -> anyhow::Result<Option<Self>> {
        let path = Path::new(campaign);
        Ok(if campaign.starts_with("s3://") {
            Some(Self::S3(campaign.parse()?))
        } else if path.extension().is_some_and(|extension| extension == "tar") {
            Some(Self::Bundle(path.to_owned()))
        } else {
            None
        })
    }

    async fn read(&self) -> anyhow::Result<Stored> {
        match self {
            Self::S3(address) => {
                let fetcher = fetcher(Verbosity::Normal)?;
                let read = Box::pin(read_back(&fetcher, address)).await?;
                let samples = read.samples.map(|file| (file.name, Original::File(file.path)));
                Ok(Stored {
                    results: read.results,
                    json: Original::File(read.results_file),
                    rows: samples.into_iter().collect(),
                })
            }
            Self::Bundle(path) => {
                let content = bundle_file::read(path)?.content;
                let of = |name: &str, bytes| (name.to_owned(), Original::Bytes(bytes));
                let telemetry = content.telemetry.clone();
                let mut rows = vec![of(archive::SAMPLES, content.samples.clone())];
                rows.extend(telemetry.map(|bytes| of(archive::TELEMETRY, bytes)));
                Ok(Stored {
                    results: bundle_file::stated_results(&content)?,
                    json: Original::Bytes(content.results),
                    rows,
                })
            }
        }
    }
}

/// Results and the files that they name.
struct Stored {
    results: Results,
    json: Original,
    /// By the names in the results: samples, and telemetry of a bundle.
    rows: Vec<(String, Original)>,
}

/// The bytes of a stored file.
enum Original {
    File(PathBuf),
    Bytes(Bytes),
}

impl Original {
    fn text(&self) -> anyhow::Result<String> {
        Ok(match self {
            Self::File(path) => text_file::read(path)?,
            Self::Bytes(bytes) => std::str::from_utf8(bytes)?.to_owned(),
        })
    }

    fn copy(&self, to: &Path) -> anyhow::Result<()> {
        let copy = || match self {
            Self::File(from) => {
                let mut file = Unfinished::create(to.to_owned())?;
                io::copy(&mut input_file::open(from)?, &mut file)?;
                file.finish()
            }
            Self::Bytes(bytes) => atomic_file::write(to, bytes),
        };
        copy().with_context(|| unwritable(to))
    }
}

/// What is asked for, checked before anything is fetched.
enum Wanted<'a> {
    /// One format on standard output, and nothing else.
    Printed(Format),
    /// The table, and a copy of results.json to a pipe or a device.
    Streamed(&'a Path),
    /// The table, and these formats; no files without a place.
    Files(Vec<Format>, Option<ReportFiles<'a>>),
}

pub(super) async fn run(options: &cli::Report, origin: Origin) -> anyhow::Result<()> {
    let wanted = wanted(options, &origin)?;
    let read = origin.read().await?;
    let document = document(&read.results);
    let (formats, files) = match wanted {
        Wanted::Printed(Format::Json) => return Ok(terminal::json(&read.json.text()?)?),
        Wanted::Printed(format) => return print(&read.results, &document, format),
        Wanted::Streamed(stream) => {
            show(&document)?;
            let text = read.json.text()?;
            let written = atomic_file::write(stream, text.as_bytes());
            return written.with_context(|| unwritable(stream));
        }
        Wanted::Files(formats, files) => (formats, files),
    };
    show(&document)?;
    if formats.contains(&Format::Github) {
        print(&read.results, &document, Format::Github)?;
    }
    let Some(ReportFiles { results_file, .. }) = files else { return Ok(()) };
    for format in formats {
        let Some((name, path)) = file_of(format, &results_file) else { continue };
        if format == Format::Json {
            for (name, original) in &read.rows {
                original.copy(&results_file.with_file_name(name))?;
            }
            read.json.copy(&results_file)?;
        } else if format == Format::Mlperf {
            write_logs(&read.results, &path)?;
        } else {
            replace(&path, &render(&read.results, &document, format)?)?;
        }
        terminal::note(&format!("{name} {}", path.display()));
    }
    Ok(())
}

fn wanted<'a>(options: &'a cli::Report, origin: &Origin) -> anyhow::Result<Wanted<'a>> {
    if options.prices.is_some() {
        let place = match origin {
            Origin::S3(_) => "S3",
            Origin::Bundle(_) => "a bundle",
        };
        bail!("--prices: the costs of results in {place} aren't computed again: omit it");
    }
    if options.output.as_deref() == Some(Path::new("-")) {
        return printed_format(options.formats.as_deref()).map(Wanted::Printed);
    }
    let place = Place {
        data_dir: &options.data_dir,
        output: options.output.as_deref(),
        folder: options.output_dir.as_deref(),
        verbosity: Verbosity::Normal,
    };
    let mut formats = options.formats.clone().unwrap_or_default();
    formats.sort_unstable();
    formats.dedup();
    if place.output.is_none() && place.folder.is_none() {
        if let Some(format) = formats.iter().find(|format| **format != Format::Github) {
            bail!("--formats {format}: expected --output-dir or --output, where it is written");
        }
        return Ok(Wanted::Files(formats, None));
    }
    if formats.is_empty() {
        formats.push(Format::Json);
    }
    if let Some(stream) = place.stream(&formats)? {
        return Ok(Wanted::Streamed(stream));
    }
    let files = place.check(Path::new(""), &formats)?;
    Ok(Wanted::Files(formats, Some(files)))
}
