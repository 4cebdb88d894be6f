//! `controller health`: whether the controller on this machine responds, for supervisors.

use crate::cli;
use anyhow::{Context, bail};
use ops::metrics::{self, Address};

pub(super) fn run(options: &cli::Health) -> anyhow::Result<()> {
    let Address(address) = options.metrics;
    let response = metrics::probe(address)
        .with_context(|| format!("no response from a controller on {address}"))?;
    if !response.contains("\nfleetmark_campaign_info{") {
        bail!("the server on {address} is not a controller: use the port of its --metrics");
    }
    Ok(())
}
