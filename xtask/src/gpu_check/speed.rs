//! The time of a decoder step: against its bytes, the prediction and PyTorch.

use super::Extent;
use super::agent::{Agent, Gpu};
use super::table::{Outcome, Row};
use anyhow::Context;
use serde_json::{Value, json};
use std::process::Command;

const PYTORCH: &str = include_str!("pytorch.py");

const CARDS: [&str; 4] = ["T4", "A10G", "L4", "H100"];

/// The goals of a step: a share of the bandwidth, and of PyTorch's time with CUDA graphs.
const GOALS: (f64, f64) = (0.8, 0.5);

struct Plan {
    model: &'static str,
    dtypes: &'static [&'static str],
    batch_sizes: [usize; 2],
    prompt_tokens: usize,
    /// Summaries of these two lengths: the difference in time is that of the steps alone.
    tokens: [usize; 2],
    batches: usize,
}

impl Plan {
    fn of(extent: Extent) -> Self {
        match extent {
            Extent::Full => Self {
                model: "dummy:flan-t5-base",
                dtypes: &["f32", "f16", "int8"],
                batch_sizes: [1, 8],
                prompt_tokens: 512,
                tokens: [16, 80],
                batches: 5,
            },
            Extent::Rehearsal => Self {
                model: "builtin:tiny",
                dtypes: &["f16"],
                batch_sizes: [1, 2],
                prompt_tokens: 4,
                tokens: [1, 2],
                batches: 1,
            },
        }
    }
}

/// Figures of each dtype and batch size.
pub(super) fn check(
    agent: &Agent,
    gpu: &Gpu,
    extent: Extent,
    rows: &mut Vec<Row>,
) -> anyhow::Result<Vec<Value>> {
    let plan = Plan::of(extent);
    let card = CARDS
        .into_iter()
        .find(|card| gpu.description.split([' ', '-', ',']).any(|word| word == *card));
    let pytorch = pytorch(agent, gpu);
    let mut steps = Vec::new();
    for dtype in plan.dtypes {
        for batch_size in plan.batch_sizes {
            let step_ms = step_ms(agent, &plan, dtype, batch_size)?;
            let predicted = match card {
                Some(card) => Some(predicted(agent, &plan, dtype, batch_size, card)?),
                None => None,
            };
            let reference = pytorch
                .as_ref()
                .ok()
                .filter(|_| *dtype == "f16")
                .and_then(|found| found.iter().find(|of| of["batch_size"] == batch_size));
            let what = format!("{}, {dtype}, batch size {batch_size}", plan.model);
            row(rows, &what, step_ms, predicted.as_ref(), reference);
            steps.push(json!({
                "model": plan.model,
                "dtype": dtype,
                "batch_size": batch_size,
                "step_ms": step_ms,
                "share_of_bandwidth": predicted.as_ref().and_then(|found| share(found, step_ms)),
                "prediction": predicted,
                "pytorch": reference,
            }));
        }
    }
    if card.is_none() {
        let why = "no figures of this GPU are known";
        rows.push(Row::new("share of the bandwidth, and the prediction", why, Outcome::Skipped));
    }
    if let Err(why) = &pytorch {
        rows.push(Row::new("a step of PyTorch", why, Outcome::Skipped));
    }
    Ok(steps)
}

/// The published bandwidth's share that a step of this time reads with.
fn share(predicted: &Value, step_ms: f64) -> Option<f64> {
    let number = |name: &str| predicted[name].as_f64();
    let bytes = number("weight_bytes")? + number("cache_bytes")?;
    Some(bytes / (step_ms * 1e6) / number("bandwidth_gb_per_s")?)
}

fn row(
    rows: &mut Vec<Row>,
    what: &str,
    step_ms: f64,
    predicted: Option<&Value>,
    pytorch: Option<&Value>,
) {
    let mut found = vec![format!("{step_ms:.3} ms")];
    let mut outcome = Outcome::Noted;
    if let Some(share) = predicted.and_then(|predicted| share(predicted, step_ms)) {
        found.push(format!(
            "{:.0}% of the bandwidth (goal: {:.0}%)",
            100.0 * share,
            100.0 * GOALS.0
        ));
        // Faster than memory can be is an error of this check.
        if share > 1.0 {
            outcome = Outcome::Failed;
        }
    }
    let case = |name: &str| predicted.and_then(|predicted| predicted["step_ms"][name].as_f64());
    if let (Some(best), Some(worst)) = (case("best"), case("worst")) {
        found.push(format!("predicted {best:.3} to {worst:.3} ms"));
    }
    let reference = |name: &str| pytorch.and_then(|pytorch| pytorch[name].as_f64());
    for (name, words) in [("eager_ms", "PyTorch's"), ("graph_ms", "PyTorch's with CUDA graphs")] {
        if let Some(theirs) = reference(name) {
            found.push(format!("{:.2} of {words} {theirs:.3} ms", step_ms / theirs));
        }
    }
    if reference("graph_ms").is_some() {
        found.push(format!("goal: {}", GOALS.1));
    }
    rows.push(Row::new(format!("step of {what}"), found.join("; "), outcome));
}

fn step_ms(agent: &Agent, plan: &Plan, dtype: &str, batch_size: usize) -> anyhow::Result<f64> {
    let samples = plan.batches * batch_size;
    agent.write_long_prompts(samples, plan.prompt_tokens)?;
    let mut times = Vec::new();
    for tokens in plan.tokens {
        let numbers = [batch_size, tokens, samples].map(|number| number.to_string());
        let found = agent.bench(&[
            "--model",
            plan.model,
            "--device",
            &agent.device,
            "--dtype",
            dtype,
            "--input",
            "in.jsonl",
            "--batch-size",
            &numbers[0],
            "--new-tokens",
            &numbers[1],
            "--samples",
            &numbers[2],
        ])?;
        times.push(found[0]["batch_ms"]["p50"].as_f64().context("no batch_ms.p50")?);
    }
    Ok((times[1] - times[0]) / (plan.tokens[1] - plan.tokens[0]) as f64)
}

fn predicted(
    agent: &Agent,
    plan: &Plan,
    dtype: &str,
    batch_size: usize,
    card: &str,
) -> anyhow::Result<Value> {
    // The middle of the measured steps.
    let own_tokens = plan.tokens[0] + plan.tokens[1];
    let numbers = [batch_size, plan.prompt_tokens, own_tokens].map(|number| number.to_string());
    let mut found = agent.bench(&[
        "--model",
        plan.model,
        "--dtype",
        dtype,
        "--batch-size",
        &numbers[0],
        "--max-input-tokens",
        &numbers[1],
        "--new-tokens",
        &numbers[2],
        "--predict",
        card,
    ])?;
    found.pop().context("no prediction")
}

/// Steps of PyTorch in f16, or why there are none.
fn pytorch(agent: &Agent, gpu: &Gpu) -> Result<Vec<Value>, String> {
    if gpu.is_software {
        return Err("PyTorch can't use the software GPU".to_owned());
    }
    let device = &agent.device;
    let output = Command::new("python3").args(["-c", PYTORCH, "--device", device]).output();
    let output = output.map_err(|error| format!("python3 doesn't start: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(errors.lines().last().unwrap_or("python3 failed").to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| serde_json::from_str(line).map_err(|e| e.to_string()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction() -> Value {
        json!({
            "weight_bytes": 200_000_000, "cache_bytes": 56_000_000, "bandwidth_gb_per_s": 320.0,
            "step_ms": {"best": 1.0, "worst": 1.5},
        })
    }

    #[test]
    fn a_step_is_compared_with_memory_prediction_and_pytorch() {
        let mut rows = Vec::new();
        let pytorch = json!({"eager_ms": 8.0, "graph_ms": 2.0});
        row(&mut rows, "x", 1.0, Some(&prediction()), Some(&pytorch));
        assert_eq!(
            rows[0].found,
            "1.000 ms; 80% of the bandwidth (goal: 80%); predicted 1.000 to 1.500 ms; 0.12 of \
             PyTorch's 8.000 ms; 0.50 of PyTorch's with CUDA graphs 2.000 ms; goal: 0.5"
        );
        assert_eq!(rows[0].outcome, Outcome::Noted);
    }

    #[test]
    fn a_step_faster_than_memory_is_an_error() {
        let mut rows = Vec::new();
        row(&mut rows, "x", 0.7, Some(&prediction()), None);
        assert!(rows[0].is_failed());
    }
}
