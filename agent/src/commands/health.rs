//! `agent health`: whether the agent of this machine answers, for whatever restarts it.

use crate::terminal;
use anyhow::{Context, bail};
use clap::Args;
use ops::metrics::Address;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(2);

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
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let answer = ask().with_context(|| format!("no agent answers on {address}"))?;
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
