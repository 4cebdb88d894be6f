//! Where the files of a report go, checked before anything is measured or computed.

use crate::progress::Verbosity;
use anyhow::{Context, bail};
use matrix::Format;
use ops::atomic_file::Output;
use std::path::{Path, PathBuf};

/// Extensions of the files next to the results: the samples, the telemetry and the cells.
pub(super) const ROWS: [&str; 2] = ["samples.parquet", "telemetry.parquet"];
pub(super) const CELLS: &str = "cells.parquet";

#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Place<'a> {
    pub(in crate::commands) data_dir: &'a Path,
    /// results.json, where it is not in the folder; the others lie beside it.
    pub(in crate::commands) output: Option<&'a Path>,
    /// Where all files go; the campaign's own folder where none is given.
    pub(in crate::commands) folder: Option<&'a Path>,
    /// Whether the summary and the names of the files, only the verdict, or nothing is printed.
    pub(in crate::commands) verbosity: Verbosity,
}

/// The files of a report.
#[derive(Debug)]
pub(in crate::commands) struct ReportFiles<'a> {
    pub(super) results_file: PathBuf,
    /// A pipe or a device, which gets a copy of results.json: nothing can lie next to it.
    pub(super) stream: Option<&'a Path>,
}

impl<'a> Place<'a> {
    /// Checks that every file of a report can be written; `own` is the campaign's folder. Missing folders are created.
    pub(super) fn check(self, own: &Path, formats: &[Format]) -> anyhow::Result<ReportFiles<'a>> {
        let stream = self.stream(formats)?;
        let results_file = self.results_file(own);
        let mut paths: Vec<PathBuf> = Vec::new();
        if formats.contains(&Format::Json) {
            paths.extend(ROWS.map(|extension| results_file.with_extension(extension)));
            paths.push(results_file.with_extension(CELLS));
        }
        paths.extend(formats.iter().filter_map(|format| {
            let (_, path) = file_of(*format, &results_file)?;
            // The cells are unknown before the campaign: a file in their place shows that the folder can be written.
            Some(if *format == Format::Mlperf { path.join("cell") } else { path })
        }));
        for (at, path) in paths.iter().enumerate() {
            if paths[..at].contains(path) {
                bail!("two files are named {}: choose another --output", path.display());
            }
            if Output::check(path).with_context(|| unwritable(path))? == Output::Stream {
                bail!("{} is not a file: choose another --output", path.display());
            }
        }
        Ok(ReportFiles { results_file, stream })
    }

    /// Where results.json goes; `own` is the campaign's folder.
    pub(super) fn results_file(self, own: &Path) -> PathBuf {
        let is_stream = |path: &Path| Output::of(path).is_ok_and(|found| found == Output::Stream);
        match self.output.filter(|path| !is_stream(path)) {
            Some(path) => path.to_owned(),
            None => self.folder.unwrap_or(own).join("results.json"),
        }
    }

    /// `--output`, if it is a pipe or a device.
    pub(super) fn stream(self, formats: &[Format]) -> anyhow::Result<Option<&'a Path>> {
        let Some(path) = self.output else { return Ok(None) };
        if Output::of(path).with_context(|| unwritable(path))? == Output::File {
            return Ok(None);
        }
        if !formats.contains(&Format::Json) {
            bail!("--output {}: only json can be written there: use --output-dir", path.display());
        }
        Ok(Some(path))
    }
}

/// The name and the path of the file of a format, or of its folder; none for what is only printed.
pub(super) fn file_of(format: Format, results_file: &Path) -> Option<(&'static str, PathBuf)> {
    let name = match format {
        Format::Json => return Some(("results.json", results_file.to_owned())),
        Format::Html => "report.html",
        Format::Pdf => "report.pdf",
        Format::Markdown => "report.md",
        Format::Junit => "junit.xml",
        Format::Csv => "cells.csv",
        Format::Mlperf => "mlperf",
        Format::Github => return None,
    };
    Some((name, results_file.with_file_name(name)))
}

pub(super) fn unwritable(path: &Path) -> String {
    format!("can't write {}: choose another place with --output or --output-dir", path.display())
}
