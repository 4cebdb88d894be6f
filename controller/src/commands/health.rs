//! `controller health`: whether the controller of this machine answers, for whatever restarts it.

use crate::cli;
use anyhow::{Context, bail};
use ops::metrics::Address;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks it for its metrics.
pub(super) fn run(options: &cli::Health) -> anyhow::Result<()> {
    let Address(address) = options.metrics;
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = ask().with_context(|| format!("no controller answers on {address}"))?;
    if !answer.contains("\nfleetmark_campaign_info{") {
        bail!("what answers on {address} is no controller: give the port of its --metrics");
    }
    Ok(())
}
