//! The command line.

use super::{bench, doctor, generate, health, join, serve};
use clap::{Parser, Subcommand};
use ops::{command_line, logs};
use std::path::Path;

/// Runs inference on one machine and measures it.
#[derive(Debug, Parser)]
#[command(name = "agent", version = env!("FLEETMARK_VERSION"), about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub log: logs::Options,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join a controller and run its shards until drained
    Join(join::Options),
    /// Summarize the dialogues in a file
    Generate(generate::Options),
    /// Measure this machine's inference speed for one model at several batch sizes
    Bench(bench::Options),
    /// Check what this machine can measure and reach
    Doctor(doctor::Options),
    /// Check whether the agent on this machine responds
    Health(health::Options),
    /// Serve HTTP requests like a SageMaker inference container
    Serve(serve::Options),
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  agent completions bash > /etc/bash_completion.d/agent")]
    Completions(command_line::Completions),
    /// Write man pages
    #[command(after_help = "Example:\n  agent man ~/.local/share/man/man1")]
    Man(command_line::Man),
}

impl Command {
    /// The device that it computes on, with the library that reads GPUs instead of the system's. `None`
    /// for commands without a device, and for the doctor, which reports what is wrong with it.
    pub fn device(&self) -> Option<(&str, Option<&Path>)> {
        match self {
            Self::Join(options) => {
                Some((&options.device, options.instruments.nvml_library.as_deref()))
            }
            Self::Generate(options) => Some((&options.model.device, None)),
            Self::Bench(options) => Some((&options.model.device, None)),
            Self::Serve(options) => Some((&options.device, None)),
            Self::Doctor(_) | Self::Health(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }
}
