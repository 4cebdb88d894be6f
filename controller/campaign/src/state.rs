//! The state of a running campaign, and the decisions that belong to no other module.

use super::batches::record_absences;
use super::lease::{Lease, MeasuredTime};
use super::offer::{ArrivalSeed, Compositions, OfferSettings, Planned, ShardOffer};
use super::scheduler::{self, Action, Limits, Note, Offer, Scheduler, Work};
use super::search::{BadRequests, CandidateSearch, SearchRule};
use super::{
    AgentMessage, AgentReport, Effects, IncompatibleAgent, Input, JoinedAgent, Now, Refusal,
    ShardSignature,
};
use super::{agents::AgentRegistry, budget::Budget, clock_skew::ClockSkew, event::CampaignEvent};
use matrix::plan::{Plan, estimate::ProgressDeadline};
use model::{ids::AgentId, segment::SegmentFacts};
use records::{
    AgentRow, AgentWrite, CampaignRow, CountedBatch, DialogueRow, SegmentRow, SignatureRow, Write,
};
use stats::precision::Precision;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// An attempt that was leased. Its results may arrive at any later time.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Number of the agent.
    pub(super) agent: usize,
    pub(super) shard: usize,
    pub(super) segment: u64,
    pub(super) received: BTreeSet<u32>,
    /// How many of them count.
    pub(super) counted: usize,
}

/// Idle agents are billed, too. Persist held time once a minute, not at every segment end: a fleet may have a
/// thousand agents.
const HELD_TIME_INTERVAL: Duration = Duration::from_mins(1);

pub struct CampaignState {
    pub(super) campaign: CampaignRow,
    /// The measured dialogues in the order of the plan, then those that only warm up.
    pub(super) dialogues: Vec<DialogueRow>,
    pub(super) scheduler: Scheduler,
    pub(super) options: CampaignOptions,
    pub(super) agents: AgentRegistry,
    pub(super) compositions: Compositions,
    pub(super) searches: Vec<CandidateSearch>,
    pub(super) bad_requests: BadRequests,
    /// The current lease of each shard.
    pub(super) leases: HashMap<usize, Lease>,
    pub(super) attempts: HashMap<u64, Attempt>,
    /// Segments (cell, round, number) that claimed more measured time than passed.
    pub(super) impossible: BTreeSet<(usize, u32, u64)>,
    pub(super) budget: Budget,
    /// Control time of the last held-time flush.
    held_time_flushed: Duration,
    clock_skew: ClockSkew,
}

#[derive(Debug, Clone)]
pub struct CampaignOptions {
    pub limits: Limits,
    /// Adaptive precision, if the matrix asks for it.
    pub precision: Option<Precision>,
    /// The search among the loads of `server`, if the matrix asks for it.
    pub search: Option<SearchRule>,
}

/// What the store already has of a campaign.
#[derive(Debug, Default)]
pub struct Stored {
    pub batches: Vec<CountedBatch>,
    pub segments: Vec<SegmentRow>,
    pub agents: Vec<AgentRow>,
    /// No attempt so far has a higher number.
    pub last_attempt: u64,
}

impl CampaignState {
    /// Starts or resumes a campaign. Returns the state, and what follows before any input.
    pub fn new(
        campaign: CampaignRow,
        dialogues: Vec<DialogueRow>,
        stored: &Stored,
        options: CampaignOptions,
    ) -> (Self, Effects) {
        let plan = &campaign.plan;
        let done: BTreeSet<(usize, u32, u32)> =
            stored.batches.iter().map(|batch| (batch.cell, batch.run, batch.batch)).collect();
        let work = |shard: &matrix::plan::Shard| {
            let run = &plan.runs[shard.run];
            let cell = &plan.cells[run.cell];
            let is_left = |batch: &u32| !done.contains(&(run.cell, run.number, *batch));
            Work {
                run: shard.run,
                target: cell.target,
                engine: cell.engine,
                is_together: cell.agents > 1,
                windows: cell.sustained().map_or(0, |sustained| sustained.windows),
                batches: shard.batches.clone().filter(is_left).collect(),
                is_held: cell.is_candidate(&campaign.matrix)
                    || options.precision.is_some_and(|rule| run.number > rule.first_look),
                deadline: ProgressDeadline::of(&campaign.matrix, cell),
            }
        };
        let work = plan.shards.iter().map(work).collect();
        let required = campaign.matrix.targets.iter().map(|target| target.agents).collect();
        let segments = last_segments(plan, &stored.segments);
        let scheduler =
            Scheduler::new(work, required, options.limits, stored.last_attempt, segments);
        let targets = 0..campaign.prices.len();
        let prices = targets.filter_map(|target| campaign.agent_usd_per_hour(target)).collect();
        let held = |agent: &AgentRow| (agent.target, Duration::from_nanos(agent.held_ns));
        let earlier = stored.agents.iter().map(held);
        let budget = Budget::new(prices, campaign.matrix.cost.max_usd, earlier);
        let searches = CandidateSearch::all(plan, &campaign.matrix);
        let mut state = Self {
            campaign,
            dialogues,
            scheduler,
            options,
            agents: AgentRegistry::new(stored.agents.len()),
            compositions: Compositions::default(),
            searches,
            bad_requests: BadRequests::new(),
            leases: HashMap::new(),
            attempts: HashMap::new(),
            impossible: BTreeSet::new(),
            budget,
            held_time_flushed: Duration::ZERO,
            clock_skew: ClockSkew::default(),
        };
        let mut started = state.start(&stored.batches);
        let searches = state.searches.iter_mut();
        started.run_checks =
            searches.flat_map(|search| search.first_checks(&stored.batches)).collect();
        (state, started)
    }

    fn start(&self, stored: &[CountedBatch]) -> Effects {
        let plan = &self.campaign.plan;
        let mut stored_steps = vec![0; plan.cells.len()];
        for batch in stored {
            stored_steps[batch.cell] += batch.samples;
        }
        let mut runs_left = BTreeMap::new();
        for (index, run) in plan.runs.iter().enumerate() {
            *runs_left.entry(run.number).or_default() +=
                usize::from(!self.scheduler.is_over(index));
        }
        Effects {
            events: vec![CampaignEvent::Started { stored_steps, runs_left }],
            // An earlier controller may have ended between the last run of a cell and its check.
            precision_checks: (0..plan.cells.len()).filter_map(|c| self.due_check(c)).collect(),
            ..Effects::default()
        }
    }

    /// Applies one input. Fails if an agent that can't run its cells joins before anything is measured.
    pub fn step(&mut self, input: Input, now: Now) -> Result<Effects, IncompatibleAgent> {
        let mut out = Effects::default();
        match input {
            Input::Report { agent, report } => self.handle_report(agent, report, now, &mut out)?,
            Input::Tick => self.tick(now, &mut out),
            Input::Stop => {
                out.message("stopping; everything measured so far is kept");
                self.decide(scheduler::Event::Stop, now, &mut out);
            }
            Input::Throughputs { cell, throughputs } => {
                self.check_precision(cell, &throughputs, now, &mut out);
            }
            Input::RunShares { check, shares } => {
                self.record_shares(check, shares, now, &mut out);
            }
        }
        Ok(out)
    }

    fn handle_report(
        &mut self,
        agent: AgentId,
        report: AgentReport,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), IncompatibleAgent> {
        let event = match report {
            AgentReport::Joined(joined) => return self.register(agent, *joined, now, out),
            AgentReport::Batch(report) => {
                self.record_batch(agent, report, now, out);
                return Ok(());
            }
            AgentReport::Telemetry { windows, absences, dropped } => {
                self.record_telemetry(&agent, windows, out);
                record_absences(&agent, &absences, dropped, now, out);
                return Ok(());
            }
            AgentReport::Preparing => scheduler::Event::Preparing,
            AgentReport::Alive => {
                self.require_rejoin(&agent, out);
                scheduler::Event::Alive { agent }
            }
            AgentReport::Reached { shard, attempt, stage } => {
                if self.holds(&agent, shard, attempt) {
                    let event = scheduler::Event::Reached { shard, attempt, stage };
                    self.decide(event, now, out);
                }
                self.require_rejoin(&agent, out);
                scheduler::Event::Alive { agent }
            }
            AgentReport::Leaving => scheduler::Event::Leaving { agent },
            AgentReport::Gone => {
                self.agents.disconnect(&agent);
                self.stop_billing(&agent, now, out);
                out.events.push(CampaignEvent::AgentLeft { agent: agent.clone() });
                scheduler::Event::Gone { agent }
            }
            AgentReport::Failed { shard, attempt, failure } => {
                if !self.holds(&agent, shard, attempt) {
                    return Ok(());
                }
                let reason = failure.to_string();
                out.events.push(CampaignEvent::AttemptFailed { agent, shard, attempt, reason });
                scheduler::Event::Failed { shard, attempt, failure }
            }
            AgentReport::Finished { shard, attempt, segment, signature } => {
                if !self.holds(&agent, shard, attempt) {
                    return Ok(());
                }
                let signature = signature.and_then(|given| self.signature(attempt, *given));
                out.rows.extend(signature.map(|row| Write::Signature(Box::new(row))));
                self.close_segment(shard, attempt, segment, now, out);
                out.events.push(CampaignEvent::AttemptFinished { agent, shard, attempt });
                scheduler::Event::Finished { shard, attempt }
            }
        };
        self.decide(event, now, out);
        Ok(())
    }

    fn tick(&mut self, now: Now, out: &mut Effects) {
        if now.elapsed >= self.held_time_flushed + HELD_TIME_INTERVAL {
            self.held_time_flushed = now.elapsed;
            self.flush_held_time(now, out);
        }
        if let Some(detail) = self.clock_skew.check(now.at) {
            out.message(format!("note: {detail}"));
            out.rows.push(Write::Event { at: now.at, kind: "clock_set_back", detail });
        }
        out.events.push(CampaignEvent::Spending(self.budget.spending(now.elapsed)));
        self.enforce_budget(now, out);
        self.decide(scheduler::Event::Tick, now, out);
    }

    fn enforce_budget(&mut self, now: Now, out: &mut Effects) {
        if self.budget.is_spent(now.elapsed) && !self.scheduler.has_ended() {
            out.message("stopping before the campaign exceeds its budget; everything measured so far is kept");
            self.decide(scheduler::Event::Spent, now, out);
        }
    }

    fn stop_billing(&mut self, agent: &AgentId, now: Now, out: &mut Effects) {
        let held = self.budget.left(agent, now.elapsed);
        out.rows.extend(held.map(|(agent, held)| Write::Held { agent, held }));
    }

    fn flush_held_time(&self, now: Now, out: &mut Effects) {
        let held = self.budget.held(now.elapsed).into_iter();
        out.rows.extend(held.map(|(agent, held)| Write::Held { agent, held }));
    }

    /// Whether the attempt was leased to this agent.
    pub(super) fn holds(&self, agent: &AgentId, shard: usize, attempt: u64) -> bool {
        let number = self.agents.number(agent);
        self.attempts
            .get(&attempt)
            .is_some_and(|leased| leased.shard == shard && Some(leased.agent) == number)
    }

    /// An agent that lost its lease and is heard again must join again: the id of its new connection keeps late messages
    /// of the old one apart.
    fn require_rejoin(&self, agent: &AgentId, out: &mut Effects) {
        if !self.scheduler.knows(agent) {
            out.send(agent, AgentMessage::Refuse(Refusal::LeaseExpired));
        }
    }

    fn register(
        &mut self,
        agent: AgentId,
        joined: JoinedAgent,
        now: Now,
        out: &mut Effects,
    ) -> Result<(), IncompatibleAgent> {
        let campaign = &self.campaign;
        let objections = self.agents.objections(&joined, &campaign.matrix, &campaign.plan);
        if !objections.is_empty() && !self.scheduler.is_measuring() {
            return Err(IncompatibleAgent { objections });
        }
        let JoinedAgent { host, target, facts, engines } = joined;
        for objection in objections {
            out.message(format!("note: {objection}"));
        }
        out.message(format!(
            "{} joined for {} ({} {}, {})",
            facts.host.name,
            campaign.matrix.targets[target].name,
            facts.threads,
            if facts.threads == 1 { "thread" } else { "threads" },
            facts.host.cpu_model.as_deref().unwrap_or("unknown processor")
        ));
        let number = self.agents.register(agent.clone());
        for earlier in self.budget.earlier_connections(&agent) {
            self.stop_billing(&earlier, now, out);
            out.events.push(CampaignEvent::AgentLeft { agent: earlier });
        }
        self.budget.joined(agent.clone(), number, target, now.elapsed);
        out.events.push(CampaignEvent::AgentJoined {
            agent: agent.clone(),
            host: facts.host.name.clone(),
            target,
        });
        let engines: Vec<_> = engines.into_iter().map(Result::ok).collect();
        let is_supported = engines.iter().map(Option::is_some).collect();
        out.rows.push(Write::Agent(Box::new(AgentWrite {
            ordinal: number,
            agent: agent.clone(),
            host: host.clone(),
            target,
            joined_at: now.at,
            facts,
            engines,
        })));
        // The reserve of the budget grows with every machine.
        self.enforce_budget(now, out);
        if !self.scheduler.has_ended() {
            let ready = scheduler::Event::Ready { agent, host, target, engines: is_supported };
            self.decide(ready, now, out);
            self.report_missing_agents(out);
        }
        Ok(())
    }

    fn report_missing_agents(&self, out: &mut Effects) {
        let missing = self.scheduler.missing();
        if missing.is_empty() || self.scheduler.is_measuring() {
            return;
        }
        let targets = &self.campaign.matrix.targets;
        let missing: Vec<String> = missing
            .iter()
            .map(|(target, count)| format!("{count} of {}", targets[*target].name))
            .collect();
        let status = format!("waiting for {}", missing.join(", "));
        out.events.push(CampaignEvent::Status(status));
    }

    fn close_segment(
        &mut self,
        shard: usize,
        attempt: u64,
        facts: SegmentFacts,
        now: Now,
        out: &mut Effects,
    ) {
        let lease = self.leases.get(&shard).filter(|lease| lease.offer.attempt == attempt);
        let Some(lease) = lease else { return };
        let plan = &self.campaign.plan;
        let cell = plan.runs[plan.shards[shard].run].cell;
        let key = (cell, plan.round_of(shard), lease.offer.segment);
        let held = self.budget.held_by(&lease.offer.agent, now.elapsed);
        out.rows.push(Write::SegmentFacts { key, facts });
        out.rows.extend(held.map(|(agent, held)| Write::Held { agent, held }));
    }

    /// A signature that can be verified from the samples that count: of all batches of the attempt, none of which was
    /// late or refused.
    fn signature(&self, attempt: u64, given: ShardSignature) -> Option<SignatureRow> {
        let ShardSignature { batches, certificate, salt, digest, signature } = given;
        let leased = self.attempts.get(&attempt).filter(|leased| leased.counted == batches)?;
        Some(SignatureRow {
            attempt,
            agent: leased.agent,
            certificate: certificate.to_vec(),
            salt: Some(salt),
            digest,
            signature,
        })
    }

    pub(super) fn decide(&mut self, event: scheduler::Event, now: Now, out: &mut Effects) {
        for action in self.scheduler.handle(event, now.elapsed) {
            match action {
                Action::Offer(offer) => self.offer(offer, now, out),
                Action::Start { agent, shard, attempt } => {
                    out.send(&agent, AgentMessage::Start { shard, attempt });
                }
                Action::Cancel { agent, shard, attempt, reason } => {
                    out.send(&agent, AgentMessage::Cancel { shard, attempt, reason });
                }
                Action::Note(note) => self.record_note(note, now, out),
                Action::ShardEnded(shard) => out.events.push(CampaignEvent::ShardEnded { shard }),
                Action::RunEnded(run) => {
                    let ended = &self.campaign.plan.runs[run];
                    out.events.push(CampaignEvent::RunEnded { round: ended.number });
                    out.precision_checks.extend(self.due_check(ended.cell));
                    out.run_checks.extend(self.due_run_check(run));
                }
                Action::End(ending) => {
                    self.flush_held_time(now, out);
                    for agent in self.agents.connected() {
                        out.send(agent, AgentMessage::Drain { reason: "the campaign is over" });
                    }
                    let spending = self.budget.spending(now.elapsed);
                    out.events.push(CampaignEvent::Ended { ending, spending });
                    out.ending = Some(ending);
                }
            }
        }
    }

    fn offer(&mut self, offer: Offer, now: Now, out: &mut Effects) {
        let (matrix, plan) = (&self.campaign.matrix, &self.campaign.plan);
        let (shard, attempt, segment) = (offer.shard, offer.attempt, offer.segment);
        let index = plan.runs[plan.shards[shard].run].cell;
        let (cell, round) = (&plan.cells[index], plan.round_of(shard));
        let Some(agent) = self.agents.number(&offer.agent) else { return };
        if offer.is_new_segment {
            let key = (index, round, segment);
            out.rows.push(Write::Segment { key, agent, started_at: now.at });
        }
        let settings = OfferSettings {
            stop: matrix.generation.stop,
            warmup: matrix.protocol.warmup,
            lease: self.options.limits.lease,
            arrivals: if cell.is_candidate(matrix) {
                ArrivalSeed::RoundAndRate
            } else {
                ArrivalSeed::Round
            },
        };
        let planned = Planned { plan, loads: &matrix.loads, dialogues: &self.dialogues };
        let message = ShardOffer::new(&offer, planned, &mut self.compositions, settings);
        out.send(&offer.agent, AgentMessage::Offer(Box::new(message)));
        out.events.push(CampaignEvent::Status(format!("warming up {}", cell.id)));
        out.events.push(CampaignEvent::ShardOffered {
            agent: offer.agent.clone(),
            shard,
            attempt,
            cell: index,
            round,
            segment,
            batches: offer.batches.len(),
        });
        let received = BTreeSet::new();
        self.attempts.insert(attempt, Attempt { agent, shard, segment, received, counted: 0 });
        let measured = if cell.may_overlap() {
            MeasuredTime::Overlapping(None)
        } else {
            MeasuredTime::Sequential(Duration::ZERO)
        };
        let is_synthetic = matrix.models[cell.model].is_scripted();
        let lease = Lease { offer, offered_at: now.elapsed, measured, is_synthetic };
        self.leases.insert(shard, lease);
    }

    fn record_note(&self, note: Note, now: Now, out: &mut Effects) {
        let cell = |shard: usize| &self.campaign.plan.cell_of(shard).id;
        let (kind, detail) = match note {
            Note::AgentLost { agent, shard, reason } => {
                out.events.push(CampaignEvent::ShardLost { shard, reason });
                ("agent_lost", format!("agent {agent} was lost in {}: {reason}", cell(shard)))
            }
            Note::AgentQueued { agent } => {
                let detail =
                    format!("agent {agent} waits: another process measures on its machine");
                ("agent_queued", detail)
            }
            Note::AttemptFailed { shard, failure } => {
                ("attempt_failed", format!("{} failed and will be retried: {failure}", cell(shard)))
            }
            Note::ShardSetAside { shard, failure } => {
                let reason = failure.to_string();
                out.events.push(CampaignEvent::ShardSetAside { shard, reason });
                ("shard_set_aside", format!("{} can't be measured: {failure}", cell(shard)))
            }
        };
        out.message(format!("note: {detail}"));
        out.rows.push(Write::Event { at: now.at, kind, detail });
    }
}

impl std::fmt::Debug for CampaignState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CampaignState").field("campaign", &self.campaign.id).finish_non_exhaustive()
    }
}

/// The last segment of each run, by the run's index in the plan.
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
