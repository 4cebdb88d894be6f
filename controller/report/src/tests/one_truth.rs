//! Random campaigns: no two formats disagree on what is cheapest, on a capacity or on what is significant, and no
//! sentence claims an order that the data excludes.

use super::super::document::{Document, document};
use super::super::{annotations, markdown, terminal};
use super::*;
use cost::ranking::Because;
use matrix::Occasion;
use model::failure::Kind;
use notify::email;
use notify::message::{Message, plain};
use proptest::prelude::*;
use results::{Cell, Entry};
use stats::comparison::Finding;
use stats::slo::{Capacity, Kept};
use stats::validity::Status;

/// One cell, as the plan places it.
#[derive(Debug, Clone)]
struct Behavior {
    /// Microseconds per request.
    latency_us: u64,
    /// By how much runs differ, in thousandths.
    spread: u64,
    /// Every n-th request fails; 0 for none.
    fails_every: usize,
    /// Runs that were measured, 0 to 3.
    runs: u32,
    /// Whether an agent was lost in the first run, which then was measured again.
    has_lost_agent: bool,
    /// How many words of the reference a summary repeats, 0 to 8.
    words: usize,
}

fn behavior() -> impl Strategy<Value = Behavior> {
    let latency = prop_oneof![Just(1000_u64), Just(1003), 900..1200_u64, 500..9000_u64];
    let spread = prop_oneof![Just(0_u64), 0..5_u64, 0..300_u64];
    let fails = prop_oneof![6 => Just(0_usize), 1 => Just(1), 1 => 2..30_usize];
    let runs = prop_oneof![6 => Just(3_u32), 1 => 0..3_u32];
    (latency, spread, fails, runs, prop::bool::weighted(0.3), 0..9_usize).prop_map(
        |(latency_us, spread, fails_every, runs, has_lost_agent, words)| Behavior {
            latency_us,
            spread,
            fails_every,
            runs,
            has_lost_agent,
            words,
        },
    )
}

#[derive(Debug, Clone)]
struct Case {
    behaviors: Vec<Behavior>,
    /// Milliseconds, if there is an objective.
    limit_ms: Option<f64>,
    /// A sweep of rates on one target instead of batch sizes on two.
    is_sweep: bool,
    has_references: bool,
    count: usize,
}

fn case(is_sweep: bool) -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(behavior(), 12),
        prop::option::weighted(0.5, 0.6..6.0_f64),
        any::<bool>(),
        prop_oneof![3 => Just(12_usize), 1 => Just(60)],
    )
        .prop_map(move |(behaviors, limit_ms, has_references, count)| Case {
            behaviors,
            limit_ms,
            is_sweep,
            has_references,
            count,
        })
}

impl Case {
    fn matrix(&self) -> String {
        let mut text = "name = \"small\"\nseed = 7\n[dataset]\nsource = \"builtin:dialogues\"\n\
                        [[model]]\nname = \"base\"\nid = \"builtin:tiny\"\n"
            .to_owned();
        if self.is_sweep {
            text.push_str("[factors]\nscenarios = [\"server\"]\n[protocol.server]\nrequest_rates = [40, 160, 640]\n");
        } else {
            text.push_str(
                "[[model]]\nname = \"tuned\"\nid = \"builtin:tiny\"\nbaseline = \"base\"\n",
            );
            text.push_str("[factors]\nbatch_sizes = [1, 4]\n");
            text.push_str("[[fleet.local]]\ntarget = \"two\"\nusd_per_hour = 0.1\n");
        }
        text.push_str("[[fleet.local]]\ntarget = \"one\"\nusd_per_hour = 0.06\n");
        if let Some(limit) = self.limit_ms {
            text.push_str(&format!("[slo]\nrequest_latency_ms = {limit}\npercentile = 90\n"));
        }
        text
    }

    fn results(&self) -> Results {
        let mut world = World::of(self.count, "plain");
        let text = self.matrix();
        let matrix =
            Matrix::check(&text, "matrix.toml", Path::new("/"), &Overrides::default()).unwrap();
        let plan = Plan::make(&matrix, self.count).unwrap();
        world.agents = (0..matrix.targets.len()).map(|target| agent(target, "plain")).collect();
        world.windows.clear();
        world.campaign.prices = matrix.targets.iter().map(|_| price(0.06, "plain")).collect();
        for (place, row) in world.campaign.prices.iter_mut().enumerate() {
            row.usd_per_hour += 0.04 * place as f64;
        }
        for dialogue in &mut world.dialogues {
            dialogue.summary = self.has_references.then(|| "a b c d e f g h".to_owned());
        }
        world.segments.clear();
        world.samples = samples(&plan, self.count, "plain");
        let behaviors = &self.behaviors;
        world.samples.retain_mut(|row| {
            let behavior = &behaviors[row.key.cell as usize % behaviors.len()];
            shaped(row, behavior, self.count)
        });
        for cell in 0..plan.cells.len() {
            let behavior = &behaviors[cell % behaviors.len()];
            let segment = |run, segment, facts| SegmentRow {
                cell,
                run,
                segment,
                agent: 0,
                facts,
                is_time_impossible: false,
            };
            for run in 1..=behavior.runs {
                world.segments.push(segment(run, 1, Some(SegmentFacts::default())));
            }
            if behavior.has_lost_agent && behavior.runs > 0 {
                world.segments.push(segment(1, 2, None));
            }
        }
        world.campaign.matrix = matrix;
        world.campaign.plan = plan;
        world.results()
    }
}

/// Whether the sample was measured; as the cell behaves.
fn shaped(row: &mut SampleRow, behavior: &Behavior, count: usize) -> bool {
    let place = row.key.sample as usize;
    let own = 1000 + (place as u64 * 7919) % 200;
    let of_run = 1000 + behavior.spread * u64::from(row.key.run);
    let latency_ns = behavior.latency_us * own * of_run / 1000;
    row.sample.start_ns = 1_000_000 + (place as u64) * latency_ns.max(1_000_000);
    row.sample.latency_ns = latency_ns;
    row.sample.ttft_ns = None;
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
    row.sample.text = Some(words[..behavior.words.min(8)].join(" "));
    if behavior.fails_every > 0 && place.is_multiple_of(behavior.fails_every) {
        row.sample.outcome = Outcome::Failed(Kind::Internal);
        row.sample.text = None;
    }
    row.key.run <= behavior.runs && place < count
}

fn cells(results: &Results) -> impl Iterator<Item = (&Entry, &Cell)> {
    results.results.iter().flat_map(|entry| entry.cells.iter().map(move |cell| (entry, cell)))
}

fn usd(cell: &Cell) -> f64 {
    cell.cost.usd_per_1000_requests.value.unwrap_or(f64::INFINITY)
}

/// Every contradiction of a report with its own data.
fn contradictions(results: &Results) -> Vec<String> {
    let document = document(results);
    let mut found = Vec::new();
    headlines(results, &document, &mut found);
    mail(results, &document, &mut found);
    ranking(results, &document, &mut found);
    capacities(results, &document, &mut found);
    found
}

fn headlines(results: &Results, document: &Document, found: &mut Vec<String>) {
    let sentence = document.verdict.text();
    if terminal::render(document, None).lines().next() != Some(&sentence) {
        found.push("the terminal has another headline".to_owned());
    }
    let notice = annotations::render(results, document);
    if !notice.lines().next().is_some_and(|line| line.ends_with(&sentence.replace('%', "%25"))) {
        found.push("the annotation has another headline".to_owned());
    }
    let shown: String = markdown::render(document).replace('\\', "");
    if !shown.replace("**", "").contains(&sentence) {
        found.push("the Markdown has another headline".to_owned());
    }
}

fn mail(results: &Results, document: &Document, found: &mut Vec<String>) {
    let message = Message::of(results, Occasion::Complete, None, None);
    let text = email::text(&message);
    if !text.contains(&format!("\n\n{}\n\n", plain(&document.verdict.text()))) {
        found.push("the mail has another headline".to_owned());
    }
    for note in &document.verdict.notes {
        if !text.contains(&format!("- {}\n", plain(note))) {
            found.push(format!("the mail lacks {note:?}"));
        }
    }
    let Some(best) = results.recommendation.as_ref().and_then(|found| found.name.as_ref()) else {
        return;
    };
    let (entry, cell) = cells(results).find(|(_, cell)| cell.cell == *best).unwrap();
    let is_best = message.lines.first().is_some_and(|line| {
        (&line.target, &line.model, &line.dtype, &line.scenario)
            == (&entry.target, &entry.model, &entry.dtype, &entry.scenario)
            && line.batch_size == cell.batch_size
            && line.usd_per_1000_requests == cell.cost.usd_per_1000_requests
    });
    if !is_best {
        found.push(format!("the mail begins with {:?}, not with {best}", message.lines.first()));
    }
}

fn ranking(results: &Results, document: &Document, found: &mut Vec<String>) {
    let sentence = document.verdict.text();
    let Some(recommendation) = &results.recommendation else {
        found.push("nothing was ranked".to_owned());
        return;
    };
    let cell = |name: &str| cells(results).find(|(_, cell)| cell.cell == name).unwrap();
    let all: Vec<&str> = (recommendation.ranked.iter())
        .chain(recommendation.set_aside.iter().map(|one| &one.name))
        .map(String::as_str)
        .collect();
    for (_, cell) in cells(results) {
        if all.iter().filter(|name| **name == cell.cell).count() != 1 {
            found.push(format!("{} is not ranked or set aside once", cell.cell));
        }
    }
    let missed = |cell: &Cell| cell.goodput.as_ref().is_some_and(|of| of.kept == Kept::Missed);
    let usable = |cell: &Cell| {
        cell.validity.status != Status::Invalid && !missed(cell) && usd(cell).is_finite()
    };
    let Some(best) = &recommendation.name else {
        if cells(results).any(|(_, cell)| usable(cell)) {
            found.push("a usable cell isn't recommended".to_owned());
        }
        if sentence.contains("cheapest") {
            found.push("a cheapest cell is named without a recommendation".to_owned());
        }
        return;
    };
    let (_, best_cell) = cell(best);
    if !usable(best_cell) {
        found.push(format!("{best} is recommended and can't be used"));
    }
    for name in &recommendation.ranked {
        let (_, other) = cell(name);
        if usd(other) < usd(best_cell) {
            found.push(format!("{name} is ranked and cheaper than {best}"));
        }
        if other.validity.is_sound() != best_cell.validity.is_sound() {
            found.push(format!("{name} and {best} are ranked together"));
        }
    }
    for one in &recommendation.set_aside {
        let (_, other) = cell(&one.name);
        let is_told = document.verdict.notes.iter().any(|note| note.starts_with("Set aside"));
        if !is_told {
            found.push(format!("{} is set aside in silence", one.name));
        }
        if one.would_be_cheaper != (usd(other) < usd(best_cell)) {
            found.push(format!("{} would be cheaper, or wouldn't", one.name));
        }
        let is_equal = other.validity.is_sound() == best_cell.validity.is_sound();
        if one.because == Because::Degraded && is_equal {
            found.push(format!("{} is set aside as DEGRADED, as {best} is not", one.name));
        }
    }
    let is_significant = |name: &String| {
        let pair = results.comparisons.iter().find(|pair| {
            (&pair.baseline, &pair.candidate) == (best, name)
                || (&pair.baseline, &pair.candidate) == (name, best)
        });
        pair.map(|pair| (pair.cost.verdict.finding, pair.baseline == *best))
    };
    for name in &recommendation.ranked[1..] {
        let is_cheaper =
            matches!(is_significant(name), Some((Finding::Less, true) | (Finding::More, false)));
        if is_cheaper {
            found.push(format!("a table calls {name} cheaper than {best}"));
        }
    }
    let claims = sentence.contains("significantly cheaper");
    if claims && !recommendation.not_distinguishable_from.is_empty() {
        found.push("the headline claims more than the data".to_owned());
    }
}

fn capacities(results: &Results, document: &Document, found: &mut Vec<String>) {
    let sentence = document.verdict.text();
    for of in &results.capacities {
        let swept = || {
            cells(results).filter_map(|(entry, cell)| {
                let is_of = (&entry.model, &entry.target, &entry.dtype)
                    == (&of.model, &of.target, &of.dtype);
                let load = entry.load.filter(|_| is_of)?;
                let rate = load.request_rate.or(load.concurrency.map(f64::from))?;
                Some((rate, cell.goodput.as_ref()?.kept))
            })
        };
        let (carried, is_met) = match of.capacity {
            Capacity::Met { request_rate } => (request_rate, true),
            Capacity::MetInFlight { concurrency } => (concurrency.into(), true),
            Capacity::NeverMet | Capacity::Undecided { .. } => (0.0, false),
        };
        for (rate, kept) in swept() {
            if (rate <= carried) != (kept == Kept::Kept) {
                found.push(format!("{rate}/s is {kept:?} and the capacity is {:?}", of.capacity));
            }
        }
        if sentence.contains(" sustains ")
            && !(is_met && sentence.contains(&format!("{carried} requests per second")))
        {
            found.push(format!("{sentence:?} and the capacity is {:?}", of.capacity));
        }
    }
    for curve in &results.offered_rates.curves {
        let (_, cell) = cells(results).find(|(_, cell)| cell.cell == curve.cell).unwrap();
        let kept = cell.goodput.as_ref().map(|of| of.kept);
        if kept.is_some_and(|kept| kept != Kept::Kept) {
            found.push(format!("a cost at a rate uses {}, which is {kept:?}", curve.cell));
        }
    }
}

/// Fewer without optimization, so that the inner loop stays short.
const CASES: u32 = if cfg!(debug_assertions) { 100 } else { 5_000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]
    #[test]
    fn no_two_formats_disagree_on_batches(case in case(false)) {
        let results = case.results();
        let found = contradictions(&results);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", document(&results).verdict.text());
    }

    #[test]
    fn no_two_formats_disagree_on_rates(case in case(true)) {
        let results = case.results();
        let found = contradictions(&results);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", document(&results).verdict.text());
    }
}
