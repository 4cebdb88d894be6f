//! Every format of one made-up campaign: that they say the same, and that no name or text breaks one.

mod asked_differently;
mod gates;
mod hostile;
mod mlperf;
mod one_truth;
mod searches;

use super::document::{Block, document};
use super::sentences::cause;
use super::{annotations, csv, html, junit, markdown, pdf, terminal};
use chrono::{DateTime, Utc};
use matrix::plan::Plan;
use matrix::{Matrix, Overrides};
use model::engine::EngineFacts;
use model::generation::Decoding;
use model::host::{AgentFacts, HostFacts};
use model::ids::{AgentId, CampaignId, HostId, SampleId};
use model::output_ids::OutputIds;
use model::sample::{Finish, Outcome, Sample, SampleKey};
use model::segment::SegmentFacts;
use model::telemetry::{Absence, Instruments, Metric, Phase, Readings};
use records::{
    AgentRow, CampaignRow, DatasetFacts, DialogueRow, EventRow, PriceRow, RowSetAside,
    RowsSetAside, SampleRow, SegmentRow, State, WindowRow,
};
use results::build::{self, CellSamplesBuilder, Files, Scorer, StoredCampaign, Windows};
use results::{ComparisonKind, Results, json};
use stats::quality::agreement::Unit;
use std::path::Path;

/// Two targets, a model and its fine-tuned one, two batch sizes, three runs.
const MATRIX: &str = r#"
name = "NAME"
seed = 7
[dataset]
source = "builtin:dialogues"
[[model]]
name = "base"
id = "builtin:tiny"
[[model]]
name = "tuned"
id = "builtin:tiny"
baseline = "base"
[factors]
batch_sizes = [1, 4]
[report]
sample_texts = 2
[[fleet.local]]
target = "one"
usd_per_hour = 0.06
[[fleet.local]]
target = "TARGET"
usd_per_hour = 0.1
"#;

/// What a user, a host or a dataset may say.
const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`|*_[x](javascript:y) \u{202e}gnirts\u{2066} \u{1f600}\u{1f9d1}\u{200d}\u{1f680} مرحبا ]]> &amp; %0A::error::";

struct World {
    campaign: CampaignRow,
    agents: Vec<AgentRow>,
    dialogues: Vec<DialogueRow>,
    segments: Vec<SegmentRow>,
    samples: Vec<SampleRow>,
    events: Vec<EventRow>,
    windows: Vec<WindowRow>,
}

impl World {
    /// A campaign over `count` dialogues; `words` stands wherever a text may.
    fn of(count: usize, words: &str) -> Self {
        Self::of_matrix(MATRIX, count, words)
    }

    fn of_matrix(matrix: &str, count: usize, words: &str) -> Self {
        let text = matrix.replace("NAME", "small").replace("TARGET", "two");
        let mut matrix =
            Matrix::check(&text, "matrix.toml", Path::new("/"), &Overrides::default()).unwrap();
        matrix.name = words.to_owned();
        matrix.generation.prompt = Some(format!("{words} {{dialogue}}"));
        let plan = Plan::make(&matrix, count).unwrap();
        let samples = samples(&plan, count, words);
        let segments = (0..plan.cells.len()).flat_map(|cell| {
            (1..=3).map(move |run| SegmentRow {
                cell,
                run,
                segment: 1,
                agent: 0,
                facts: Some(SegmentFacts { peak_rss_bytes: 1 << 28, ..SegmentFacts::default() }),
                is_time_impossible: false,
            })
        });
        Self {
            segments: segments.collect(),
            windows: windows(&plan),
            agents: (0..2).map(|target| agent(target, words)).collect(),
            dialogues: (0..count).map(|place| dialogue(place, words)).collect(),
            events: vec![EventRow {
                at: DateTime::<Utc>::UNIX_EPOCH,
                kind: "note".to_owned(),
                detail: words.to_owned(),
            }],
            campaign: CampaignRow {
                id: CampaignId::try_from("small-20261123-084507-123").unwrap(),
                name: words.to_owned(),
                created_at: DateTime::<Utc>::UNIX_EPOCH,
                finished_at: None,
                state: State::Complete,
                controller_version: "0.1.0".to_owned(),
                matrix_text: format!("# {words}\n{text}"),
                prices: vec![price(0.06, words), price(0.1, words)],
                dataset: DatasetFacts {
                    source: words.to_owned(),
                    sha256: "ab".repeat(32),
                    revision: None,
                    dialogues: count,
                    samples: count,
                    sample_ids_sha256: "cd".repeat(32),
                    references: count,
                    set_aside: None,
                    notes: Vec::new(),
                },
                matrix,
                plan,
            },
            samples,
        }
    }

    fn results(&self) -> Results {
        let plan = &self.campaign.plan;
        let mut windows = Windows::default();
        self.windows.iter().for_each(|window| windows.add(window));
        windows.see(&self.samples);
        let mut scorer = Scorer::new(plan, &self.agents, &self.dialogues);
        let observed = (0..plan.cells.len()).map(|cell| {
            let its = self.samples.iter().filter(|row| row.key.cell as usize == cell);
            let rows: Vec<SampleRow> = its.cloned().collect();
            let mut observing = CellSamplesBuilder::new(plan, cell, &self.agents, None);
            observing.add(&rows, &scorer.score(&rows));
            observing.finish()
        });
        let observed: Vec<_> = observed.collect();
        let read = StoredCampaign {
            campaign: &self.campaign,
            agents: &self.agents,
            dialogues: &self.dialogues,
            segments: &self.segments,
            observed: &observed,
            events: &self.events,
            today: DateTime::<Utc>::UNIX_EPOCH.date_naive(),
            windows: &windows,
        };
        build::results(&read, Files::default())
    }
}

fn price(usd_per_hour: f64, words: &str) -> PriceRow {
    PriceRow {
        usd_per_hour,
        service: None,
        region: None,
        purchase: None,
        source: words.to_owned(),
        date: None,
        is_region_assumed: false,
    }
}

fn agent(target: usize, words: &str) -> AgentRow {
    let engine = EngineFacts {
        model_sha256: Some("12".repeat(32)),
        endpoint: None,
        adapter_sha256: None,
        tokenizer_sha256: Some("34".repeat(32)),
        revision: None,
        device: "cpu".to_owned(),
        kernel: words.to_owned(),
        parameters: 3_200_000,
        model_size_bytes: 12_800_000,
        random_weights: false,
        synthetic_time: false,
        continuous_batching: true,
        decoding: Some(Decoding { num_beams: 4, ..Decoding::default() }),
        prompt: Some(format!("{words} {{dialogue}}")),
        system: None,
        notes: vec![words.to_owned()],
    };
    let absence = Absence {
        what: "cpu_energy".to_owned(),
        reason: words.to_owned(),
        remedy: Some(words.to_owned()),
    };
    AgentRow {
        agent_id: AgentId::try_from(format!("agent-{target}")).unwrap(),
        host_id: HostId::try_from(format!("host-{target}")).unwrap(),
        target,
        facts: AgentFacts {
            agent_version: "0.1.0".to_owned(),
            threads: 1,
            host: HostFacts {
                name: words.to_owned(),
                cpu_model: Some(words.to_owned()),
                logical_cpus: 2,
                memory_bytes: 1 << 33,
                ..HostFacts::default()
            },
            instruments: Instruments { absences: vec![absence], ..Instruments::default() },
            ..AgentFacts::default()
        },
        engines: vec![Some(engine.clone()), Some(engine)],
        held_ns: 0,
    }
}

/// Half a second of every run, in which the agent grows.
fn windows(plan: &Plan) -> Vec<WindowRow> {
    const LONG: u64 = 50_000_000;
    let mut rows = Vec::new();
    for (cell, planned) in plan.cells.iter().enumerate() {
        for (run, place) in (1..=3).flat_map(|run| (0..10).map(move |place| (run, place))) {
            let mut readings = Readings::default();
            readings.set(Metric::ProcessCpuNs, 0.9 * LONG as f64);
            readings.set(Metric::SamplerCpuNs, 50_000.0);
            readings.set(Metric::HostCpuTotalNs, 2.0 * LONG as f64);
            readings.set(Metric::HostCpuBusyNs, 0.94 * LONG as f64);
            readings.set(Metric::HostCpuStealNs, 0.0);
            readings.set(Metric::ProcessRssBytes, f64::from(60 + run + place) * 1_048_576.0);
            let start_ns = 1_000_000 + u64::from(place) * LONG;
            rows.push(WindowRow {
                agent: planned.target,
                of: Some((cell, run, 1)),
                phase: Phase::Measuring,
                start_ns,
                end_ns: start_ns + LONG,
                readings,
            });
        }
    }
    rows
}

fn dialogue(place: usize, words: &str) -> DialogueRow {
    DialogueRow {
        sample_id: SampleId::try_from(format!("d{place}")).unwrap(),
        dialogue: format!("A: {words}\nB: {place}"),
        summary: Some(format!("A says {words} {place}")),
        is_measured: true,
    }
}

/// Latencies that differ by dialogue, run and cell, without chance.
fn samples(plan: &Plan, count: usize, words: &str) -> Vec<SampleRow> {
    let mut rows = Vec::new();
    for (cell, planned) in plan.cells.iter().enumerate() {
        for run in 1..=3_u32 {
            let mut clock = 1_000_000_u64;
            for sample in 0..count {
                let slow = 1 + cell as u64 % 3;
                let own = (sample as u64 * 7919) % 900;
                let latency_ns = 1_000_000 * slow + own * 2_000 + u64::from(run) * 9_000;
                let batch = sample as u64 / u64::from(planned.batch_size);
                let key = SampleKey {
                    cell: u32::try_from(cell).unwrap(),
                    run,
                    sample: u32::try_from(sample).unwrap(),
                    segment: 1,
                    attempt: 1,
                    agent: u32::try_from(planned.target).unwrap(),
                    batch: u32::try_from(batch).unwrap(),
                };
                let sample = Sample {
                    start_ns: clock,
                    ttft_ns: Some(latency_ns / 3),
                    latency_ns,
                    input_tokens: Some(40),
                    cut_tokens: 0,
                    output_tokens: Some(12),
                    unknown_tokens: 0,
                    reference_tokens: None,
                    schedule_delay_ns: None,
                    http: None,
                    chunk_gaps: None,
                    drafts: None,
                    outcome: Outcome::Ok(Finish::Eos),
                    failure_detail: None,
                    text: Some(format!("A says {words} {cell}")),
                    output_ids: None,
                };
                rows.push(SampleRow { key, is_counted: true, sample });
                clock += latency_ns;
            }
        }
    }
    rows
}

/// The words between the tags of a page, without its style and script.
fn words_of(page: &str) -> String {
    let start = page.find("<main").unwrap();
    let end = page.find("</main>").unwrap();
    let mut words = String::new();
    let mut is_tag = false;
    for c in page[start..end].chars() {
        match c {
            '<' => is_tag = true,
            '>' => is_tag = false,
            c if !is_tag => words.push(c),
            _ => {}
        }
    }
    words
}

#[test]
fn a_page_needs_no_other_file_and_says_what_the_view_says() {
    let results = World::of(100, "plain").results();
    let page = html::render(&document(&results));
    for outside in ["http://", "https://", "src=", "@import", "<link", "<iframe", " style="] {
        assert!(!page.contains(outside), "{outside}");
    }
    let words = words_of(&page);
    let best = results.recommendation.as_ref().unwrap().name.as_ref().unwrap();
    let cells = results.results.iter().flat_map(|entry| &entry.cells);
    let best = cells.clone().find(|cell| cell.cell == *best).unwrap();
    let cost = plot::number::shown(best.cost.usd_per_1000_requests.value.unwrap());
    assert!(words.contains(&format!("{cost} USD per 1,000 requests")), "{cost}");
    for cell in cells {
        let p95 = plot::number::shown(cell.estimates.latency_ms.p50.value.unwrap());
        assert!(words.contains(&p95), "{p95}");
    }
}

#[test]
fn the_document_has_a_section_for_every_question() {
    let results = World::of(100, "plain").results();
    let document = document(&results);
    let ids: Vec<&str> = document.sections.iter().map(|section| section.id).collect();
    for id in [
        "cost",
        "cells",
        "latency",
        "batches",
        "choice",
        "comparisons",
        "runs",
        "telemetry",
        "timelines",
        "validity",
        "prices",
        "reproduction",
        "texts",
    ] {
        assert!(ids.contains(&id), "{id} of {ids:?}");
    }
    let missing = document.sections.iter().flat_map(|section| &section.blocks);
    let missing: Vec<_> = missing.filter(|block| matches!(block, Block::Missing(_))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_campaign_without_a_sample_says_so_and_shows_no_zero() {
    let mut world = World::of(20, "plain");
    world.samples.clear();
    world.agents.clear();
    let results = world.results();
    let document = document(&results);
    let page = words_of(&html::render(&document));
    assert!(page.contains("Nothing is recommended"), "{page}");
    assert!(page.contains("no latency was measured"));
    assert!(!page.contains("NaN") && !page.contains("inf "));
    assert!(pdf::render(&document).unwrap().starts_with(b"%PDF"));
    assert!(markdown::render(&document).contains("INVALID"));
    assert!(junit::render(&results).contains("failures=\"8\""));
}

#[test]
fn a_cell_that_was_held_back_is_drawn_first_with_its_shade_and_its_reason() {
    let mut world = World::of(100, "plain");
    let last = world.campaign.plan.cells.len() - 1;
    let its = |window: &&mut WindowRow| window.of.is_some_and(|(cell, ..)| cell == last);
    for window in world.windows.iter_mut().filter(its).take(4) {
        window.readings.set(Metric::HostThermalThrottles, 2.0);
    }
    let results = world.results();
    let cells = results.results.iter().flat_map(|entry| &entry.cells);
    let reasons = cells.flat_map(|cell| &cell.validity.reasons);
    let held = reasons.filter(|reason| reason.cause.code() == "cpu_throttled");
    let texts: Vec<String> = held.map(|reason| cause(&reason.cause)).collect();
    assert_eq!(texts, ["a CPU was throttled 8 times because of heat"]);
    let document = document(&results);
    let section = document.sections.iter().find(|section| section.id == "telemetry").unwrap();
    let figures = section.blocks.iter().filter_map(|block| match block {
        Block::Figure(figure) => Some(figure),
        _ => None,
    });
    let titles: Vec<&str> = figures.map(|figure| figure.title.as_str()).collect();
    assert_eq!(titles.len(), 1);
    assert!(titles[0].ends_with("Shaded: CPU throttled by heat"), "{titles:?}");
    let told = markdown::render(&document);
    assert!(told.contains("Not measurable on plain: cpu energy, plain; plain."), "{told}");
}

#[test]
fn targets_agree_by_the_tokens_that_they_decoded() {
    let mut world = World::of(20, "plain");
    // The second target decodes another third token for one dialogue; texts are no matter then.
    for row in &mut world.samples {
        let of_second = world.campaign.plan.cells[row.key.cell as usize].target == 1;
        let differs = of_second && row.key.sample == 7;
        row.sample.output_ids = Some(OutputIds::pack(&[40, 300, if differs { 9 } else { 8 }, 1]));
    }
    let results = world.results();
    let pairs = results.comparisons.iter().filter(|pair| pair.kind == ComparisonKind::Target);
    let found: Vec<_> = pairs.filter_map(|pair| pair.agreement.as_ref()).collect();
    assert_eq!(found.len(), 4);
    for agreement in found {
        assert_eq!(agreement.unit, Unit::Tokens);
        assert_eq!((agreement.compared, agreement.identical), (20, 19));
        assert_eq!(agreement.tokens_agreed_share, Some(78.0 / 80.0));
        assert_eq!(agreement.earliest_difference, Some(2));
    }
    // One dialogue that an older release measured: words are what all have.
    let of_first = |row: &&mut SampleRow| (row.key.cell, row.key.sample) == (0, 0);
    world.samples.iter_mut().filter(of_first).for_each(|row| row.sample.output_ids = None);
    let units = world.results().comparisons.into_iter().filter_map(|pair| pair.agreement);
    assert!(units.map(|agreement| agreement.unit).any(|unit| unit == Unit::Words));
}

#[test]
fn texts_stay_where_the_matrix_allows_none() {
    let mut world = World::of(20, "plain");
    let allowed = html::render(&document(&world.results()));
    assert!(allowed.contains("A: plain"));
    world.campaign.matrix.report.sample_texts = 0;
    let results = world.results();
    let page = html::render(&document(&results));
    assert!(!page.contains("A: plain") && !page.contains("A says"));
    assert!(!json::render(&results).contains("A says"));
}

#[test]
fn hostile_words_break_no_format() {
    let world = World::of(20, HOSTILE);
    let mut results = world.results();
    results.results[1].target = HOSTILE.to_owned();
    let document = document(&results);

    let page = html::render(&document);
    assert_eq!(page.matches("<script").count(), 1, "only the page's own");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<img") && !page.contains("onerror=alert(2)>"));
    assert!(page.contains("&lt;img src=x onerror=alert(2)&gt;"));

    let text = markdown::render(&document);
    assert!(!text.contains("<img") && !text.contains("[x]("), "{text}");
    assert!(!text.contains('\u{202e}') && text.contains("&lt;img") && text.contains("\\\\u{202e}"));

    let xml = junit::render(&results);
    assert!(!xml.contains("<img") && !xml.contains("]]>"));

    let lines = annotations::render(&results, &document);
    for line in lines.lines() {
        let kinds = ["::notice title=", "::warning title=", "::error title="];
        assert!(kinds.iter().any(|kind| line.starts_with(kind)), "{line}");
    }
    let mut reader = ::csv::Reader::from_reader(std::io::Cursor::new(csv::render(&results)));
    let target = reader.headers().unwrap().iter().position(|name| name == "target").unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 8);
    let escaped = HOSTILE.replace('\u{202e}', "\\u{202e}").replace('\u{2066}', "\\u{2066}");
    assert!(rows.iter().any(|row| row[target] == escaped), "a text comes back as it is shown");
    assert!(pdf::render(&document).unwrap().starts_with(b"%PDF"));
}

#[test]
fn ten_thousand_letters_make_no_format_long() {
    let words = "Ω\u{1f600}x".repeat(3_334);
    let document = document(&World::of(20, &words).results());
    assert!(html::render(&document).len() < 1_000_000);
    assert!(markdown::render(&document).len() < 60_000);
    assert!(pdf::render(&document).unwrap().len() < 400_000);
}

#[test]
fn a_pdf_has_as_many_pages_as_it_needs() {
    for words in ["plain", &"long words ".repeat(100)] {
        let document = document(&World::of(100, words).results());
        let bytes = pdf::render(&document).unwrap();
        let pages = bytes.windows(13).filter(|window| *window == b"/Type/Page/Re").count();
        assert!((4..=20).contains(&pages), "{pages}");
    }
}

#[test]
fn markdown_and_csv_are_as_they_were_read() {
    let mut world = World::of(100, "plain");
    world.campaign.matrix.report.sample_texts = 0;
    let results = world.results();
    insta::assert_snapshot!("markdown", markdown::render(&document(&results)));
    insta::assert_snapshot!("terminal", terminal::render(&document(&results), None));
    insta::assert_snapshot!("csv", String::from_utf8(csv::render(&results)).unwrap());
    insta::assert_snapshot!("junit", junit::render(&results));
    insta::assert_snapshot!("github", annotations::render(&results, &document(&results)));
}

#[test]
fn rows_that_were_set_aside_are_noted_in_every_format() {
    let mut world = World::of(100, "plain");
    let without = document(&world.results());
    let first = RowSetAside {
        file: "data.csv".to_owned(),
        position: "record 2 (line 4)".to_owned(),
        id: Some("13828807".to_owned()),
        reason: "the dialogue is empty".to_owned(),
    };
    let rows = RowsSetAside { count: 1, rows: 125, first: vec![first] };
    world.campaign.dataset.set_aside = Some(rows);
    world.campaign.dataset.notes = vec!["separated by semicolons".to_owned()];
    let results = world.results();
    let with = document(&results);
    let note = "The dataset has 1 row that can't be measured (0.8% of all): record 2 (line 4) (id 13828807), the \
                dialogue is empty.";
    assert!(terminal::render(&with, None).contains(note));
    assert!(markdown::render(&with).replace('\\', "").contains(note));
    let page = words_of(&html::render(&with));
    assert!(page.contains(note) && page.contains("separated by semicolons"));
    let drawn = |document| pdf::render(document).unwrap();
    assert_ne!(drawn(&with), drawn(&without), "the note is the difference");
    assert!(json::render(&results).contains("\"share\": 0.008"));
}
