//! The comparisons of a campaign as a table for the terminal: what was compared, where, and what was found.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use results::{Comparison, ComparisonKind, Entry, Results};
use stats::comparison::verdict::{percent, signed_percent};
use stats::comparison::{self, Finding};

/// More pairs than this are for the report. Those that are told apart come first then.
const MOST: usize = 12;

const HEADER: [&str; 5] = ["compared", "where", "request latency", "cost", "summaries"];

/// Renders the table; none where nothing was compared.
pub(super) fn render(results: &Results) -> Option<String> {
    let mut pairs: Vec<&Comparison> = results.comparisons.iter().collect();
    let all = pairs.len();
    if all > MOST {
        let is_open =
            |pair: &&Comparison| is_open(&pair.figures.request_latency) && is_open(&pair.cost);
        pairs.sort_by_key(is_open);
        pairs.truncate(MOST);
    }
    let kind = |pair: &Comparison| match pair.kind {
        ComparisonKind::Target | ComparisonKind::Campaign => 0,
        ComparisonKind::Model => 1,
        ComparisonKind::Dtype => 2,
    };
    pairs.sort_by_key(|pair| kind(pair));
    let first = pairs.first()?;
    let scope = first.figures.request_latency.scope.as_str();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for pair in pairs {
        table.add_row(row(pair, results)?);
    }
    let more =
        if all > MOST { format!("; {} more are in the report", all - MOST) } else { String::new() };
    let pairs = if all == 1 { "1 pair".to_owned() } else { format!("{all} pairs") };
    Some(format!(
        "{table}\nin brackets 95 % intervals, corrected for {pairs}; undecided is what they don't distinguish; all holds for {scope}{more}"
    ))
}

fn is_open(found: &comparison::Comparison) -> bool {
    found.verdict.finding == Finding::NotDistinguishable
}

fn row(pair: &Comparison, results: &Results) -> Option<[String; 5]> {
    let find = |id: &str| {
        let has = |entry: &&Entry| entry.cells.iter().any(|cell| cell.cell == id);
        results.results.iter().find(has)
    };
    let (before, after) = (find(&pair.baseline)?, find(&pair.candidate)?);
    let batch = after.cells.iter().find(|cell| cell.cell == pair.candidate)?.batch_size;
    let (of, is_told): (fn(&Entry) -> &str, _) = match pair.kind {
        ComparisonKind::Target | ComparisonKind::Campaign => {
            (|entry| &entry.target, [false, true, true])
        }
        ComparisonKind::Model => (|entry| &entry.model, [true, false, true]),
        ComparisonKind::Dtype => (|entry| &entry.dtype, [true, true, false]),
    };
    let factors: [fn(&Entry) -> &str; 3] =
        [|entry| &entry.target, |entry| &entry.model, |entry| &entry.dtype];
    let varies = |of: fn(&Entry) -> &str| {
        results.results.iter().any(|entry| of(entry) != of(&results.results[0]))
    };
    let told = factors.iter().zip(is_told).filter(|(of, is_told)| *is_told && varies(**of));
    let mut place: Vec<String> = told.map(|(of, _)| of(after).to_owned()).collect();
    if varies(|entry| &entry.scenario) {
        place.push(after.scenario.clone());
    }
    let rate = |entry: &Entry| entry.load.and_then(|load| load.request_rate);
    if results.results.iter().any(|entry| rate(entry) != rate(&results.results[0])) {
        place.extend(rate(after).map(|rate| format!("{rate}/s")));
    }
    place.push(format!("batch {batch}"));
    Some([
        format!("{} against {}", of(after), of(before)),
        place.join(", "),
        found(&pair.figures.request_latency),
        found(&pair.cost),
        summaries(pair),
    ])
}

/// A verdict in few words, such as "31.9 % faster (22 to 40.6)"; what is not distinguishable is undecided.
fn found(found: &comparison::Comparison) -> String {
    let words = found.quantity.words();
    let interval = found.corrected_ci_low.zip(found.corrected_ci_high);
    let (Some(ratio), Some((low, high))) = (found.ratio.value, interval) else {
        return found.verdict.text.clone();
    };
    let share = |ratio: f64| percent((ratio - 1.0).abs());
    match found.verdict.finding {
        Finding::More => {
            format!("{} % {} ({} to {})", share(ratio), words.more, share(low), share(high))
        }
        Finding::Less => {
            format!("{} % {} ({} to {})", share(ratio), words.less, share(high), share(low))
        }
        Finding::Equal => found.verdict.text.clone(),
        Finding::NotDistinguishable => {
            format!("undecided ({} to {} %)", signed_percent(low), signed_percent(high))
        }
    }
}

/// Between models how much better they are, else how many are the same.
fn summaries(pair: &Comparison) -> String {
    if let Some(agreement) = &pair.agreement {
        return agreement
            .identical_share
            .map_or_else(|| "–".to_owned(), |share| format!("{} % equal", percent(share)));
    }
    let Some(rouge_l) = pair.quality.as_ref().map(|quality| &quality.rouge_l) else {
        return "–".to_owned();
    };
    match (rouge_l.value, rouge_l.interval()) {
        (Some(value), Some((low, high))) => {
            format!("rougeL {value:+.3} ({low:.3} to {high:.3})")
        }
        (Some(value), None) => format!("rougeL {value:+.3}"),
        _ => "–".to_owned(),
    }
}
