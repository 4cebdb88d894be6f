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
                "notify" => "export what is missing, and try it with controller notify test",
                "dataset" => "mend dataset.source, or open the way to it: it is read here",
                "artifacts" => "mend artifacts.s3, or give credentials that may write there",
                _ => {
                    "mend it, or open the way to it: every agent must read it, too (agent doctor --model)"
                }
            };
            Finding::trouble(what, format!("{name}: {reason}"), remedy)
        }
    }
}

fn threads(needed: &Needed) -> Option<Finding> {
    let threads = needed.local_threads?;
    let detail = format!(
        "agents here compute with up to {threads} threads, and there are {} processors",
        needed.processors
    );
    Some(if threads as usize > needed.processors {
        Finding::trouble(
            "threads",
            detail,
            "give [[fleet.local]] fewer threads: more of them only wait",
        )
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
            Finding::ok("prices", format!("{targets} of the matrix itself"))
        }
        Ok(Prices {
            targets,
            oldest: Some((target, source, date)),
            age_days,
            stale_after_days,
        }) => {
            let detail = format!(
                "{targets}; the oldest, of {target}, was read {date}, {age_days} days ago ({source})"
            );
            if age_days > stale_after_days {
                let remedy = format!(
                    "older than {stale_after_days} days: bring them up to date with controller prices refresh or import"
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
                "all agents of this matrix are other machines, and only this one can dial a loopback address",
                "listen on --listen 0.0.0.0:7437 over TLS (controller certs init), or use an SSH tunnel (ssh -R)",
            )
        })
    }
}

/// The program beside this one: needed where the matrix starts agents here.
pub(super) fn agent(agent: &Agent, needed: Option<&Needed>) -> Finding {
    let is_needed = needed.is_some_and(|needed| needed.local_threads.is_some());
    match &agent.version {
        Ok(version) if *version == agent.expected => {
            Finding::ok("agent", format!("version {version}, beside this program"))
        }
        Ok(version) => Finding::trouble(
            "agent",
            format!("version {version} lies beside this program, which is {}", agent.expected),
            "build both: cargo build --release",
        ),
        Err(reason) if is_needed => Finding::trouble(
            "agent",
            reason.clone(),
            "this matrix starts agents here: put the program agent beside this one (cargo build --release)",
        ),
        Err(reason) => Finding::not_measurable(
            "agent",
            reason.clone(),
            "only [[fleet.local]] needs it: agents of other machines have their own",
        ),
    }
}
