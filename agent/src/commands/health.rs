//! `agent health`: checks whether the agent on this machine responds, for supervisors.

use anyhow::{Context, bail};
use clap::Args;
use ops::metrics::{self, Address};
use ops::terminal;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  agent health --metrics 9465")]
pub struct Options {
    /// Address of the agent's metrics: a port on loopback, or ADDRESS:PORT
    #[arg(long, value_name = "ADDR")]
    pub metrics: Address,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let Address(address) = options.metrics;
    let answer =
        metrics::probe(address).with_context(|| format!("no agent responds on {address}"))?;
    let Some((_, joined)) = answer.split_once("\nfleetmark_agent_joined ") else {
        bail!("the server on {address} is not an agent: use the port of its --metrics");
    };
    terminal::note(if joined.starts_with('1') {
        "connected to its controller"
    } else {
        "connecting to its controller"
    });
    Ok(())
}
