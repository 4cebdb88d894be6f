//! What sustained loads came to: verdicts in words, and what happened over time.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::verdict::{Fact, Span, enumerated};
use super::{Block, Figure, Reach, Section};
use plot::chart::axis::Format;
use plot::chart::plane::{Band, Curve, Join, Panel, Plane, Spot};
use plot::chart::{Axis, Chart, Dash};
use plot::number;
use results::Stress;
use stats::Estimate;
use stats::stress::judge::Point;
use stats::stress::{Finding, Leak, Verdicts};

/// Stretches of throttling that are drawn apart; more are no stretches to the eye.
const MOST_BANDS: usize = 20;

/// None where no load was sustained.
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
        let name = format!("{}{of_run}", named.whole());
        // One load needs no name.
        let told = |sentence: &String| match loads.len() {
            1 => sentence.clone(),
            _ => format!("{name}: {sentence}"),
        };
        blocks.push(Block::List(run.sentences.iter().map(told).collect()));
        if run.verdicts.series.len() > 1 {
            blocks.push(Block::Figure(Box::new(figure(index, &name, named.series, run))));
        }
    }
    Some(Section {
        id: "stress",
        title: "What happened under sustained load".to_owned(),
        lead: "Warm-up is cut off before anything is judged. A verdict says what was found, with its 95 % interval, or what is not there, or how much longer to measure. docs/stress.md has the definitions and how often they are right.".to_owned(),
        blocks,
        reach: Reach::Everywhere,
    })
}

/// What the load that matters most came to, in one sentence with its figures: one in which something was found goes
/// before one that is undecided, and that before one without a finding. None where no load was sustained.
pub(super) fn answer(names: &Names<'_>) -> Option<(Vec<Span>, Vec<Fact>)> {
    let loads = names.cells.iter().flat_map(|named| {
        named.cell.stress.iter().map(move |run| (named, &run.verdicts, judged(&run.verdicts)))
    });
    let weight = |judged: &[Judged<'_>]| {
        let any = |of: fn(&Finding) -> bool| judged.iter().any(|one| of(one.finding));
        (any(Finding::is_found), any(|finding| matches!(finding, Finding::Inconclusive { .. })))
    };
    let (of, verdicts, judged) = loads.rev().max_by_key(|(.., judged)| weight(judged))?;
    let told = |wanted: fn(&Finding) -> bool, words: fn(&Judged<'_>) -> &'static str| {
        let its = judged.iter().filter(|one| wanted(one.finding));
        its.map(|one| words(one).to_owned()).collect::<Vec<String>>()
    };
    let found = told(Finding::is_found, |one| one.found);
    let open = told(|finding| matches!(finding, Finding::Inconclusive { .. }), |one| one.name);
    let absent = told(|finding| matches!(finding, Finding::NotFound), |one| one.name);
    let name = Span::Strong(of.target.clone());
    let plain = |text: String| Span::Plain(text);
    let words = match (found.as_slice(), open.as_slice()) {
        ([], []) => {
            let absent = Span::Strong(format!("no {}", enumerated(&absent, "or")));
            vec![name, plain(" keeps its pace under sustained load: ".to_owned()), absent]
        }
        ([], open) => {
            let rest = match absent.as_slice() {
                [] => String::new(),
                absent => format!("; no {} was found", enumerated(absent, "or")),
            };
            vec![
                plain("Whether there is ".to_owned()),
                Span::Strong(enumerated(open, "or")),
                plain(" on ".to_owned()),
                name,
                plain(format!(" under sustained load takes longer to tell{rest}")),
            ]
        }
        (found, _) => {
            let found = Span::Strong(enumerated(found, "and"));
            vec![name, plain(" doesn't stay as it was under sustained load: ".to_owned()), found]
        }
    };
    let words = words.into_iter().chain([Span::Plain(".".to_owned())]).collect();
    Some((words, facts(verdicts)))
}

/// A verdict with its words.
struct Judged<'a> {
    finding: &'a Finding,
    /// What it is about.
    name: &'static str,
    /// What is said where it was found.
    found: &'static str,
}

fn judged(verdicts: &Verdicts) -> Vec<Judged<'_>> {
    let Verdicts { gpu_throttling, cpu_throttling, other_processes, steal, .. } = verdicts;
    let Verdicts { control_group, rss, gpu_memory, .. } = verdicts;
    let all = [
        (Some(&verdicts.latency.finding), "drift of latency", "its latency drifts"),
        (Some(&verdicts.throughput.finding), "drift of throughput", "its throughput drifts"),
        (
            gpu_throttling.as_ref().map(|of| &of.finding),
            "throttling of the GPU",
            "its GPU is throttled",
        ),
        (
            cpu_throttling.as_ref().map(|of| &of.finding),
            "throttling of the processor",
            "its processor is throttled",
        ),
        (
            other_processes.as_ref().map(|of| &of.finding),
            "disturbance by other processes",
            "other processes disturb it",
        ),
        (
            steal.as_ref().map(|of| &of.finding),
            "disturbance by the hypervisor",
            "the hypervisor takes its processor time",
        ),
        (
            control_group.as_ref().map(|of| &of.finding),
            "limit of a control group",
            "the control group's limit holds it back",
        ),
        (rss.as_ref().map(|of| &of.finding), "leak of memory", "its memory grows"),
        (gpu_memory.as_ref().map(|of| &of.finding), "leak of GPU memory", "its GPU memory grows"),
    ];
    let judged = all
        .into_iter()
        .filter_map(|(finding, name, found)| Some(Judged { finding: finding?, name, found }));
    judged.collect()
}

fn facts(verdicts: &Verdicts) -> Vec<Fact> {
    let plain = |title: &str, value: String, unit: &str, detail: String| Fact {
        title: title.to_owned(),
        value,
        unit: unit.to_owned(),
        detail,
    };
    let estimated = |title: &str, unit: &str, scale: f64, estimate: &Estimate| {
        let shown = |value: f64| number::shown(value * scale);
        let ends =
            estimate.interval().map(|(low, high)| format!("{} to {}", shown(low), shown(high)));
        let value = estimate.value.map(shown);
        Fact {
            title: title.to_owned(),
            unit: if value.is_some() { unit.to_owned() } else { String::new() },
            value: value.unwrap_or_else(|| "–".to_owned()),
            detail: ends.or_else(|| estimate.reason.clone()).unwrap_or_default(),
        }
    };
    let mut facts = vec![
        plain("Measured time", number::shown(verdicts.measured_s), "s", String::new()),
        plain(
            "Requests answered",
            number::count(verdicts.counted),
            "",
            format!("{} failed", number::count(verdicts.failed)),
        ),
        estimated("Change of latency", "% per hour", 100.0, &verdicts.latency.per_hour),
        estimated("Change of throughput", "% per hour", 100.0, &verdicts.throughput.per_hour),
    ];
    if let Some(leak) = &verdicts.rss {
        facts.push(estimated("Growth of memory", "MB per hour", 1.0, &leak.mb_per_hour));
    }
    facts
}

fn figure(index: usize, name: &str, series: usize, run: &Stress) -> Figure {
    let points = &run.verdicts.series;
    let panel = |title: &str, y: Axis, of: &dyn Fn(&Point) -> Option<f64>| {
        let spot = |point: &Point| Some(Spot::of_line((point.at_s / 60.0, of(point)?)));
        let spots: Vec<Spot> = points.iter().filter_map(spot).collect();
        (spots.len() > 1).then(|| Panel {
            title: title.to_owned(),
            x: Axis::time("Minutes of measured time"),
            y,
            curves: vec![Curve {
                series: Some(series),
                spots,
                join: Join::Straight,
                dash: Dash::Solid,
            }],
            guides: Vec::new(),
            bands: bands(points),
        })
    };
    // Growth shows only where the axis may begin above zero.
    let held = |title: &str, leak: Option<&Leak>, of: &dyn Fn(&Point) -> Option<f64>| {
        let line = leak.and_then(growth);
        let title = match &line {
            Some((_, text)) => format!("{title}; dashed: {text}"),
            None => title.to_owned(),
        };
        let mut panel = panel(&title, Axis::free("MB", Format::Plain), of)?;
        panel.curves.extend(line.map(|(curve, _)| curve));
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
        table_reach: Reach::Page,
    }
}

/// The growth of memory as a line through its lower envelope, and in words; none where no figure is known.
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
    Some((curve, format!("{} MB per hour", number::shown(per_hour))))
}

/// Stretches in which the GPU was throttled for most of the time.
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
        let mut row = vec![Entry::figure(Some(point.at_s))];
        row.extend(
            [
                Some(point.throughput),
                point.latency_mean_ms,
                point.latency_p95_ms,
                point.rss_mb,
                point.gpu_memory_mb,
            ]
            .map(Entry::figure),
        );
        row.push(Entry::share(point.gpu_throttled));
        row.extend([point.gpu_mhz, point.gpu_celsius, point.cpu_mhz].map(Entry::figure));
        row
    };
    let columns = [
        ("Measured time", "s"),
        ("Throughput", "requests/s"),
        ("Latency, mean", "ms"),
        ("Latency, p95", "ms"),
        ("Resident memory", "MB"),
        ("GPU memory", "MB"),
        ("GPU throttled", ""),
        ("GPU clock", "MHz"),
        ("GPU temperature", "°C"),
        ("CPU clock", "MHz"),
    ];
    Table {
        id: format!("stress-table-{index}"),
        title: "Over time".to_owned(),
        columns: columns.map(|(title, unit)| Column::figures(title, unit)).to_vec(),
        rows: points.iter().map(row).collect(),
    }
}
