//! `cargo xtask gpu-check`: checks for a machine with an NVIDIA GPU. It needs the
//! agent alone: no network, no toolkit, no weights.
//!
//! Tokens are compared with those of the CPU on the same machine, and a step's time with its bytes,
//! with the prediction, and with PyTorch if Python has it. `pack` makes an archive for such a
//! machine. The rehearsal on the software GPU runs everything and calls no figure a speed.

mod agent;
mod pack;
mod speed;
mod table;
mod tokens;

use agent::Agent;
use anyhow::{Context, bail};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use table::Row;

/// How much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Minutes of a GPU.
    Full,
    /// Seconds of the software GPU.
    Rehearsal,
}

struct Options {
    device: String,
    agent: PathBuf,
    output: PathBuf,
    extent: Extent,
}

impl Options {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            device: "cuda:0".to_owned(),
            agent: crate::process::programs().join("agent"),
            output: "gpu-check.json".into(),
            extent: Extent::Full,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--device" => value()?.clone_into(&mut options.device),
                "--agent" => options.agent = value()?.into(),
                "--output" => options.output = value()?.into(),
                "--rehearsal" => options.extent = Extent::Rehearsal,
                _ => bail!(
                    "unknown argument `{word}`: expected pack, --device, --agent, --output or \
                     --rehearsal"
                ),
            }
        }
        Ok(options)
    }
}

pub(crate) fn task(arguments: &[String]) -> anyhow::Result<()> {
    if arguments.first().is_some_and(|word| word == "pack") {
        return pack::run();
    }
    let options = Options::parse(arguments)?;
    let program = fs::canonicalize(&options.agent)
        .with_context(|| format!("no agent at {}: --agent FILE", options.agent.display()))?;
    let agent = Agent::new(program, options.device.clone())?;
    let gpu = agent.doctor()?;
    println!("{}: {}\n", options.device, gpu.description);
    if gpu.is_software {
        println!("A rehearsal on the software GPU: no time below is a speed.\n");
    }
    let mut rows = Vec::new();
    tokens::check(&agent, options.extent, &mut rows)?;
    tokens::sanitize(&agent, &mut rows)?;
    let steps = speed::check(&agent, &gpu, options.extent, &mut rows)?;
    print!("{}", table::markdown(&rows));
    let result = json!({
        "device": options.device,
        "gpu": gpu.description,
        "is_software": gpu.is_software,
        "is_rehearsal": options.extent == Extent::Rehearsal,
        "agent": agent.version()?,
        "checks": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "steps": steps,
    });
    let text = serde_json::to_string_pretty(&result)?;
    fs::write(&options.output, text + "\n")
        .with_context(|| format!("cannot write {}", options.output.display()))?;
    let failed = rows.iter().filter(|row| row.is_failed()).count();
    if failed > 0 {
        bail!("{failed} of {} checks failed", rows.len());
    }
    Ok(())
}
