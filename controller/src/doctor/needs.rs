//! Requirements of a matrix: sources, prices, notifications and local agents.

use super::{Agent, Facts};
use chrono::NaiveDate;
use model::finding::Finding;

#[derive(Debug, Clone)]
pub struct Needed {
    /// Threads of the largest local agent; null without local agents.
    pub local_threads: Option<u32>,
    /// Of this machine.
    pub processors: usize,
    /// Datasets, models and upload destinations.
    pub sources: Vec<Outcome>,
    /// Channels of `[notify]`.
    pub channels: Vec<Outcome>,
    /// An error if a target has no price.
    pub prices: Result<Prices, String>,
}

#[derive(Debug, Clone)]
pub struct Outcome {
    /// `dataset`, `model`, `adapter`, `tokenizer`, `artifacts` or `notify`.
    pub what: &'static str,
    /// As in the matrix.
    pub name: String,
    pub found: Result<String, String>,
}

#[derive(Debug, Clone)]
pub struct Prices {
    pub targets: usize,
    /// The oldest price from a price book.
    pub oldest: Option<DatedPrice>,
    pub age_days: i64,
    pub stale_after_days: i64,
}

#[derive(Debug, Clone)]
pub struct DatedPrice {
    pub target: String,
    pub source: String,
    pub date: NaiveDate,
}

pub(super) fn findings(needed: &Needed, facts: &Facts) -> Vec<Finding> {
    let mut all: Vec<Finding> = needed.sources.iter().map(source).collect();
    all.extend(threads(needed));
    all.push(prices(&needed.prices));
    let unreachable = needed.unreachable_fleet(facts);
    all.extend(unreachable);
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
            oldest: Some(DatedPrice { target, source, date }),
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
    /// All agents are remote, but the controller listens on loopback only.
    fn unreachable_fleet(&self, facts: &Facts) -> Option<Finding> {
        let is_alone = self.local_threads.is_none() && facts.listen.address.ip().is_loopback();
        is_alone.then(|| {
            Finding::trouble(
                "fleet",
                "all agents of this matrix are remote and can't connect to a loopback address",
                "use --listen 0.0.0.0:7437 with TLS (controller certs init), or an SSH tunnel (ssh -R)",
            )
        })
    }
}

/// The agent binary next to this one, required for local agents.
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
