//! The command line.

use super::{bench, doctor, generate, health, join, serve};
use clap::{Parser, Subcommand};
use ops::{command_line, logs};

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
