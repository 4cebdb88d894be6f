//! The rows of a campaign -> its results, samples and telemetry.

use super::source::{Part, Source, Stated};
use crate::commands::prices;
use anyhow::Context;
use bundle::archive;
use chrono::NaiveDate;
use cost::PriceBook;
use ops::clock::Clock;
use results::build::{
    self, CellSamplesBuilder, Files, Scorer, StoredCampaign, Windows, precision_rule,
};
use results::parquet::{Names, SamplesWriter, TelemetryWriter};
use results::{Results, RowsFile};
use sha2::{Digest, Sha256};
use stats::quality::Rouge;
use std::io::Write;
use store::WindowRow;

/// A campaign as it is written: the results, and where its samples and its telemetry went.
pub(in crate::commands) struct Made<S, T> {
    pub(in crate::commands) results: Results,
    pub(in crate::commands) samples: S,
    pub(in crate::commands) telemetry: T,
    /// Scores that a bundle states and that don't follow from its texts.
    pub(in crate::commands) other_scores: Vec<bundle::Difference>,
}

/// A file's name in the results, and what it is written to.
pub(in crate::commands) type Named<W> = (String, W);

/// A file that nobody reads.
pub(in crate::commands) fn unwritten() -> Named<std::io::Sink> {
    (String::new(), std::io::sink())
}

/// The prices of a report.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::commands) struct Pricing<'a> {
    /// None: as they were when the campaign began.
    pub(in crate::commands) book: Option<&'a PriceBook>,
    /// The day until which they age. None: today.
    pub(in crate::commands) day: Option<NaiveDate>,
}

impl<'a> Pricing<'a> {
    pub(in crate::commands) fn of(book: Option<&'a PriceBook>) -> Self {
        Self { book, day: None }
    }
}

/// Reads a campaign, run by run, and computes its results; its samples and its telemetry go where `rows` says.
pub(in crate::commands) async fn made<S: Write + Send, T: Write + Send>(
    source: Source<'_>,
    rows: (Named<S>, Named<T>),
    pricing: Pricing<'_>,
) -> anyhow::Result<Made<S, T>> {
    let ((samples_name, samples), (telemetry_name, telemetry)) = rows;
    let mut campaign = source.campaign().await?;
    if let Some(book) = pricing.book {
        campaign.prices = prices::from_book(&campaign.matrix, &campaign.prices, book)?;
    }
    let (agents, segments) = (source.agents().await?, source.segments().await?);
    let (events, dialogues) = (source.events().await?, source.dialogues().await?);
    let plan = &campaign.plan;
    let names = Names::of(&campaign, &dialogues, &agents);
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
    source.windows(names, each).await?;
    written.context(unwritten)?;
    let (telemetry, rows) = file.finish().context(unwritten)?;
    let (telemetry, telemetry_file) = telemetry.file(telemetry_name, rows);

    let unwritten = "can't write the samples as Parquet";
    let mut file = SamplesWriter::new(names, Hashing::new(samples)).context(unwritten)?;
    let rule = precision_rule(&campaign.matrix.protocol);
    let mut loads = source.sustained(&campaign, names).await?;
    let mut parts = source.samples(names).await?;
    let mut rouge = Scorer::new(plan, &agents, &dialogues);
    let mut observed = Vec::with_capacity(plan.cells.len());
    let mut other_scores = Vec::new();
    for cell in 0..plan.cells.len() {
        let mut observing = CellSamplesBuilder::new(plan, cell, &agents, rule.as_ref());
        while let Some(Part { rows, scores }) = parts.next(cell).await? {
            let scores = match scores {
                Stated::None => rouge.score(&rows),
                Stated::Given(stated) => stated,
                Stated::ToCheck(first, stated) => {
                    let scores = rouge.score(&rows);
                    other_scores.extend(differences(first, &stated, &scores));
                    scores
                }
            };
            observing.add(&rows, &scores);
            windows.see(&rows);
            file.write(rows, scores).context(unwritten)?;
        }
        for (run, windows) in loads.runs(cell) {
            observing.add_run(run, windows);
        }
        observed.push(observing.finish());
    }
    parts.finish()?;
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
        today: pricing.day.unwrap_or_else(|| Clock::System.now().date_naive()),
        windows: &windows,
    };
    Ok(Made { results: build::results(&read, files), samples, telemetry, other_scores })
}

/// Scores of a samples file that don't follow from its texts; the first is of the row `first`.
fn differences(
    first: u64,
    stated: &[Option<Rouge>],
    scored: &[Option<Rouge>],
) -> Vec<bundle::Difference> {
    let value = |score: &Option<Rouge>| {
        score.map(|Rouge { rouge1, rouge2, rouge_l }| serde_json::json!([rouge1, rouge2, rouge_l]))
    };
    let mut differences = Vec::new();
    for (row, (stated, scored)) in (first..).zip(stated.iter().zip(scored)) {
        let (stated, scored) =
            (value(stated).unwrap_or_default(), value(scored).unwrap_or_default());
        for found in bundle::compare(&stated, &scored).differences {
            let path = format!("{}: row {row}: rouge{}", archive::SAMPLES, found.path);
            differences.push(bundle::Difference { path, ..found });
        }
    }
    differences
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
