//! Throughput and latency against batch size.

use super::cost::fill;
use super::naming::{Named, Names};
use super::table::described;
use super::{Block, Detail, Figure, Section};
use plot::chart::plane::{Curve, Join, Panel, Plane, Spot};
use plot::chart::{Axis, Chart, Dash};
use stats::Estimate;
use std::collections::BTreeSet;

/// The figure of a cell along an axis.
type Of = for<'n, 'a> fn(&'n Named<'a>) -> &'n Estimate;

/// `None` with a single batch size.
pub(super) fn section(names: &Names<'_>) -> Option<Section> {
    let cells: Vec<&Named<'_>> = names.cells.iter().filter(|named| named.is_usable()).collect();
    let sizes: BTreeSet<u32> = cells.iter().map(|named| named.cell.batch_size).collect();
    if sizes.len() < 2 {
        return None;
    }
    let levels: Vec<f64> = sizes.iter().copied().map(f64::from).collect();
    let panel = |title: &str, axis: &str, unit: &str, of: Of| Panel {
        title: title.to_owned(),
        x: Axis::levels("Batch size, logarithmic", levels.clone()),
        y: Axis::quantity(axis),
        curves: (0..names.entries.len())
            .filter_map(|series| curve(&cells, series, unit, of))
            .collect(),
        guides: Vec::new(),
        bands: Vec::new(),
    };
    let panels = vec![
        panel("Throughput per host", "Samples per second", "samples/s", |named| {
            &named.cell.estimates.throughput.per_host
        }),
        panel("Request latency, p50", "Milliseconds", "ms", |named| {
            &named.cell.estimates.latency_ms.p50
        }),
    ];
    let blocks = vec![Block::Figure(Box::new(Figure {
        id: "batch-size".to_owned(),
        title: "Throughput and latency against batch size".to_owned(),
        chart: Chart::Plane(Plane { panels }),
        legend: names.legend(|series| cells.iter().any(|named| named.series == series)),
        table: None,
    }))];
    Some(Section {
        id: "batches",
        title: "Effect of batch size".to_owned(),
        lead:
            "Larger batches serve more requests per second at a higher latency. Bars are 95% CIs."
                .to_owned(),
        blocks,
        detail: Detail::Report,
    })
}

fn curve(cells: &[&Named<'_>], series: usize, unit: &str, of: Of) -> Option<Curve> {
    let mut own: Vec<_> = cells.iter().filter(|named| named.series == series).collect();
    own.sort_by_key(|named| named.cell.batch_size);
    let spot = |named: &&&Named<'_>| {
        let estimate = of(named);
        Some(Spot {
            at: (f64::from(named.cell.batch_size), estimate.value?),
            x_ends: None,
            y_ends: estimate.interval(),
            sign: Some(fill(named)),
            tip: Some(format!("{}: {}", named.label(), described(estimate, unit))),
        })
    };
    let spots: Vec<Spot> = own.iter().filter_map(spot).collect();
    (!spots.is_empty()).then_some(Curve {
        series: Some(series),
        spots,
        join: Join::Straight,
        dash: Dash::Solid,
    })
}
