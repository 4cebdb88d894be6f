//! What the controller decides while a campaign runs: (what an agent said, now) -> rows for the store, letters to
//! agents, lines for a person.
//!
//! Pure, like the scheduler that it asks. Letters may be posted only once the rows are on disk: an acknowledgement
//! says that samples are stored, and an attempt that nobody remembers must not be under way.

use super::adaptive;
use super::budget::Budget;
use super::leases::{Compositions, Lease, written};
use super::seats::Seats;
use super::stamps::Stamps;
use super::trail::Step;
use crate::cost::campaign::Spending;
use crate::fleet::{Event, Joined, Outbox, Room, Said};
use crate::plan::Plan;
use crate::scheduler::{self, Action, Ending, Limits, Note, Offer, Scheduler, Work};
use crate::statistics::precision::Look;
use crate::store::{
    AgentRow, AgentWrite, CampaignRow, CountedBatch, DialogueRow, LoadWindowRow, SampleRow,
    SampleWrite, SegmentFacts, SegmentRow, WindowRow, Write,
};
use chrono::{DateTime, Utc};
use proto::ids::AgentId;
use proto::load::LoadWindow;
use proto::sample::Sample;
use proto::telemetry::{Absence, Window};
use proto::wire;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tonic::Status;

/// A campaign that can't be run with the agents that came.
#[derive(Debug, thiserror::Error)]
#[error("the matrix can't be run as it stands:\n  {}", objections.join("\n  "))]
pub struct Unfit {
    objections: Vec<String>,
}

/// What follows from what was said.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be written together.
    pub writes: Vec<Write>,
    /// What happened to shards, in this order; before their letters are posted.
    pub steps: Vec<Step>,
    /// To be posted once everything is written, in this order.
    pub letters: Vec<(Outbox, Letter)>,
    /// For a person.
    pub lines: Vec<Line>,
    /// Cells to look at once everything is written: [`Desk::look`] takes what is stored of them.
    pub looks: Vec<usize>,
    /// Nothing is left to do.
    pub ending: Option<Ending>,
    /// What of it waits for the disk; to be held until everything is written.
    pub rooms: Vec<Room>,
}

/// Something to tell one agent.
#[derive(Debug)]
pub enum Letter {
    /// A shard.
    Offer(wire::ShardOffer),
    /// Everything of an attempt up to a message is stored.
    Acknowledge {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Which message.
        sequence: u64,
    },
    /// A shard is taken back.
    Cancel {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Why.
        reason: &'static str,
    },
    /// Its stream ends with this.
    Refuse(Status),
}

impl Letter {
    /// Sends it.
    pub fn post(self, outbox: &Outbox) {
        match self {
            Self::Offer(offer) => outbox.offer(offer),
            Self::Acknowledge { shard, attempt, sequence } => {
                outbox.acknowledge(shard, attempt, sequence);
            }
            Self::Cancel { shard, attempt, reason } => outbox.cancel(shard, attempt, reason),
            Self::Refuse(status) => outbox.refuse(status),
        }
    }
}

/// Something to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// It stays.
    Said(String),
    /// It stands until something happens.
    Waiting(String),
    /// An agent is here.
    Joined {
        /// Who.
        agent: AgentId,
        /// The machine's name.
        host: String,
        /// Index of its target.
        target: usize,
    },
    /// An agent is here no longer.
    Left(AgentId),
    /// An agent was given a shard.
    Offered {
        /// Who.
        agent: AgentId,
        /// Index of the shard's cell.
        cell: usize,
    },
    /// An agent's shard is over.
    Idle(AgentId),
    /// A batch is measured.
    Batch {
        /// By whom.
        agent: AgentId,
        /// Index of its cell.
        cell: usize,
        /// How many samples, or one window of a sustained load.
        samples: u64,
        /// Of each request.
        latencies: Vec<Duration>,
        /// From its first start to its last end.
        span: Duration,
    },
    /// An agent observed its machine.
    Observed {
        /// Who.
        agent: AgentId,
        /// What it read last, and over which time.
        window: Box<Window>,
    },
    /// Samples turned out not to be needed.
    Skipped {
        /// Index of their cell.
        cell: usize,
        /// How many.
        samples: u64,
    },
}

/// An attempt as it was leased: what may come of it, at any time later.
#[derive(Debug)]
struct Attempt {
    agent: usize,
    shard: usize,
    segment: u64,
    /// Batches of it that came.
    seen: BTreeSet<u32>,
}

/// What was measured of one batch: its samples, or a window of a sustained load.
struct Measured {
    batch: u32,
    samples: Vec<Sample>,
    window: Option<Box<LoadWindow>>,
}

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

/// Runs of a cell, each with its number and its index in the plan.
type Runs = Vec<(u32, usize)>;

impl Desk {
    /// Takes a campaign up where the store has it.
    pub fn new(row: CampaignRow, dialogues: Vec<DialogueRow>, kept: &Kept, limits: Limits) -> Self {
        let (plan, rule) = (&row.plan, adaptive::rule(&row));
        let done: BTreeSet<(usize, u32, u32)> =
            kept.batches.iter().map(|batch| (batch.cell, batch.run, batch.batch)).collect();
        let work = |shard: &crate::plan::Shard| {
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

    /// The cells that may have to be looked at before anything is measured: all of them where runs are added by
    /// what was measured so far.
    pub fn first_looks(&self) -> Vec<usize> {
        let cells = if adaptive::rule(&self.row).is_some() { self.row.plan.cells.len() } else { 0 };
        (0..cells).collect()
    }

    /// The numbers of the runs of a cell that a look needs: those that are over, where further ones are held back.
    pub fn looked_at(&self, cell: usize) -> Vec<u32> {
        let (over, further) = self.runs_of(cell);
        let first = adaptive::rule(&self.row).map(|rule| rule.first_look as usize);
        let is_held_back =
            further.first().is_some_and(|(_, run)| self.scheduler.is_held_back(*run));
        let is_due = is_held_back && first.is_some_and(|first| over.len() >= first);
        if is_due { over.into_iter().map(|(number, _)| number).collect() } else { Vec::new() }
    }

    /// Looks at a cell under adaptive precision, given the counted samples of [`Desk::looked_at`]: it gets another
    /// run, or the rest is skipped.
    pub fn look(
        &mut self,
        cell: usize,
        samples: &[SampleRow],
        now: Duration,
        at: DateTime<Utc>,
        out: &mut Effects,
    ) {
        let Some(rule) = adaptive::rule(&self.row) else { return };
        let (over, further) = self.runs_of(cell);
        let Some((_, next)) = further.first() else { return };
        let plan = &self.row.plan;
        let throughputs = adaptive::throughputs(plan, cell, samples);
        // A run with shards that were set aside has no throughput, and neither would further ones.
        let is_whole = throughputs.len() == over.len();
        let look = adaptive::look(&rule, &throughputs, plan, (&self.budget, now));
        if is_whole && look == Look::Continue {
            return self.decide(scheduler::Event::Admit { run: *next }, now, at, out);
        }
        if is_whole {
            let detail = format!("{} has {} runs: {look}", plan.cells[cell].id, over.len());
            out.lines.push(Line::Said(format!("note: {detail}")));
            out.writes.push(Write::Event { at, kind: "precision", detail });
        }
        let samples = further.len() as u64 * plan.steps_of(cell);
        out.lines.push(Line::Skipped { cell, samples });
        for (round, run) in further {
            out.steps.push(Step::RunOver { round });
            self.decide(scheduler::Event::Skip { run }, now, at, out);
        }
    }

    /// How many runs of each round aren't over.
    pub fn runs_left(&self) -> BTreeMap<u32, usize> {
        let mut left = BTreeMap::new();
        for (index, run) in self.row.plan.runs.iter().enumerate() {
            *left.entry(run.number).or_default() += usize::from(!self.scheduler.is_over(index));
        }
        left
    }

    /// The runs of a cell by number and index: those that are over, from the first one on, and the rest.
    fn runs_of(&self, cell: usize) -> (Runs, Runs) {
        let runs = self.row.plan.runs.iter().enumerate();
        let its = runs.filter(|(_, run)| run.cell == cell);
        let mut over: Vec<(u32, usize)> = its.map(|(index, run)| (run.number, index)).collect();
        over.sort_unstable();
        let count = over.iter().take_while(|(_, run)| self.scheduler.is_over(*run)).count();
        let further = over.split_off(count);
        (over, further)
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

    /// Checks a batch against the plan and takes it in. A batch that isn't the plan's is dropped, and its agent
    /// with it; one that came late is kept once and not counted.
    fn collect(
        &mut self,
        agent: AgentId,
        (shard, attempt, sequence): (usize, u64, u64),
        Measured { batch, samples, window }: Measured,
        now: Duration,
        at: DateTime<Utc>,
        out: &mut Effects,
    ) {
        let Some(number) = self.seats.number(&agent) else { return };
        let plan = &self.row.plan;
        let is_leased = self.holds(&agent, shard, attempt);
        let (cell, run) = match plan.shards.get(shard) {
            Some(_) if is_leased => (plan.runs[plan.shards[shard].run].cell, plan.round_of(shard)),
            _ => {
                return self.cut_off(&agent, "a batch of an attempt that wasn't leased to it", out);
            }
        };
        let is_sustained = plan.cells[cell].sustained().is_some();
        let composition = self.compositions.of(plan, run, plan.cells[cell].composed());
        let planned = composition.get(batch as usize).filter(|_| !is_sustained);
        let planned = planned.map(Vec::as_slice).unwrap_or_default();
        let is_planned = plan.shards[shard].batches.contains(&batch)
            && window.is_some() == is_sustained
            && planned.len() == samples.len()
            && planned.iter().zip(&samples).all(|(&ordinal, sample)| {
                self.dialogues[ordinal as usize].sample_id == sample.sample_id
            });
        if !is_planned {
            return self.cut_off(&agent, "a batch isn't the plan's", out);
        }
        let Some(leased) = self.attempts.get_mut(&attempt) else { return };
        if !leased.seen.insert(batch) {
            tracing::warn!(%agent, shard, batch, "a batch came twice from one attempt; the second is dropped");
            return;
        }
        let segment = leased.segment;
        let is_counted = self.scheduler.expects(&agent, shard, attempt, batch);
        let span = match &window {
            Some(window) => Duration::from_nanos(window.span_ns()),
            None => span(&samples),
        };
        if let Some(lease) =
            self.leases.get_mut(&shard).filter(|lease| lease.offer.attempt == attempt)
        {
            lease.measured += span;
        }
        let count = if is_sustained { 1 } else { samples.len() as u64 };
        let latencies = latencies(&samples, window.as_deref());
        out.writes.extend(window.map(|window| {
            Write::LoadWindow(Box::new(LoadWindowRow {
                cell,
                run,
                number: batch,
                segment,
                attempt,
                agent: number,
                is_counted,
                window: *window,
            }))
        }));
        out.writes.extend(planned.iter().zip(samples).map(|(&ordinal, sample)| {
            Write::Sample(SampleWrite {
                cell,
                run,
                ordinal,
                segment,
                attempt,
                agent: number,
                batch,
                is_counted,
                sample,
            })
        }));
        if let Some(outbox) = self.seats.outbox(&agent) {
            let letter = Letter::Acknowledge { shard, attempt, sequence };
            out.letters.push((outbox.clone(), letter));
        }
        if is_counted {
            out.lines.push(Line::Batch {
                agent: agent.clone(),
                cell,
                samples: count,
                latencies,
                span,
            });
            self.decide(scheduler::Event::Stored { shard, attempt, batch }, now, at, out);
        }
        self.decide(scheduler::Event::Alive { agent }, now, at, out);
    }

    /// Takes in what an agent observed. A window of an attempt that isn't its own belongs nowhere.
    fn observe(&self, agent: &AgentId, windows: Vec<Window>, out: &mut Effects) {
        let Some(number) = self.seats.number(agent) else { return };
        let plan = &self.row.plan;
        if let Some(last) = windows.last() {
            let window = Box::new(last.clone());
            out.lines.push(Line::Observed { agent: agent.clone(), window });
        }
        for window in windows {
            let of = match window.of {
                None => None,
                Some((shard, attempt)) => {
                    let shard = usize::try_from(shard).unwrap_or(usize::MAX);
                    let leased = self.attempts.get(&attempt);
                    let is_its =
                        |leased: &&Attempt| (leased.shard, leased.agent) == (shard, number);
                    let Some(leased) = leased.filter(is_its) else { continue };
                    let run = &plan.runs[plan.shards[shard].run];
                    Some((run.cell, run.number, leased.segment))
                }
            };
            out.writes.push(Write::Window(Box::new(WindowRow::new(number, of, window))));
        }
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
        out.writes.push(Write::SegmentFacts { key, facts });
        self.note_held(now, out);
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
        let lease = Lease { offer, offered_at: now, measured: Duration::ZERO, is_played };
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

/// Records what an agent can't observe any more.
fn lament(
    agent: &AgentId,
    absences: &[Absence],
    dropped: u64,
    at: DateTime<Utc>,
    out: &mut Effects,
) {
    let mut details: Vec<String> = absences
        .iter()
        .map(|absence| format!("agent {agent} can't measure {}: {}", absence.what, absence.reason))
        .collect();
    if dropped > 0 {
        details.push(format!("agent {agent} dropped {dropped} telemetry windows"));
    }
    for detail in details {
        out.lines.push(Line::Said(format!("note: {detail}")));
        out.writes.push(Write::Event { at, kind: "telemetry", detail });
    }
}

/// Of each request of a batch; of a window, the median as often as there were requests.
fn latencies(samples: &[Sample], window: Option<&LoadWindow>) -> Vec<Duration> {
    let Some(window) = window else {
        return samples.iter().map(|sample| Duration::from_nanos(sample.latency_ns)).collect();
    };
    let requests = usize::try_from(window.ok()).unwrap_or(usize::MAX);
    let median = window.latency.at_rank(window.ok().div_ceil(2)).unwrap_or_default();
    std::iter::repeat_n(Duration::from_secs_f64(median / 1e9), requests).collect()
}

/// From the first start to the last end of a batch.
fn span(samples: &[Sample]) -> Duration {
    let start = samples.iter().map(|sample| sample.start_ns).min().unwrap_or(0);
    let end = samples.iter().map(|sample| sample.start_ns + sample.latency_ns).max().unwrap_or(0);
    Duration::from_nanos(end - start)
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
