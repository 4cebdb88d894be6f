//! What the controller decides while a campaign runs: (what an agent said, now) -> rows for the store, letters to
//! agents, lines for a person.
//!
//! Pure, like the scheduler that it asks. Letters may be posted only once the rows are on disk: an acknowledgement
//! says that samples are stored, and an attempt that nobody remembers must not be under way.

mod collecting;
mod effects;
mod looks;

pub use effects::{Effects, Letter, Line, Unfit};

use super::adaptive;
use super::budget::Budget;
use super::leases::{Claimed, Compositions, Lease, written};
use super::seats::Seats;
use super::stamps::Stamps;
use super::trail::Step;
use crate::scheduler::{self, Action, Limits, Note, Offer, Scheduler, Work};
use chrono::{DateTime, Utc};
use collecting::{Measured, lament};
use cost::campaign::Spending;
use fleet::{Event, Joined, Said};
use matrix::plan::Plan;
use model::ids::AgentId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use store::{
    AgentRow, AgentWrite, CampaignRow, CountedBatch, DialogueRow, SegmentFacts, SegmentRow, Write,
};
use tonic::Status;

/// An attempt as it was leased: what may come of it, at any time later.
#[derive(Debug)]
struct Attempt {
    agent: usize,
    shard: usize,
    segment: u64,
    /// Batches of it that came.
    seen: BTreeSet<u32>,
}

/// Who only waits is held, too. Of a thousand it would be too much to write whenever one of them ends a segment.
const NOTE_HELD_EVERY: Duration = Duration::from_mins(1);

/// Decides for one campaign.
pub struct Desk {
    row: CampaignRow,
    /// The measured ones in the order of the plan, then those that only warm up.
    dialogues: Vec<DialogueRow>,
    scheduler: Scheduler,
    limits: Limits,
    seats: Seats,
    compositions: Compositions,
    /// By shard.
    leases: HashMap<usize, Lease>,
    attempts: HashMap<u64, Attempt>,
    /// Segments in which more time was claimed than passed.
    impossible: BTreeSet<(usize, u32, u64)>,
    budget: Budget,
    /// When it was last written of everybody how long they were held.
    held_noted: Duration,
    stamps: Stamps,
}

/// What the store already has of a campaign.
#[derive(Debug, Default)]
pub struct Kept {
    /// Batches that count.
    pub batches: Vec<CountedBatch>,
    /// Segments that began.
    pub segments: Vec<SegmentRow>,
    /// Agents that joined.
    pub agents: Vec<AgentRow>,
    /// Every attempt so far has a number up to this.
    pub last_attempt: u64,
}

impl Desk {
    /// Takes a campaign up where the store has it.
    pub fn new(row: CampaignRow, dialogues: Vec<DialogueRow>, kept: &Kept, limits: Limits) -> Self {
        let (plan, rule) = (&row.plan, adaptive::rule(&row));
        let done: BTreeSet<(usize, u32, u32)> =
            kept.batches.iter().map(|batch| (batch.cell, batch.run, batch.batch)).collect();
        let work = |shard: &matrix::plan::Shard| {
            let run = &plan.runs[shard.run];
            let cell = &plan.cells[run.cell];
            let is_left = |batch: &u32| !done.contains(&(run.cell, run.number, *batch));
            Work {
                run: shard.run,
                target: cell.target,
                engine: cell.engine,
                batches: shard.batches.clone().filter(is_left).collect(),
                is_held: rule.is_some_and(|rule| run.number > rule.first_look),
            }
        };
        let work = plan.shards.iter().map(work).collect();
        let required = row.matrix.targets.iter().map(|target| target.agents).collect();
        let segments = last_segments(plan, &kept.segments);
        let scheduler = Scheduler::new(work, required, limits, kept.last_attempt, segments);
        let prices = row.prices.iter().map(|price| price.usd_per_hour).collect();
        let held = |agent: &AgentRow| (agent.target, Duration::from_nanos(agent.held_ns));
        let budget = Budget::new(prices, row.matrix.cost.max_usd, kept.agents.iter().map(held));
        Self {
            row,
            dialogues,
            scheduler,
            limits,
            seats: Seats::after(&kept.agents),
            compositions: Compositions::default(),
            leases: HashMap::new(),
            attempts: HashMap::new(),
            impossible: BTreeSet::new(),
            budget,
            held_noted: Duration::ZERO,
            stamps: Stamps::default(),
        }
    }

    /// The campaign.
    pub fn row(&self) -> &CampaignRow {
        &self.row
    }

    /// Sends everybody home.
    pub fn drain(&self, reason: &str) {
        self.seats.drain(reason);
    }

    /// Takes in what an agent said. `now` is control time, `at` a stamp.
    ///
    /// # Errors
    /// [`Unfit`] where an agent came that can't do its cells, before anything is measured.
    pub fn take(
        &mut self,
        event: Event,
        now: Duration,
        at: DateTime<Utc>,
        out: &mut Effects,
    ) -> Result<(), Unfit> {
        let Event { agent, said, room } = event;
        out.rooms.push(room);
        let event = match said {
            Said::Joined(joined) => return self.seat(agent, *joined, now, at, out),
            Said::Samples { shard, attempt, sequence, batch, samples, window } => {
                let measured = Measured { batch, samples, window };
                self.collect(agent, (shard, attempt, sequence), measured, now, at, out);
                return Ok(());
            }
            Said::Telemetry { windows, absences, dropped } => {
                self.observe(&agent, windows, out);
                lament(&agent, &absences, dropped, at, out);
                return Ok(());
            }
            Said::Preparing => scheduler::Event::Preparing,
            Said::Alive => {
                self.readmit(&agent, out);
                scheduler::Event::Alive { agent }
            }
            Said::Leaving => scheduler::Event::Leaving { agent },
            Said::Gone => {
                self.leave(&agent, now, out);
                out.lines.push(Line::Left(agent.clone()));
                scheduler::Event::Gone { agent }
            }
            Said::Failed { shard, attempt, failure } => {
                if !self.holds(&agent, shard, attempt) {
                    return Ok(());
                }
                out.lines.push(Line::Idle(agent));
                out.steps.push(Step::Failed { shard, attempt, why: failure.to_string() });
                scheduler::Event::Failed { shard, attempt, failure }
            }
            Said::Finished { shard, attempt, segment } => {
                if !self.holds(&agent, shard, attempt) {
                    return Ok(());
                }
                self.close_segment(shard, attempt, segment, now, out);
                out.lines.push(Line::Idle(agent));
                out.steps.push(Step::Finished { shard, attempt });
                scheduler::Event::Finished { shard, attempt }
            }
        };
        self.decide(event, now, at, out);
        Ok(())
    }

    /// Time passed, and with it money.
    pub fn tick(&mut self, now: Duration, at: DateTime<Utc>, out: &mut Effects) {
        if now >= self.held_noted + NOTE_HELD_EVERY {
            self.held_noted = now;
            self.note_held(now, out);
        }
        if let Some(detail) = self.stamps.take(at) {
            out.lines.push(Line::Said(format!("note: {detail}")));
            out.writes.push(Write::Event { at, kind: "clock_set_back", detail });
        }
        if self.budget.is_spent(now) {
            let text =
                "stopping before the campaign costs more than it may; what was measured is kept";
            out.lines.push(Line::Said(text.to_owned()));
            return self.decide(scheduler::Event::Spent, now, at, out);
        }
        self.decide(scheduler::Event::Tick, now, at, out);
    }

    /// What the campaign cost so far.
    pub fn spending(&self, now: Duration) -> Spending {
        self.budget.spending(now)
    }

    /// Stops, and keeps what was measured.
    pub fn stop(&mut self, now: Duration, at: DateTime<Utc>, out: &mut Effects) {
        self.decide(scheduler::Event::Stop, now, at, out);
    }

    /// How many runs of each round aren't over.
    pub fn runs_left(&self) -> BTreeMap<u32, usize> {
        let mut left = BTreeMap::new();
        for (index, run) in self.row.plan.runs.iter().enumerate() {
            *left.entry(run.number).or_default() += usize::from(!self.scheduler.is_over(index));
        }
        left
    }

    /// A machine that is held no longer.
    fn leave(&mut self, agent: &AgentId, now: Duration, out: &mut Effects) {
        let left = self.budget.left(agent, now);
        out.writes.extend(left.map(|(agent, held)| Write::Held { agent, held }));
    }

    /// How long everybody who is here was held so far.
    fn note_held(&self, now: Duration, out: &mut Effects) {
        let held = self.budget.held(now).into_iter();
        out.writes.extend(held.map(|(agent, held)| Write::Held { agent, held }));
    }

    /// Whether the attempt was leased to this agent.
    fn holds(&self, agent: &AgentId, shard: usize, attempt: u64) -> bool {
        let number = self.seats.number(agent);
        self.attempts
            .get(&attempt)
            .is_some_and(|leased| leased.shard == shard && Some(leased.agent) == number)
    }

    /// An agent that lost its lease and speaks again must join again: a new connection has a new name, so that
    /// nothing of the old one can be mistaken.
    fn readmit(&self, agent: &AgentId, out: &mut Effects) {
        if self.scheduler.knows(agent) {
            return;
        }
        if let Some(outbox) = self.seats.outbox(agent) {
            let status = Status::aborted("the lease ran out while nothing was heard; join again");
            out.letters.push((outbox.clone(), Letter::Refuse(status)));
        }
    }

    fn seat(
        &mut self,
        agent: AgentId,
        joined: Joined,
        now: Duration,
        at: DateTime<Utc>,
        out: &mut Effects,
    ) -> Result<(), Unfit> {
        let row = &self.row;
        let target = &row.matrix.targets[joined.target];
        let objections = self.seats.objections(&joined, &row.matrix, &row.plan);
        if !objections.is_empty() && !self.scheduler.is_measuring() {
            return Err(Unfit { objections });
        }
        out.lines.extend(objections.iter().map(|text| Line::Said(format!("note: {text}"))));
        let facts: Vec<_> = joined.engines.iter().map(|found| found.clone().ok()).collect();
        let engines = facts.iter().map(Option::is_some).collect();
        out.lines.push(Line::Said(format!(
            "{} joined for {} ({} {}, {})",
            joined.facts.host_name,
            target.name,
            joined.facts.threads,
            if joined.facts.threads == 1 { "thread" } else { "threads" },
            joined.facts.cpu_model
        )));
        let ordinal = self.seats.take(agent.clone(), joined.outbox);
        for name in self.budget.earlier_names(&agent) {
            self.leave(&name, now, out);
            out.lines.push(Line::Left(name));
        }
        out.lines.push(Line::Joined {
            agent: agent.clone(),
            host: joined.facts.host_name.clone(),
            target: joined.target,
        });
        self.budget.joined(agent.clone(), ordinal, joined.target, now);
        out.writes.push(Write::Agent(Box::new(AgentWrite {
            ordinal,
            agent: agent.clone(),
            host: joined.host.clone(),
            target: joined.target,
            joined_at: at,
            facts: joined.facts,
            engines: facts,
        })));
        if self.budget.is_spent(now) {
            self.tick(now, at, out);
            return Ok(());
        }
        let ready =
            scheduler::Event::Ready { agent, host: joined.host, target: joined.target, engines };
        self.decide(ready, now, at, out);
        let missing = self.scheduler.missing();
        if !missing.is_empty() && !self.scheduler.is_measuring() {
            let targets = &self.row.matrix.targets;
            let names: Vec<String> = missing
                .iter()
                .map(|(target, count)| format!("{count} of {}", targets[*target].name))
                .collect();
            out.lines.push(Line::Waiting(format!("waiting for {}", names.join(", "))));
        }
        Ok(())
    }

    fn cut_off(&self, agent: &AgentId, reason: &'static str, out: &mut Effects) {
        tracing::warn!(%agent, reason, "an agent is cut off");
        if let Some(outbox) = self.seats.outbox(agent) {
            out.letters.push((outbox.clone(), Letter::Refuse(Status::invalid_argument(reason))));
        }
    }

    fn close_segment(
        &mut self,
        shard: usize,
        attempt: u64,
        mut facts: SegmentFacts,
        now: Duration,
        out: &mut Effects,
    ) {
        let Some(lease) = self.leases.get(&shard).filter(|lease| lease.offer.attempt == attempt)
        else {
            return;
        };
        let plan = &self.row.plan;
        let cell = plan.runs[plan.shards[shard].run].cell;
        let key = (cell, plan.round_of(shard), lease.offer.segment);
        if lease.is_time_impossible(now) {
            self.impossible.insert(key);
        }
        facts.is_time_impossible = self.impossible.contains(&key);
        let held = self.budget.held_by(&lease.offer.agent, now);
        out.writes.push(Write::SegmentFacts { key, facts });
        out.writes.extend(held.map(|(agent, held)| Write::Held { agent, held }));
    }

    fn decide(
        &mut self,
        event: scheduler::Event,
        now: Duration,
        at: DateTime<Utc>,
        out: &mut Effects,
    ) {
        for action in self.scheduler.handle(event, now) {
            match action {
                Action::Offer(offer) => self.offer(offer, now, at, out),
                Action::Cancel { agent, shard, attempt, reason } => {
                    if let Some(outbox) = self.seats.outbox(&agent) {
                        let letter = Letter::Cancel { shard, attempt, reason };
                        out.letters.push((outbox.clone(), letter));
                    }
                }
                Action::Note(note) => self.note(&note, at, out),
                Action::ShardOver(shard) => out.steps.push(Step::Over { shard }),
                Action::RunOver(run) => {
                    let run = &self.row.plan.runs[run];
                    out.steps.push(Step::RunOver { round: run.number });
                    out.looks.push(run.cell);
                }
                Action::End(ending) => {
                    self.note_held(now, out);
                    out.ending = Some(ending);
                }
            }
        }
    }

    fn offer(&mut self, offer: Offer, now: Duration, at: DateTime<Utc>, out: &mut Effects) {
        let (row, dialogues) = (&self.row, &self.dialogues);
        let (matrix, plan) = (&row.matrix, &row.plan);
        let (cell, run) =
            (plan.runs[plan.shards[offer.shard].run].cell, plan.round_of(offer.shard));
        let Some(agent) = self.seats.number(&offer.agent) else { return };
        if offer.is_new_segment {
            let key = (cell, run, offer.segment);
            out.writes.push(Write::Segment { key, agent, started_at: at });
        }
        let how = (matrix.generation.stop, matrix.protocol.warmup, self.limits.lease);
        let message = written(&offer, plan, dialogues, &mut self.compositions, how);
        let is_played = matrix.models[plan.cells[cell].model].is_scripted();
        out.lines.push(Line::Waiting(format!("warming up {}", plan.cells[cell].id)));
        out.lines.push(Line::Offered { agent: offer.agent.clone(), cell });
        if let Some(outbox) = self.seats.outbox(&offer.agent) {
            out.letters.push((outbox.clone(), Letter::Offer(message)));
        }
        let Offer { shard, attempt, segment, .. } = offer;
        out.steps.push(Step::Offered {
            shard,
            attempt,
            cell,
            round: run,
            segment,
            batches: offer.batches.len(),
            agent: offer.agent.clone(),
        });
        self.attempts.insert(attempt, Attempt { agent, shard, segment, seen: BTreeSet::new() });
        let may_overlap = plan.cells[cell].may_overlap();
        let claimed =
            if may_overlap { Claimed::Together(None) } else { Claimed::OneByOne(Duration::ZERO) };
        let lease = Lease { offer, offered_at: now, claimed, is_played };
        self.leases.insert(shard, lease);
    }

    fn note(&self, note: &Note, at: DateTime<Utc>, out: &mut Effects) {
        let cell_of = |shard: usize| self.row.plan.cell_of(shard).id.to_string();
        let (kind, detail) = match note {
            Note::AgentLost { agent, shard, reason } => {
                out.steps.push(Step::Lost { shard: *shard, why: reason });
                ("agent_lost", format!("agent {agent} was lost in {}: {reason}", cell_of(*shard)))
            }
            Note::AttemptFailed { shard, failure } => (
                "attempt_failed",
                format!("{} failed and is tried again: {failure}", cell_of(*shard)),
            ),
            Note::ShardSetAside { shard, failure } => {
                out.steps.push(Step::SetAside { shard: *shard, why: failure.to_string() });
                ("shard_set_aside", format!("{} can't be measured: {failure}", cell_of(*shard)))
            }
        };
        out.lines.push(Line::Said(format!("note: {detail}")));
        out.writes.push(Write::Event { at, kind, detail });
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("campaign", &self.row.id).finish_non_exhaustive()
    }
}

/// The last segment of each run, by its index in the plan.
fn last_segments(plan: &Plan, segments: &[SegmentRow]) -> BTreeMap<usize, u64> {
    let runs = plan.runs.iter().enumerate();
    let runs: HashMap<(usize, u32), usize> =
        runs.map(|(index, run)| ((run.cell, run.number), index)).collect();
    let mut last = BTreeMap::new();
    for segment in segments {
        if let Some(&run) = runs.get(&(segment.cell, segment.run)) {
            let known: &mut u64 = last.entry(run).or_default();
            *known = segment.segment.max(*known);
        }
    }
    last
}
