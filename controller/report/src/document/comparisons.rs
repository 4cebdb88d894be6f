//! Pairs of cells that share samples: target against target, a model against its baseline, dtype against dtype.

use super::naming::Names;
use super::table::{Column, Entry, Table, Tone};
use super::{Block, Figure, Reach, Section};
use plot::chart::axis::Format;
use plot::chart::intervals::{Reference, Row};
use plot::chart::scale::Spread;
use plot::chart::{Axis, Chart, Fill, Intervals};
use plot::number;
use results::{Comparison, ComparisonKind, Results};
use stats::Estimate;
use stats::comparison::verdict::signed_percent;
use stats::comparison::{self, Finding, Quantity};

/// More pairs than this are no picture any more.
const MOST_PAIRS: usize = 12;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let kinds = [
        (ComparisonKind::Model, "Fine-tuned against its baseline"),
        (ComparisonKind::Target, "Target against target"),
        (ComparisonKind::Dtype, "Dtype against dtype"),
    ];
    let mut blocks = Vec::new();
    for (kind, title) in kinds {
        let pairs: Vec<&Comparison> =
            results.comparisons.iter().filter(|pair| pair.kind == kind).collect();
        if pairs.is_empty() {
            continue;
        }
        blocks.push(Block::Figure(Box::new(figure(kind, title, &pairs, names))));
    }
    if blocks.is_empty() {
        return None;
    }
    Some(Section {
        id: "comparisons",
        title: "Is the difference real?".to_owned(),
        lead: "Each pair measured the same dialogues. Lines are intervals of the ratio, corrected for the number of comparisons (Holm): one that crosses the middle line is not distinguishable.".to_owned(),
        blocks,
        reach: Reach::Everywhere,
    })
}

fn figure(kind: ComparisonKind, title: &str, pairs: &[&Comparison], names: &Names<'_>) -> Figure {
    let quantities: Vec<(usize, &str)> = match kind {
        ComparisonKind::Model => vec![
            (0, "Throughput"),
            (1, "Request latency"),
            (2, "Latency per output token"),
            (4, "Length of summaries"),
        ],
        ComparisonKind::Target | ComparisonKind::Dtype | ComparisonKind::Campaign => {
            vec![(0, "Throughput"), (1, "Request latency")]
        }
    };
    let rows: Vec<Row> = pairs
        .iter()
        .take(MOST_PAIRS)
        .flat_map(|pair| {
            let of_pair = quantities.iter();
            of_pair.map(move |(series, name)| row(pair, *series, name, names))
        })
        .collect();
    let mut ends = rows.iter().flat_map(|row| [row.value, row.low, row.high]).flatten();
    let is_wide = ends.any(|ratio| !(0.4..=2.5).contains(&ratio));
    let spread = if is_wide { Spread::Logarithmic } else { Spread::Linear };
    let mut axis = Axis::free("Change against the baseline", Format::Change);
    axis.spread = Some(spread);
    Figure {
        id: format!("pairs-{}", word(kind)),
        title: title.to_owned(),
        chart: Chart::Intervals(Intervals {
            axis,
            rows,
            reference: Some(Reference {
                value: 1.0,
                less: "less".to_owned(),
                more: "more".to_owned(),
            }),
        }),
        legend: quantities.iter().map(|(series, name)| (*series, (*name).to_owned())).collect(),
        table: Some(table(kind, pairs, names)),
        table_reach: Reach::Everywhere,
    }
}

fn word(kind: ComparisonKind) -> &'static str {
    match kind {
        ComparisonKind::Target => "target",
        ComparisonKind::Model => "model",
        ComparisonKind::Dtype => "dtype",
        ComparisonKind::Campaign => "campaign",
    }
}

fn of_quantity(pair: &Comparison, series: usize) -> &comparison::Comparison {
    let figures = &pair.figures;
    match series {
        0 => &figures.throughput,
        1 => &figures.request_latency,
        2 => &figures.latency_per_output_token,
        3 => &figures.ttft,
        _ => &figures.output_tokens,
    }
}

fn row(pair: &Comparison, series: usize, quantity: &str, names: &Names<'_>) -> Row {
    let found = of_quantity(pair, series);
    let change = found.ratio.value.map_or_else(|| "–".to_owned(), signed);
    Row {
        // The first row of a pair names it; the legend tells quantities.
        name: if series == 0 { names.whole(&pair.candidate) } else { String::new() },
        detail: String::new(),
        series,
        value: found.ratio.value,
        low: found.corrected_ci_low.filter(|low| *low > 0.0),
        high: found.corrected_ci_high.filter(|high| high.is_finite()),
        parts: Vec::new(),
        fill: if found.verdict.finding == Finding::NotDistinguishable {
            Fill::Hollow
        } else {
            Fill::Full
        },
        figure: change,
        tip: format!(
            "{} against {}, {quantity}: {}",
            names.whole(&pair.candidate),
            names.whole(&pair.baseline),
            found.verdict.text
        ),
    }
}

/// A ratio as a signed change in percent.
fn signed(ratio: f64) -> String {
    format!("{} %", signed_percent(ratio))
}

fn table(kind: ComparisonKind, pairs: &[&Comparison], names: &Names<'_>) -> Table {
    let has_quality = pairs.iter().any(|pair| pair.quality.is_some());
    let mut columns =
        ["Candidate", "Baseline", "Request latency", "Throughput"].map(Column::words).to_vec();
    if kind == ComparisonKind::Model {
        let more = ["Latency per output token", "Length of summaries"].map(Column::words);
        columns.extend(more.map(Column::on_page));
    }
    if has_quality {
        columns.push(Column::figures("ROUGE-L, difference", ""));
    }
    if pairs.iter().any(|pair| pair.agreement.is_some()) {
        columns.push(Column::figures("Equal summaries", "").on_page());
    }
    columns.push(Column::words("Holds for"));
    columns.push(Column::words("What would tell them apart").on_page());
    columns.push(Column::words("Also differs in").on_page());
    let row = |pair: &&Comparison| {
        let mut row = vec![
            Entry::words(names.whole(&pair.candidate)),
            Entry::words(names.whole(&pair.baseline)),
            verdict(&pair.figures.request_latency),
            verdict(&pair.figures.throughput),
        ];
        if kind == ComparisonKind::Model {
            row.push(verdict(&pair.figures.latency_per_output_token));
            row.push(verdict(&pair.figures.output_tokens));
        }
        if has_quality {
            let difference = pair.quality.as_ref().map(|quality| &quality.rouge_l);
            row.push(difference.map_or_else(|| Entry::missing("no quality"), difference_of));
        }
        if pairs.iter().any(|pair| pair.agreement.is_some()) {
            row.push(Entry::share(pair.agreement.as_ref().and_then(|found| found.identical_share)));
        }
        row.push(Entry::words(&pair.figures.request_latency.scope));
        row.push(match &pair.separation {
            Some(separation) => Entry::words(&separation.text),
            None => Entry::missing("they are told apart, or nothing is known"),
        });
        let flags = pair.flags.iter().map(|flag| flag.condition.as_str()).collect::<Vec<_>>();
        row.push(Entry::words(if flags.is_empty() {
            "nothing".to_owned()
        } else {
            flags.join(", ")
        }));
        row
    };
    Table {
        id: format!("pairs-{}-table", word(kind)),
        title: "The verdicts".to_owned(),
        columns,
        rows: pairs.iter().map(row).collect(),
    }
}

fn verdict(found: &comparison::Comparison) -> Entry {
    let is_better = |finding| match found.quantity {
        Quantity::Throughput => finding == Finding::More,
        Quantity::OutputTokens => false,
        _ => finding == Finding::Less,
    };
    let tone = match found.verdict.finding {
        Finding::NotDistinguishable | Finding::Equal => Tone::Muted,
        finding if is_better(finding) => Tone::Good,
        Finding::More | Finding::Less => Tone::Plain,
    };
    Entry { tone, value: found.ratio.value, ..Entry::words(&found.verdict.text) }
}

/// A difference with its sign.
fn difference_of(estimate: &Estimate) -> Entry {
    let entry = Entry::estimate(estimate);
    match estimate.value {
        Some(value) if value > 0.0 => Entry { text: format!("+{}", number::shown(value)), ..entry },
        _ => entry,
    }
}
