//! Batches and telemetry as they come in: checked against the plan, then written and acknowledged.

use super::{Attempt, Desk, Effects, Letter, Line, scheduler};
use chrono::{DateTime, Utc};
use model::ids::{AgentId, SampleId};
use model::load::LoadWindow;
use model::sample::{Sample, SampleKey};
use model::telemetry::{Absence, Window};
use std::time::Duration;
use store::{LoadWindowRow, SampleRow, WindowRow, Write};

/// What was measured of one batch: its samples, or a window of a sustained load.
pub(super) struct Measured {
    pub(super) batch: u32,
    pub(super) samples: Vec<(SampleId, Sample)>,
    pub(super) window: Option<Box<LoadWindow>>,
}

impl Desk {
    /// Checks a batch against the plan and takes it in. A batch that isn't the plan's is dropped, and its agent
    /// with it; one that came late is kept once and not counted.
    pub(super) fn collect(
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
            && planned
                .iter()
                .zip(&samples)
                .all(|(&ordinal, (id, _))| self.dialogues[ordinal as usize].sample_id == *id);
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
        let (start_ns, end_ns) = match &window {
            Some(window) => (0, window.span_ns()),
            None => extent(&samples),
        };
        let span = Duration::from_nanos(end_ns - start_ns);
        if let Some(lease) =
            self.leases.get_mut(&shard).filter(|lease| lease.offer.attempt == attempt)
        {
            lease.claimed.add(start_ns, end_ns);
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
        let index = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let key = SampleKey {
            cell: index(cell),
            run,
            sample: 0,
            segment: u32::try_from(segment).unwrap_or(u32::MAX),
            attempt,
            agent: index(number),
            batch,
        };
        out.writes.extend(planned.iter().zip(samples).map(|(&ordinal, (_, sample))| {
            Write::Sample(SampleRow {
                key: SampleKey { sample: ordinal, ..key },
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
    pub(super) fn observe(&self, agent: &AgentId, windows: Vec<Window>, out: &mut Effects) {
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
}

/// Records what an agent can't observe any more.
pub(super) fn lament(
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
fn latencies(samples: &[(SampleId, Sample)], window: Option<&LoadWindow>) -> Vec<Duration> {
    let Some(window) = window else {
        return samples.iter().map(|(_, sample)| Duration::from_nanos(sample.latency_ns)).collect();
    };
    let requests = usize::try_from(window.ok()).unwrap_or(usize::MAX);
    let median = window.latency.at_rank(window.ok().div_ceil(2)).unwrap_or_default();
    std::iter::repeat_n(Duration::from_secs_f64(median / 1e9), requests).collect()
}

/// The first start and the last end of a batch.
fn extent(samples: &[(SampleId, Sample)]) -> (u64, u64) {
    let start = samples.iter().map(|(_, sample)| sample.start_ns).min().unwrap_or(0);
    let end =
        samples.iter().map(|(_, sample)| sample.start_ns + sample.latency_ns).max().unwrap_or(0);
    (start, end)
}
