//! The agent's gRPC edge: dials the controller, says who it is, and carries orders to the runner and
//! reports back. When the stream breaks it gives the shard up and dials again.
//!
//! It decides nothing about measuring, and inference never runs here.

mod connection;
mod dial;
mod greeting;
mod identity;
mod refused;
#[cfg(test)]
mod tests;
mod trail;

pub use greeting::greet;
pub use identity::{Identity, Token, TokenSource};

use crate::metrics::Metrics;
use crate::runner::{Report, Runner};
use backon::{BackoffBuilder, ExponentialBuilder};
use host::Host;
use model::telemetry::Instruments;
use ops::traces::Traces;
use proto::wire;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::time::Duration;
use telemetry::sampler::Observations;
use tokio::sync::mpsc::UnboundedReceiver;
use tonic::Code;

/// Who this agent is and whom it serves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Such as `https://bench.example:7437`.
    pub controller: String,
    /// What it stands for; empty: what its machine was found to be.
    pub target: String,
    /// Proof that it may join, and whom it trusts.
    pub identity: Identity,
    /// Never used by another process; each connection adds its number.
    pub agent_id: String,
    /// Inference threads.
    pub threads: u32,
    /// What its engines can do.
    pub devices: Vec<wire::Device>,
    /// What it can observe, and what it can't.
    pub instruments: Instruments,
    /// How long it tries to reach the controller.
    pub patience: Duration,
    /// Where spans go.
    pub traces: Traces,
}

/// What the agent's own threads have to say.
#[derive(Debug)]
pub struct Inbox {
    /// Of the runner.
    pub reports: UnboundedReceiver<Report>,
    /// Of the sampler.
    pub observations: Observations,
}

/// Why an agent ends without having been sent home.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL.
    #[error("--controller {url} is no URL: give it as https://HOST:PORT")]
    Url {
        /// As given.
        url: String,
    },
    /// Secrets and dialogues would travel in the open.
    #[error("--controller {url}: off loopback the controller is reached by https:// only")]
    Plain {
        /// As given.
        url: String,
    },
    /// Nobody vouches for the controller.
    #[error("--controller {url}: give --ca FILE, the ca.pem that controller certs init made")]
    Ca {
        /// As given.
        url: String,
    },
    /// A file of a token, a certificate or a key can't be read.
    #[error("can't read {}", path.display())]
    Secret {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate or a key can't be used.
    #[error("the files of --ca, --cert and --key can't be used")]
    Certificate(#[source] io::Error),
    /// Not a token.
    #[error("the token holds characters that no token has")]
    Token,
    /// The controller doesn't want it.
    #[error("the controller refused this agent: {reason}")]
    Refused {
        /// In the controller's words.
        reason: String,
    },
    /// Nobody answers.
    #[error("no controller answers at {url} since {} s: {reason}", patience.as_secs())]
    Unreachable {
        /// As given.
        url: String,
        /// How long it tried.
        patience: Duration,
        /// What went wrong last.
        reason: String,
    },
}

/// Why an agent ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The controller sent it home.
    Drained(String),
    /// It was told to stop.
    Stopped,
}

/// How one connection ended.
enum Disconnect {
    Ended(Ending),
    Broken(String),
    /// As before, after it had joined: the backoff starts anew.
    BrokenAfterWelcome(String),
    Refused(String),
}

/// Pauses between attempts to connect: 50 to 100 ms at first, 5 to 10 s at last.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times()
    .with_jitter();

/// Serves one controller until it sends this agent home, or `stop` is ready.
///
/// # Errors
/// [`Error`] where the controller refuses it or can't be reached for longer than its patience.
pub async fn join(
    options: &Options,
    host: &Host,
    runner: &Runner,
    inbox: &mut Inbox,
    metrics: &Metrics,
    stop: impl Future<Output = ()>,
) -> Result<Ending, Error> {
    // What is wrong with the files is told before anything is dialled.
    dial::Dial::new(&options.controller, &options.identity)?;
    let mut stop = std::pin::pin!(stop);
    // Agents that lost the same controller come back at different times.
    let mut seed = DefaultHasher::new();
    options.agent_id.hash(&mut seed);
    let pauses = PAUSES.with_jitter_seed(seed.finish());
    let mut next_pauses = pauses.build();
    let mut unreachable_since = tokio::time::Instant::now();
    for connection in 1_u64.. {
        // A connection of its own for the controller: what comes late from an older one can't be mistaken.
        let agent_id = format!("{}.{connection}", options.agent_id);
        let options = &Options { agent_id, ..options.clone() };
        let reason = match connection::serve(options, host, runner, inbox, metrics, &mut stop).await
        {
            Disconnect::Ended(ending) => return Ok(ending),
            Disconnect::Refused(reason) => return Err(Error::Refused { reason }),
            Disconnect::BrokenAfterWelcome(reason) => {
                next_pauses = pauses.build();
                unreachable_since = tokio::time::Instant::now();
                reason
            }
            Disconnect::Broken(reason) => reason,
        };
        if unreachable_since.elapsed() > options.patience {
            let (url, patience) = (options.controller.clone(), options.patience);
            return Err(Error::Unreachable { url, patience, reason });
        }
        let pause = next_pauses.next().unwrap_or_default();
        tracing::info!(reason, ?pause, "no controller; trying again");
        tokio::select! {
            () = &mut stop => return Ok(Ending::Stopped),
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(Ending::Stopped)
}

/// Whether dialling again can't help.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::InvalidArgument
            | Code::Unimplemented
    )
}
