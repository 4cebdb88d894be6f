//! A runner with scripted engines: what comes out for an offer.

use super::*;
use crate::engine::scripted::Scripted;
use proto::failure::{Kind, Retry};
use proto::generation::Stop;
use proto::model::{AdapterMode, Dtype};
use proto::wire;
use tokio::sync::mpsc::UnboundedReceiver;

struct Scripts;

impl Engines for Scripts {
    fn inspect(&self, spec: &EngineSpec) -> Result<EngineFacts, Failure> {
        self.load(spec).map(|engine| engine.facts().clone())
    }

    fn load(&self, spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure> {
        let failed = |error: crate::engine::scripted::Error| Failure {
            retry: Retry::Never,
            kind: Kind::Model,
            detail: error.to_string(),
        };
        Ok(Box::new(Scripted::load(spec).map_err(failed)?))
    }
}

fn generation() -> Generation {
    Generation {
        prompt: "{dialogue}".to_owned(),
        max_input_tokens: 9,
        max_new_tokens: 9,
        stop: Stop::Eos,
    }
}

fn batch(index: u32, ids: &[&str]) -> wire::Batch {
    let request = |id: &&str| wire::Request {
        sample_id: (*id).to_owned(),
        dialogue: "A: hi".to_owned(),
        reference: String::new(),
    };
    wire::Batch { index, requests: ids.iter().map(request).collect() }
}

/// Starts a runner on a script and lets it inspect.
async fn start(script: &str) -> (Runner, UnboundedReceiver<Report>, tempfile::TempDir) {
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
    };
    let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
    let turn = Turn::on(&path.display().to_string());
    let runner = Runner::start(Scripts, sender, (turn, Sampler::none())).unwrap();
    runner.order(Order::Inspect {
        engines: vec![spec],
        generation: generation(),
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
    runner.order(Order::Measure(Offer {
        shard: 4,
        attempt: 2,
        warmup: vec![batch(0, &["w"])],
        batches: vec![batch(7, &["a", "b"]), batch(8, &["bad"])],
        ..Offer::default()
    }));
    let all = until_idle(&mut reports).await;
    let measured: Vec<&Measured> = all
        .iter()
        .filter_map(|report| if let Report::Batch(batch) = report { Some(batch) } else { None })
        .collect();
    assert_eq!(
        measured.iter().map(|m| (m.sequence, m.batch)).collect::<Vec<_>>(),
        [(1, 7), (2, 8)]
    );
    // The warm-up took 3 ms of played time, each later batch starts where the last one ended.
    assert_eq!(measured[0].samples[1].start_ns, 3_000_000);
    assert_eq!(measured[0].samples[1].ttft_ns, Some(1_000_000));
    assert_eq!(measured[0].samples[1].latency_ns, 3_000_000);
    assert!(measured[1].samples[0].failure.is_some());
    let Some(Report::Finished { last_sequence: 2, segment, .. }) = all.last() else {
        panic!("{all:?}")
    };
    assert_eq!((segment.warmup_batches, segment.warmup_ns), (1, 3_000_000));
    assert!(segment.peak_rss_bytes > 0);
}

#[tokio::test]
async fn a_cancelled_attempt_breaks_off_and_a_later_one_runs() {
    let (runner, mut reports, _folder) = start("{}").await;
    runner.cancel(5);
    let offer = Offer { attempt: 5, batches: vec![batch(0, &["a"])], ..Offer::default() };
    runner.order(Order::Measure(offer.clone()));
    let all = until_idle(&mut reports).await;
    assert!(
        matches!(all.last(), Some(Report::Failed { failure, .. }) if failure.kind == Kind::Cancelled)
    );
    runner.order(Order::Measure(Offer { attempt: 6, ..offer }));
    let all = until_idle(&mut reports).await;
    assert!(matches!(all.last(), Some(Report::Finished { .. })));
}
