//! Measured batches and telemetry: checked against the plan, then stored and acknowledged.

use super::event::{CampaignEvent, Latency};
use super::offer::Planned;
use super::{AgentMessage, BatchReport, CampaignState, Effects, Now, Refusal, scheduler};
use matrix::plan::Load;
use model::ids::{AgentId, SampleId};
use model::load::LoadWindow;
use model::sample::{Sample, SampleKey};
use model::telemetry::{Absence, Window};
use records::{LoadWindowRow, SampleRow, WindowRow, Write};
use std::time::Duration;

impl CampaignState {
    /// Checks a batch against the plan and stores it. A batch that doesn't match the plan is dropped, and its agent is
    /// disconnected. A late batch is stored once and not counted.
    pub(super) fn record_batch(
        &mut self,
        agent: AgentId,
        report: BatchReport,
        now: Now,
        out: &mut Effects,
    ) {
        let BatchReport { shard, attempt, sequence, batch, samples, window } = report;
        let Some(number) = self.agents.number(&agent) else { return };
        let plan = &self.campaign.plan;
        if plan.shards.get(shard).is_none() || !self.holds(&agent, shard, attempt) {
            return self.refuse(agent, Refusal::NotLeased, now, out);
        }
        let (cell, run) = (plan.runs[plan.shards[shard].run].cell, plan.round_of(shard));
        let is_sustained = plan.cells[cell].sustained().is_some();
        let loads = &self.campaign.matrix.loads;
        let composed = Planned { plan, loads, dialogues: &self.dialogues };
        let composition = self.compositions.get(composed, cell, run);
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
            return self.refuse(agent, Refusal::Unplanned, now, out);
        }
        let load = plan.cells[cell].load.as_ref();
        let scenario = plan.cells[cell].scenario;
        let most = |load: &Load, span_ns| loads.most_arrivals(scenario, load, span_ns);
        if window.as_ref().zip(load).is_some_and(|(window, load)| !fits(load, most, window)) {
            return self.refuse(agent, Refusal::Implausible, now, out);
        }
        let Some(leased) = self.attempts.get_mut(&attempt) else { return };
        if !leased.received.insert(batch) {
            let what = format!("dropped a duplicate of batch {batch} of shard {shard}");
            return out.events.push(CampaignEvent::AgentMisbehaved { agent, what });
        }
        let segment = leased.segment;
        let is_counted = self.scheduler.expects(&agent, shard, attempt, batch);
        leased.counted += usize::from(is_counted);
        let (start_ns, end_ns) = match &window {
            Some(window) => (0, window.span_ns()),
            None => extent(&samples),
        };
        if let Some(lease) = self.leases.get_mut(&shard).filter(|l| l.offer.attempt == attempt) {
            lease.measured.add(start_ns, end_ns);
            let key = (cell, run, segment);
            // Judged now: the attempt may end in any way, or never.
            if lease.is_time_impossible(now.elapsed) && self.impossible.insert(key) {
                out.rows.push(Write::ImpossibleTime { key });
            }
        }
        let stored = samples.len() as u64;
        out.events.push(CampaignEvent::BatchStored {
            agent: agent.clone(),
            cell,
            steps: if is_sustained { 1 } else { stored },
            samples: stored,
            latencies: latencies(&samples, window.as_deref()),
            span: Duration::from_nanos(end_ns - start_ns),
            is_counted,
        });
        out.rows.extend(window.map(|window| {
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
        let rows = planned.iter().zip(samples).map(|(&ordinal, (_, sample))| {
            let key = SampleKey { sample: ordinal, ..key };
            SampleRow { key, is_counted, sample }
        });
        let rows: Vec<SampleRow> = rows.collect();
        let bad = self.count_bad(cell, &rows);
        out.rows.extend(rows.into_iter().map(Write::Sample));
        out.send(&agent, AgentMessage::Acknowledge { shard, attempt, sequence });
        if is_counted {
            self.decide(scheduler::Event::Stored { shard, attempt, batch }, now, out);
            self.judge_load(shard, bad, now, out);
        }
        self.decide(scheduler::Event::Alive { agent }, now, out);
    }

    /// Disconnects an agent. What it sends before its stream ends no longer counts.
    fn refuse(&mut self, agent: AgentId, refusal: Refusal, now: Now, out: &mut Effects) {
        let what = format!("disconnected: {refusal}");
        out.events.push(CampaignEvent::AgentMisbehaved { agent: agent.clone(), what });
        out.send(&agent, AgentMessage::Refuse(refusal));
        self.decide(scheduler::Event::Gone { agent }, now, out);
    }

    /// Stores telemetry. A window of another agent's attempt is dropped.
    pub(super) fn record_telemetry(
        &self,
        agent: &AgentId,
        windows: Vec<Window>,
        out: &mut Effects,
    ) {
        let Some(number) = self.agents.number(agent) else { return };
        let plan = &self.campaign.plan;
        if let Some(last) = windows.last() {
            let window = Box::new(last.clone());
            out.events.push(CampaignEvent::Telemetry { agent: agent.clone(), window });
        }
        for window in windows {
            let segment = match window.of {
                None => None,
                Some((shard, attempt)) => {
                    let shard = usize::try_from(shard).unwrap_or(usize::MAX);
                    let leased = self.attempts.get(&attempt);
                    let leased = leased.filter(|it| (it.shard, it.agent) == (shard, number));
                    let Some(leased) = leased else { continue };
                    let run = &plan.runs[plan.shards[shard].run];
                    Some((run.cell, run.number, leased.segment))
                }
            };
            out.rows.push(Write::Window(Box::new(WindowRow::new(number, segment, window))));
        }
    }
}

/// Records what an agent can no longer measure.
pub(super) fn record_absences(
    agent: &AgentId,
    absences: &[Absence],
    dropped: u64,
    now: Now,
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
        out.message(format!("note: {detail}"));
        out.rows.push(Write::Event { at: now.at, kind: "telemetry", detail });
    }
}

fn latencies(samples: &[(SampleId, Sample)], window: Option<&LoadWindow>) -> Vec<Latency> {
    let latency = |ns, requests| Latency { duration: Duration::from_nanos(ns), requests };
    let Some(window) = window else {
        return samples.iter().map(|(_, sample)| latency(sample.latency_ns, 1)).collect();
    };
    let requests = window.ok();
    let median = window.latency.at_rank(requests.div_ceil(2));
    let median = median.map(|ns| Duration::from_secs_f64(ns / 1e9));
    median.map(|duration| Latency { duration, requests }).into_iter().collect()
}

/// Whether so many requests fit into a window: what an agent claims becomes counts and loops here.
/// `most`: the largest number of arrivals of an open loop that are expected in so many nanoseconds.
fn fits(load: &Load, most: impl Fn(&Load, u64) -> f64, window: &LoadWindow) -> bool {
    let span_ns = window.span_ns() as f64;
    if load.request_rate.is_none() {
        // Each of the requests in flight ends within the window, and began at most one latency before it.
        let longest = window.latency.max().unwrap_or_default() as f64;
        let carried = f64::from(load.concurrency) * (span_ns + longest);
        return window.latency.least_sum() <= carried && window.failed as f64 <= span_ns;
    }
    let arrivals = (window.ok() + window.failed + window.not_sent) as f64;
    // Arrivals of the window, also in bursts, and those that waited in the queue or were in flight.
    let expected = most(load, window.span_ns());
    let waiting = load.queue.max_queue.max(load.queue.max_in_flight);
    arrivals <= 2.0 * expected + f64::from(waiting) + 1000.0
}

/// The first start and the last end of a batch, in ns.
fn extent(samples: &[(SampleId, Sample)]) -> (u64, u64) {
    let start = samples.iter().map(|(_, sample)| sample.start_ns).min().unwrap_or(0);
    let end =
        samples.iter().map(|(_, sample)| sample.start_ns + sample.latency_ns).max().unwrap_or(0);
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use matrix::{Arrivals, Batching, Queue};
    use model::histogram::Histogram;
    use std::collections::BTreeMap;

    fn window(counts: BTreeMap<u32, u64>) -> LoadWindow {
        let latency = Histogram { counts, max: 1 << 30, ..Histogram::default() };
        LoadWindow { end_ns: 10_000_000_000, latency, ..LoadWindow::default() }
    }

    fn load(request_rate: Option<f64>) -> Load {
        let queue = Queue {
            arrivals: Arrivals::Poisson,
            gap_cv: None,
            max_batch_delay: Duration::ZERO,
            max_queue: 1000,
            batching: Batching::Dynamic,
            max_in_flight: 1000,
        };
        Load { request_rate, trace_factor: None, concurrency: 2, queue, sustained: None }
    }

    /// The rate rises to so many times the rate of the load.
    fn at(highest: f64) -> impl Fn(&Load, u64) -> f64 {
        move |load, span_ns| load.request_rate.unwrap() * highest * span_ns as f64 / 1e9
    }

    #[test]
    fn a_trillion_requests_are_one_latency_and_fit_into_no_window() {
        // Bucket 1600 is about 8 ms.
        let trillion = window(BTreeMap::from([(1600, 1 << 40)]));
        assert_eq!(latencies(&[], Some(&trillion)).len(), 1);
        assert!(
            !fits(&load(None), at(1.0), &trillion) && !fits(&load(Some(40.0)), at(1.0), &trillion)
        );
        let honest = window(BTreeMap::from([(1600, 2000)]));
        assert!(fits(&load(None), at(1.0), &honest) && fits(&load(Some(200.0)), at(1.0), &honest));
        assert!(!fits(&load(None), at(1.0), &window(BTreeMap::from([(1600, 3000)]))));
        // 40 a second are too few for 4,000 in 10 s, unless the rate rises to five times as many.
        let more = window(BTreeMap::from([(1600, 4000)]));
        assert!(
            !fits(&load(Some(40.0)), at(1.0), &more) && fits(&load(Some(40.0)), at(5.0), &more)
        );
    }
}
