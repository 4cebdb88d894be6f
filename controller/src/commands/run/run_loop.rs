//! The run loop: receive -> [`CampaignState::step`] -> commit rows -> send messages -> show events. Inputs that arrive
//! together share one transaction.

use super::{HEARTBEAT, local_agents::LocalAgents, observers::Observers};
use crate::metrics::Metrics;
use anyhow::bail;
use campaign::{
    AgentMessage, AgentReport, CampaignEvent, CampaignState, Effects, Ending, Input, Now,
    Observer as _, PrecisionCheck, RunCheck,
};
use fleet::{Event, IngestPermit, Outboxes};
use matrix::plan::Plan;
use ops::clock::Clock;
use stats::layout::Hosts;
use stats::search::{PlannedRun, RunShares};
use stats::slo::Slo;
use stats::{self, Observation, precision};
use std::collections::VecDeque;
use store::{CampaignNo, Hold, SampleRow, Store, Texts};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// The most inputs that share a transaction.
const MAX_GROUP: usize = 1024;

pub(super) struct RunLoop {
    pub(super) store: Store,
    pub(super) no: CampaignNo,
    pub(super) hold: Hold,
    pub(super) plan: Plan,
    /// Of each cell.
    pub(super) planned_runs: Vec<PlannedRun>,
    /// The objective of a search.
    pub(super) slo: Option<Slo>,
    pub(super) state: CampaignState,
    pub(super) clock: Clock,
    pub(super) started: Instant,
    pub(super) outboxes: Outboxes,
    pub(super) locals: LocalAgents,
    pub(super) observers: Observers,
    pub(super) metrics: Metrics,
}

/// How a campaign ended, and what is needed to conclude it.
pub(super) struct EndedRun {
    pub(super) ending: Ending,
    pub(super) hold: Hold,
    pub(super) observers: Observers,
}

/// Figures that the campaign needs from the store for its next decision.
enum Check {
    Precision(PrecisionCheck),
    Run(RunCheck),
}

/// Effects of a group of inputs, and the permits that limit how much uncommitted data is in memory.
#[derive(Default)]
struct Group {
    effects: Effects,
    permits: Vec<IngestPermit>,
}

impl RunLoop {
    /// Runs until nothing is left to do, or a signal stops it. `started` is what follows before any input.
    pub(super) async fn run(
        mut self,
        started: Effects,
        mut events: mpsc::Receiver<Event>,
    ) -> anyhow::Result<EndedRun> {
        let mut tick = tokio::time::interval(HEARTBEAT);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut ending = self.settle(Group { effects: started, ..Group::default() }).await?;
        while ending.is_none() {
            let mut group = Group::default();
            tokio::select! {
                Some(event) = events.recv() => {
                    self.receive(event, &mut group)?;
                    self.receive_waiting(&mut events, &mut group)?;
                }
                _ = tick.tick() => {
                    // A slow disk must not let leases expire whose heartbeats are waiting here.
                    self.receive_waiting(&mut events, &mut group)?;
                    self.step(Input::Tick, &mut group)?;
                }
                _ = interrupt.recv() => self.step(Input::Stop, &mut group)?,
                _ = terminate.recv() => self.step(Input::Stop, &mut group)?,
                Some(exit) = self.locals.exits.recv() => {
                    if exit.is_final {
                        bail!("{exit}");
                    }
                    let note = CampaignEvent::Message(format!("note: {exit}"));
                    group.effects.events.push(note);
                }
            }
            ending = self.settle(group).await?;
        }
        self.locals.wait().await;
        let ending = ending.unwrap_or(Ending::Stopped);
        Ok(EndedRun { ending, hold: self.hold, observers: self.observers })
    }

    fn now(&self) -> Now {
        Now { elapsed: self.started.elapsed(), at: self.clock.now() }
    }

    fn step(&mut self, input: Input, group: &mut Group) -> anyhow::Result<()> {
        let effects = self.state.step(input, self.now())?;
        group.effects.append(effects);
        Ok(())
    }

    fn receive(&mut self, event: Event, group: &mut Group) -> anyhow::Result<()> {
        self.outboxes.observe(&event);
        let Event { agent, report, permit, .. } = event;
        if let AgentReport::Joined(joined) = &report {
            self.locals.joined(joined.target);
        }
        group.permits.push(permit);
        self.step(Input::Report { agent, report }, group)
    }

    fn receive_waiting(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        group: &mut Group,
    ) -> anyhow::Result<()> {
        for _ in 1..MAX_GROUP {
            let Ok(event) = events.try_recv() else { break };
            self.receive(event, group)?;
        }
        Ok(())
    }

    /// Carries out a group, and answers precision checks until no more follow.
    async fn settle(&mut self, group: Group) -> anyhow::Result<Option<Ending>> {
        let mut ending = group.effects.ending;
        let mut checks = VecDeque::from(self.carry_out(group).await?);
        while let Some(check) = checks.pop_front() {
            let mut group = Group::default();
            let PrecisionCheck { cell, rounds } = match check {
                Check::Precision(check) => check,
                Check::Run(check) => {
                    self.run_shares(check, &mut group).await?;
                    ending = ending.or(group.effects.ending);
                    checks.extend(self.carry_out(group).await?);
                    continue;
                }
            };
            let mut samples = Vec::new();
            for round in rounds {
                samples.extend(self.store.counted(self.no, (cell, round), Texts::Leave).await?);
            }
            let throughputs = throughputs(&self.plan, cell, &samples);
            self.step(Input::Throughputs { cell, throughputs }, &mut group)?;
            ending = ending.or(group.effects.ending);
            checks.extend(self.carry_out(group).await?);
        }
        Ok(ending)
    }

    /// What the stored samples of a run come to, for a search.
    async fn run_shares(&mut self, check: RunCheck, group: &mut Group) -> anyhow::Result<()> {
        let Some(slo) = self.slo else { return Ok(()) };
        let RunCheck { cell, round } = check;
        let samples = self.store.counted(self.no, (cell, round), Texts::Leave).await?;
        let shares = RunShares::new(observations(&samples), &slo, self.planned_runs[cell]);
        self.step(Input::RunShares { check, shares }, group)
    }

    /// Commits the rows; then, and only then, sends messages and shows events.
    async fn carry_out(&mut self, group: Group) -> anyhow::Result<Vec<Check>> {
        let Group { effects, permits } = group;
        let Effects { rows, messages, events, precision_checks, run_checks, ending } = effects;
        if !rows.is_empty() {
            let timer = self.metrics.writes.start_timer();
            self.store.write(&self.hold, &rows).await?;
            timer.observe_duration();
        }
        drop((rows, permits));
        if ending.is_some() {
            // Drained agents exit, and must not be restarted.
            self.locals.stop_restarting();
        }
        let now = self.started.elapsed();
        // An offer carries the context of its attempt's span.
        events.iter().for_each(|event| self.observers.spans.observe(event, now));
        for (agent, message) in messages {
            let trace_parent = match &message {
                AgentMessage::Offer(offer) => self.observers.spans.trace_parent(offer.shard),
                _ => String::new(),
            };
            self.outboxes.send(&agent, message, trace_parent);
        }
        events.iter().for_each(|event| self.observers.observe(event, now));
        let precision = precision_checks.into_iter().map(Check::Precision);
        Ok(precision.chain(run_checks.into_iter().map(Check::Run)).collect())
    }
}

/// Throughputs of the complete runs of a cell, from the first one on.
fn throughputs(plan: &Plan, cell: usize, samples: &[SampleRow]) -> Vec<f64> {
    let planned = &plan.cells[cell];
    let cell = stats::Cell::new(planned.scenario, observations(samples));
    let cell = cell.with_hosts(Hosts::of_agents(planned.agents));
    precision::whole_runs(&cell, plan.samples as u64)
}

fn observations(samples: &[SampleRow]) -> Vec<Observation> {
    samples.iter().map(|row| Observation::new(&row.key, &row.sample, row.key.agent)).collect()
}
