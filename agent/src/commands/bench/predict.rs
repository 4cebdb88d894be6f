//! `agent bench --predict`: what a step of the decoder is expected to take on a GPU, without one.

use super::Options;
use crate::engines;
use crate::model_source::Sources;
use anyhow::Context;
use engine::files::ModelSource;
use model::engine::EngineName;
use ops::terminal;
use seq2seq::config::Config;
use seq2seq::device::Device;
use seq2seq::gpu::prediction::{Batch, CARDS, Card, Step};
use serde_json::json;

pub(super) fn run(options: &Options, card: &str) -> anyhow::Result<()> {
    if options.model.engine == EngineName::Candle {
        return Err(engines::Error::CandleDevice.into());
    }
    let cards = cards(card, &options.model.device)?;
    let spec = options.model.spec();
    let model = Sources.model(&spec)?;
    let file = model.config.name().to_owned();
    let config = Config::parse(model.config.text()?.as_bytes()).with_context(|| file)?;
    seq2seq::gpu::check(&config, &spec)?;
    for card in cards {
        for batch_size in &options.batch_size {
            let batch = Batch {
                rows: batch_size.get(),
                prompt_tokens: options.max_input_tokens.get(),
                // The mean over the summary.
                own_tokens: options.new_tokens.get().div_ceil(2),
            };
            show(options, card, batch, &Step::of(&config, options.model.dtype, batch))?;
        }
    }
    Ok(())
}

/// The named card, that of the device, or all.
fn cards(name: &str, device: &str) -> anyhow::Result<Vec<&'static Card>> {
    let known = || CARDS.map(|card| card.name).join(", ");
    if !name.is_empty() {
        let found = Card::find(name);
        return found
            .map(|card| vec![card])
            .with_context(|| format!("unknown card `{name}`: expected one of {}", known()));
    }
    let device = Device::open(device)?;
    let Some(gpu) = device.gpu() else { return Ok(CARDS.iter().collect()) };
    let found = Card::find(&gpu.name);
    found.map(|card| vec![card]).with_context(|| {
        format!("no figures for {}: name a card, such as --predict {}", gpu.name, CARDS[0].name)
    })
}

fn show(options: &Options, card: &Card, batch: Batch, step: &Step) -> anyhow::Result<()> {
    let found = step.predict(card);
    let bytes = step.weight_bytes() + step.cache_bytes;
    if options.json {
        let line = json!({
            "is_prediction": true,
            "card": card.name,
            "bandwidth_gb_per_s": card.bandwidth,
            "dtype": options.model.dtype.as_str(),
            "batch_size": batch.rows,
            "prompt_tokens": batch.prompt_tokens,
            "own_tokens": batch.own_tokens,
            "launches": step.launches,
            "weight_bytes": step.weight_bytes(),
            "cache_bytes": step.cache_bytes,
            "step_ms": {
                "best": found.best_ms,
                "expected": found.expected_ms,
                "worst": found.worst_ms,
            },
            "limit": found.limit.as_str(),
        });
        return Ok(terminal::json(&line.to_string())?);
    }
    Ok(terminal::result(&format!(
        "predicted, not measured: {:<4} batch size {:>3}: {:>6.2} ms/step ({:.2} to {:.2}), \
         {} launches, {:.0} MB, limited by {}",
        card.name,
        batch.rows,
        found.expected_ms,
        found.best_ms,
        found.worst_ms,
        step.launches,
        bytes as f64 / 1e6,
        found.limit.as_str(),
    ))?)
}
