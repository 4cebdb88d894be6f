//! Latency and goodput against the offered rate, or in closed loop against the requests in flight; where each limit of
//! the objective breaks, and the steps of a search.

use super::cost::fill;
use super::naming::{Named, Names, dtype};
use super::table::{Column, Entry, Table, Tone, described};
use super::{Block, Detail, Figure, Section, shortened};
use crate::sentences::{capacity, limited, objective};
use plot::chart::axis::Format;
use plot::chart::plane::{Band, Curve, Join, Panel, Plane, Spot};
use plot::chart::scale::{Spread, Zero};
use plot::chart::{Axis, Chart, Dash};
use results::{CapacityOf, Results, Varied};
use stats::slo::{Goodput, Kept, LimitShare};
use stats::{Estimate, Limitation};

/// Cells that differ in the load alone, by load: requests per second or in flight.
struct Sweep<'a> {
    name: String,
    series: usize,
    cells: Vec<(f64, &'a Named<'a>)>,
}

/// Null if no cell was offered several loads.
pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let sweeps: Vec<Sweep<'_>> =
        sweeps(names).into_iter().filter(|sweep| sweep.cells.len() > 1).collect();
    if sweeps.is_empty() {
        return None;
    }
    let bands = bands(results);
    let mut panels = vec![latency_panel(&sweeps, &bands)];
    let has_ttft =
        |(_, named): &(f64, &Named<'_>)| named.cell.estimates.ttft_ms.p50.value.is_some();
    if sweeps.iter().flat_map(|sweep| &sweep.cells).any(has_ttft) {
        panels.push(ttft_panel(&sweeps, &bands));
    }
    let has_objective =
        sweeps.iter().flat_map(|sweep| &sweep.cells).any(|(_, n)| n.cell.goodput.is_some());
    if has_objective {
        panels.push(goodput_panel(&sweeps, &bands));
    }
    let legend = sweeps.iter().map(|sweep| (sweep.series, sweep.name.clone())).collect();
    let mut blocks = vec![Block::Figure(Box::new(Figure {
        id: "latency-against-load".to_owned(),
        title: "Latency against load".to_owned(),
        chart: Chart::Plane(Plane { panels }),
        legend,
        table: None,
    }))];
    blocks.push(Block::Table(table(&sweeps)));
    let breaks: Vec<String> = sweeps.iter().flat_map(breaks).collect();
    if !breaks.is_empty() {
        blocks.push(Block::List(breaks));
    }
    let searched = results.capacities.iter().filter(|of| of.search.is_some());
    for (place, of) in searched.enumerate() {
        blocks.push(Block::List(vec![capacity(of)]));
        blocks.extend(steps(of, place));
    }
    Some(Section {
        id: "load",
        title: "Latency against load".to_owned(),
        lead: "What requests wait for as more of them arrive: p50 (solid) and p95 (dashed), with 95% intervals. A band is the interval of a capacity that was searched for.".to_owned(),
        blocks,
        detail: Detail::Summary,
    })
}

fn sweeps<'a>(names: &'a Names<'a>) -> Vec<Sweep<'a>> {
    let mut sweeps: Vec<Sweep<'a>> = Vec::new();
    for named in &names.cells {
        let Some(load) = named.entry.load.filter(|load| load.planned_s.is_none()) else { continue };
        let in_flight = load.concurrency.map(f64::from);
        let Some(rate) = load.request_rate.or(in_flight) else { continue };
        let key = |named: &Named<'_>| {
            let entry = named.entry;
            (entry.target.clone(), entry.model.clone(), entry.dtype.clone(), named.cell.batch_size)
        };
        match sweeps.iter_mut().find(|sweep| key(sweep.cells[0].1) == key(named)) {
            Some(sweep) => sweep.cells.push((rate, named)),
            None => sweeps.push(Sweep {
                name: name(named, names),
                series: sweeps.len(),
                cells: vec![(rate, named)],
            }),
        }
    }
    for sweep in &mut sweeps {
        sweep.cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    sweeps
}

/// Without the rate: the target, and what else differs between sweeps.
fn name(named: &Named<'_>, names: &Names<'_>) -> String {
    let varies = |of: &dyn Fn(&Named<'_>) -> String| {
        names.cells.iter().any(|other| of(other) != of(named)).then(|| of(named))
    };
    let parts = [
        varies(&|named| shortened(&named.entry.model, 80)),
        varies(&|named| dtype(named.entry).to_owned()),
        varies(&|named| format!("batch {}", named.cell.batch_size)),
    ];
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    std::iter::once(named.target.clone()).chain(parts).collect::<Vec<_>>().join(" · ")
}

fn bands(results: &Results) -> Vec<Band> {
    let band = |of: &CapacityOf| {
        let search = of.search.as_ref()?;
        let (from, to) = (search.low?, search.high?);
        Some(Band { from, to, text: capacity(of) })
    };
    results.capacities.iter().filter_map(band).collect()
}

/// What the cells of a sweep differ in. All sweeps of a campaign are in open loop, or all in closed loop.
fn varied(sweeps: &[Sweep<'_>]) -> Varied {
    let mut loads = sweeps.iter().flat_map(|sweep| &sweep.cells).map(|(_, named)| named.entry.load);
    if loads.any(|load| load.is_some_and(|load| load.concurrency.is_some())) {
        Varied::Concurrency
    } else {
        Varied::RequestRate
    }
}

/// The column of a load.
fn column(vary: Varied) -> Column {
    match vary {
        Varied::RequestRate => Column::figures("Offered", "requests/s"),
        Varied::Concurrency => Column::figures("In flight", "requests"),
    }
}

fn panel(title: &str, y: Axis, curves: Vec<Curve>, bands: &[Band], vary: Varied) -> Panel {
    let x = match vary {
        Varied::RequestRate => "Offered requests per second",
        Varied::Concurrency => "Requests in flight",
    };
    let x = Axis { spread: Some(Spread::Logarithmic), ..Axis::quantity(x) };
    Panel { title: title.to_owned(), x, y, curves, guides: Vec::new(), bands: bands.to_vec() }
}

fn latency_panel(sweeps: &[Sweep<'_>], bands: &[Band]) -> Panel {
    let p50 = |named: &Named<'_>| named.cell.estimates.latency_ms.p50.clone();
    let p95 = |named: &Named<'_>| named.cell.estimates.latency_ms.p95.clone();
    percentiles("Request latency", sweeps, bands, [&p50, &p95])
}

fn ttft_panel(sweeps: &[Sweep<'_>], bands: &[Band]) -> Panel {
    let p50 = |named: &Named<'_>| named.cell.estimates.ttft_ms.p50.clone();
    let p95 = |named: &Named<'_>| named.cell.estimates.ttft_ms.p95.clone();
    percentiles("Time to first token", sweeps, bands, [&p50, &p95])
}

type Of<'f> = &'f dyn Fn(&Named<'_>) -> Estimate;

fn percentiles(
    title: &str,
    sweeps: &[Sweep<'_>],
    bands: &[Band],
    [p50, p95]: [Of<'_>; 2],
) -> Panel {
    let both = [("p50", p50, Dash::Solid), ("p95", p95, Dash::Dashed)];
    let curves = sweeps.iter().flat_map(|sweep| {
        both.iter().map(|&(name, of, dash)| Curve {
            series: Some(sweep.series),
            spots: spots(sweep, name, of, "ms"),
            join: Join::Straight,
            dash,
        })
    });
    let y = Axis { spread: Some(Spread::Logarithmic), ..Axis::quantity("p50 and p95, ms") };
    panel(title, y, curves.collect(), bands, varied(sweeps))
}

fn goodput_panel(sweeps: &[Sweep<'_>], bands: &[Band]) -> Panel {
    let share = |named: &Named<'_>| {
        let Some(goodput) = &named.cell.goodput else {
            return Estimate::missing(0, Limitation::NothingMeasured);
        };
        Estimate {
            value: goodput.good_share,
            ci_low: goodput.good_share_ci_low,
            ci_high: goodput.good_share_ci_high,
            n: named.cell.counted_samples,
            reason: None,
        }
    };
    let curves = sweeps.iter().map(|sweep| Curve {
        series: Some(sweep.series),
        spots: spots(sweep, "good", &share, ""),
        join: Join::Straight,
        dash: Dash::Solid,
    });
    let y = Axis {
        spread: Some(Spread::Linear),
        zero: Zero::Shown,
        ..Axis::free("Requests within all limits", Format::Share)
    };
    panel("Goodput", y, curves.collect(), bands, varied(sweeps))
}

fn spots(sweep: &Sweep<'_>, name: &str, of: Of<'_>, unit: &str) -> Vec<Spot> {
    let spot = |(rate, named): &(f64, &Named<'_>)| {
        let estimate = of(named);
        let value = estimate.value?;
        Some(Spot {
            at: (*rate, value),
            x_ends: None,
            y_ends: estimate.ci_low.zip(estimate.ci_high),
            sign: Some(fill(named)),
            tip: Some(format!("{}: {name} {}", named.label(), described(&estimate, unit))),
        })
    };
    sweep.cells.iter().filter_map(spot).collect()
}

fn table(sweeps: &[Sweep<'_>]) -> Table {
    let limits = sweeps.iter().flat_map(|sweep| &sweep.cells);
    let limits = limits.filter_map(|(_, named)| Some(&named.cell.goodput.as_ref()?.limits));
    let limits: Vec<LimitShare> =
        limits.max_by_key(|limits| limits.len()).cloned().unwrap_or_default();
    let mut columns = vec![
        Column::words("Cell"),
        column(varied(sweeps)),
        Column::figures("p50", "ms"),
        Column::figures("p95", "ms"),
        Column::figures("ttft p95", "ms"),
        Column::figures("Goodput", "requests/s"),
        Column::figures("Good", "").at(Detail::Report),
    ];
    if limits.len() > 1 {
        let limit = |limit: &LimitShare| {
            let title =
                format!("{} ≤ {} ms", limited(limit.metric), plot::number::shown(limit.limit_ms));
            Column::figures(title, "").at(Detail::Report)
        };
        columns.extend(limits.iter().map(limit));
    }
    columns.push(Column::figures("Failed", "").at(Detail::Report));
    columns.push(Column::words("Objective"));
    let row = |name: &str, rate: f64, named: &Named<'_>| {
        let (estimates, goodput) = (&named.cell.estimates, named.cell.goodput.as_ref());
        let mut row = vec![
            Entry::words(name),
            Entry::given(Some(rate)),
            Entry::estimate(&estimates.latency_ms.p50),
            Entry::estimate(&estimates.latency_ms.p95),
            Entry::estimate(&estimates.ttft_ms.p95),
            goodput.map_or_else(
                || Entry::missing("no objective"),
                |of| Entry::estimate(&of.goodput.fleet),
            ),
            Entry::share(goodput.and_then(|of| of.good_share)),
        ];
        if limits.len() > 1 {
            let within = |place: usize| goodput.and_then(|of| of.limits.get(place)?.within);
            row.extend((0..limits.len()).map(|place| Entry::share(within(place))));
        }
        row.push(Entry::share(goodput.and_then(|of| of.failed_share)));
        row.push(kept(goodput));
        row
    };
    let rows = sweeps.iter().flat_map(|sweep| {
        sweep.cells.iter().map(move |(rate, named)| row(&sweep.name, *rate, named))
    });
    let rows: Vec<_> = rows.collect();
    let title = match varied(sweeps) {
        Varied::RequestRate => "Latency at each rate",
        Varied::Concurrency => "Latency at each number of requests in flight",
    };
    Table::new("load-table", title, Detail::Summary, columns, rows.into_iter()).without_empty()
}

fn kept(goodput: Option<&Goodput>) -> Entry {
    let Some(goodput) = goodput else { return Entry::missing("the matrix has no objective") };
    let (text, tone) = match goodput.kept {
        Kept::Kept => ("kept", Tone::Good),
        Kept::Missed => ("missed", Tone::Bad),
        Kept::Undecided => ("undecided", Tone::Warn),
    };
    Entry { tone, ..Entry::words(text) }
}

/// For each limit of several, the lowest load at which too few requests keep it.
fn breaks(sweep: &Sweep<'_>) -> Vec<String> {
    let of = |named: &Named<'_>| named.cell.goodput.clone();
    let all: Vec<(f64, Goodput)> =
        sweep.cells.iter().filter_map(|(rate, named)| Some((*rate, of(named)?))).collect();
    let Some((_, first)) = all.first() else { return Vec::new() };
    if first.limits.len() < 2 {
        return Vec::new();
    }
    let needed = first.slo.percentile / 100.0;
    let unit = varied(std::slice::from_ref(sweep)).unit();
    let of_limit = |place: usize| {
        let LimitShare { metric, limit_ms, .. } = first.limits[place];
        let within = |goodput: &Goodput| goodput.limits.get(place).and_then(|limit| limit.within);
        let limit = format!("{} ≤ {} ms", limited(metric), plot::number::shown(limit_ms));
        let broken =
            all.iter().find(|(_, goodput)| within(goodput).is_some_and(|share| share < needed));
        Some(match broken {
            Some((rate, goodput)) => format!(
                "{}: {limit} breaks at {rate} {unit}, where {}% of the requests keep it and {}% are needed.",
                sweep.name,
                plot::number::percent(within(goodput)?),
                first.slo.percentile
            ),
            None => format!("{}: {limit} holds at every measured load.", sweep.name),
        })
    };
    (0..first.limits.len()).filter_map(of_limit).collect()
}

fn steps(of: &CapacityOf, place: usize) -> Option<Block> {
    let search = of.search.as_ref().filter(|search| !search.steps.is_empty())?;
    let rows = (1..).zip(&search.steps).map(|(number, step): (u64, _)| {
        let end = if step.cut_short { "cut short" } else { "" };
        vec![
            Entry::count(number),
            Entry::given(Some(step.load)),
            Entry::count(step.run.into()),
            Entry::count(step.requests),
            Entry::share(Some(step.good as f64 / step.requests.max(1) as f64)),
            Entry::words(end),
            Entry::given(step.low).because("shown to keep the objective".to_owned()),
            Entry::given(step.high).because("shown to miss the objective".to_owned()),
        ]
    });
    let unit = search.vary.unit();
    let columns = vec![
        Column::figures("Step", ""),
        column(search.vary),
        Column::figures("Run", ""),
        Column::figures("Requests", ""),
        Column::figures("Within the limits", ""),
        Column::words("End"),
        Column::figures("Kept up to", unit),
        Column::figures("Missed from", unit),
    ];
    let target = shortened(&of.target, 80);
    let title = format!("Steps of the search: {target}, {}", objective(&of.slo));
    let table = Table::new(&format!("search-{place}"), &title, Detail::Report, columns, rows);
    Some(Block::Table(table))
}
