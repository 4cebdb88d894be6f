//! What sustained loads came to: verdicts in words, and what happened over time.

use super::super::chart::plane::{Band, Curve, Join, Panel, Plane, Spot};
use super::super::chart::{Axis, Chart, Dash};
use super::super::view::Stress;
use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Figure, Reach, Section};
use crate::statistics::stress::judge::Point;

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
        blocks.push(Block::List(
            run.sentences.iter().map(|sentence| format!("{name}: {sentence}")).collect(),
        ));
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

fn figure(index: usize, name: &str, series: usize, run: &Stress) -> Figure {
    let points = &run.verdicts.series;
    let panel = |title: &str, axis: &str, of: &dyn Fn(&Point) -> Option<f64>| {
        let spot = |point: &Point| Some(Spot::of_line((point.at_s / 60.0, of(point)?)));
        let spots: Vec<Spot> = points.iter().filter_map(spot).collect();
        (spots.len() > 1).then(|| Panel {
            title: title.to_owned(),
            x: Axis::quantity("Minutes of measured time"),
            y: Axis::quantity(axis),
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
    let panels = [
        panel("Throughput", "Requests per second", &|point| Some(point.throughput)),
        panel("Request latency, mean", "Milliseconds", &|point| point.latency_mean_ms),
        panel("Resident memory", "MB", &|point| point.rss_mb),
        panel("GPU memory", "MB", &|point| point.gpu_memory_mb),
        panel("GPU clock", "MHz", &|point| point.gpu_mhz),
        panel("GPU temperature", "°C", &|point| point.gpu_celsius),
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
