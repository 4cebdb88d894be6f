//! Pairs of cells that share samples: target against target, a model against its baseline, dtype against dtype, one
//! number of beams or length of drafts against another.

use super::naming::Names;
use super::table::{Column, Entry, Table, Tone};
use super::{Block, Detail, Figure, Section};
use crate::sentences::{basis, separation, signed_change, unresolved, verdict};
use plot::chart::axis::Format;
use plot::chart::intervals::{Reference, Row};
use plot::chart::scale::Spread;
use plot::chart::{Axis, Chart, Fill, Intervals};
use plot::number;
use results::{Comparison, ComparisonKind, Results};
use stats::Estimate;
use stats::comparison::gate::{Difference, ENGINE};
use stats::comparison::{self, Finding, Quantity};

/// More pairs are unreadable in a chart.
const MOST_PAIRS: usize = 12;

const FINE_TUNED: &str = "Fine-tuned models against their baselines";

/// Models and their baselines, which can differ in the engine.
fn title_of_models(pairs: &[&Comparison]) -> &'static str {
    let in_engine = |pair: &&&Comparison| pair.flags.iter().any(|flag| flag.condition == ENGINE);
    match pairs.iter().filter(in_engine).count() {
        0 => FINE_TUNED,
        some if some < pairs.len() => "Models and engines against their baselines",
        _ => "Engines against their baselines",
    }
}

pub(super) fn section(results: &Results, names: &Names<'_>) -> Option<Section> {
    let kinds = [
        (ComparisonKind::Model, FINE_TUNED),
        (ComparisonKind::Target, "Targets"),
        (ComparisonKind::Dtype, "Dtypes"),
        (ComparisonKind::NumBeams, "Numbers of beams"),
        (ComparisonKind::PromptLookup, "Prompt lookup"),
    ];
    let mut blocks = Vec::new();
    for (kind, title) in kinds {
        let pairs: Vec<&Comparison> =
            results.comparisons.iter().filter(|pair| pair.kind == kind).collect();
        if pairs.is_empty() {
            continue;
        }
        let title = if kind == ComparisonKind::Model { title_of_models(&pairs) } else { title };
        blocks.push(Block::Figure(Box::new(figure(kind, title, &pairs, names))));
    }
    if blocks.is_empty() {
        return None;
    }
    blocks.extend(unresolved(&results.comparisons).map(|text| Block::List(vec![text])));
    Some(Section {
        id: "comparisons",
        title: "Comparisons".to_owned(),
        lead: "Each pair measured the same dialogues. Bars are 95% CIs of the ratio, Holm-corrected for the number of comparisons: one that crosses the center line is no significant difference.".to_owned(),
        blocks,
        detail: Detail::Summary,
    })
}

fn figure(kind: ComparisonKind, title: &str, pairs: &[&Comparison], names: &Names<'_>) -> Figure {
    let quantities: Vec<(usize, &str)> = match kind {
        ComparisonKind::Model | ComparisonKind::NumBeams => vec![
            (0, "Throughput"),
            (1, "Request latency"),
            (2, "Latency per output token"),
            (4, "Summary length"),
        ],
        ComparisonKind::Target
        | ComparisonKind::Dtype
        | ComparisonKind::PromptLookup
        | ComparisonKind::Campaign => {
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
    let mut axis = Axis::free("Change from the baseline", Format::Change);
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
    }
}

fn word(kind: ComparisonKind) -> &'static str {
    match kind {
        ComparisonKind::Target => "target",
        ComparisonKind::Model => "model",
        ComparisonKind::Dtype => "dtype",
        ComparisonKind::NumBeams => "num-beams",
        ComparisonKind::PromptLookup => "prompt-lookup",
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
    let change = found.ratio.value.map_or_else(|| "–".to_owned(), signed_change);
    Row {
        // The first row of a pair has its name; the legend names the quantities.
        name: if series == 0 { names.label(&pair.candidate) } else { String::new() },
        detail: String::new(),
        series,
        value: found.ratio.value,
        low: found.corrected_ci_low.filter(|low| *low > 0.0),
        high: found.corrected_ci_high.filter(|high| high.is_finite()),
        parts: Vec::new(),
        fill: if found.is_undecided() { Fill::Hollow } else { Fill::Full },
        figure: change,
        tip: format!(
            "{} against {}, {quantity}: {}",
            names.label(&pair.candidate),
            names.label(&pair.baseline),
            verdict(found)
        ),
    }
}

fn table(kind: ComparisonKind, pairs: &[&Comparison], names: &Names<'_>) -> Table {
    let has_quality = pairs.iter().any(|pair| pair.quality.is_some());
    let has_agreement = pairs.iter().any(|pair| pair.agreement.is_some());
    use Detail::{Page, Report, Summary};
    let words = |title: &str, detail| Column::words(title).at(detail);
    let figures = |title: &str| Column::figures(title, "");
    let has_lengths = matches!(kind, ComparisonKind::Model | ComparisonKind::NumBeams);
    type Of = fn(&Comparison) -> Entry;
    let quantities: [(Column, Of, bool); 9] = [
        (words("Request latency", Summary), |pair| judged(&pair.figures.request_latency), true),
        (words("Cost", Summary), |pair| judged(&pair.cost), true),
        (words("Throughput", Report), |pair| judged(&pair.figures.throughput), true),
        (
            words("Latency per output token", Page),
            |pair| judged(&pair.figures.latency_per_output_token),
            has_lengths,
        ),
        (words("Summary length", Page), |pair| judged(&pair.figures.output_tokens), has_lengths),
        (
            figures("ROUGE-L, difference"),
            |pair| {
                let difference = pair.quality.as_ref().map(|quality| &quality.rouge_l);
                difference.map_or_else(|| Entry::missing("not scored"), difference_of)
            },
            has_quality,
        ),
        (
            figures("Equal summaries"),
            |pair| Entry::share(pair.agreement.as_ref().and_then(|found| found.identical_share)),
            has_agreement,
        ),
        (
            words("To separate them", Page),
            |pair| match &pair.separation {
                Some(advice) => Entry::words(separation(advice)),
                None => Entry::missing("separated, or unknown"),
            },
            true,
        ),
        (
            words("Also differs in", Page),
            |pair| {
                let flag = |flag: &Difference| match (&flag.baseline, &flag.candidate) {
                    (None, None) => format!("{} (unknown)", flag.condition),
                    _ => flag.condition.clone(),
                };
                let flags: Vec<String> = pair.flags.iter().map(flag).collect();
                Entry::words(if flags.is_empty() { "nothing".to_owned() } else { flags.join(", ") })
            },
            true,
        ),
    ];
    let shown: Vec<_> = quantities.into_iter().filter(|(.., is_shown)| *is_shown).collect();
    let mut columns = vec![Column::words("Candidate"), Column::words("Baseline")];
    columns.extend(shown.iter().map(|(column, ..)| column.clone()));
    let row = |pair: &&Comparison| {
        let mut row = vec![
            Entry::words(names.label(&pair.candidate)),
            Entry::words(names.label(&pair.baseline)),
        ];
        row.extend(shown.iter().map(|(_, of, _)| of(pair)));
        row
    };
    let basis = basis(pairs.iter().map(|pair| &pair.figures.request_latency));
    let id = format!("pairs-{}-table", word(kind));
    Table::new(&id, &format!("Verdicts ({basis})"), Summary, columns, pairs.iter().map(row))
}

fn judged(found: &comparison::Comparison) -> Entry {
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
    Entry { tone, value: found.ratio.value, ..Entry::words(verdict(found)) }
}

/// With a plus sign where it is positive.
fn difference_of(estimate: &Estimate) -> Entry {
    let entry = Entry::estimate(estimate);
    match estimate.value {
        Some(value) if value > 0.0 => Entry { text: format!("+{}", number::shown(value)), ..entry },
        _ => entry,
    }
}
