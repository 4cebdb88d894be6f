//! Events -> spans of the campaign's trace: campaign, round, shard, attempt. The agent's spans are children of the attempt.

use campaign::{CampaignEvent, Observer};
use model::ids::CampaignId;
use ops::traces::{Kind, Parent, Span, Traces};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use store::CampaignRow;

/// The open spans of a campaign.
#[derive(Debug)]
pub(super) struct Spans {
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
    /// None before its first shard is leased, and after its last run.
    span: Option<Span>,
    runs_left: usize,
}

#[derive(Debug)]
struct Shard {
    span: Span,
    /// The current attempt's number and span.
    attempt: Option<(u64, Span)>,
}

impl Spans {
    /// Starts the campaign's span. A resumed campaign stays in its trace.
    pub(super) fn start(traces: &Traces, row: &CampaignRow, is_resumed: bool) -> Self {
        let mut campaign = traces.root("campaign", trace_id(&row.id));
        campaign.set("fleetmark.campaign", row.id.to_string());
        campaign.set("fleetmark.cells", number(row.plan.cells.len() as u64));
        campaign.set("fleetmark.is_resumed", is_resumed);
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

    /// The campaign's `traceparent`.
    pub(super) fn campaign_context(&self) -> String {
        self.campaign.context()
    }

    /// The `traceparent` of the attempt that holds a shard; empty if nothing is traced.
    pub(super) fn trace_parent(&self, shard: usize) -> String {
        let attempt = self.shards.get(&shard).and_then(|shard| shard.attempt.as_ref());
        attempt.map(|(_, span)| span.context()).unwrap_or_default()
    }

    /// A span for work of the controller. It ends when it is dropped.
    pub(super) fn child(&self, name: &'static str) -> Span {
        self.traces.span(name, Kind::Internal, Parent::Span(&self.campaign))
    }

    fn end_run(&mut self, round: u32) {
        if let Some(round) = self.rounds.get_mut(&round) {
            round.runs_left = round.runs_left.saturating_sub(1);
            if round.runs_left == 0 {
                round.span = None;
            }
        }
    }

    /// The span of a shard. It starts with its first lease.
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

    /// Takes the span of a shard's current attempt, unless that is not `attempt`.
    fn take_attempt(&mut self, shard: usize, attempt: Option<u64>) -> Option<Span> {
        let current = &mut self.shards.get_mut(&shard)?.attempt;
        let matches = |current: &mut (u64, Span)| attempt.is_none_or(|it| it == current.0);
        current.take_if(matches).map(|(_, span)| span)
    }
}

impl Observer for Spans {
    fn observe(&mut self, event: &CampaignEvent, _: Duration) {
        match event {
            CampaignEvent::Started { runs_left, .. } => {
                let round = |(&round, &runs_left)| (round, Round { span: None, runs_left });
                self.rounds = runs_left.iter().map(round).collect();
            }
            CampaignEvent::ShardOffered {
                agent,
                shard,
                attempt,
                cell,
                round,
                segment,
                batches,
            } => {
                let traces = self.traces.clone();
                let parent = Parent::Span(self.shard(*shard, *cell, *round));
                let mut span = traces.span("attempt", Kind::Client, parent);
                span.set("fleetmark.attempt", number(*attempt));
                span.set("fleetmark.segment", number(*segment));
                span.set("fleetmark.batches", number(*batches as u64));
                span.set("fleetmark.agent", agent.to_string());
                if let Some(shard) = self.shards.get_mut(shard) {
                    shard.attempt = Some((*attempt, span));
                }
            }
            CampaignEvent::AttemptFinished { shard, attempt, .. } => {
                drop(self.take_attempt(*shard, Some(*attempt)));
            }
            CampaignEvent::AttemptFailed { shard, attempt, reason, .. } => {
                if let Some(mut span) = self.take_attempt(*shard, Some(*attempt)) {
                    span.fail(reason);
                }
            }
            CampaignEvent::ShardLost { shard, reason } => {
                if let Some(mut span) = self.take_attempt(*shard, None) {
                    span.fail(reason);
                }
            }
            CampaignEvent::ShardSetAside { shard, reason } => {
                if let Some(shard) = self.shards.get_mut(shard) {
                    shard.span.fail(reason);
                }
            }
            CampaignEvent::ShardEnded { shard } => drop(self.shards.remove(shard)),
            CampaignEvent::RunEnded { round } => self.end_run(*round),
            CampaignEvent::RunsSkipped { rounds, .. } => {
                rounds.iter().for_each(|round| self.end_run(*round));
            }
            CampaignEvent::Ended { ending, .. } => {
                self.shards.clear();
                self.rounds.clear();
                if let Some(reason) = ending.why_incomplete() {
                    self.campaign.fail(reason);
                }
            }
            _ => {}
        }
    }
}

/// Follows from the campaign's id, so that all its controllers share a trace.
fn trace_id(campaign: &CampaignId) -> [u8; 16] {
    let digest = Sha256::digest(format!("fleetmark campaign {campaign}"));
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
