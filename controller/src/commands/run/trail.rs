//! What happened to shards -> spans of the campaign's trace: campaign, round, shard, attempt. The agent's own spans are
//! within the attempt.

use model::ids::{AgentId, CampaignId};
use ops::traces::{Kind, Parent, Span, Traces};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use store::CampaignRow;

/// What happened to a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It was leased.
    Offered {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Index of its cell.
        cell: usize,
        /// Its round.
        round: u32,
        /// From 1 in its run.
        segment: u64,
        /// How many batches are left of it.
        batches: usize,
        /// To whom.
        agent: AgentId,
    },
    /// An attempt is through.
    Finished {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
    },
    /// An attempt was refused or broke off.
    Failed {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// In the agent's words.
        why: String,
    },
    /// The agent that had it was lost.
    Lost {
        /// Which shard.
        shard: usize,
        /// How.
        why: &'static str,
    },
    /// It can't be measured.
    SetAside {
        /// Which shard.
        shard: usize,
        /// Why.
        why: String,
    },
    /// It is done or set aside.
    Over {
        /// Which shard.
        shard: usize,
    },
    /// A run of a round is over, or isn't needed.
    RunOver {
        /// Which round.
        round: u32,
    },
}

/// The spans that are open.
#[derive(Debug)]
pub(super) struct Trail {
    traces: Traces,
    campaign: Span,
    cells: Vec<Cell>,
    rounds: BTreeMap<u32, Round>,
    shards: HashMap<usize, Shard>,
}

#[derive(Debug)]
struct Cell {
    id: String,
    target: String,
}

#[derive(Debug)]
struct Round {
    /// None before its first shard is leased, and once its last run is over.
    span: Option<Span>,
    runs_left: usize,
}

#[derive(Debug)]
struct Shard {
    span: Span,
    /// The one that is under way.
    attempt: Option<(u64, Span)>,
}

impl Trail {
    /// The campaign begins, or is gone on with: then in the same trace.
    pub(super) fn begin(traces: &Traces, row: &CampaignRow, is_gone_on_with: bool) -> Self {
        let mut campaign = traces.root("campaign", trace_of(&row.id));
        campaign.set("fleetmark.campaign", row.id.to_string());
        campaign.set("fleetmark.cells", number(row.plan.cells.len() as u64));
        campaign.set("fleetmark.is_gone_on_with", is_gone_on_with);
        let cells = row.plan.cells.iter().map(|cell| Cell {
            id: cell.id.to_string(),
            target: row.matrix.targets[cell.target].name.to_string(),
        });
        Self {
            traces: traces.clone(),
            campaign,
            cells: cells.collect(),
            rounds: BTreeMap::new(),
            shards: HashMap::new(),
        }
    }

    /// How many runs of each round are to be measured.
    pub(super) fn expect(&mut self, runs_left: BTreeMap<u32, usize>) {
        let round = |(number, runs_left)| (number, Round { span: None, runs_left });
        self.rounds = runs_left.into_iter().map(round).collect();
    }

    /// The campaign's `traceparent`.
    pub(super) fn of_campaign(&self) -> String {
        self.campaign.context()
    }

    /// The `traceparent` of the attempt that holds a shard.
    pub(super) fn of_attempt(&self, shard: u64) -> String {
        let shard = usize::try_from(shard).ok().and_then(|shard| self.shards.get(&shard));
        let attempt = shard.and_then(|shard| shard.attempt.as_ref());
        attempt.map(|(_, span)| span.context()).unwrap_or_default()
    }

    /// Takes in what happened.
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Offered { shard, attempt, cell, round, segment, batches, agent } => {
                let traces = self.traces.clone();
                let parent = Parent::Span(self.shard(shard, cell, round));
                let mut span = traces.span("attempt", Kind::Client, parent);
                span.set("fleetmark.attempt", number(attempt));
                span.set("fleetmark.segment", number(segment));
                span.set("fleetmark.batches", number(batches as u64));
                span.set("fleetmark.agent", agent.to_string());
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.attempt = Some((attempt, span));
                }
            }
            Step::Finished { shard, attempt } => drop(self.ended(shard, Some(attempt))),
            Step::Failed { shard, attempt, why } => {
                if let Some(mut span) = self.ended(shard, Some(attempt)) {
                    span.fail(&why);
                }
            }
            Step::Lost { shard, why } => {
                if let Some(mut span) = self.ended(shard, None) {
                    span.fail(why);
                }
            }
            Step::SetAside { shard, why } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    shard.span.fail(&why);
                }
            }
            Step::Over { shard } => drop(self.shards.remove(&shard)),
            Step::RunOver { round } => {
                if let Some(round) = self.rounds.get_mut(&round) {
                    round.runs_left = round.runs_left.saturating_sub(1);
                    if round.runs_left == 0 {
                        round.span = None;
                    }
                }
            }
        }
    }

    /// Nothing more is measured. What is still open ends.
    pub(super) fn end(&mut self, incomplete: Option<&str>) {
        self.shards.clear();
        self.rounds.clear();
        if let Some(why) = incomplete {
            self.campaign.fail(why);
        }
    }

    /// Something that the controller does for the campaign, until it is dropped.
    pub(super) fn doing(&self, name: &'static str) -> Span {
        self.traces.span(name, Kind::Internal, Parent::Span(&self.campaign))
    }

    /// The span of a shard, which begins with its first lease.
    fn shard(&mut self, shard: usize, cell: usize, round: u32) -> &Span {
        let Self { traces, campaign, cells, rounds, shards } = self;
        let entry = shards.entry(shard).or_insert_with(|| {
            let its = rounds.entry(round).or_insert(Round { span: None, runs_left: 1 });
            let its = its.span.get_or_insert_with(|| {
                let mut span = traces.span("round", Kind::Internal, Parent::Span(campaign));
                span.set("fleetmark.run", i64::from(round));
                span
            });
            let mut span = traces.span("shard", Kind::Internal, Parent::Span(its));
            span.set("fleetmark.shard", number(shard as u64));
            span.set("fleetmark.cell", cells[cell].id.clone());
            span.set("fleetmark.target", cells[cell].target.clone());
            span.set("fleetmark.run", i64::from(round));
            Shard { span, attempt: None }
        });
        &entry.span
    }

    /// The attempt that holds a shard, which is over; none where it is another one.
    fn ended(&mut self, shard: usize, attempt: Option<u64>) -> Option<Span> {
        let under_way = &mut self.shards.get_mut(&shard)?.attempt;
        let is_it = |under_way: &mut (u64, Span)| attempt.is_none_or(|it| it == under_way.0);
        under_way.take_if(is_it).map(|(_, span)| span)
    }
}

/// The same for every stretch of a campaign.
fn trace_of(campaign: &CampaignId) -> [u8; 16] {
    let digest = Sha256::digest(format!("fleetmark campaign {campaign}"));
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
