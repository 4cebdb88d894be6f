//! Runs scripted engines and checks the reports.

use super::*;
use engine::scripted::Scripted;
use model::engine::{AdapterMode, Dtype, EngineName};
use model::failure::{Kind, Retry};
use model::generation::{Settings, Stop};
use model::recorded_arrivals::RecordedArrivals;
use tokio::sync::mpsc::UnboundedReceiver;

struct Scripts;

impl Engines for Scripts {
    fn inspect(
        &self,
        spec: &EngineSpec,
        asked: &[&Generation],
    ) -> Vec<Result<EngineFacts, Failure>> {
        let found = self.load(spec).map(|engine| engine.facts().clone());
        vec![found; asked.len()]
    }

    fn load(&self, spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure> {
        let failed = |error: engine::scripted::Error| Failure {
            retry: Retry::Never,
            kind: Kind::Model,
            detail: error.to_string(),
        };
        Ok(Box::new(Scripted::load(spec).map_err(failed)?))
    }
}

pub(super) fn generation() -> Generation {
    Generation {
        prompt: None,
        max_input_tokens: 9,
        settings: Settings { max_new_tokens: Some(9), ..Settings::default() },
        stop: Stop::Eos,
    }
}

fn batch(index: u32, ids: &[&str]) -> Batch {
    let request = |id: &&str| Request {
        sample_id: (*id).to_owned(),
        dialogue: "A: hi".to_owned(),
        earlier: Vec::new(),
        reference: None,
    };
    Batch { index, requests: ids.iter().map(request).collect() }
}

/// Counts no tokens, as an endpoint that doesn't report them.
struct Uncounted(Box<dyn Engine>);

impl Engine for Uncounted {
    fn facts(&self) -> &EngineFacts {
        self.0.facts()
    }

    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &stopwatch::Stopwatch,
    ) -> Result<Vec<Result<engine::Row, Failure>>, Failure> {
        let rows = self.0.generate(batch, generation, stopwatch)?;
        let uncounted = |row| engine::Row { input_tokens: None, output_tokens: None, ..row };
        Ok(rows.into_iter().map(|row| row.map(uncounted)).collect())
    }
}

struct UncountedScripts;

impl Engines for UncountedScripts {
    fn inspect(
        &self,
        spec: &EngineSpec,
        asked: &[&Generation],
    ) -> Vec<Result<EngineFacts, Failure>> {
        Scripts.inspect(spec, asked)
    }

    fn load(&self, spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure> {
        Ok(Box::new(Uncounted(Scripts.load(spec)?)))
    }
}

/// Starts a runner on a script and waits for the inspection.
async fn start(script: &str) -> (Runner, UnboundedReceiver<Report>, tempfile::TempDir) {
    start_with(Scripts, script).await
}

async fn start_with(
    engines: impl Engines,
    script: &str,
) -> (Runner, UnboundedReceiver<Report>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.json");
    std::fs::write(&path, script).unwrap();
    let spec = EngineSpec {
        model: format!("scripted:{}", path.display()),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype: Dtype::F32,
        endpoint: None,
        engine: EngineName::default(),
    };
    let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let machine_lock = MachineLock::on(&path.display().to_string());
    let runner = Runner::start(engines, sender, machine_lock, Sampler::none()).unwrap();
    runner.send(Command::Inspect {
        engines: vec![AskedEngine { spec, generation: generation() }],
        telemetry: Duration::ZERO,
    });
    for activity in [Activity::Loading, Activity::Idle] {
        assert!(
            matches!(reports.recv().await, Some(Report::Activity(now, None)) if now == activity)
        );
    }
    assert!(matches!(reports.recv().await, Some(Report::Inspected(found)) if found[0].is_ok()));
    (runner, reports, folder)
}

async fn until_idle(reports: &mut UnboundedReceiver<Report>) -> Vec<Report> {
    let mut all = Vec::new();
    while let Some(report) = reports.recv().await {
        if matches!(report, Report::Activity(Activity::Idle, _)) {
            break;
        }
        all.push(report);
    }
    all
}

#[tokio::test]
async fn a_shard_is_warmed_then_measured_batch_by_batch() {
    let (runner, mut reports, _folder) =
        start(r#"{"prompt_ms": 1, "token_ms": 1, "output_tokens": 3, "samples": {"bad": {"fails": "no"}}}"#).await;
    runner.send(Command::Measure(Box::new(Offer {
        shard: 4,
        attempt: 2,
        warmup: vec![batch(0, &["w"])],
        batches: vec![batch(7, &["a", "b"]), batch(8, &["bad"])],
        ..Offer::default()
    })));
    let all = until_idle(&mut reports).await;
    let measured: Vec<&Measured> = all
        .iter()
        .filter_map(|report| if let Report::Batch(batch) = report { Some(&**batch) } else { None })
        .collect();
    assert_eq!(
        measured.iter().map(|m| (m.sequence, m.batch)).collect::<Vec<_>>(),
        [(1, 7), (2, 8)]
    );
    // The warm-up took 3 ms of synthetic time; each batch starts where the previous one ended.
    assert_eq!(measured[0].samples[1].1.start_ns, 3_000_000);
    assert_eq!(measured[0].samples[1].1.ttft_ns, Some(1_000_000));
    assert_eq!(measured[0].samples[1].1.latency_ns, 3_000_000);
    assert!(!measured[1].samples[0].1.outcome.is_ok());
    let Some(Report::Finished { last_sequence: 2, segment, .. }) = all.last() else {
        panic!("{all:?}")
    };
    assert_eq!((segment.warmup_batches, segment.warmup_ns), (1, 3_000_000));
    assert!(segment.peak_rss_bytes > 0);
}

#[tokio::test]
async fn a_panic_is_reported_with_its_words_and_ends_the_reports() {
    let (runner, mut reports, _folder) = start(r#"{"samples": {"a": {"breaks": "panic"}}}"#).await;
    let offer = Offer { shard: 4, attempt: 5, batches: vec![batch(0, &["a"])], ..Offer::default() };
    runner.send(Command::Measure(Box::new(offer)));
    let mut all = Vec::new();
    while let Some(report) = reports.recv().await {
        all.push(report);
    }
    let Some(Report::Failed { shard: 4, attempt: 5, failure }) = all.last() else {
        panic!("{all:?}")
    };
    assert_eq!(failure.detail, "the agent panicked: the script panics");
}

#[tokio::test]
async fn a_cancelled_attempt_breaks_off_and_a_later_one_runs() {
    let (runner, mut reports, _folder) = start("{}").await;
    runner.cancel(5);
    let offer = Offer { attempt: 5, batches: vec![batch(0, &["a"])], ..Offer::default() };
    runner.send(Command::Measure(Box::new(offer.clone())));
    let all = until_idle(&mut reports).await;
    assert!(
        matches!(all.last(), Some(Report::Failed { failure, .. }) if failure.kind == Kind::Cancelled)
    );
    runner.send(Command::Measure(Box::new(Offer { attempt: 6, ..offer })));
    let all = until_idle(&mut reports).await;
    assert!(matches!(all.last(), Some(Report::Finished { .. })));
}

fn samples_of(all: &[Report]) -> Vec<&Sample> {
    let measured = all.iter().filter_map(|report| match report {
        Report::Batch(batch) => Some(&batch.samples),
        _ => None,
    });
    measured.flatten().map(|(_, sample)| sample).collect()
}

#[tokio::test]
async fn a_stalled_engine_shows_in_latencies_from_the_intended_start() {
    // A request takes 1 ms, the stalled one 801 ms.
    let script = r#"{"prompt_ms": 1, "token_ms": 100, "output_tokens": 1, "samples": {"stall": {"output_tokens": 9}}}"#;
    let (runner, mut reports, _folder) = start(script).await;
    let id = |index: u32| if index == 200 { "stall".to_owned() } else { format!("r{index}") };
    let load = Load { request_rate: 200.0, seed: 7, max_queue: 1000, ..Load::default() };
    runner.send(Command::Measure(Box::new(Offer {
        attempt: 1,
        batches: (0..400).map(|index| batch(index, &[&id(index)])).collect(),
        batch_size: 1,
        load: Some(load),
        ..Offer::default()
    })));
    let all = until_idle(&mut reports).await;
    assert!(matches!(all.last(), Some(Report::Finished { last_sequence: 400, .. })));
    let samples = samples_of(&all);
    let stall = samples[200];
    let over_ns = stall.start_ns + stall.latency_ns;
    let came_meanwhile: Vec<&&Sample> =
        samples[201..].iter().filter(|sample| sample.start_ns < over_ns).collect();
    // About 160 of them: each waited at least until the stall was over.
    assert!((120..200).contains(&came_meanwhile.len()), "{}", came_meanwhile.len());
    assert!(came_meanwhile.iter().all(|sample| sample.start_ns + sample.latency_ns > over_ns));
    assert!(samples.iter().all(|sample| sample.schedule_delay_ns == Some(0)));
}

#[tokio::test]
async fn a_sustained_load_tells_windows_and_no_samples() {
    let (runner, mut reports, _folder) =
        start(r#"{"prompt_ms": 30, "output_tokens": 1, "samples": {"bad": {"fails": "no"}}}"#)
            .await;
    let load = Load {
        concurrency: 2,
        sustained: Some(crate::workload::Sustained {
            window_ns: 100_000_000,
            windows: vec![3, 4],
            passed: 3,
        }),
        ..Load::default()
    };
    runner.send(Command::Measure(Box::new(Offer {
        attempt: 1,
        batches: vec![batch(0, &["a"]), batch(1, &["b"]), batch(2, &["bad"])],
        batch_size: 2,
        load: Some(load),
        ..Offer::default()
    })));
    let all = until_idle(&mut reports).await;
    assert!(samples_of(&all).is_empty());
    let windows: Vec<(u32, model::load::LoadWindow)> = all
        .iter()
        .filter_map(|report| match report {
            Report::Batch(told) => Some((told.batch, told.window.clone()?)),
            _ => None,
        })
        .collect();
    let told: Vec<(u32, u64, u64, u64)> = (windows.iter())
        .map(|(index, window)| (*index, window.batches, window.ok(), window.failed))
        .collect();
    // Batches of 30 ms end past 100 and 200 ms: four of them in 120 ms, then three until 210 ms.
    assert_eq!(told, [(3, 4, 6, 2), (4, 3, 4, 2)]);
    assert_eq!(windows[0].1.end_ns, windows[1].1.start_ns);
    assert_eq!(windows[1].1.end_ns, 210_000_000);
}

#[tokio::test]
async fn a_sustained_load_without_token_counts_fails_and_sums_no_zeros() {
    let (runner, mut reports, _folder) = start_with(UncountedScripts, "{}").await;
    let load = Load {
        concurrency: 1,
        sustained: Some(crate::workload::Sustained {
            window_ns: 1_000_000,
            windows: vec![1, 2],
            passed: 1,
        }),
        ..Load::default()
    };
    runner.send(Command::Measure(Box::new(Offer {
        attempt: 1,
        batches: vec![batch(0, &["a"])],
        batch_size: 1,
        load: Some(load),
        ..Offer::default()
    })));
    let all = until_idle(&mut reports).await;
    let Some(Report::Failed { failure, .. }) = all.last() else { panic!("{all:?}") };
    assert!(failure.detail.contains("counts no tokens"), "{failure}");
}

#[tokio::test]
async fn arrivals_of_a_sustained_load_send_their_own_requests() {
    let script = r#"{"prompt_ms": 1, "token_ms": 1, "output_tokens": 2}"#;
    let (runner, mut reports, _folder) = start(script).await;
    let times = vec![0, 100_000_000, 200_000_000, 300_000_000];
    let recorded = RecordedArrivals::new(times, 400_000_000).unwrap();
    let load = Load {
        request_rate: 10.0,
        max_queue: 100,
        recorded: Some(recorded.sending(vec![2, 0, 2, 2]).unwrap()),
        sustained: Some(crate::workload::Sustained {
            window_ns: 800_000_000,
            windows: vec![0],
            passed: 0,
        }),
        ..Load::default()
    };
    let mut batches = vec![batch(0, &["a"]), batch(1, &["b"]), batch(2, &["c"])];
    for (batch, words) in batches.iter_mut().zip(["1", "1 2 3 4 5 6 7 8 9 10", "1 2 3"]) {
        batch.requests[0].dialogue = words.to_owned();
    }
    runner.send(Command::Measure(Box::new(Offer {
        attempt: 1,
        batches,
        batch_size: 1,
        load: Some(load),
        ..Offer::default()
    })));
    let all = until_idle(&mut reports).await;
    let window = all.iter().find_map(|report| match report {
        Report::Batch(told) => told.window.clone(),
        _ => None,
    });
    let window = window.expect("the load has one");
    // Twice 3 + 1 + 3 + 3 words, and 3 of the request that ends the window.
    assert_eq!((window.ok(), window.input_tokens), (9, 23));
}
