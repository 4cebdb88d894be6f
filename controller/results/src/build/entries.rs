//! Entries: cells that differ in batch size alone, together.

use super::replayed::replayed;
use super::{StoredCampaign, facts_of, is_left_out};
use crate::offered_load::{Load, RateAt};
use crate::schema::{BatchPerformance, Cell, Engine, Entry, Latency, Memory, Metrics, Throughput};
use matrix::plan;
use model::engine::EngineFacts;
use model::rate_profile::RatePoint;
use records::AgentRow;
use stats::CellStatistics;
use stats::validity::Status;
use std::collections::BTreeSet;

/// Cells that differ in batch size alone make one entry. `ranked` names the cells of the recommendation, best first.
pub(super) fn entries(read: &StoredCampaign<'_>, cells: &[Cell], ranked: &[String]) -> Vec<Entry> {
    let plan = &read.campaign.plan;
    let key = |cell: &plan::Cell| {
        let searched = (cell.num_beams, cell.prompt_lookup_num_tokens);
        (cell.target, cell.model, cell.dtype, searched, cell.scenario, cell.load)
    };
    let mut keys = Vec::new();
    let is_left_out: Vec<bool> =
        (0..plan.cells.len()).map(|index| is_left_out(read, index)).collect();
    let measured = || (plan.cells.iter().zip(cells)).zip(&is_left_out).filter(|(_, out)| !**out);
    for ((cell, _), _) in measured() {
        if !keys.contains(&key(cell)) {
            keys.push(key(cell));
        }
    }
    keys.into_iter()
        .map(|wanted| {
            let pairs = measured().map(|(pair, _)| pair);
            let mut pairs: Vec<_> = pairs.filter(|(planned, _)| key(planned) == wanted).collect();
            pairs.sort_by_key(|(planned, _)| planned.batch_size);
            entry(read, &pairs, ranked)
        })
        .collect()
}

fn entry(read: &StoredCampaign<'_>, pairs: &[(&plan::Cell, &Cell)], ranked: &[String]) -> Entry {
    let matrix = &read.campaign.matrix;
    let (planned, smallest) = pairs[0];
    let (model, target) = (&matrix.models[planned.model], &matrix.targets[planned.target]);
    let facts = facts_of(read.agents, planned);
    let agents: Vec<&AgentRow> =
        read.agents.iter().filter(|agent| agent.target == planned.target).collect();
    let on_gpu = facts.is_some_and(EngineFacts::is_on_gpu);
    let valid = pairs.iter().filter(|(_, cell)| cell.validity.status == Status::Valid);
    let price = |cell: &Cell| cell.cost.usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
    let cheapest = || valid.min_by(|(_, a), (_, b)| price(a).total_cmp(&price(b)));
    let best = ranked.iter().find_map(|name| pairs.iter().find(|(_, cell)| cell.cell == *name));
    Entry {
        timestamp: read.campaign.created_at.to_rfc3339(),
        model_id: model.id.clone(),
        peft_weights: model.adapter.clone(),
        adapter_mode: model.adapter.as_ref().map(|_| model.adapter_mode.to_string()),
        device: facts.filter(|facts| facts.endpoint.is_none()).map(|facts| facts.device.clone()),
        gpu_name: agents.iter().find_map(|agent| agent.facts.gpu_name.clone()).filter(|_| on_gpu),
        num_samples: read.campaign.plan.samples as u64,
        num_runs: if planned.is_candidate(matrix) {
            u32::try_from(smallest.estimates.runs.len()).unwrap_or(u32::MAX)
        } else {
            runs(matrix.protocol.runs, pairs)
        },
        metrics: metrics(smallest),
        batch_performance: pairs
            .iter()
            .map(|(planned, cell)| {
                let performance = BatchPerformance {
                    // Under a load, timing decides which requests are decoded together.
                    latency_ms: (cell.estimates.batch_ms.mean.value)
                        .filter(|_| planned.load.is_none()),
                    throughput: cell.estimates.throughput.per_host.value,
                };
                (format!("batch_{}", planned.batch_size), performance)
            })
            .collect(),
        model: model.name.clone(),
        baseline: model.baseline.clone(),
        target: target.name.to_string(),
        measured_on: match facts {
            Some(facts) if facts.endpoint.is_some() => EngineFacts::ENDPOINT.to_owned(),
            _ => measured_on(&agents),
        },
        priced_as: target.name.to_string(),
        dtype: planned.dtype.to_string(),
        num_beams: planned.num_beams,
        prompt_lookup_num_tokens: planned.prompt_lookup_num_tokens,
        scenario: planned.scenario.to_string(),
        load: planned.load.map(|load| described(load, model.endpoint.is_some())),
        rate_profile: planned
            .load
            .and_then(|load| {
                load.request_rate?;
                matrix.loads.rate_profile(planned.scenario)
            })
            .map(|profile| profile.points().iter().map(rate_point).collect())
            .unwrap_or_default(),
        trace: planned.load.and_then(|load| replayed(read, planned, &load)),
        engine: facts.map(|facts| engine(facts, model)),
        cells: pairs.iter().map(|(_, cell)| (*cell).clone()).collect(),
        cost: best.or_else(cheapest).map(|(_, cell)| cell.cost.clone()),
    }
}

fn rate_point(point: &RatePoint) -> RateAt {
    RateAt { at_s: point.at_ns as f64 / 1e9, factor: point.factor }
}

fn described(planned: plan::Load, is_endpoint: bool) -> Load {
    let is_open = planned.request_rate.is_some();
    // Nothing waits in front of an endpoint.
    let is_queue = is_open && !is_endpoint;
    Load {
        request_rate: planned.request_rate,
        constant_gaps: is_open.then_some(planned.is_constant()),
        gap_cv: planned.queue.gap_cv.filter(|_| is_open),
        concurrency: (!is_open).then_some(planned.concurrency),
        max_batch_delay_ms: is_queue.then_some(planned.queue.max_batch_delay.as_secs_f64() * 1e3),
        max_queue: is_queue.then_some(planned.queue.max_queue),
        max_in_flight: (is_open && is_endpoint).then_some(planned.queue.max_in_flight),
        batching: planned.queue.batching,
        planned_s: planned
            .sustained
            .map(|sustained| sustained.window_ns as f64 / 1e9 * f64::from(sustained.windows)),
    }
}

/// Repeats: as many as the matrix fixes, or as precision took.
fn runs(fixed: u32, pairs: &[(&plan::Cell, &Cell)]) -> u32 {
    let taken = pairs.iter().filter(|(_, cell)| cell.precision.is_some());
    let most = taken.map(|(_, cell)| cell.estimates.runs.len()).max();
    most.and_then(|most| u32::try_from(most).ok()).unwrap_or(fixed)
}

/// The instance types that were found, or `unknown`.
fn measured_on(agents: &[&AgentRow]) -> String {
    let found: BTreeSet<&str> = agents
        .iter()
        .map(|agent| agent.facts.host.instance_type.as_deref().unwrap_or("unknown"))
        .collect();
    if found.is_empty() { "unknown".to_owned() } else { Vec::from_iter(found).join(", ") }
}

fn engine(facts: &EngineFacts, model: &matrix::Model) -> Engine {
    let name = match (facts.endpoint.is_some(), model.is_scripted()) {
        (true, _) => "http",
        (false, true) => "scripted",
        (false, false) => model.engine.as_str(),
    };
    Engine {
        name: Some(name.to_owned()),
        kernel: facts.kernel.clone(),
        model_sha256: facts.model_sha256.clone(),
        endpoint: facts.endpoint.clone(),
        adapter_sha256: facts.adapter_sha256.clone(),
        tokenizer_sha256: facts.tokenizer_sha256.clone(),
        revision: facts.revision.clone(),
        parameters: facts.endpoint.is_none().then_some(facts.parameters),
        random_weights: facts.random_weights,
        synthetic_time: facts.synthetic_time,
        decoding: facts.decoding.as_ref().map(Into::into),
        prompt: facts.prompt.clone(),
        system: facts.system.clone(),
        notes: facts.notes.clone(),
    }
}

fn metrics(cell: &Cell) -> Metrics {
    let CellStatistics { latency_ms: latency, throughput, .. } = &cell.estimates;
    Metrics {
        latency_ms: Latency {
            mean: latency.mean.value,
            std: latency.std,
            min: latency.min,
            max: latency.max,
            p50: latency.p50.value,
            p90: latency.p90.value,
            p95: latency.p95.value,
            p99: latency.p99.value,
        },
        throughput: Throughput {
            mean: throughput.per_host.value,
            std: throughput.std,
            unit: throughput.unit.clone(),
        },
        memory: Memory {
            model_size_mb: cell.memory.model_size_mb,
            gpu_memory_mb: cell.memory.gpu_memory_mb,
            gpu_utilization_pct: cell
                .telemetry
                .as_ref()
                .and_then(|telemetry| telemetry.gpu.as_ref()?.utilization_pct),
        },
    }
}
