//! `agent bench`: prints one line of figures per batch size.

mod predict;

use super::input::{self, Asked};
use crate::driver_memory::DriverMemory;
use crate::engines;
use crate::options::{ModelOptions, SearchOptions};
use anyhow::Context;
use clap::Args;
use engine::{Engine, Row};
use generation::generate::StopRule;
use generation::roofline::Roofline;
use generation::{Input, LanguageModel};
use kernels::Storage;
use model::sample::Drafts;
use ops::terminal;
use seq2seq::device::Device;
use serde_json::json;
use std::{num::NonZeroUsize, path::PathBuf};
use stopwatch::Stopwatch;

const MB: f64 = 1_048_576.0;

const EXAMPLES: &str = "\
Batches are taken in file order. Every summary has exactly --new-tokens tokens; </s> does
not end it. The first batch runs once unmeasured. Tokenization is not measured. Prefill ends when
all rows of a batch have their first token; decode is what follows.

--predict measures nothing and needs no GPU and no input: from launches, bytes and the published
bandwidth of a card it predicts the time of a step with prompts of --max-input-tokens tokens.

Examples:
  agent bench --model dummy:flan-t5-small --tokenizer tokenizer.json --threads 2 \\
      --batch-size 1,8 --new-tokens 32 --samples 32 --input in.jsonl --json
  agent bench --model builtin:tiny --batch-size 1 4 16 --input in.jsonl
  agent bench --model dummy:flan-t5-base --dtype f16 --batch-size 1,8 --predict T4";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    #[command(flatten)]
    pub model: ModelOptions,
    /// Dialogues per batch; several sizes are measured one after the other
    #[arg(long, value_name = "N", default_value = "1", value_delimiter = ',', num_args = 1..)]
    batch_size: Vec<NonZeroUsize>,
    /// Tokens per summary
    #[arg(long, value_name = "N", default_value = "32")]
    new_tokens: NonZeroUsize,
    /// Dialogues taken from the input
    #[arg(long, value_name = "N", default_value = "32")]
    samples: NonZeroUsize,
    /// Maximum prompt length in tokens, including </s>
    #[arg(long, value_name = "N", default_value = "512")]
    max_input_tokens: NonZeroUsize,
    /// Input in JSON Lines format
    #[arg(long, value_name = "FILE", required_unless_present = "predict")]
    input: Option<PathBuf>,
    /// Predict the time of a decoder step on a GPU instead of measuring: T4, A10G, L4 or H100
    /// [default: that of --device, or all]
    #[arg(long, value_name = "CARD", num_args = 0..=1, default_missing_value = "")]
    predict: Option<String>,
    /// Print one JSON object per batch size, and nothing else on stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    search: SearchOptions,
}

struct Figures {
    dtype: &'static str,
    batch_size: usize,
    threads: usize,
    samples: usize,
    new_tokens: usize,
    decoding: String,
    input_tokens_mean: f64,
    load_ms: f64,
    /// Of the batch that isn't measured.
    first_batch_ms: f64,
    batch: Times,
    /// `None` if tokens have no times of their own, as with beams.
    phases: Option<Phases>,
    model_size_mb: f64,
    cache_mb: f64,
    peak_rss_mb: Option<f64>,
    gpu: GpuMemory,
    roofline: Option<Roofline>,
    drafts: Option<Drafts>,
}

/// GPU memory in use by all processes, in MiB; `None` on CPU.
struct GpuMemory {
    before: Option<f64>,
    loaded: Option<f64>,
    /// After the batches.
    decoded: Option<f64>,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(card) = &options.predict {
        return predict::run(options, card);
    }
    for size in &options.batch_size {
        engines::check_batch_size(options.model.engine, size.get())?;
    }
    let input = options.input.as_deref().context("--input is missing")?;
    let lines = input::read(input)?;
    let threads = super::threads(options.model.threads);
    let memory = DriverMemory::of(&Device::open(&options.model.device)?);
    let used_mb = || memory.as_ref().and_then(DriverMemory::used).map(|bytes| bytes as f64 / MB);
    let before = used_mb();
    let loading = Stopwatch::start();
    let mut engine = input::load(&options.model, &lines)?;
    let load_ms = loading.now_ns() as f64 / 1e6;
    let loaded = used_mb();
    for note in &engine.facts().notes {
        terminal::note(&format!("note: {note}"));
    }
    let stop_rule = StopRule::Exactly(options.new_tokens.get());
    let settings = options.search.settings();
    let decoding = engine.decoding(&settings)?;
    let asked = Asked {
        limit: options.max_input_tokens.get(),
        stop_rule,
        system: settings.system.as_deref(),
        decoding: &decoding,
    };
    let inputs = lines
        .iter()
        .take(options.samples.get())
        .map(|line| line.input(&engine, &asked))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for batch_size in &options.batch_size {
        let measured = measure(&mut engine, &inputs, batch_size.get())?;
        let drafts = measured.drafts;
        let batches: Vec<&[Input]> = inputs.chunks(batch_size.get()).collect();
        // It counts one row of the decoder per prompt, with one token per step.
        let roofline = (decoding.num_beams == 1 && drafts.is_none())
            .then(|| engine.roofline(&batches, options.new_tokens.get(), &Stopwatch::start()))
            .flatten();
        let figures = Figures {
            dtype: options.model.dtype.as_str(),
            batch_size: batch_size.get(),
            threads,
            samples: inputs.len(),
            new_tokens: options.new_tokens.get(),
            decoding: decoding.to_string(),
            input_tokens_mean: mean(inputs.iter().map(|input| input.prompt.ids.len() as f64)),
            load_ms,
            first_batch_ms: measured.first_ns as f64 / 1e6,
            batch: Times::of(&measured.batch_ns),
            phases: measured.phases,
            model_size_mb: engine.facts().model_size_bytes as f64 / MB,
            cache_mb: engine.kv_cache_bytes() as f64 / MB,
            peak_rss_mb: peak_rss_mb(),
            gpu: GpuMemory { before, loaded, decoded: used_mb() },
            roofline,
            drafts,
        };
        if options.json {
            terminal::json(&figures.json().to_string())?;
        } else {
            terminal::result(&figures.line())?;
        }
    }
    Ok(())
}

/// What was measured of all batches.
struct Measured {
    /// Of the first batch, which is decoded once more than the others.
    first_ns: u64,
    batch_ns: Vec<u64>,
    phases: Option<Phases>,
    drafts: Option<Drafts>,
}

/// The prompts up to the first token of every row, and the tokens that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Phases {
    prefill_ns: u64,
    prompt_tokens: u64,
    decode_ns: u64,
    /// Without the first of each row.
    later_tokens: u64,
}

impl Phases {
    /// Of a batch from `start` to `end`. `None` if a row has no time of its first token.
    fn of(rows: &[Row], start: u64, end: u64) -> Option<Self> {
        let firsts = rows.iter().map(|row| row.first_token_ns).collect::<Option<Vec<_>>>()?;
        let first = firsts.into_iter().max()?;
        let later = |row: &Row| u64::from(row.output_tokens.unwrap_or(0)).saturating_sub(1);
        Some(Self {
            prefill_ns: first - start,
            prompt_tokens: rows.iter().map(|row| u64::from(row.input_tokens.unwrap_or(0))).sum(),
            decode_ns: end - first,
            later_tokens: rows.iter().map(later).sum(),
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            prefill_ns: self.prefill_ns + other.prefill_ns,
            prompt_tokens: self.prompt_tokens + other.prompt_tokens,
            decode_ns: self.decode_ns + other.decode_ns,
            later_tokens: self.later_tokens + other.later_tokens,
        }
    }

    fn prefill_per_s(self) -> f64 {
        self.prompt_tokens as f64 / (self.prefill_ns as f64 / 1e9)
    }

    /// `None` if there were no tokens after the first ones.
    fn decode_per_s(self) -> Option<f64> {
        let seconds = self.decode_ns as f64 / 1e9;
        (self.later_tokens > 0).then(|| self.later_tokens as f64 / seconds)
    }
}

fn measure(
    engine: &mut LanguageModel,
    inputs: &[Input],
    batch_size: usize,
) -> anyhow::Result<Measured> {
    let stopwatch = Stopwatch::start();
    let mut decode = |batch: &[Input]| -> anyhow::Result<(u64, Option<Phases>, Option<Drafts>)> {
        let start = stopwatch.now_ns();
        let rows = engine.decode(batch, &stopwatch)?;
        let end = stopwatch.now_ns();
        let rows = rows.into_iter().collect::<Result<Vec<_>, _>>()?;
        let drafts = rows.iter().filter_map(|row| row.drafts).reduce(Drafts::and);
        Ok((end - start, Phases::of(&rows, start, end), drafts))
    };
    let (first_ns, ..) = decode(&inputs[..batch_size.min(inputs.len())])?;
    let batches = inputs.chunks(batch_size).map(decode).collect::<anyhow::Result<Vec<_>>>()?;
    let phases = batches.iter().map(|(_, phases, _)| *phases).collect::<Option<Vec<_>>>();
    Ok(Measured {
        first_ns,
        batch_ns: batches.iter().map(|(ns, ..)| *ns).collect(),
        phases: phases.and_then(|phases| phases.into_iter().reduce(Phases::and)),
        drafts: batches.iter().filter_map(|(.., drafts)| *drafts).reduce(Drafts::and),
    })
}

/// Batch times in milliseconds.
struct Times {
    total: f64,
    mean: f64,
    p50: f64,
    p95: f64,
}

impl Times {
    fn of(batch_ns: &[u64]) -> Self {
        let mut ms: Vec<f64> = batch_ns.iter().map(|ns| *ns as f64 / 1e6).collect();
        ms.sort_by(f64::total_cmp);
        Self {
            total: ms.iter().sum(),
            mean: mean(ms.iter().copied()),
            p50: quantile(&ms, 0.5),
            p95: quantile(&ms, 0.95),
        }
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Type 7 of Hyndman and Fan. `values` must be sorted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among the values is not negative and below their count"
)]
fn quantile(values: &[f64], level: f64) -> f64 {
    let place = level * (values.len() - 1) as f64;
    let below = values[place.floor() as usize];
    let above = values[place.ceil() as usize];
    below + (above - below) * place.fract()
}

impl Figures {
    fn per_s(&self, count: usize) -> f64 {
        count as f64 / (self.batch.total / 1e3)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "dtype": self.dtype,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "samples": self.samples,
            "new_tokens": self.new_tokens,
            "decoding": self.decoding,
            "input_tokens_mean": self.input_tokens_mean,
            "samples_per_s": self.per_s(self.samples),
            "output_tokens_per_s": self.per_s(self.samples * self.new_tokens),
            "prefill_tokens_per_s": self.phases.map(Phases::prefill_per_s),
            "decode_tokens_per_s": self.phases.and_then(Phases::decode_per_s),
            "load_ms": self.load_ms,
            "first_batch_ms": self.first_batch_ms,
            "batch_ms": { "mean": self.batch.mean, "p50": self.batch.p50, "p95": self.batch.p95 },
            "model_size_mb": self.model_size_mb,
            "cache_mb": self.cache_mb,
            "peak_rss_mb": self.peak_rss_mb,
            "drafts": self.drafts.map(|Drafts { drafted, accepted }| json!({
                "drafted": drafted,
                "accepted": accepted,
            })),
            "gpu_memory_mb": self.gpu.before.is_some().then(|| json!({
                "before": self.gpu.before,
                "loaded": self.gpu.loaded,
                "decoded": self.gpu.decoded,
            })),
            "roofline": self.roofline.as_ref().map(|roofline| self.roofline_json(roofline)),
        })
    }

    /// Per output token: the encoder's share is distributed over them.
    fn roofline_json(&self, roofline: &Roofline) -> serde_json::Value {
        let tokens = (self.samples * self.new_tokens) as f64;
        let used =
            Storage::ALL.into_iter().zip(roofline.operations).filter(|(_, count)| *count > 0);
        let peaks: serde_json::Map<_, _> = used
            .map(|(storage, _)| {
                (storage.name().to_owned(), roofline.limits.peaks.of(storage).into())
            })
            .collect();
        json!({
            "bytes_per_token": roofline.bytes as f64 / tokens,
            "operations_per_token": roofline.operations.iter().sum::<u64>() as f64 / tokens,
            "bandwidth_gb_per_s": roofline.limits.bandwidth,
            "peak_gop_per_s": peaks,
            "limit_samples_per_s": self.samples as f64 / (roofline.shortest_ns / 1e9),
            "share_of_limit": roofline.shortest_ns / 1e6 / self.batch.total,
        })
    }

    fn line(&self) -> String {
        format!(
            "batch size {:>3}: {:>8.2} samples/s, {:>9.1} tokens/s, {:>9.1} ms/batch{}{}{}",
            self.batch_size,
            self.per_s(self.samples),
            self.per_s(self.samples * self.new_tokens),
            self.batch.mean,
            self.phases.map_or_else(String::new, |phases| {
                let decode = phases.decode_per_s();
                let decode = decode
                    .map_or_else(String::new, |per_s| format!(", decode {per_s:.1} tokens/s"));
                format!(", prefill {:.1} tokens/s{decode}", phases.prefill_per_s())
            }),
            self.roofline.as_ref().map_or_else(String::new, |roofline| {
                let share = roofline.shortest_ns / 1e6 / self.batch.total;
                format!(", {:.0}% of the roofline", 100.0 * share)
            }),
            self.drafts.map_or_else(String::new, |drafts| format!(", {}", drafts_of(drafts))),
        )
    }
}

/// `312 of 540 drafted tokens accepted`
pub(super) fn drafts_of(Drafts { drafted, accepted }: Drafts) -> String {
    format!("{accepted} of {drafted} drafted tokens accepted")
}

fn peak_rss_mb() -> Option<f64> {
    let status = procfs::process::Process::myself().ok()?.status().ok()?;
    Some(status.vmhwm? as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::sample::Finish;

    #[test]
    fn prefill_ends_with_the_first_token_of_the_last_row() {
        let row = |first_token_ns, input, output| Row {
            input_tokens: Some(input),
            cut_tokens: 0,
            output_ids: Vec::new(),
            output_tokens: Some(output),
            unknown_tokens: 0,
            first_token_ns,
            end_ns: 9_000,
            finish: Finish::Length,
            text: None,
            http: None,
            chunk_gaps: None,
            drafts: None,
        };
        let rows = [row(Some(2_500), 100, 4), row(Some(3_000), 50, 2)];
        let phases = Phases::of(&rows, 1_000, 5_000).unwrap();
        let phases = phases.and(Phases::of(&rows[..1], 5_000 - 4_500, 5_000).unwrap());
        assert!((phases.prefill_per_s() - 250.0 / 4e-6).abs() < 1e-3);
        assert!((phases.decode_per_s().unwrap() - 7.0 / 4.5e-6).abs() < 1e-3);
        assert_eq!(Phases::of(&[row(Some(10), 5, 1)], 0, 10).unwrap().decode_per_s(), None);
        assert_eq!(Phases::of(&[row(Some(10), 5, 1), row(None, 5, 1)], 0, 10), None);
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        let times = Times::of(&[4_000_000, 1_000_000, 2_000_000, 3_000_000]);
        assert!((times.p50 - 2.5).abs() < 1e-12);
        assert!((times.p95 - 3.85).abs() < 1e-12);
        assert!((times.mean - 2.5).abs() < 1e-12);
    }
}
