//! Cells: estimates, validity and cost.

use super::observations::CellSamples;
use super::telemetry::Watched;
use super::{MIB, StoredCampaign, facts_of, quality, telemetry};
use crate::schema::{Cell, CellDrafts, CellMemory, Cost, Price, Stress, Warmup};
use chrono::NaiveDate;
use cost::price::STALE_AFTER_DAYS;
use cost::{usd_per_1000_good_requests, usd_per_1000_requests, usd_per_million_output_tokens};
use matrix::plan;
use model::engine::EngineFacts;
use model::histogram::Histogram;
use model::host::SOFTWARE_GPU;
use model::segment::SegmentFacts;
use model::telemetry::Metric;
use records::{AgentRow, PriceRow, SegmentRow, State};
use stats::clock;
use stats::distribution::by_run;
use stats::drift::drift;
use stats::loadgen;
use stats::phases::{Phases, phases};
use stats::precision::{Ended, whole_runs};
use stats::quantile::{Merged, quantile};
use stats::search::{PlannedRun, RunEnd, RunShares};
use stats::slo::{Goodput, Kept, Slo, goodput};
use stats::stress::judge::Delay;
use stats::stress::{self, Conditions, Verdicts, Windows};
use stats::telemetry::energy::CellEnergy;
use stats::validity::{Cause, Evidence, MissedObjective, Status, Validity, validity};
use stats::{self, CellStatistics, Limitation};

pub(super) fn cell(read: &StoredCampaign<'_>, index: usize, observed: &CellSamples) -> Cell {
    let planned = &read.campaign.plan.cells[index];
    let sustained = planned.sustained();
    let samples = read.campaign.plan.samples as u64;
    let estimates = match sustained {
        Some(_) => {
            let runs: Vec<_> =
                observed.sustained.iter().map(|(run, windows)| (*run, windows)).collect();
            stress::estimates::estimates(&runs, samples)
        }
        None => stats::summarize(&observed.cell),
    };
    let matrix = &read.campaign.matrix;
    let slo_of_search = super::objective(matrix).filter(|_| planned.is_candidate(matrix));
    let segments: Vec<&SegmentRow> =
        read.segments.iter().filter(|segment| segment.cell == index).collect();
    let standing = super::precision_rule(&read.campaign.matrix.protocol).map(|rule| {
        let ended = if read.campaign.state == State::Complete { Ended::Itself } else { Ended::No };
        rule.standing(&whole_runs(&observed.cell, samples), ended)
    });
    let planned_run = super::planned_run(&read.campaign.plan, matrix, index);
    // Runs of a candidate that are over-saturated end early, without the facts of their segment.
    let is_cut =
        |run: u32| slo_of_search.is_some_and(|slo| is_cut_short(observed, run, &slo, planned_run));
    let segments: Vec<&SegmentRow> = (segments.into_iter())
        .filter(|segment| segment.facts.is_some() || !is_cut(segment.run))
        .collect();
    let runs = standing.map_or(read.campaign.matrix.protocol.runs, |standing| standing.runs);
    // A sustained load has as many requests as it comes to.
    let expected = match sustained {
        Some(_) => 0,
        // A search measures what it needs.
        None if slo_of_search.is_some() => observed.cell.len() as u64,
        None => samples * u64::from(runs),
    };
    let stress = stress_runs(read, planned, observed);
    let schedule_delay_ms = schedule_delay(observed, &stress);
    let facts = facts_of(read.agents, planned);
    let slo = super::objective(&read.campaign.matrix).filter(|_| sustained.is_none());
    let goodput = slo.map(|slo| goodput(&observed.cell, slo));
    let is_open = planned.load.is_some_and(|load| load.request_rate.is_some());
    let sustained_not_sent = || stress.iter().map(|run| run.verdicts.not_sent).sum();
    let (usd_per_hour, price) = price(&read.campaign.prices[planned.target], read.today);
    let cost = cost(planned.batch_size, usd_per_hour, price, &estimates, goodput.as_ref());
    let watched = telemetry::of_cell(read, index, facts);
    let missed = goodput.as_ref().filter(|_| observed.cell.is_sequential());
    let evidence = Evidence {
        planned_samples: Some(expected),
        slo_never_kept: missed.and_then(|goodput| never_kept(goodput, &estimates)),
        ..evidence(observed, &segments, &watched)
    };
    let evidence = with_sending(evidence, facts, schedule_delay_ms, &watched);
    let mut validity = validity(&estimates, &evidence);
    for (status, cause) in unreal_times(read.agents, planned.target, facts) {
        validity.add(status, cause);
    }
    let missing = expected.saturating_sub(observed.cell.len() as u64);
    Cell {
        cell: planned.id.to_string(),
        batch_size: planned.batch_size,
        load_agents: (planned.agents > 1).then_some(planned.agents),
        counted_samples: estimates.counted_samples,
        failed_samples: estimates.failed_samples,
        failed_by: (observed.failed_by.iter())
            .map(|(kind, count)| ((*kind).to_owned(), *count))
            .collect(),
        missing_samples: missing,
        late_samples: observed.late_samples,
        cut_inputs: observed.cut_inputs,
        unknown_tokens: observed.unknown_tokens,
        drafts: observed.drafts.map(drafts),
        phases: phases_of(observed, facts),
        quality: quality::of(&observed.scored, read.campaign.matrix.seed),
        http: observed.http.summary(),
        stream: observed.stream.summary(),
        memory: memory(&segments, facts, &watched),
        telemetry: watched.summary(),
        energy: match facts {
            Some(facts) if facts.endpoint.is_some() => {
                CellEnergy::missing(Limitation::BehindEndpoint)
            }
            _ => watched.energy(&estimates.runs, read.campaign.matrix.telemetry.grams_co2e_per_kwh),
        },
        warmup: warmup(&segments),
        validity: incomplete(validity, &stress),
        cost,
        goodput,
        schedule_delay_ms,
        not_sent: is_open.then(|| match sustained {
            Some(_) => sustained_not_sent(),
            None => observed.not_sent,
        }),
        latency_ms_by_percent: match sustained {
            Some(_) => by_percent_of(&observed.sustained),
            None => by_percent(&observed.cell),
        },
        loadgen: match sustained {
            Some(_) => None,
            None => loadgen::figures(&observed.cell, slo),
        },
        precision: standing.map(|standing| standing.look),
        stress,
        estimates,
    }
}

/// Those of an endpoint would be times of the network and of its queue as well.
fn phases_of(observed: &CellSamples, facts: Option<&EngineFacts>) -> Option<Phases> {
    facts.filter(|facts| facts.endpoint.is_none()).and_then(|_| phases(&observed.cell))
}

fn drafts([drafted_tokens, accepted_tokens]: [u64; 2]) -> CellDrafts {
    let share = accepted_tokens as f64 / drafted_tokens as f64;
    let acceptance_rate = (drafted_tokens > 0).then_some(share);
    CellDrafts { drafted_tokens, accepted_tokens, acceptance_rate }
}

/// Whether the search cut this run short.
fn is_cut_short(observed: &CellSamples, run: u32, slo: &Slo, planned: PlannedRun) -> bool {
    let run = observed.cell.runs().iter().find(|one| one.run == run);
    run.is_some_and(|run| RunShares::new(run.rows(), slo, planned).end == RunEnd::CutShort)
}

fn stress_runs(
    read: &StoredCampaign<'_>,
    planned: &plan::Cell,
    observed: &CellSamples,
) -> Vec<Stress> {
    let Some(sustained) = planned.sustained() else { return Vec::new() };
    let matrix = &read.campaign.matrix;
    let stress = matrix.loads.stress.as_ref();
    let facts = facts_of(read.agents, planned);
    let device = facts.map(|facts| facts.device.as_str());
    let is_on_gpu = facts.is_some_and(EngineFacts::is_on_gpu);
    let agents = || read.agents.iter().filter(|agent| agent.target == planned.target);
    let gpus = agents().flat_map(|agent| &agent.facts.instruments.gpus);
    let gpu_max_mhz =
        gpus.filter(|gpu| gpu.device.as_deref() == device).find_map(|gpu| gpu.sm_max_mhz);
    let cpu_max_mhz = agents().find_map(|agent| agent.facts.host.cpu_max_mhz);
    let judged = |(run, windows): &(u32, Windows)| {
        let conditions = Conditions {
            run: *run,
            planned_windows: sustained.windows.into(),
            max_leak_mb_per_hour: stress.and_then(|stress| stress.max_leak_mb_per_hour),
            seed: matrix.seed,
            is_on_gpu,
            rate_changes: stress
                .is_some_and(|stress| !stress.rate_profile.is_constant() || stress.trace.is_some()),
            gpu_max_mhz,
            cpu_max_mhz,
        };
        Stress { verdicts: stress::judge(windows, conditions) }
    };
    observed.sustained.iter().map(judged).collect()
}

/// A sustained load that was interrupted is judged by the windows there are.
fn incomplete(mut validity: Validity, runs: &[Stress]) -> Validity {
    for Stress { verdicts } in runs {
        let Verdicts { run, windows, planned_windows, .. } = *verdicts;
        if windows < planned_windows {
            validity.add(Status::Degraded, Cause::IncompleteRun { run, windows, planned_windows });
        }
    }
    validity
}

/// [`by_percent`] of a sustained load, from its histograms.
fn by_percent_of(runs: &[(u32, Windows)]) -> Vec<f64> {
    let mut all = Histogram::default();
    let windows = runs.iter().flat_map(|(_, windows)| windows.as_slice());
    windows.for_each(|window| all.merge(&window.load.latency));
    let at = |percent: u32| stats::quantile::quantile_ms(&all, f64::from(percent) / 100.0);
    (0..=100).filter_map(at).collect()
}

/// The latency that 0, 1, 2 ... 100 % of the requests with a summary don't exceed, in milliseconds.
fn by_percent(cell: &stats::Cell) -> Vec<f64> {
    let mut latencies = by_run(cell, |row| Some(row.latency_ms()));
    for run in &mut latencies {
        run.sort_unstable_by(f64::total_cmp);
    }
    let all = Merged(&latencies);
    (0..=100).filter_map(|percent| quantile(&all, f64::from(percent) / 100.0)).collect()
}

fn evidence(observed: &CellSamples, segments: &[&SegmentRow], watched: &Watched<'_>) -> Evidence {
    let is_impossible = |segment: &&&SegmentRow| segment.is_time_impossible;
    Evidence {
        drift: drift(&observed.cell),
        clock_trouble: clock::trouble(&observed.cell),
        // A segment that its agent never closed lost that agent.
        agents_lost: segments.iter().filter(|segment| segment.facts.is_none()).count() as u64,
        impossible_times: segments.iter().filter(is_impossible).count() as u64,
        ..watched.evidence()
    }
}

fn schedule_delay(observed: &CellSamples, stress: &[Stress]) -> Option<Delay> {
    match stress {
        [] => stress::judge::delay(&observed.delays),
        [run, ..] => run.verdicts.schedule_delay_ms,
    }
}

/// With an endpoint, also whether the agents kept up with the load.
fn with_sending(
    evidence: Evidence,
    facts: Option<&EngineFacts>,
    delay: Option<Delay>,
    watched: &Watched<'_>,
) -> Evidence {
    if facts.is_none_or(|facts| facts.endpoint.is_none()) {
        return evidence;
    }
    Evidence {
        send_delay_p99_ms: delay.map(|delay| delay.p99),
        sending_cores: watched.busiest_cores(),
        ..evidence
    }
}

/// How a cell misses the objective. Nothing waits in a closed loop, so more load can only be slower.
fn never_kept(goodput: &Goodput, estimates: &CellStatistics) -> Option<MissedObjective> {
    let Slo { percentile, request_latency_ms, .. } = goodput.slo;
    let (limit_ms, is_missed) = (request_latency_ms?, goodput.kept == Kept::Missed);
    let estimate = estimates.latency_ms.percentile(percentile);
    let (ci_low_ms, ci_high_ms) = estimate.filter(|_| is_missed)?.interval()?;
    // Another limit of the objective may be the one that is missed.
    let is_only = goodput.limits.len() == 1 && goodput.slo.error_rate.is_none();
    (is_only || ci_low_ms > limit_ms).then_some(MissedObjective {
        percentile,
        ci_low_ms,
        ci_high_ms,
        limit_ms,
    })
}

/// Why the times of a cell are none of a device.
fn unreal_times<'a>(
    agents: &'a [AgentRow],
    target: usize,
    facts: Option<&'a EngineFacts>,
) -> impl Iterator<Item = (Status, Cause)> + 'a {
    let is_software = |agent: &AgentRow| {
        agent.target == target
            && agent.facts.gpu_name.as_deref().is_some_and(|name| name.starts_with(SOFTWARE_GPU))
    };
    let from_script = facts.is_some_and(|facts| facts.synthetic_time);
    let on_software = facts.is_some_and(EngineFacts::is_on_gpu) && agents.iter().any(is_software);
    let script = from_script.then_some((Status::Degraded, Cause::SyntheticTime));
    let software = on_software.then_some((Status::Invalid, Cause::SoftwareGpu));
    script.into_iter().chain(software)
}

fn memory(
    segments: &[&SegmentRow],
    facts: Option<&EngineFacts>,
    watched: &Watched<'_>,
) -> CellMemory {
    if facts.is_some_and(|facts| facts.endpoint.is_some()) {
        return CellMemory::default();
    }
    let known = || segments.iter().filter_map(|segment| segment.facts.as_ref());
    let largest = |of: fn(&SegmentFacts) -> u64| known().map(of).max().filter(|most| *most > 0);
    let before = known().filter_map(|facts| facts.gpu_memory_before_bytes).min();
    let peak = |metric| watched.largest(metric);
    let peak_gpu = peak(Metric::GpuMemoryUsedBytes).zip(before);
    let mb = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / MIB);
    CellMemory {
        // What was held while measuring; until then, what the files let expect.
        model_size_mb: mb(largest(|facts| facts.model_size_bytes)
            .or_else(|| facts.map(|facts| facts.model_size_bytes))),
        adapter_mb: mb(largest(|facts| facts.adapter_bytes)),
        peak_rss_mb: mb(largest(|facts| facts.peak_rss_bytes)),
        rss_after_load_mb: mb(largest(|facts| facts.rss_after_load_bytes)),
        peak_pss_mb: peak(Metric::ProcessPssBytes).map(|bytes| bytes / MIB),
        gpu_memory_mb: mb(largest(|facts| facts.gpu_memory_bytes)),
        peak_gpu_memory_mb: peak_gpu.map(|(peak, before)| (peak - before as f64) / MIB),
        kv_cache_mb: mb(largest(|facts| facts.kv_cache_bytes)),
        load_ms: largest(|facts| facts.load_ns).map(|ns| ns as f64 / 1e6),
        adapter_load_ms: largest(|facts| facts.adapter_load_ns).map(|ns| ns as f64 / 1e6),
    }
}

fn warmup(segments: &[&SegmentRow]) -> Warmup {
    let facts = || segments.iter().filter_map(|segment| segment.facts.as_ref());
    Warmup {
        segments: segments.len() as u64,
        batches: facts().map(|facts| u64::from(facts.warmup_batches)).sum(),
        total_ms: facts().map(|facts| facts.warmup_ns as f64 / 1e6).sum(),
    }
}

fn cost(
    batch_size: u32,
    usd_per_hour: f64,
    price: Price,
    estimates: &CellStatistics,
    goodput: Option<&Goodput>,
) -> Cost {
    let good =
        |goodput: &Goodput| usd_per_1000_good_requests(&goodput.goodput.per_host, usd_per_hour);
    Cost {
        batch_size,
        usd_per_hour,
        usd_per_1000_requests: usd_per_1000_requests(&estimates.throughput.per_host, usd_per_hour),
        usd_per_1000_good_requests: goodput.map(good),
        usd_per_million_output_tokens: usd_per_million_output_tokens(
            &estimates.output_token_throughput.per_host,
            usd_per_hour,
        ),
        price,
    }
}

/// USD per hour, and where they come from.
fn price(row: &PriceRow, today: NaiveDate) -> (f64, Price) {
    let date = row.date.as_ref().and_then(|date| date.parse::<NaiveDate>().ok());
    let age_days = date.map(|date| (today - date).num_days());
    let price = Price {
        service: row.service.clone(),
        region: row.region.clone(),
        purchase: row.purchase.clone(),
        source: row.source.clone(),
        date: row.date.clone(),
        region_assumed: row.is_region_assumed,
        age_days,
        stale: age_days.is_some_and(|days| days > STALE_AFTER_DAYS),
    };
    (row.usd_per_hour, price)
}
