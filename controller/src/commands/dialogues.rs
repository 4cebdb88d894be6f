//! The dialogues of a campaign, chosen by seed, and those for the warm-up.

use crate::progress::Verbosity;
use anyhow::{Context, bail};
use dataset::{self, Columns, Dataset, Dialogue, Source};
use matrix::Matrix;
use matrix::lengths::{self, characters};
use model::generation::Stop;
use model::text::plain;
use ops::terminal;
use sha2::{Digest, Sha256};
use store::{DatasetFacts, DialogueRow, RowSetAside, RowsSetAside};

pub(super) struct Chosen {
    pub(super) facts: DatasetFacts,
    /// The measured ones in the order of the plan, then those for the warm-up.
    pub(super) dialogues: Vec<DialogueRow>,
}

pub(super) async fn count(matrix: &Matrix) -> anyhow::Result<usize> {
    Ok(choose(matrix, Verbosity::Normal).await?.facts.samples)
}

pub(super) async fn choose(matrix: &Matrix, verbosity: Verbosity) -> anyhow::Result<Chosen> {
    let options = &matrix.dataset;
    let source: Source = options.source.parse().context("can't use dataset.source")?;
    let columns = Columns {
        id: options.id_column.clone(),
        dialogue: options.dialogue_column.clone(),
        summary: options.summary_column.clone(),
    };
    let fetcher = super::fetcher(verbosity)?;
    let dataset = dataset::fetch(&source, options.split.as_deref(), &columns, &fetcher)
        .await
        .context("can't use dataset.source")?;
    let set_aside = set_aside(&dataset);
    if verbosity == Verbosity::Normal {
        remark(&dataset, &set_aside);
    }
    let all = dataset.dialogues.len();
    if options.samples > all {
        bail!(
            "dataset.samples is {}, but {} has only {all} dialogues: use fewer, or 0 for all",
            options.samples,
            options.source
        );
    }
    let measured = measured(matrix, &dataset.dialogues);
    let warmup = if matrix.protocol.warmup == 0 {
        Vec::new()
    } else {
        warmup(matrix, &dataset.dialogues, &measured)?
    };
    let row = |dialogue: &Dialogue, is_measured| DialogueRow {
        sample_id: dialogue.id.clone(),
        dialogue: dialogue.dialogue.clone(),
        summary: dialogue.summary.clone(),
        is_measured,
    };
    let chosen: Vec<&Dialogue> = measured.iter().map(|&index| &dataset.dialogues[index]).collect();
    let unbounded = chosen.iter().find(|dialogue| dialogue.summary.is_none());
    if let Some(dialogue) = unbounded.filter(|_| matrix.generation.stop == Stop::Reference) {
        bail!(
            "generation.stop is \"reference\", but dialogue `{}` has no reference summary: set stop = \"eos\", or dataset.columns.summary",
            dialogue.id
        );
    }
    let mut hash = Sha256::new();
    for dialogue in &chosen {
        hash.update(dialogue.id.as_str());
        hash.update([0]);
    }
    let facts = DatasetFacts {
        source: options.source.clone(),
        sha256: dataset.sha256.clone(),
        revision: dataset.revision.clone(),
        dialogues: all,
        samples: measured.len(),
        sample_ids_sha256: hex::encode(hash.finalize()),
        references: chosen.iter().filter(|dialogue| dialogue.summary.is_some()).count(),
        set_aside: Some(set_aside),
        notes: dataset.notes.clone(),
    };
    let measured = chosen.iter().map(|dialogue| row(dialogue, true));
    let dialogues = measured.chain(warmup.iter().map(|dialogue| row(dialogue, false))).collect();
    Ok(Chosen { facts, dialogues })
}

/// The measured ones, as ascending indices: those of recorded lengths if there are any, else any.
fn measured(matrix: &Matrix, all: &[Dialogue]) -> Vec<usize> {
    let samples = matrix.dataset.samples;
    if samples == 0 || samples >= all.len() {
        return dataset::sample(all.len(), samples, matrix.seed);
    }
    match matrix.loads.wanted_lengths(samples, matrix.seed) {
        None => dataset::sample(all.len(), samples, matrix.seed),
        Some(wanted) => {
            let lengths: Vec<u32> = all.iter().map(|one| characters(&one.dialogue)).collect();
            lengths::choose(&lengths, &wanted, matrix.seed)
        }
    }
}

/// Rows that are listed one by one.
const MOST_LISTED: usize = 5;
/// Of an id or a reason, which may quote the file.
const MOST_CHARS: usize = 120;

fn set_aside(dataset: &Dataset) -> RowsSetAside {
    let first = dataset.set_aside.iter().take(MOST_LISTED).map(|row| RowSetAside {
        file: plain(&row.file, MOST_CHARS),
        position: row.position.to_string(),
        id: row.id.as_ref().map(|id| plain(id, MOST_CHARS)),
        reason: plain(&row.reason, MOST_CHARS),
    });
    RowsSetAside {
        count: dataset.set_aside.len(),
        rows: dataset.dialogues.len() + dataset.set_aside.len(),
        first: first.collect(),
    }
}

fn remark(dataset: &Dataset, set_aside: &RowsSetAside) {
    for note in &dataset.notes {
        terminal::note(&format!("note: {}: {note}", dataset.name));
    }
    let RowsSetAside { count, rows, first } = set_aside;
    if *count == 0 {
        return;
    }
    terminal::note(&format!("note: set aside and not measured: {count} of {rows} rows"));
    for RowSetAside { file, position, id, reason } in first {
        let id = id.as_ref().map_or_else(String::new, |id| format!(" (id {id})"));
        terminal::note(&format!("  {file}: {position}{id}, {reason}"));
    }
    if *count > first.len() {
        terminal::note(&format!("  and {} more", count - first.len()));
    }
}

/// Dialogues that aren't measured: the rest of the dataset, or built-in ones if there is no rest.
fn warmup(matrix: &Matrix, all: &[Dialogue], measured: &[usize]) -> anyhow::Result<Vec<Dialogue>> {
    let largest = matrix.targets.iter().flat_map(|target| &target.batch_sizes).max();
    let needed = (matrix.protocol.warmup * largest.copied().unwrap_or(1)) as usize;
    let rest = dataset::outside(all.len(), measured, needed, matrix.seed);
    if !rest.is_empty() {
        return Ok(rest.into_iter().map(|index| all[index].clone()).collect());
    }
    let builtin = dataset::read(&Source::Builtin, &Columns::default())?;
    let is_measured = |id| all.iter().any(|dialogue| dialogue.id == id);
    let mut fresh = builtin.dialogues;
    fresh.retain(|dialogue| !is_measured(dialogue.id.clone()));
    if fresh.is_empty() {
        bail!(
            "no dialogue left for the warm-up: measure fewer than all {}, or set protocol.warmup = 0",
            all.len()
        );
    }
    fresh.truncate(needed);
    Ok(fresh)
}
