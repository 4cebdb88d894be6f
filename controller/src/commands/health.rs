//! `controller health`: whether the controller of this machine answers, for whatever restarts it.

use crate::cli;
use anyhow::{Context, bail};
use ops::metrics::{self, Address};

/// Asks it for its metrics.
pub(super) fn run(options: &cli::Health) -> anyhow::Result<()> {
    let Address(address) = options.metrics;
    let answer = metrics::probe(address)
        .with_context(|| format!("no response from a controller on {address}"))?;
    if !answer.contains("\nfleetmark_campaign_info{") {
        bail!("the server on {address} is not a controller: use the port of its --metrics");
    }
    Ok(())
}
