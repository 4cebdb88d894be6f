//! Cost, latency and quality against each other: the Pareto front.

use super::cost::fill;
use super::naming::{Named, Names};
use super::table::{Column, Entry, Table, Tone, described};
use super::{Block, Detail, Figure, Section};
use cost::pareto::Standing;
use plot::chart::plane::{Curve, Join, Panel, Plane, Spot};
use plot::chart::{At, Axis, Chart, Dash};
use results::Results;
use stats::Estimate;

/// The estimate of a cell along an axis, if any.
type Of = fn(&Named<'_>) -> Option<Estimate>;

/// `None` with a single cell.
pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    if names.cells.len() < 2 {
        return None;
    }
    let standings: &[Standing] =
        results.recommendation.as_ref().map_or(&[], |recommendation| &recommendation.standings);
    let latency: Of = |named| Some(named.cell.estimates.latency_ms.p50.clone());
    let quality: Of = |named| Some(named.cell.quality.as_ref()?.rouge_l.clone());
    let mut panels = Vec::new();
    let less = |a: f64, b: f64| a < b;
    let more = |a: f64, b: f64| a > b;
    panels.extend(panel(names, "Cost and latency", "Request latency p50, ms", latency, less));
    let quality = panel(names, "Cost and quality", "ROUGE-L, F1", quality, more);
    panels.extend(quality.map(|mut panel| {
        // Scores are close together; an axis from zero would hide their differences.
        panel.y.zero = plot::chart::scale::Zero::Free;
        panel
    }));
    let is_drawn = |series: usize| {
        let curves = panels.iter().flat_map(|panel| &panel.curves);
        curves.into_iter().any(|curve| curve.series == Some(series))
    };
    let legend = names.legend(is_drawn);
    let mut blocks = Vec::new();
    if panels.is_empty() {
        blocks.push(Block::Missing("No cell has both a cost and a median latency.".to_owned()));
    } else {
        blocks.push(Block::Figure(Box::new(Figure {
            id: "pareto".to_owned(),
            title: "Cost against latency and quality".to_owned(),
            chart: Chart::Plane(Plane { panels }),
            legend,
            table: (!standings.is_empty()).then(|| table(names, standings)),
        })));
    }
    Some(Section {
        id: "choice",
        title: "Trade-offs".to_owned(),
        lead: "Left is cheaper; down is faster; up is better quality. Dashed lines connect the cells that no cheaper cell beats; crosses are 95% CIs.".to_owned(),
        blocks,
        detail: Detail::Report,
    })
}

fn panel(
    names: &Names<'_>,
    title: &str,
    axis: &str,
    of: Of,
    is_better: fn(f64, f64) -> bool,
) -> Option<Panel> {
    let spot = |named: &Named<'_>| {
        let (cost, other) = (&named.cell.cost.usd_per_1000_requests, of(named)?);
        Some(Spot {
            at: (cost.value?, other.value?),
            x_ends: cost.interval(),
            y_ends: other.interval(),
            sign: Some(fill(named)),
            tip: Some(format!(
                "{}: {}; {axis} {}",
                named.label(),
                described(cost, "USD per 1,000 requests"),
                described(&other, "")
            )),
        })
    };
    let usable = || names.cells.iter().filter(|named| named.is_usable());
    let curve = |series: usize| {
        let own = usable().filter(|named| named.series == series);
        let spots: Vec<Spot> = own.filter_map(spot).collect();
        (!spots.is_empty()).then_some(Curve {
            series: Some(series),
            spots,
            join: Join::None,
            dash: Dash::Solid,
        })
    };
    let mut all: Vec<At> = usable().filter_map(spot).map(|spot| spot.at).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // In order of cost, each cell that is better than all cheaper ones.
    let mut front: Vec<Spot> = Vec::new();
    for at in all {
        if front.last().is_none_or(|last| is_better(at.1, last.at.1)) {
            front.push(Spot::of_line(at));
        }
    }
    let front = Curve { series: None, spots: front, join: Join::Steps, dash: Dash::Dashed };
    let curves: Vec<Curve> =
        std::iter::once(front).chain((0..names.entries.len()).filter_map(curve)).collect();
    (curves.len() > 1).then(|| Panel {
        title: title.to_owned(),
        x: Axis::quantity("USD per 1,000 requests"),
        y: Axis::quantity(axis),
        curves,
        guides: Vec::new(),
        bands: Vec::new(),
    })
}

fn table(names: &Names<'_>, standings: &[Standing]) -> Table {
    let row = |standing: &Standing| {
        let better = standing.dominated_by.iter().map(|id| names.label(id)).collect::<Vec<_>>();
        let (text, tone) = match (standing.on_front, standing.certain) {
            (true, true) => ("on the front", Tone::Good),
            (true, false) => ("on the front (uncertain)", Tone::Plain),
            (false, true) => ("dominated", Tone::Muted),
            (false, false) => ("dominated (uncertain)", Tone::Muted),
        };
        vec![
            Entry::words(names.label(&standing.name)),
            Entry { tone, ..Entry::words(text) },
            if better.is_empty() { Entry::words("none") } else { Entry::words(better.join("; ")) },
        ]
    };
    let title = "Pareto front of cost, latency and quality together";
    let columns = ["Cell", "Standing", "Dominated by"].map(Column::words).to_vec();
    Table::new("standings", title, Detail::Page, columns, standings.iter().map(row))
}
