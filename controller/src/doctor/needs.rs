//! What one matrix needs beside this machine: its sources, its prices, its messages, its agents here.

use super::{Agent, Seen};
use chrono::NaiveDate;
use model::finding::Finding;

/// What a matrix needs, as it was seen from here.
#[derive(Debug, Clone)]
pub struct Needed {
    /// Threads that its local agents would compute with, the most of one; null where it starts none.
    pub local_threads: Option<u32>,
    /// Processors of this machine.
    pub processors: usize,
    /// Datasets, models and places for results, each with where it is.
    pub sources: Vec<Outcome>,
    /// Channels of `[notify]`, each ready or not.
    pub channels: Vec<Outcome>,
    /// Where prices come from; or why a target has none.
    pub prices: Result<Prices, String>,
}

/// What came of looking at one thing.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `dataset`, `model`, `adapter`, `tokenizer`, `artifacts` or `notify`.
    pub what: &'static str,
    /// As the matrix names it.
    pub name: String,
    /// What is there; or what is wrong, with its way out.
    pub found: Result<String, String>,
}

/// Prices of a matrix.
#[derive(Debug, Clone)]
pub struct Prices {
    /// How many targets have one.
    pub targets: usize,
    /// The oldest that came from a book: its target, its source and its day.
    pub oldest: Option<(String, String, NaiveDate)>,
    /// Days between that and today.
    pub age_days: i64,
    /// From which age on a price is too old.
    pub stale_after_days: i64,
}

pub(super) fn findings(needed: &Needed, seen: &Seen) -> Vec<Finding> {
    let mut all: Vec<Finding> = needed.sources.iter().map(source).collect();
    all.extend(threads(needed));
    all.push(prices(&needed.prices));
    let is_local = needed.listen_is_enough(seen);
    all.extend(is_local);
    all.extend(needed.channels.iter().map(source));
    all
}

fn source(outcome: &Outcome) -> Finding {
    let Outcome { what, name, found } = outcome;
    match found {
        Ok(detail) => Finding::ok(what, format!("{name}: {detail}")),
        Err(reason) => {
            let remedy = match *what {
                "notify" => "set the variable, then test with controller notify test",
                "dataset" => "fix dataset.source or its access: the controller reads it",
                "artifacts" => "fix artifacts.s3, or use credentials with write permission",
                _ => {
                    "fix its name or access: every agent must be able to read it (agent doctor --model)"
                }
            };
            Finding::trouble(what, format!("{name}: {reason}"), remedy)
        }
    }
}

fn threads(needed: &Needed) -> Option<Finding> {
    let threads = needed.local_threads?;
    let detail = format!(
        "local agents use up to {threads} threads; this machine has {} processors",
        needed.processors
    );
    Some(if threads as usize > needed.processors {
        Finding::trouble("threads", detail, "reduce threads in [[fleet.local]]")
    } else {
        Finding::ok("threads", detail)
    })
}

fn prices(prices: &Result<Prices, String>) -> Finding {
    match prices {
        Err(reason) => Finding::trouble(
            "prices",
            reason.clone(),
            "see controller prices list, import and refresh",
        ),
        Ok(Prices { targets, oldest: None, .. }) => {
            Finding::ok("prices", format!("{targets}, all set in the matrix"))
        }
        Ok(Prices {
            targets,
            oldest: Some((target, source, date)),
            age_days,
            stale_after_days,
        }) => {
            let detail = format!(
                "{targets}; the oldest is of {target}, dated {date}, {age_days} days ago ({source})"
            );
            if age_days > stale_after_days {
                let remedy = format!(
                    "older than {stale_after_days} days: update with controller prices refresh or import"
                );
                Finding::trouble("prices", detail, remedy)
            } else {
                Finding::ok("prices", detail)
            }
        }
    }
}

impl Needed {
    /// Where nothing is started here and nobody else can dial in, nobody will come.
    fn listen_is_enough(&self, seen: &Seen) -> Option<Finding> {
        let is_alone = self.local_threads.is_none() && seen.listen.address.ip().is_loopback();
        is_alone.then(|| {
            Finding::trouble(
                "fleet",
                "all agents of this matrix are remote and can't connect to a loopback address",
                "use --listen 0.0.0.0:7437 with TLS (controller certs init), or an SSH tunnel (ssh -R)",
            )
        })
    }
}

/// The program beside this one: needed where the matrix starts agents here.
pub(super) fn agent(agent: &Agent, needed: Option<&Needed>) -> Finding {
    let is_needed = needed.is_some_and(|needed| needed.local_threads.is_some());
    match &agent.version {
        Ok(version) if *version == agent.expected => {
            Finding::ok("agent", format!("version {version}, next to this program"))
        }
        Ok(version) => Finding::trouble(
            "agent",
            format!(
                "version {version} is next to this program, which is version {}",
                agent.expected
            ),
            "rebuild both: cargo build --release",
        ),
        Err(reason) if is_needed => Finding::trouble(
            "agent",
            reason.clone(),
            "this matrix starts local agents: put the agent binary next to this one (cargo build --release)",
        ),
        Err(reason) => {
            Finding::not_measurable("agent", reason.clone(), "required only for [[fleet.local]]")
        }
    }
}
