//! Telemetry of the machines: figures for every cell, and timelines below the latency.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Figure, Section, shortened};
use model::telemetry::Metric;
use plot::chart::axis::Format;
use plot::chart::plane::{Band, Curve, Guide, Join, Spot};
use plot::chart::{Axis, Chart, Dash, Strip, Strips};
use results::{Gpu, Results};
use stats::telemetry::{self, CellTelemetry, NotMeasurable, Timeline};
use std::collections::{BTreeMap, BTreeSet};

const MOST_FIGURES: usize = 12;
/// The share of a piece above which it is shaded.
const HELD_BACK: f64 = 0.05;
const MIB: f64 = 1_048_576.0;

/// Figures of all cells with the timeline of the cell that was throttled most, or of the first; and the timelines of
/// the other cells, if any.
pub(super) fn sections(results: &Results, names: &Names<'_>) -> (Section, Option<Section>) {
    let mut drawn = drawn(results, names).into_iter();
    (section(results, names, drawn.next()), timelines(drawn.take(MOST_FIGURES).collect()))
}

fn section(results: &Results, names: &Names<'_>, drawn: Option<Block>) -> Section {
    let mut blocks = Vec::new();
    if names.cells.iter().any(|named| named.cell.telemetry.is_some()) {
        blocks.push(Block::Table(table(results, names)));
    } else {
        blocks.push(Block::Missing("No telemetry was recorded.".to_owned()));
    }
    blocks.extend(drawn);
    let absent = not_measurable(results);
    if !absent.is_empty() {
        blocks.push(Block::List(absent));
    }
    Section {
        id: "telemetry",
        title: "Telemetry".to_owned(),
        lead: "Means over the measured time. A cell whose machine was slowed down by heat, power limits or other load is DEGRADED.".to_owned(),
        blocks,
        detail: Detail::Summary,
    }
}

fn timelines(blocks: Vec<Block>) -> Option<Section> {
    (!blocks.is_empty()).then(|| Section {
        id: "timelines",
        title: "Timelines".to_owned(),
        lead: format!("Runs are drawn one after the other. At most {MOST_FIGURES} cells are drawn; results.telemetry.parquet has all readings."),
        blocks,
        detail: Detail::Page,
    })
}

/// Timelines, those with the most throttling first, then in the order of the cells.
fn drawn(results: &Results, names: &Names<'_>) -> Vec<Block> {
    let usable = names.cells.iter().filter(|named| named.is_usable());
    let mut figures: Vec<(f64, Figure)> = usable
        .filter_map(|named| {
            let timeline = named.cell.telemetry.as_ref()?.timelines.first()?;
            let bands = bands(timeline);
            let shaded = bands.iter().map(|band| band.to - band.from).sum::<f64>();
            Some((shaded, figure(results, named, timeline, bands)))
        })
        .collect();
    figures.sort_by(|a, b| b.0.total_cmp(&a.0));
    figures.into_iter().map(|(_, figure)| Block::Figure(Box::new(figure))).collect()
}

fn figure(results: &Results, named: &Named<'_>, timeline: &Timeline, bands: Vec<Band>) -> Figure {
    let why: BTreeSet<&str> = bands.iter().map(|band| band.text.as_str()).collect();
    let shade = if why.is_empty() {
        String::new()
    } else {
        format!(". Shaded: {}", why.into_iter().collect::<Vec<_>>().join("; "))
    };
    let gpu = results.environment.hosts.iter().find(|host| host.id == timeline.host);
    let gpu = gpu.and_then(|host| host.gpus.iter().find(|gpu| gpu.device == named.entry.device));
    let guides = timeline.runs.iter().skip(1);
    Figure {
        id: format!("timeline-{}", named.cell.cell),
        title: format!("{} over time{shade}", named.label()),
        chart: Chart::Strips(Strips {
            x: Axis::time("Measured time, seconds"),
            strips: strips(timeline, gpu),
            guides: guides
                .map(|start| Guide { value: start.at_s, text: format!("run {}", start.run) })
                .collect(),
            bands,
        }),
        legend: Vec::new(),
        table: None,
    }
}

/// Intervals in which the machine was slowed down.
fn bands(timeline: &Timeline) -> Vec<Band> {
    let half = timeline.piece_s / 2.0;
    let of = |metric: Metric| timeline.readings.get(metric.as_str());
    let mut bands: Vec<Band> = Vec::new();
    for (place, at) in timeline.at_s.iter().enumerate() {
        let read = |metric| of(metric).and_then(|values| values[place]).unwrap_or(0.0);
        let total = read(Metric::HostCpuTotalNs).max(1.0);
        let is_throttled =
            timeline.gpu_throttled_share[place].is_some_and(|share| share > HELD_BACK);
        let text = if is_throttled {
            let reasons = timeline.gpu_throttle_reasons[place].as_deref();
            format!("GPU throttled ({})", reasons.unwrap_or("unknown reason"))
        } else if read(Metric::HostThermalThrottles) > 0.0 {
            "CPU throttled by heat".to_owned()
        } else if read(Metric::CgroupThrottledNs) / total > HELD_BACK {
            "limited by the cgroup".to_owned()
        } else if read(Metric::HostCpuStealNs) / total > HELD_BACK {
            "CPU time stolen by the hypervisor".to_owned()
        } else {
            continue;
        };
        let (from, to) = (at - half, at + half);
        match bands.last_mut() {
            Some(band) if band.text == text && from - band.to < half => band.to = to,
            _ => bands.push(Band { from, to, text }),
        }
    }
    bands
}

/// Latency first, then whatever was read.
fn strips(timeline: &Timeline, gpu: Option<&Gpu>) -> Vec<Strip> {
    let mut strips = vec![Strip {
        y: Axis::quantity("Request latency, ms: mean; dotted: maximum"),
        curves: [
            line(timeline, &timeline.latency_mean_ms, Dash::Solid),
            line(timeline, &timeline.latency_max_ms, Dash::Dotted),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }];
    let read = |metric: Metric, scale: f64| -> Option<Vec<Option<f64>>> {
        let values = timeline.readings.get(metric.as_str())?;
        Some(values.iter().map(|value| value.map(|value| value * scale)).collect())
    };
    let of_server = |metric, dash| line(timeline, &read(metric, 1.0)?, dash);
    let queue: Vec<Curve> = [
        of_server(Metric::EndpointRunningRequests, Dash::Solid),
        of_server(Metric::EndpointWaitingRequests, Dash::Dotted),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !queue.is_empty() {
        let y = Axis::quantity("Requests at the endpoint: running; dotted: waiting");
        strips.push(Strip { y, curves: queue });
    }
    let mut add = |y: Axis, values: Option<Vec<Option<f64>>>, limit: Option<f64>| {
        let Some(curve) = values.and_then(|values| line(timeline, &values, Dash::Solid)) else {
            return;
        };
        let mut curves = vec![curve];
        curves.extend(limit.map(|limit| level(timeline, limit)));
        strips.push(Strip { y, curves });
    };
    let celsius = |title: &str| Axis::free(title, Format::Plain);
    let of_zero = Axis::quantity;
    let clock_limit = gpu.and_then(|gpu| gpu.sm_max_mhz);
    let power_limit = gpu.and_then(|gpu| gpu.power_limit_watts);
    let cache = read(Metric::EndpointCacheUsedPct, 1.0);
    add(of_zero("Cache in use at the endpoint, %"), cache, None);
    add(celsius("GPU temperature, °C"), read(Metric::GpuTemperatureCelsius, 1.0), None);
    add(of_zero("GPU clock, MHz; dashed: maximum"), read(Metric::GpuSmMhz, 1.0), clock_limit);
    add(of_zero("GPU power, W; dashed: limit"), read(Metric::GpuPowerWatts, 1.0), power_limit);
    add(of_zero("GPU memory used, MiB"), read(Metric::GpuMemoryUsedBytes, 1.0 / MIB), None);
    add(of_zero("CPU time of the agent, cores"), read(Metric::ProcessCpuNs, 1e-9), None);
    add(of_zero("CPU time of other processes, cores"), others(timeline), None);
    add(of_zero("CPU clock, MHz"), read(Metric::HostCpuMhz, 1.0), None);
    add(celsius("CPU temperature, °C"), read(Metric::HostTemperatureCelsius, 1.0), None);
    add(of_zero("CPU power, W"), read(Metric::CpuEnergyJoules, 1.0), None);
    add(
        of_zero("Resident memory of the agent, MiB"),
        read(Metric::ProcessRssBytes, 1.0 / MIB),
        None,
    );
    strips
}

/// CPU time of other processes, in cores. The system counts in ticks, so the difference may be negative.
fn others(timeline: &Timeline) -> Option<Vec<Option<f64>>> {
    let busy = timeline.readings.get(Metric::HostCpuBusyNs.as_str())?;
    let own = timeline.readings.get(Metric::ProcessCpuNs.as_str())?;
    let both = busy.iter().zip(own);
    Some(both.map(|(busy, own)| Some(((*busy)? - (*own)?).max(0.0) / 1e9)).collect())
}

/// `None` without readings.
fn line(timeline: &Timeline, values: &[Option<f64>], dash: Dash) -> Option<Curve> {
    let spots = timeline.at_s.iter().zip(values);
    let spots: Vec<Spot> =
        spots.filter_map(|(at, value)| Some(Spot::of_line((*at, (*value)?)))).collect();
    (!spots.is_empty()).then_some(Curve { series: Some(0), spots, join: Join::Straight, dash })
}

fn level(timeline: &Timeline, value: f64) -> Curve {
    let ends = [timeline.at_s.first(), timeline.at_s.last()];
    let spots = ends.into_iter().flatten().map(|at| Spot::of_line((*at, value))).collect();
    Curve { series: None, spots, join: Join::Straight, dash: Dash::Dashed }
}

type Of = fn(&Named<'_>, &CellTelemetry) -> Entry;

fn figure_of(telemetry: &CellTelemetry, metric: Metric) -> Option<telemetry::Figure> {
    telemetry.readings.get(metric.as_str()).copied().flatten()
}

fn mean(telemetry: &CellTelemetry, metric: Metric) -> Entry {
    here(figure_of(telemetry, metric).map(|figure| figure.mean), telemetry)
}

/// The mean of what an endpoint's server reports.
fn reported(telemetry: &CellTelemetry, metric: Metric) -> Entry {
    match figure_of(telemetry, metric) {
        Some(figure) => Entry::figure(Some(figure.mean)),
        None => Entry::missing("no server reports it"),
    }
}

fn maximum(telemetry: &CellTelemetry, metric: Metric) -> Entry {
    here(figure_of(telemetry, metric).and_then(|figure| figure.max), telemetry)
}

fn here(value: Option<f64>, telemetry: &CellTelemetry) -> Entry {
    if value.is_some() {
        return Entry::figure(value);
    }
    let absent: Vec<String> = telemetry.not_measurable.iter().map(described_absence).collect();
    let reason = format!("not measurable here: {}", absent.join("; "));
    Entry::missing(if absent.is_empty() { "not measurable here" } else { &reason })
}

fn described_absence(absent: &NotMeasurable) -> String {
    format!("{}, {}", absent.what.replace('_', " "), absent.reason)
}

fn figures(title: &str, unit: &'static str, of: Of) -> (Column, Of) {
    (Column::figures(title, unit), of)
}

fn figures_of_page(title: &str, unit: &'static str, of: Of) -> (Column, Of) {
    (Column::figures(title, unit).at(Detail::Page), of)
}

fn columns(has_gpu: bool) -> Vec<(Column, Of)> {
    let mut columns = vec![
        figures("Agent", "cores", |_, of| Entry::figure(of.process_cpu_cores)),
        figures("Other load", "% of the host", |_, of| here(of.other_cpu_pct, of)),
        figures("Steal", "% of the host", |_, of| here(of.cpu_steal_pct, of)),
        figures("CPU clock", "MHz", |_, of| mean(of, Metric::HostCpuMhz)),
        figures("CPU temperature, maximum", "°C", |_, of| {
            maximum(of, Metric::HostTemperatureCelsius)
        }),
    ];
    if has_gpu {
        columns.extend([
            figures("GPU utilization", "%", |_, of| mean(of, Metric::GpuUtilizationPct)),
            figures("GPU clock", "MHz", |_, of| mean(of, Metric::GpuSmMhz)),
            figures("GPU temperature, maximum", "°C", |_, of| {
                maximum(of, Metric::GpuTemperatureCelsius)
            }),
            figures("GPU throttled", "", |_, of| {
                match of.gpu.as_ref().and_then(|gpu| gpu.throttled_share) {
                    Some(share) => Entry::share(Some(share)),
                    None => here(None, of),
                }
            }),
            figures("GPU memory", "MiB", |named, of| here(named.cell.memory.gpu_memory_mb, of)),
        ]);
    }
    columns.extend([
        figures("Endpoint, running", "requests", |_, of| {
            reported(of, Metric::EndpointRunningRequests)
        }),
        figures("Endpoint, waiting", "requests", |_, of| {
            reported(of, Metric::EndpointWaitingRequests)
        }),
        figures("Endpoint, cache in use", "%", |_, of| reported(of, Metric::EndpointCacheUsedPct)),
        figures("Peak memory", "MiB", |named, _| Entry::figure(named.cell.memory.peak_rss_mb)),
        figures_of_page("Model", "MiB", |named, _| Entry::figure(named.cell.memory.model_size_mb)),
        figures_of_page("KV cache", "MiB", |named, _| Entry::figure(named.cell.memory.kv_cache_mb)),
        figures("Energy per request", "J above idle", |named, _| {
            Entry::estimate(&named.cell.energy.joules_per_request)
        }),
        figures_of_page("Sampler", "% of a core", |_, of| here(of.sampler_cpu_pct, of)),
    ]);
    columns
}

fn has_gpu(results: &Results) -> bool {
    let is_gpu = |device: &String| device != "cpu";
    results.results.iter().any(|entry| entry.device.as_ref().is_some_and(is_gpu))
}

fn table(results: &Results, names: &Names<'_>) -> Table {
    let columns = columns(has_gpu(results));
    let row = |named: &Named<'_>| {
        let mut row = vec![Entry::words(named.label())];
        row.extend(columns.iter().map(|(_, of)| match &named.cell.telemetry {
            Some(telemetry) => of(named, telemetry),
            None => Entry::missing("no telemetry"),
        }));
        row
    };
    let rows = names.cells.iter().map(row);
    let mut headings = vec![Column::words("Cell")];
    headings.extend(columns.iter().map(|(column, ..)| column.clone()));
    // What no machine can measure is listed below, once.
    Table::new("telemetry-table", "Telemetry of every cell", Detail::Report, headings, rows)
        .without_empty()
}

/// What can't be measured, with the reason, the remedy and the hosts.
fn not_measurable(results: &Results) -> Vec<String> {
    let has_gpu = has_gpu(results);
    let mut hosts: BTreeMap<&NotMeasurable, BTreeSet<&str>> = BTreeMap::new();
    for host in &results.environment.hosts {
        for absent in &host.not_measurable {
            // GPU telemetry matters only where a model runs on a GPU.
            if has_gpu || !(absent.what == "gpu" || absent.what.starts_with("gpu_")) {
                hosts.entry(absent).or_default().insert(&host.name);
            }
        }
    }
    let sentence = |(absent, hosts): (&NotMeasurable, BTreeSet<&str>)| {
        let remedy = absent.remedy.as_ref().map_or(String::new(), |remedy| format!("; {remedy}"));
        let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
        let sentence = format!("Not measurable on {hosts}: {}{remedy}", described_absence(absent));
        format!("{}.", shortened(&sentence, 300))
    };
    hosts.into_iter().map(sentence).collect()
}
