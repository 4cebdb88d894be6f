//! `controller bundle`: a campaign -> one signed archive.

mod agent_signatures;
mod verify;

pub(super) use verify::run as verify;

use super::report::{Made, Pricing, Source, made};
use crate::cli;
use ::bundle::{Content, Counts, Predicate, Versions, archive};
use anyhow::{Context, bail};
use chrono::NaiveDate;
use fleet::identity::authority::{CONTROLLER, key_file};
use keys::SigningKey;
use ops::atomic_file::Unfinished;
use ops::{terminal, text_file};
use results::parquet::{Names, TextsWriter};
use results::{Results, SCHEMA_VERSION, json};
use std::path::PathBuf;
use store::{CampaignRow, DialogueRow, State};

pub(super) async fn run(options: &cli::Bundle) -> anyhow::Result<()> {
    let key = if options.unsigned { None } else { Some(signing_key(options)?) };
    let store = super::store(&options.data_dir).await?;
    let no = store.find(&options.campaign).await?;
    let campaign = store.campaign(no).await?;
    let id = campaign.id.clone();
    if campaign.state == State::Running {
        bail!("campaign {id} has not ended: use controller run --resume {id} first");
    }
    let path = options.output.clone().unwrap_or_else(|| PathBuf::from(format!("{id}.bundle.tar")));
    let unwritable = || format!("can't write {}: choose another --output", path.display());
    // What can't be written is known before the figures are computed.
    let file = Unfinished::create(path.clone()).with_context(unwritable)?;
    let (content, results) = content(Source::Store(&store, no), campaign, options.texts).await?;
    store.close().await;
    let predicate = predicate(&content, &results);
    let signed_by = key.as_ref().map(|key| key.public().fingerprint());
    let written = ::bundle::write(&content, predicate, key.as_ref(), file)?;
    written.and_then(Unfinished::finish).with_context(unwritable)?;
    terminal::result(&format!("bundle {}", terminal::value(path.display())))?;
    terminal::note(&match signed_by {
        Some(key) => format!("signed by {key}"),
        None => "not signed".to_owned(),
    });
    if options.texts {
        terminal::note("it holds the dialogues, their references and all summaries");
    }
    Ok(())
}

/// The key of `--key`, or the controller's own.
fn signing_key(options: &cli::Bundle) -> anyhow::Result<SigningKey> {
    let own = || key_file(&options.data_dir.join("certs"), CONTROLLER);
    let path = options.key.clone().unwrap_or_else(own);
    let text = text_file::read_to_string(&path).with_context(|| {
        let remedy = "create the controller's key with controller certs init, name another with --key, \
                      or use --unsigned";
        format!("can't read the signing key {}: {remedy}", path.display())
    })?;
    SigningKey::from_pem(&text).with_context(|| format!("can't sign with {}", path.display()))
}

/// The day on which the prices of a bundle have their age: the same for all who compute it.
pub(super) fn day(campaign: &CampaignRow) -> NaiveDate {
    campaign.finished_at.unwrap_or(campaign.created_at).date_naive()
}

/// Reads a campaign and computes its results.
async fn content(
    source: Source<'_>,
    campaign: CampaignRow,
    has_texts: bool,
) -> anyhow::Result<(Content, Results)> {
    let rows =
        ((archive::SAMPLES.to_owned(), Vec::new()), (archive::TELEMETRY.to_owned(), Vec::new()));
    let pricing = Pricing { book: None, day: Some(day(&campaign)) };
    let Made { results, samples, telemetry, .. } = made(source, rows, pricing).await?;
    let (agents, dialogues) = (source.agents().await?, source.dialogues().await?);
    let mut load_windows = Vec::new();
    for cell in 0..campaign.plan.cells.len() {
        for run in 1..=campaign.matrix.most_runs() {
            load_windows.extend(source.load_windows(cell, run).await?);
        }
    }
    let names = Names::of(&campaign, &dialogues, &agents);
    let texts = if has_texts { Some(texts(source, names).await?.into()) } else { None };
    let signatures = source.signatures().await?;
    let text_hashes = agent_signatures::text_hashes(source, names, &signatures).await?.into();
    let content = Content {
        dialogues: if has_texts { dialogues } else { without_texts(dialogues) },
        agents,
        segments: source.segments().await?,
        events: source.events().await?,
        load_windows,
        signatures,
        text_hashes,
        samples: samples.into(),
        telemetry: results.campaign.telemetry_file.is_some().then(|| telemetry.into()),
        texts,
        results: json::render(&results).into(),
        campaign,
    };
    Ok((content, results))
}

fn without_texts(dialogues: Vec<DialogueRow>) -> Vec<DialogueRow> {
    let bare = |row| DialogueRow { dialogue: String::new(), summary: None, ..row };
    dialogues.into_iter().map(bare).collect()
}

/// The texts of all samples, in the order of the samples file.
async fn texts(source: Source<'_>, names: Names<'_>) -> anyhow::Result<Vec<u8>> {
    let unwritten = "can't write the texts as Parquet";
    let mut file = TextsWriter::new(Vec::new()).context(unwritten)?;
    let mut parts = source.samples(names).await?;
    for cell in 0..names.plan.cells.len() {
        while let Some(part) = parts.next(cell).await? {
            file.write(&part.rows).context(unwritten)?;
        }
    }
    file.finish().context(unwritten)
}

fn predicate(content: &Content, results: &Results) -> Predicate {
    let mut agents: Vec<String> =
        content.agents.iter().map(|agent| agent.facts.agent_version.clone()).collect();
    agents.sort_unstable();
    agents.dedup();
    Predicate {
        campaign: content.campaign.id.to_string(),
        versions: Versions {
            bundled_by: env!("FLEETMARK_VERSION").to_owned(),
            controller: content.campaign.controller_version.clone(),
            agents,
            results_schema: SCHEMA_VERSION,
        },
        counts: Counts {
            cells: content.campaign.plan.cells.len(),
            agents: content.agents.len(),
            counted_samples: results.campaign.counted_samples,
            late_samples: results.campaign.late_samples,
        },
        has_texts: content.texts.is_some(),
    }
}
