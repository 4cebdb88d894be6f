//! `controller compare`: compares two campaigns, from the database or from files, and checks limits
//! in CI.

use super::report::{Pricing, Source, made, unwritten};
use crate::cli::{self, CompareFormat};
use ::bundle::Content;
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use ops::{input_file, placeholder::Placeholder, program::Exit, terminal, text_file};
use report::compare::{self, Asked, Side, annotations, junit, markdown, other_schema, table};
use results::{Results, SCHEMA_VERSION, parquet};
use sha2::{Digest, Sha256};
use stats::comparison::regression::{Outcome, Undecided};
use std::fmt::Display;
use std::path::Path;

pub(super) async fn run(options: &cli::Compare) -> anyhow::Result<Exit> {
    // An existing file takes precedence over a campaign in the database.
    let baseline = side(&options.baseline, &options.data_dir).await?;
    let candidate = side(&options.candidate, &options.data_dir).await?;
    let (baseline, candidate) = match (baseline, candidate) {
        (Found::Side(baseline), Found::Side(candidate)) => (baseline, candidate),
        (baseline, candidate) => {
            bail!(other_schema(&baseline.schema_version(), &candidate.schema_version()))
        }
    };
    let asked = Asked {
        equal_within: options.equal_within.map(|share| share.0),
        limits: options.max_regression.clone(),
    };
    let compared = compare::compared(&baseline, &candidate, &asked)?;
    let undecided = if options.allow_undecided { Undecided::Passes } else { Undecided::Fails };
    match options.format {
        CompareFormat::Table => terminal::result(&table::render(&compared, terminal::width())),
        CompareFormat::Markdown => terminal::document(&markdown::render(&compared)),
        CompareFormat::Junit => terminal::document(&junit::render(&compared, undecided)),
        CompareFormat::Github => terminal::document(&annotations::render(&compared, undecided)),
        CompareFormat::Json => {
            let json = serde_json::to_string_pretty(&compared);
            terminal::json(&json.context("can't write the comparison as JSON")?)
        }
    }?;
    Ok(match compared.outcome {
        Some(Outcome::Failed) => Exit::Failed,
        Some(Outcome::Undecided) if options.strict => Exit::Failed,
        Some(Outcome::Undecided) if !options.allow_undecided => Exit::Undecided,
        Some(Outcome::Undecided | Outcome::Passed) | None => Exit::Ok,
    })
}

enum Found {
    Side(Box<Side>),
    /// A file of another schema version.
    OtherSchema(String),
}

impl Found {
    fn schema_version(&self) -> String {
        match self {
            Self::Side(_) => SCHEMA_VERSION.to_string(),
            Self::OtherSchema(version) => version.clone(),
        }
    }
}

/// The results and samples of one campaign, in the current schema version.
pub(super) async fn one_side(name: &str, data_dir: &Path) -> anyhow::Result<Side> {
    match side(name, data_dir).await? {
        Found::Side(side) => Ok(*side),
        Found::OtherSchema(version) => bail!(
            "{name} has schema_version {version}, expected {SCHEMA_VERSION}: recreate it with controller report"
        ),
    }
}

async fn side(name: &str, data_dir: &Path) -> anyhow::Result<Found> {
    let path = Path::new(name);
    let has_extension = |wanted: &str| path.extension().is_some_and(|found| found == wanted);
    if has_extension("tar") {
        return of_bundle(path);
    }
    let looks_like_a_file = has_extension("json");
    // What exists and is no file is refused where it is read.
    if path.is_file() || looks_like_a_file && path.exists() {
        return of_file(path);
    }
    if looks_like_a_file {
        bail!("no file {name}: expected a results.json or a campaign id");
    }
    let store = super::store(data_dir).await?;
    let no = store.find(name).await?;
    let samples = ("samples.parquet".to_owned(), Vec::new());
    let rows = (samples, unwritten());
    let written = made(Source::Store(&store, no), rows, Pricing::default()).await?;
    store.close().await;
    let rows = written.results.campaign.samples_file.as_ref().map_or(0, |file| file.rows);
    let samples = parquet::read::read(written.samples.into(), rows)
        .context("can't read the samples from Parquet")?;
    Ok(Found::Side(Box::new(Side { results: written.results, samples })))
}

/// Reads results.json and the samples next to it, checked by their hash.
fn of_file(path: &Path) -> anyhow::Result<Found> {
    let shown = path.display();
    let results = match parse(&text_file::read(path)?, &shown.to_string())? {
        Parsed::Results(results) => results,
        Parsed::OtherSchema(version) => return Ok(Found::OtherSchema(version)),
    };
    let Some(file) = &results.campaign.samples_file else { return Err(no_samples(&shown)) };
    let samples = path.with_file_name(Path::new(&file.name).file_name().unwrap_or_default());
    let bytes = input_file::read(&samples).with_context(|| {
        format!(
            "can't read {}, the samples file of {shown}: expected it in the same folder",
            samples.display()
        )
    })?;
    if let Some(placeholder) = Placeholder::of(&bytes) {
        bail!("{} {placeholder}", samples.display());
    }
    with_samples(*results, bytes.into(), &samples.display(), &shown)
}

/// Reads the results and the samples of a bundle, whose form, hashes and signature hold.
fn of_bundle(path: &Path) -> anyhow::Result<Found> {
    let shown = path.display();
    let Content { results, samples, .. } = super::bundle_file::read(path)?.content;
    let text = std::str::from_utf8(&results).with_context(|| format!("the results of {shown}"))?;
    match parse(text, &shown.to_string())? {
        Parsed::Results(results) => {
            with_samples(*results, samples, &format!("the samples of {shown}"), &shown)
        }
        Parsed::OtherSchema(version) => Ok(Found::OtherSchema(version)),
    }
}

enum Parsed {
    Results(Box<Results>),
    OtherSchema(String),
}

fn parse(text: &str, shown: &str) -> anyhow::Result<Parsed> {
    let raw: serde_json::Value = serde_json::from_str(text)
        .with_context(|| format!("{shown} is not JSON: expected a results.json"))?;
    match raw.get("schema_version").and_then(serde_json::Value::as_u64) {
        None => bail!("{shown} has no schema_version: expected a results.json of this program"),
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(version) => return Ok(Parsed::OtherSchema(version.to_string())),
    }
    let results = serde_json::from_value(raw).with_context(|| {
        format!(
            "{shown} doesn't match the schema of results.json: recreate it with controller report"
        )
    })?;
    Ok(Parsed::Results(Box::new(results)))
}

fn no_samples(shown: &dyn Display) -> anyhow::Error {
    anyhow!("{shown} has no samples file: recreate it with controller report")
}

/// Checks the samples of results by their hash and number. `file` names them.
fn with_samples(
    results: Results,
    bytes: Bytes,
    file: &dyn Display,
    shown: &dyn Display,
) -> anyhow::Result<Found> {
    let campaign = &results.campaign;
    let Some(stated) = &campaign.samples_file else { return Err(no_samples(shown)) };
    let hash = hex::encode(Sha256::digest(&bytes));
    if hash != stated.sha256 {
        bail!(
            "{file} is not the samples file of {shown}: its sha256 is {hash}, expected {}",
            stated.sha256
        );
    }
    let rows = campaign.counted_samples.saturating_add(campaign.late_samples);
    if rows != stated.rows {
        bail!(
            "{shown} states {rows} samples and {} rows of them: recreate it with controller report",
            stated.rows
        );
    }
    let samples = parquet::read::read(bytes, stated.rows)
        .with_context(|| format!("can't use {file}: recreate it with controller report"))?;
    if samples.samples.len() as u64 != campaign.counted_samples {
        bail!(
            "{file} has {} counted samples, but {shown} states {}: recreate both with controller report",
            samples.samples.len(),
            campaign.counted_samples
        );
    }
    Ok(Found::Side(Box::new(Side { results, samples })))
}
