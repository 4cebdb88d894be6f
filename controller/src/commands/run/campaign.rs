//! The loop of a campaign: events of the fleet go to the scheduler, its actions to the agents, samples to the
//! store. Samples are acknowledged after their group is on disk.

use super::leases::{Compositions, Lease, written};
use super::local::Locals;
use super::seats::Seats;
use super::{Begun, HEARTBEAT};
use crate::clock::Clock;
use crate::fleet::{Event, Joined, Said};
use crate::progress::Progress;
use crate::scheduler::{self, Action, Ending, Limits, Note, Offer, Scheduler, Work};
use crate::store::{SampleRow, SampleWrite, SegmentFacts, SegmentRow, Store, Texts};
use anyhow::bail;
use proto::ids::AgentId;
use proto::sample::Sample;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// Samples of so many messages are written in one transaction at most.
const GROUP: usize = 512;

pub(super) struct Campaign {
    store: Store,
    begun: Begun,
    clock: Clock,
    progress: Progress,
    scheduler: Scheduler,
    limits: Limits,
    seats: Seats,
    compositions: Compositions,
    /// By shard.
    leases: HashMap<usize, Lease>,
    /// Segments in which more time was claimed than passed.
    impossible: BTreeSet<(usize, u32, u64)>,
    started: Instant,
    group: Group,
    ending: Option<Ending>,
}

/// Samples that wait for the disk, and what follows once they are there.
#[derive(Default)]
struct Group {
    writes: Vec<SampleWrite>,
    stored: Vec<Stored>,
}

struct Stored {
    agent: AgentId,
    shard: usize,
    attempt: u64,
    sequence: u64,
    batch: u32,
    is_counted: bool,
    samples: u64,
    span: Duration,
}

impl Campaign {
    pub(super) fn new(store: Store, begun: Begun, clock: Clock, progress: Progress) -> Self {
        let limits = Limits::with_wait(begun.row.matrix.wait);
        let required = begun.row.matrix.targets.iter().map(|target| target.agents).collect();
        let scheduler = Scheduler::new(Vec::new(), required, limits, 0, BTreeMap::new());
        Self {
            store,
            begun,
            clock,
            progress,
            scheduler,
            limits,
            seats: Seats::default(),
            compositions: Compositions::default(),
            leases: HashMap::new(),
            impossible: BTreeSet::new(),
            started: Instant::now(),
            group: Group::default(),
            ending: None,
        }
    }

    /// Runs until nothing is left to do, or a person stops it.
    pub(super) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut locals: Locals,
    ) -> anyhow::Result<Ending> {
        self.go_on().await?;
        let mut tick = tokio::time::interval(HEARTBEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        while self.ending.is_none() {
            tokio::select! {
                Some(event) = events.recv() => {
                    self.take(event).await?;
                    // Whatever came meanwhile shares one write to disk.
                    for _ in 0..GROUP {
                        let Ok(event) = events.try_recv() else { break };
                        self.take(event).await?;
                    }
                    self.flush().await?;
                }
                _ = tick.tick() => self.decide(scheduler::Event::Tick).await?,
                _ = interrupt.recv() => self.stop().await?,
                _ = terminate.recv() => self.stop().await?,
                Some(lost) = locals.gave_up.recv() => {
                    let log = std::fs::read_to_string(&lost.log).unwrap_or_default();
                    let words = log.lines().last().unwrap_or_default();
                    bail!(
                        "the local agent of {} ended with {} and won't be started again: {words} (all of it: {})",
                        lost.target, lost.status, lost.log.display()
                    );
                }
            }
        }
        self.progress.end();
        self.seats.drain("the campaign is over");
        locals.leave().await;
        Ok(self.ending.unwrap_or(Ending::Stopped))
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        self.progress.say("stopping; what was measured is kept");
        self.decide(scheduler::Event::Stop).await
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes up what the store already has, and tells the scheduler what is left.
    async fn go_on(&mut self) -> anyhow::Result<()> {
        let no = self.begun.no;
        let samples = self.store.samples(no, Texts::Leave).await?;
        let segments = self.store.segments(no).await?;
        let agents = self.store.agents(no).await?;
        let done = stored_batches(&samples);
        for sample in samples.iter().filter(|sample| sample.is_counted) {
            self.progress.resume(sample.cell as usize, 1);
        }
        let plan = &self.begun.row.plan;
        let work = |shard: &crate::plan::Shard| {
            let run = &plan.runs[shard.run];
            let cell = &plan.cells[run.cell];
            let is_left = |batch: &u32| !done.contains(&(run.cell, run.number, *batch));
            Work {
                run: shard.run,
                target: cell.target,
                engine: cell.engine,
                batches: shard.batches.clone().filter(is_left).collect(),
            }
        };
        let work = plan.shards.iter().map(work).collect();
        let required = self.begun.row.matrix.targets.iter().map(|target| target.agents).collect();
        let last_attempt = samples.iter().map(|sample| sample.attempt).max().unwrap_or(0);
        self.scheduler = Scheduler::new(
            work,
            required,
            self.limits,
            last_attempt,
            last_segments(plan, &segments),
        );
        self.seats = Seats::after(&agents);
        Ok(())
    }

    async fn take(&mut self, event: Event) -> anyhow::Result<()> {
        let Event { agent, said } = event;
        if let Said::Samples { shard, attempt, sequence, batch, samples } = said {
            self.collect(agent, (shard, attempt, sequence), batch, samples);
            return Ok(());
        }
        // What follows samples on a stream is true only once they are stored.
        self.flush().await?;
        match said {
            Said::Joined(joined) => self.seat(agent, *joined).await,
            Said::Alive => self.decide(scheduler::Event::Alive { agent }).await,
            Said::Leaving => self.decide(scheduler::Event::Leaving { agent }).await,
            Said::Gone => self.decide(scheduler::Event::Gone { agent }).await,
            Said::Failed { shard, attempt, failure } => {
                self.decide(scheduler::Event::Failed { shard, attempt, failure }).await
            }
            Said::Finished { shard, attempt, segment } => {
                self.close_segment(shard, attempt, segment).await?;
                self.decide(scheduler::Event::Finished { shard, attempt }).await
            }
            Said::Samples { .. } => Ok(()),
        }
    }

    async fn seat(&mut self, agent: AgentId, joined: Joined) -> anyhow::Result<()> {
        let Begun { no, row, .. } = &self.begun;
        let target = &row.matrix.targets[joined.target];
        let objections = self.seats.objections(&joined, &row.matrix, &row.plan);
        if !objections.is_empty() && !self.scheduler.is_measuring() {
            bail!("the matrix can't be run as it stands:\n  {}", objections.join("\n  "));
        }
        for objection in &objections {
            self.progress.say(&format!("note: {objection}"));
        }
        let facts: Vec<_> = joined.engines.iter().map(|found| found.clone().ok()).collect();
        let engines = facts.iter().map(Option::is_some).collect();
        let number = self.seats.take(agent.clone(), joined.outbox);
        self.store
            .add_agent(
                *no,
                number,
                &agent,
                &joined.host,
                joined.target,
                self.clock.now(),
                &joined.facts,
                &facts,
            )
            .await?;
        self.progress.say(&format!(
            "{} joined for {} ({} threads, {})",
            joined.facts.host_name, target.name, joined.facts.threads, joined.facts.cpu_model
        ));
        self.decide(scheduler::Event::Ready {
            agent,
            host: joined.host,
            target: joined.target,
            engines,
        })
        .await?;
        let missing = self.scheduler.missing();
        if !missing.is_empty() && !self.scheduler.is_measuring() {
            let targets = &self.begun.row.matrix.targets;
            let names: Vec<String> = missing
                .iter()
                .map(|(target, count)| format!("{count} of {}", targets[*target].name))
                .collect();
            self.progress.wait(&format!("waiting for {}", names.join(", ")));
        }
        Ok(())
    }

    /// Checks a batch against the plan and puts it into the group. A batch that isn't the plan's is dropped, and
    /// its agent with it; one that came late is kept and not counted.
    fn collect(&mut self, agent: AgentId, id: (usize, u64, u64), batch: u32, samples: Vec<Sample>) {
        let (shard, attempt, sequence) = id;
        let Begun { row, dialogues, .. } = &self.begun;
        let Some(number) = self.seats.number(&agent) else { return };
        if shard >= row.plan.shards.len() {
            return;
        }
        let (cell, run) =
            (row.plan.runs[row.plan.shards[shard].run].cell, row.plan.round_of(shard));
        let composition = self.compositions.of(&row.plan, run, row.plan.cells[cell].batch_size);
        let planned = composition.get(batch as usize).map(Vec::as_slice).unwrap_or_default();
        let is_planned = planned.len() == samples.len()
            && planned.iter().zip(&samples).all(|(&ordinal, sample)| {
                dialogues[ordinal as usize].sample_id == sample.sample_id
            });
        if !is_planned {
            tracing::warn!(%agent, shard, batch, "a batch isn't the plan's; its agent is cut off");
            if let Some(outbox) = self.seats.outbox(&agent) {
                outbox.refuse(tonic::Status::invalid_argument("a batch isn't the plan's"));
            }
            return;
        }
        let is_waiting =
            |stored: &Stored| stored.is_counted && stored.shard == shard && stored.batch == batch;
        let is_counted = self.scheduler.expects(&agent, shard, attempt, batch)
            && !self.group.stored.iter().any(is_waiting);
        let span = span(&samples);
        let lease = self.leases.get_mut(&shard).filter(|lease| lease.offer.attempt == attempt);
        let segment = lease.as_ref().map_or(0, |lease| lease.offer.segment);
        if let Some(lease) = lease {
            lease.measured += span;
        }
        let count = samples.len() as u64;
        for (&ordinal, sample) in planned.iter().zip(samples) {
            self.group.writes.push(SampleWrite {
                cell,
                run,
                ordinal,
                segment,
                attempt,
                agent: number,
                batch,
                is_counted,
                sample,
            });
        }
        self.group.stored.push(Stored {
            agent,
            shard,
            attempt,
            sequence,
            batch,
            is_counted,
            samples: count,
            span,
        });
    }

    /// Writes the group to disk; then, and only then, its batches count and are acknowledged.
    async fn flush(&mut self) -> anyhow::Result<()> {
        let Group { writes, stored } = std::mem::take(&mut self.group);
        if stored.is_empty() {
            return Ok(());
        }
        self.store.append(self.begun.no, &writes).await?;
        for stored in stored {
            let Stored { agent, shard, attempt, sequence, batch, samples, span, .. } = stored;
            if let Some(outbox) = self.seats.outbox(&agent) {
                outbox.acknowledge(shard, attempt, sequence);
            }
            if stored.is_counted {
                let cell = self.begun.row.plan.runs[self.begun.row.plan.shards[shard].run].cell;
                let name = self.begun.row.plan.cells[cell].id.to_string();
                self.progress.batch(cell, &name, samples, span);
                self.decide(scheduler::Event::Stored { shard, attempt, batch }).await?;
            }
            self.decide(scheduler::Event::Alive { agent }).await?;
        }
        Ok(())
    }

    async fn close_segment(
        &mut self,
        shard: usize,
        attempt: u64,
        mut facts: SegmentFacts,
    ) -> anyhow::Result<()> {
        let now = self.now();
        let Some(lease) = self.leases.get(&shard).filter(|lease| lease.offer.attempt == attempt)
        else {
            return Ok(());
        };
        let cell = self.begun.row.plan.runs[self.begun.row.plan.shards[shard].run].cell;
        let key = (cell, self.begun.row.plan.round_of(shard), lease.offer.segment);
        if lease.is_time_impossible(now) {
            self.impossible.insert(key);
        }
        facts.is_time_impossible = self.impossible.contains(&key);
        self.store.set_segment_facts(self.begun.no, key, &facts).await?;
        Ok(())
    }

    async fn decide(&mut self, event: scheduler::Event) -> anyhow::Result<()> {
        let now = self.now();
        for action in self.scheduler.handle(event, now) {
            match action {
                Action::Offer(offer) => self.offer(offer, now).await?,
                Action::Cancel { agent, shard, attempt, reason } => {
                    if let Some(outbox) = self.seats.outbox(&agent) {
                        outbox.cancel(shard, attempt, reason);
                    }
                }
                Action::Note(note) => self.note(&note).await?,
                Action::End(ending) => self.ending = Some(ending),
            }
        }
        Ok(())
    }

    async fn offer(&mut self, offer: Offer, now: Duration) -> anyhow::Result<()> {
        let Begun { no, row, dialogues } = &self.begun;
        let matrix = &row.matrix;
        let (cell, run) =
            (row.plan.runs[row.plan.shards[offer.shard].run].cell, row.plan.round_of(offer.shard));
        let Some(number) = self.seats.number(&offer.agent) else { return Ok(()) };
        if offer.is_new_segment {
            self.store
                .add_segment(*no, (cell, run, offer.segment), number, self.clock.now())
                .await?;
        }
        let how = (matrix.generation.stop, matrix.protocol.warmup, self.limits.lease);
        let message = written(&offer, &row.plan, dialogues, &mut self.compositions, how);
        let is_played = matrix.models[row.plan.cells[cell].model].is_scripted();
        self.progress.wait(&format!("warming up {}", row.plan.cells[cell].id));
        if let Some(outbox) = self.seats.outbox(&offer.agent) {
            outbox.offer(message);
        }
        let lease = Lease { offer, offered_at: now, measured: Duration::ZERO, is_played };
        self.leases.insert(lease.offer.shard, lease);
        Ok(())
    }

    async fn note(&mut self, note: &Note) -> anyhow::Result<()> {
        let cell_of = |shard: usize| self.begun.row.plan.cell_of(shard).id.to_string();
        let (kind, detail) = match note {
            Note::AgentLost { agent, shard, reason } => {
                ("agent_lost", format!("agent {agent} was lost in {}: {reason}", cell_of(*shard)))
            }
            Note::AttemptFailed { shard, failure } => (
                "attempt_failed",
                format!("{} failed and is tried again: {failure}", cell_of(*shard)),
            ),
            Note::ShardSetAside { shard, failure } => {
                ("shard_set_aside", format!("{} can't be measured: {failure}", cell_of(*shard)))
            }
        };
        self.progress.say(&format!("note: {detail}"));
        self.store.add_event(self.begun.no, self.clock.now(), kind, &detail).await?;
        Ok(())
    }
}

/// From the first start to the last end of a batch.
fn span(samples: &[Sample]) -> Duration {
    let start = samples.iter().map(|sample| sample.start_ns).min().unwrap_or(0);
    let end = samples.iter().map(|sample| sample.start_ns + sample.latency_ns).max().unwrap_or(0);
    Duration::from_nanos(end - start)
}

fn stored_batches(samples: &[SampleRow]) -> BTreeSet<(usize, u32, u32)> {
    let counted = samples.iter().filter(|sample| sample.is_counted);
    counted.map(|sample| (sample.cell as usize, sample.run, sample.batch)).collect()
}

/// The last segment of each run, by its index in the plan.
fn last_segments(plan: &crate::plan::Plan, segments: &[SegmentRow]) -> BTreeMap<usize, u64> {
    let mut last = BTreeMap::new();
    for segment in segments {
        let is_its = |run: &crate::plan::Run| run.cell == segment.cell && run.number == segment.run;
        if let Some(run) = plan.runs.iter().position(is_its) {
            let known: &mut u64 = last.entry(run).or_default();
            *known = segment.segment.max(*known);
        }
    }
    last
}
