//! Sustained loads: the verdicts, and the figures over time.

use super::fact::{Fact, Span};
use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Figure, Section};
use crate::sentences::{enumerated, stress};
use plot::chart::axis::Format;
use plot::chart::plane::{Band, Curve, Join, Panel, Plane, Spot};
use plot::chart::{Axis, Chart, Dash};
use plot::number;
use results::Stress;
use stats::stress::judge::Point;
use stats::stress::{Finding, Leak, Verdicts};

/// Intervals of throttling that are drawn separately.
const MOST_BANDS: usize = 20;

/// `None` without a sustained load.
pub(super) fn section(names: &Names<'_>) -> Option<Section> {
    let loads: Vec<(&Named<'_>, &Stress)> = (names.cells.iter())
        .flat_map(|named| named.cell.stress.iter().map(move |run| (named, run)))
        .collect();
    if loads.is_empty() {
        return None;
    }
    let mut blocks = Vec::new();
    for (index, (named, run)) in loads.iter().enumerate() {
        let of_run = match named.cell.stress.len() {
            1 => String::new(),
            _ => format!(", run {}", run.verdicts.run),
        };
        let name = format!("{}{of_run}", named.label());
        // A single load needs no name.
        let line = |sentence: String| match loads.len() {
            1 => sentence,
            _ => format!("{name}: {sentence}"),
        };
        blocks.push(Block::List(stress(&run.verdicts).into_iter().map(line).collect()));
        if run.verdicts.series.len() > 1 {
            blocks.push(Block::Figure(Box::new(figure(index, &name, named.series, run))));
        }
    }
    Some(Section {
        id: "stress",
        title: "Sustained load".to_owned(),
        lead: "Warm-up is excluded. A verdict is an effect with its 95% CI, its absence with the smallest effect that would have been detected, or how much longer to measure. docs/stress.md has the definitions and their error rates.".to_owned(),
        blocks,
        detail: Detail::Summary,
    })
}

/// The verdict on the most important load, in one sentence with its figures: a load with findings precedes an
/// inconclusive one, and that precedes a stable one. `None` without a sustained load.
pub(super) fn answer(names: &Names<'_>) -> Option<(Vec<Span>, Vec<Fact>)> {
    let loads = names.cells.iter().flat_map(|named| {
        named.cell.stress.iter().map(move |run| (named, &run.verdicts, judged(&run.verdicts)))
    });
    let is_open = |finding: &Finding| matches!(finding, Finding::Inconclusive { .. });
    let weight = |judged: &[Judged<'_>]| {
        let any = |of: fn(&Finding) -> bool| judged.iter().any(|one| of(one.finding));
        (any(Finding::is_found), judged.iter().any(|one| is_open(one.finding)))
    };
    let (of, verdicts, judged) = loads.rev().max_by_key(|(.., judged)| weight(judged))?;
    let effects = |wanted: &dyn Fn(&Finding) -> bool| -> Vec<String> {
        let effects = judged.iter().filter(|one| wanted(one.finding));
        effects.map(|one| one.effect.to_owned()).collect()
    };
    let found = effects(&Finding::is_found);
    let open = effects(&is_open);
    let absent = effects(&|finding| *finding == Finding::NotFound);
    let target = Span::Strong(of.target.clone());
    let plain = |text: &str| Span::Plain(text.to_owned());
    let words = match (found.as_slice(), open.as_slice()) {
        ([], []) => vec![
            target,
            plain(" is stable under sustained load: "),
            Span::Strong(format!("no {}", enumerated(&absent, "or"))),
            plain("."),
        ],
        ([], open) => vec![
            plain("Inconclusive for "),
            target,
            plain(" under sustained load: "),
            Span::Strong(enumerated(open, "and")),
            Span::Plain(match absent.as_slice() {
                [] => ".".to_owned(),
                absent => format!("; no {}.", enumerated(absent, "or")),
            }),
        ],
        (found, _) => vec![
            target,
            plain(" is not stable under sustained load: "),
            Span::Strong(enumerated(found, "and")),
            plain("."),
        ],
    };
    Some((words, facts(verdicts)))
}

/// A verdict and the effect that it is about.
struct Judged<'a> {
    finding: &'a Finding,
    effect: &'static str,
}

fn judged(verdicts: &Verdicts) -> Vec<Judged<'_>> {
    let Verdicts { gpu_throttling, cpu_throttling, other_processes, steal, .. } = verdicts;
    let Verdicts { control_group, rss, gpu_memory, .. } = verdicts;
    let all = [
        (Some(&verdicts.latency.finding), "latency drift"),
        (Some(&verdicts.throughput.finding), "throughput drift"),
        (gpu_throttling.as_ref().map(|of| &of.finding), "GPU throttling"),
        (cpu_throttling.as_ref().map(|of| &of.finding), "CPU throttling"),
        (other_processes.as_ref().map(|of| &of.finding), "interference by other processes"),
        (steal.as_ref().map(|of| &of.finding), "hypervisor steal"),
        (control_group.as_ref().map(|of| &of.finding), "CPU limiting by the cgroup"),
        (rss.as_ref().map(|of| &of.finding), "memory leak"),
        (gpu_memory.as_ref().map(|of| &of.finding), "GPU memory leak"),
    ];
    let judged = |(finding, effect)| Some(Judged { finding: finding?, effect });
    all.into_iter().filter_map(judged).collect()
}

fn facts(verdicts: &Verdicts) -> Vec<Fact> {
    let plain = |title: &str, value: String, unit: &str, detail: String| Fact {
        title: title.to_owned(),
        value,
        unit: unit.to_owned(),
        detail,
    };
    let Verdicts { latency, throughput, rss, .. } = verdicts;
    let percent = |change: f64| change * 100.0;
    let mut facts = vec![
        plain("Measured time", number::shown(verdicts.measured_s), "s", String::new()),
        plain(
            "Requests answered",
            number::count(verdicts.counted),
            "",
            format!("{} failed", number::count(verdicts.failed)),
        ),
        Fact::of("Change of latency", "% per hour", &latency.per_hour.map(percent)),
        Fact::of("Change of throughput", "% per hour", &throughput.per_hour.map(percent)),
    ];
    let growth = |leak: &Leak| Fact::of("Growth of memory", "MiB per hour", &leak.mb_per_hour);
    facts.extend(rss.as_ref().map(growth));
    facts
}

fn figure(index: usize, name: &str, series: usize, run: &Stress) -> Figure {
    let points = &run.verdicts.series;
    let panel = |title: &str, y: Axis, of: &dyn Fn(&Point) -> Option<f64>| {
        let spot = |point: &Point| Some(Spot::of_line((point.at_s / 60.0, of(point)?)));
        let spots: Vec<Spot> = points.iter().filter_map(spot).collect();
        let join = Join::Straight;
        (spots.len() > 1).then(|| Panel {
            title: title.to_owned(),
            x: Axis::time("Minutes of measured time"),
            y,
            curves: vec![Curve { series: Some(series), spots, join, dash: Dash::Solid }],
            guides: Vec::new(),
            bands: bands(points),
        })
    };
    // Growth is visible only on an axis that may start above zero.
    let held = |title: &str, leak: Option<&Leak>, of: &dyn Fn(&Point) -> Option<f64>| {
        let mut panel = panel(title, Axis::free("MiB", Format::Plain), of)?;
        if let Some((curve, text)) = leak.and_then(growth) {
            panel.title = format!("{title}; dashed: {text}");
            panel.curves.push(curve);
        }
        Some(panel)
    };
    let verdicts = &run.verdicts;
    let of_zero = Axis::quantity;
    let panels = [
        panel("Throughput", of_zero("Requests per second"), &|point| Some(point.throughput)),
        panel("Request latency, mean", of_zero("Milliseconds"), &|point| point.latency_mean_ms),
        held("Resident memory", verdicts.rss.as_ref(), &|point| point.rss_mb),
        held("GPU memory", verdicts.gpu_memory.as_ref(), &|point| point.gpu_memory_mb),
        panel("GPU clock", of_zero("MHz"), &|point| point.gpu_mhz),
        panel("GPU temperature", of_zero("°C"), &|point| point.gpu_celsius),
    ];
    Figure {
        id: format!("stress-{index}"),
        title: format!("{name} over time"),
        chart: Chart::Plane(Plane { panels: panels.into_iter().flatten().collect() }),
        legend: Vec::new(),
        table: Some(table(index, points)),
    }
}

/// The growth of memory as a line through its lower envelope, and its label, if known.
fn growth(leak: &Leak) -> Option<(Curve, String)> {
    let per_hour = leak.mb_per_hour.value?;
    let held = |at_s: f64| per_hour * at_s / 3600.0;
    let mut rest: Vec<f64> = leak.envelope.iter().map(|(at_s, mb)| mb - held(*at_s)).collect();
    rest.sort_by(f64::total_cmp);
    let start = rest.get(rest.len() / 2)?;
    let ends = [leak.envelope.first()?, leak.envelope.last()?];
    let spots = ends.map(|(at_s, _)| Spot::of_line((at_s / 60.0, start + held(*at_s))));
    let curve =
        Curve { series: None, spots: spots.to_vec(), join: Join::Straight, dash: Dash::Dashed };
    Some((curve, format!("{} MiB per hour", number::shown(per_hour))))
}

/// Intervals in which the GPU was throttled for most of the time.
fn bands(points: &[Point]) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    let mut was_on = false;
    for pair in points.windows(2) {
        let is_on = pair[0].gpu_throttled > Some(0.5);
        let (from, to) = (pair[0].at_s / 60.0, pair[1].at_s / 60.0);
        match bands.last_mut() {
            Some(last) if is_on && was_on => last.to = to,
            _ if is_on => bands.push(Band { from, to, text: "throttled".to_owned() }),
            _ => {}
        }
        was_on = is_on;
    }
    bands.truncate(MOST_BANDS);
    bands
}

fn table(index: usize, points: &[Point]) -> Table {
    let row = |point: &Point| {
        vec![
            Entry::figure(Some(point.at_s)),
            Entry::figure(Some(point.throughput)),
            Entry::figure(point.latency_mean_ms),
            Entry::figure(point.latency_p95_ms),
            Entry::figure(point.rss_mb),
            Entry::figure(point.gpu_memory_mb),
            Entry::share(point.gpu_throttled),
            Entry::figure(point.gpu_mhz),
            Entry::figure(point.gpu_celsius),
            Entry::figure(point.cpu_mhz),
        ]
    };
    let columns = [
        ("Measured time", "s"),
        ("Throughput", "requests/s"),
        ("Latency, mean", "ms"),
        ("Latency, p95", "ms"),
        ("Resident memory", "MiB"),
        ("GPU memory", "MiB"),
        ("GPU throttled", ""),
        ("GPU clock", "MHz"),
        ("GPU temperature", "°C"),
        ("CPU clock", "MHz"),
    ];
    let columns = columns.map(|(title, unit)| Column::figures(title, unit)).to_vec();
    let id = format!("stress-table-{index}");
    Table::new(&id, "Over time", Detail::Page, columns, points.iter().map(row))
}
