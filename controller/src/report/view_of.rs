//! What was read back from the store -> the view of a report.

use super::view::{
    self, BatchPerformance, Cell, CellMemory, Cost, Engine, Entry, Environment, Event, Host,
    Latency, Memory, Metrics, Price, Results, SCHEMA_VERSION, SamplesFile, Throughput, Validity,
    Verdict, Warmup,
};
use crate::cost::{usd_per_1000_requests, usd_per_million_output_tokens};
use crate::plan;
use crate::statistics::{self, CellStatistics, Observation};
use crate::store::{AgentRow, CampaignRow, EventRow, PriceRow, SampleRow, SegmentRow, State};
use proto::generation::Stop;
use proto::model::{EngineFacts, Scenario};
use std::collections::{BTreeMap, BTreeSet};

/// A campaign as it was read back.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    /// What was asked.
    pub campaign: &'a CampaignRow,
    /// Who measured.
    pub agents: &'a [AgentRow],
    /// In which stretches.
    pub segments: &'a [SegmentRow],
    /// Every sample, late ones included.
    pub samples: &'a [SampleRow],
    /// What happened.
    pub events: &'a [EventRow],
}

const MIB: f64 = 1_048_576.0;

/// Makes the view. `samples_file` is named in it where one was written.
pub fn view_of(read: &Read<'_>, samples_file: Option<SamplesFile>) -> Results {
    let Read { campaign, .. } = read;
    let matrix = &campaign.matrix;
    let by_cell = by_cell(read);
    let cells: Vec<Cell> =
        (0..campaign.plan.cells.len()).map(|index| cell(read, index, &by_cell[index])).collect();
    let sum = |count: fn(&Cell) -> u64| cells.iter().map(count).sum();
    Results {
        schema_version: SCHEMA_VERSION,
        campaign: view::Campaign {
            id: campaign.id.to_string(),
            name: campaign.name.clone(),
            state: match campaign.state {
                State::Complete => State::Complete.as_str(),
                State::Running | State::Incomplete => State::Incomplete.as_str(),
            }
            .to_owned(),
            created_at: campaign.created_at.to_rfc3339(),
            finished_at: campaign.finished_at.map(|at| at.to_rfc3339()),
            controller_version: campaign.controller_version.clone(),
            seed: matrix.seed,
            planned_samples: campaign.plan.total_samples() as u64,
            counted_samples: sum(|cell| cell.counted_samples + cell.failed_samples),
            missing_samples: sum(|cell| cell.missing_samples),
            late_samples: sum(|cell| cell.late_samples),
            events: read.events.iter().map(event).collect(),
            matrix: campaign.matrix_text.clone(),
            samples_file,
        },
        dataset: view::Dataset {
            source: campaign.dataset.source.clone(),
            sha256: campaign.dataset.sha256.clone(),
            dialogues: campaign.dataset.dialogues as u64,
            samples: campaign.dataset.samples as u64,
            sample_ids_sha256: campaign.dataset.sample_ids_sha256.clone(),
            references: campaign.dataset.references as u64,
        },
        environment: environment(read),
        results: entries(read, &cells),
        comparisons: Vec::new(),
        recommendation: None,
    }
}

fn event(row: &EventRow) -> Event {
    Event { at: row.at.to_rfc3339(), kind: row.kind.clone(), detail: row.detail.clone() }
}

fn by_cell<'a>(read: &Read<'a>) -> Vec<Vec<&'a SampleRow>> {
    let mut by_cell = vec![Vec::new(); read.campaign.plan.cells.len()];
    for sample in read.samples {
        by_cell[sample.cell as usize].push(sample);
    }
    by_cell
}

fn environment(read: &Read<'_>) -> Environment {
    let targets = &read.campaign.matrix.targets;
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    for agent in read.agents {
        let facts = &agent.facts;
        let host = hosts.entry(agent.host_id.as_str()).or_insert_with(|| Host {
            id: agent.host_id.to_string(),
            name: facts.host_name.clone(),
            targets: Vec::new(),
            instance_type: facts.instance_type.clone(),
            cpu_model: facts.cpu_model.clone(),
            logical_cpus: facts.logical_cpus,
            cpu_features: facts.cpu_features.clone(),
            memory_mb: facts.memory_bytes as f64 / MIB,
            gpu_name: facts.gpu_name.clone(),
            kernel: facts.kernel.clone(),
            operating_system: facts.operating_system.clone(),
            agent_versions: Vec::new(),
        });
        let add = |list: &mut Vec<String>, item: &str| {
            if !list.iter().any(|known| known == item) {
                list.push(item.to_owned());
            }
        };
        add(&mut host.targets, targets[agent.target].name.as_str());
        add(&mut host.agent_versions, &facts.agent_version);
    }
    let generation = &read.campaign.matrix.generation;
    Environment {
        hosts: hosts.into_values().collect(),
        generation: view::Generation {
            prompt: generation.prompt.clone(),
            max_input_tokens: generation.max_input_tokens,
            max_new_tokens: generation.max_new_tokens,
            stop: match generation.stop {
                Stop::Eos => "eos",
                Stop::Reference => "reference",
            }
            .to_owned(),
        },
    }
}

/// Cells that differ in batch size alone make one entry.
fn entries(read: &Read<'_>, cells: &[Cell]) -> Vec<Entry> {
    let plan = &read.campaign.plan;
    let key = |cell: &plan::Cell| (cell.target, cell.model, cell.dtype, cell.scenario);
    let mut keys = Vec::new();
    for cell in &plan.cells {
        if !keys.contains(&key(cell)) {
            keys.push(key(cell));
        }
    }
    keys.into_iter()
        .map(|wanted| {
            let pairs = plan.cells.iter().zip(cells).filter(|(planned, _)| key(planned) == wanted);
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort_by_key(|(planned, _)| planned.batch_size);
            entry(read, &pairs)
        })
        .collect()
}

fn entry(read: &Read<'_>, pairs: &[(&plan::Cell, &Cell)]) -> Entry {
    let matrix = &read.campaign.matrix;
    let (planned, smallest) = pairs[0];
    let (model, target) = (&matrix.models[planned.model], &matrix.targets[planned.target]);
    let facts = engine_facts(read, planned);
    let agents: Vec<&AgentRow> =
        read.agents.iter().filter(|agent| agent.target == planned.target).collect();
    let on_gpu = facts.is_some_and(|facts| facts.device != "cpu");
    let valid = pairs.iter().filter(|(_, cell)| cell.validity.verdict == Verdict::Valid);
    let price = |cell: &Cell| cell.cost.usd_per_1000_requests.value.unwrap_or(f64::INFINITY);
    let cheapest = valid.min_by(|(_, a), (_, b)| price(a).total_cmp(&price(b)));
    Entry {
        timestamp: read.campaign.created_at.to_rfc3339(),
        model_id: model.id.clone(),
        peft_weights: model.adapter.clone(),
        device: facts.map(|facts| facts.device.clone()),
        gpu_name: agents.iter().find_map(|agent| agent.facts.gpu_name.clone()).filter(|_| on_gpu),
        num_samples: read.campaign.plan.samples as u64,
        num_runs: matrix.protocol.runs,
        metrics: metrics(smallest),
        batch_performance: pairs
            .iter()
            .map(|(planned, cell)| {
                let performance = BatchPerformance {
                    latency_ms: cell.estimates.batch_ms.mean.value,
                    throughput: cell.estimates.throughput.per_host.value,
                };
                (format!("batch_{}", planned.batch_size), performance)
            })
            .collect(),
        model: model.name.clone(),
        target: target.name.to_string(),
        measured_on: measured_on(&agents),
        priced_as: target.name.to_string(),
        dtype: planned.dtype.to_string(),
        scenario: planned.scenario.to_string(),
        engine: facts.map(engine),
        cells: pairs.iter().map(|(_, cell)| (*cell).clone()).collect(),
        cost: cheapest.map(|(_, cell)| cell.cost.clone()),
    }
}

/// The instance types that were found, or `unknown`.
fn measured_on(agents: &[&AgentRow]) -> String {
    let found: BTreeSet<&str> = agents
        .iter()
        .map(|agent| agent.facts.instance_type.as_deref().unwrap_or("unknown"))
        .collect();
    if found.is_empty() { "unknown".to_owned() } else { Vec::from_iter(found).join(", ") }
}

fn engine_facts<'a>(read: &Read<'a>, planned: &plan::Cell) -> Option<&'a EngineFacts> {
    let agents = read.agents.iter().filter(|agent| agent.target == planned.target);
    agents.filter_map(|agent| agent.engines.get(planned.engine)).find_map(Option::as_ref)
}

fn engine(facts: &EngineFacts) -> Engine {
    Engine {
        kernel: facts.kernel.clone(),
        model_sha256: facts.model_sha256.clone(),
        adapter_sha256: facts.adapter_sha256.clone(),
        tokenizer_sha256: facts.tokenizer_sha256.clone(),
        revision: facts.revision.clone(),
        parameters: facts.parameters,
        random_weights: facts.random_weights,
        played: facts.played,
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
            gpu_memory_mb: None,
            gpu_utilization_pct: None,
        },
    }
}

fn cell(read: &Read<'_>, index: usize, samples: &[&SampleRow]) -> Cell {
    let planned = &read.campaign.plan.cells[index];
    let counted: Vec<&SampleRow> =
        samples.iter().copied().filter(|sample| sample.is_counted).collect();
    let hosts = host_indices(read.agents);
    let observation = |sample: &&SampleRow| observation(sample, hosts[sample.agent as usize]);
    let observations = counted.iter().map(observation).collect();
    let estimates =
        statistics::summarize(&statistics::Cell::new(scenario(planned.scenario), observations));
    let segments: Vec<&SegmentRow> =
        read.segments.iter().filter(|segment| segment.cell == index).collect();
    let expected =
        read.campaign.plan.samples as u64 * u64::from(read.campaign.matrix.protocol.runs);
    let facts = engine_facts(read, planned);
    let missing = expected - (counted.len() as u64).min(expected);
    Cell {
        cell: planned.id.to_string(),
        batch_size: planned.batch_size,
        counted_samples: estimates.counted_samples,
        failed_samples: estimates.failed_samples,
        missing_samples: missing,
        late_samples: (samples.len() - counted.len()) as u64,
        cut_inputs: counted.iter().filter(|sample| sample.cut_tokens > 0).count() as u64,
        unknown_tokens: counted.iter().map(|sample| u64::from(sample.unknown_tokens)).sum(),
        memory: memory(&segments, facts),
        warmup: warmup(&segments),
        validity: validity(&estimates, missing, &segments, facts),
        cost: cost(planned.batch_size, &read.campaign.prices[planned.target], &estimates),
        estimates,
    }
}

/// Agents on one machine are one host.
fn host_indices(agents: &[AgentRow]) -> Vec<u32> {
    let hosts: BTreeSet<&str> = agents.iter().map(|agent| agent.host_id.as_str()).collect();
    let index = |agent: &AgentRow| hosts.iter().position(|host| *host == agent.host_id.as_str());
    agents
        .iter()
        .map(|agent| u32::try_from(index(agent).unwrap_or(0)).unwrap_or(u32::MAX))
        .collect()
}

fn scenario(scenario: Scenario) -> statistics::Scenario {
    match scenario {
        Scenario::Offline => statistics::Scenario::Offline,
        Scenario::SingleStream => statistics::Scenario::SingleStream,
        Scenario::Server => statistics::Scenario::Server,
        Scenario::Stress => statistics::Scenario::Stress,
    }
}

fn observation(sample: &SampleRow, host: u32) -> Observation {
    Observation {
        run: sample.run,
        host,
        segment: sample.segment,
        batch: sample.batch,
        start_ns: sample.start_ns,
        sample: sample.sample,
        latency_ns: sample.latency_ns,
        ttft_ns: sample.ttft_ns,
        input_tokens: sample.input_tokens,
        output_tokens: sample.output_tokens,
        outcome: if sample.outcome.is_ok() {
            statistics::Outcome::Ok
        } else {
            statistics::Outcome::Failed
        },
    }
}

fn memory(segments: &[&SegmentRow], facts: Option<&EngineFacts>) -> CellMemory {
    let largest = |of: fn(&crate::store::SegmentFacts) -> u64| {
        segments
            .iter()
            .filter_map(|segment| segment.facts.as_ref())
            .map(of)
            .max()
            .filter(|most| *most > 0)
    };
    let mb = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64 / MIB);
    CellMemory {
        model_size_mb: mb(facts.map(|facts| facts.model_size_bytes)),
        peak_rss_mb: mb(largest(|facts| facts.peak_rss_bytes)),
        rss_after_load_mb: mb(largest(|facts| facts.rss_after_load_bytes)),
        kv_cache_mb: mb(largest(|facts| facts.kv_cache_bytes)),
        load_ms: largest(|facts| facts.load_ns).map(|ns| ns as f64 / 1e6),
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

fn validity(
    estimates: &CellStatistics,
    missing: u64,
    segments: &[&SegmentRow],
    facts: Option<&EngineFacts>,
) -> Validity {
    let impossible = segments
        .iter()
        .filter(|segment| segment.facts.is_some_and(|facts| facts.is_time_impossible));
    let findings = [
        (missing > 0, Verdict::Invalid, format!("{missing} samples are missing")),
        (
            impossible.count() > 0,
            Verdict::Invalid,
            "an agent claims to have measured for longer than it had".to_owned(),
        ),
        (
            estimates.failed_samples > 0,
            Verdict::Degraded,
            format!("{} requests failed", estimates.failed_samples),
        ),
        (
            segments.iter().any(|segment| segment.facts.is_none()) && missing == 0,
            Verdict::Degraded,
            "an agent was lost, and the rest was measured in a new segment".to_owned(),
        ),
        (
            facts.is_some_and(|facts| facts.played),
            Verdict::Degraded,
            "times come from a script, not from a clock".to_owned(),
        ),
    ];
    let found = findings.into_iter().filter(|(is_so, ..)| *is_so);
    let (verdicts, reasons): (Vec<Verdict>, Vec<String>) =
        found.map(|(_, verdict, reason)| (verdict, reason)).unzip();
    Validity { verdict: verdicts.into_iter().max().unwrap_or(Verdict::Valid), reasons }
}

fn cost(batch_size: u32, price: &PriceRow, estimates: &CellStatistics) -> Cost {
    let usd_per_hour = price.usd_per_hour;
    Cost {
        batch_size,
        usd_per_hour,
        usd_per_1000_requests: usd_per_1000_requests(&estimates.throughput.per_host, usd_per_hour),
        usd_per_million_output_tokens: usd_per_million_output_tokens(
            &estimates.output_token_throughput.per_host,
            usd_per_hour,
        ),
        price: Price {
            service: price.service.clone(),
            region: price.region.clone(),
            purchase: price.purchase.clone(),
            source: price.source.clone(),
            date: price.date.clone(),
            region_assumed: price.is_region_assumed,
        },
    }
}
