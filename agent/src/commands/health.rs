//! `agent health`: whether the agent of this machine answers, for whatever restarts it.

use anyhow::{Context, bail};
use clap::Args;
use ops::metrics::{self, Address};
use ops::terminal;

/// What `agent health` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  agent health --metrics 9465")]
pub struct Options {
    /// Where the agent serves its metrics: a port on loopback, or ADDRESS:PORT
    #[arg(long, value_name = "ADDR")]
    pub metrics: Address,
}

/// Asks it for its metrics.
///
/// # Errors
/// Where nothing answers, or not as an agent does.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let Address(address) = options.metrics;
    let answer =
        metrics::probe(address).with_context(|| format!("no agent answers on {address}"))?;
    let Some((_, welcome)) = answer.split_once("\nfleetmark_agent_welcome ") else {
        bail!("what answers on {address} is no agent: give the port of its --metrics");
    };
    terminal::note(if welcome.starts_with('1') {
        "welcomed by its controller"
    } else {
        "looking for its controller"
    });
    Ok(())
}
