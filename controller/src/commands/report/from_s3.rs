//! `controller report s3://bucket/.../results.json`: prints the table, and writes the formats that are asked for.
//!
//! JSON and the samples are copies of the stored files, byte by byte; other formats are rendered from the results.

use super::place::{file_of, unwritable};
use super::{Place, ReportFiles, print, printed_format, render, replace, show, write_logs};
use crate::commands::fetcher;
use crate::{cli, progress::Verbosity};
use ::report::document::document;
use anyhow::{Context, bail};
use artifacts::{ReadBack, read_back};
use fetch::s3::Address;
use matrix::Format;
use ops::atomic_file::{self, Unfinished};
use ops::{input_file, terminal, text_file};
use std::io;
use std::path::Path;

/// What is asked for, checked before anything is fetched.
enum Wanted<'a> {
    /// One format on standard output, and nothing else.
    Printed(Format),
    /// The table, and a copy of results.json to a pipe or a device.
    Streamed(&'a Path),
    /// The table, and these formats; no files without a place.
    Files(Vec<Format>, Option<ReportFiles<'a>>),
}

pub(super) async fn run(options: &cli::Report) -> anyhow::Result<()> {
    let address: Address = options.campaign.parse()?;
    let wanted = wanted(options)?;
    let fetcher = fetcher(Verbosity::Normal)?;
    let read = Box::pin(read_back(&fetcher, &address)).await?;
    let document = document(&read.results);
    let (formats, files) = match wanted {
        Wanted::Printed(Format::Json) => return Ok(terminal::json(&stored_text(&read)?)?),
        Wanted::Printed(format) => return print(&read.results, &document, format),
        Wanted::Streamed(stream) => {
            show(&document)?;
            let text = stored_text(&read)?;
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
            if let Some(samples) = &read.samples {
                copy(&samples.path, &results_file.with_file_name(&samples.name))?;
            }
            copy(&read.results_file, &results_file)?;
        } else if format == Format::Mlperf {
            write_logs(&read.results, &path)?;
        } else {
            replace(&path, &render(&read.results, &document, format)?)?;
        }
        terminal::note(&format!("{name} {}", path.display()));
    }
    Ok(())
}

fn wanted(options: &cli::Report) -> anyhow::Result<Wanted<'_>> {
    if options.prices.is_some() {
        bail!("--prices: the costs of results in S3 aren't computed again: omit it");
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

/// The results as they are stored.
fn stored_text(read: &ReadBack) -> anyhow::Result<String> {
    Ok(text_file::read(&read.results_file)?)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copy = || {
        let mut file = Unfinished::create(to.to_owned())?;
        io::copy(&mut input_file::open(from)?, &mut file)?;
        file.finish()
    };
    copy().with_context(|| unwritable(to))
}
