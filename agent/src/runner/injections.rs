//! Panics at every stage of a shard, by seed: each becomes a named failure of the shard, and the
//! reports end, which ends the agent.

use super::tests::generation;
use super::*;
use engine::Row;
use model::engine::{AdapterMode, Dtype, EngineName};
use model::sample::Finish;
use model::telemetry::{Absence, Readings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::atomic::AtomicBool;
use stopwatch::Stopwatch;
use telemetry::{InstrumentReader, Trigger};

const SEEDS: u64 = 100;
const WARMUP: u32 = 2;
const BATCHES: u32 = 4;
/// Far longer than a shard takes: a runner that says nothing by then hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// Where the panic comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Inspecting,
    Loading,
    /// The engine, at this call: warm-up batches come first.
    Generating(u32),
    /// The engine, at this count of a reference's tokens.
    Counting(u32),
    /// A thread that the engine waits for, at this call.
    OtherThread(u32),
    /// The telemetry sampler, at this change of phase: loading starts and ends, warm-up starts,
    /// measuring starts and ends.
    PhaseChange(u32),
    /// The telemetry sampler, in the middle of the measurement.
    Tick,
}

impl Stage {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        match random.random_range(0..7) {
            0 => Self::Inspecting,
            1 => Self::Loading,
            2 => Self::Generating(random.random_range(0..WARMUP + BATCHES)),
            3 => Self::Counting(random.random_range(0..BATCHES)),
            4 => Self::OtherThread(random.random_range(0..WARMUP + BATCHES)),
            5 => Self::PhaseChange(random.random_range(0..5)),
            _ => Self::Tick,
        }
    }
}

/// A panic to come, shared by everything that may have it.
#[derive(Debug, Clone)]
struct Injected {
    stage: Stage,
    words: String,
    /// The sampler's tick is over.
    has_ticked: Arc<AtomicBool>,
}

impl Injected {
    fn at(&self, stage: Stage) {
        assert!(self.stage != stage, "{}", self.words);
    }
}

struct Fragile(Injected);

impl Engines for Fragile {
    fn inspect(
        &self,
        _spec: &EngineSpec,
        asked: &[&Generation],
    ) -> Vec<Result<EngineFacts, Failure>> {
        self.0.at(Stage::Inspecting);
        vec![Ok(facts()); asked.len()]
    }

    fn load(&self, _spec: &EngineSpec) -> Result<Box<dyn Engine>, Failure> {
        self.0.at(Stage::Loading);
        let (generated, counted) = (0, AtomicU64::new(0));
        Ok(Box::new(FragileEngine { injected: self.0.clone(), facts: facts(), generated, counted }))
    }
}

fn facts() -> EngineFacts {
    EngineFacts { device: "cpu".to_owned(), ..EngineFacts::default() }
}

struct FragileEngine {
    injected: Injected,
    facts: EngineFacts,
    generated: u32,
    counted: AtomicU64,
}

impl Engine for FragileEngine {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn generate(
        &mut self,
        batch: &[Request],
        _generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure> {
        let call = self.generated;
        self.generated += 1;
        self.injected.at(Stage::Generating(call));
        let injected = &self.injected;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| injected.at(Stage::OtherThread(call)));
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        });
        // Long enough for a tick in the second measured batch.
        while injected.stage == Stage::Tick
            && call == WARMUP + 1
            && !injected.has_ticked.load(Ordering::Acquire)
        {
            std::thread::yield_now();
        }
        let row = |_: &Request| {
            Ok(Row {
                input_tokens: Some(1),
                cut_tokens: 0,
                output_ids: Vec::new(),
                output_tokens: Some(1),
                unknown_tokens: 0,
                first_token_ns: None,
                end_ns: stopwatch.now_ns(),
                finish: Finish::Eos,
                text: Some("so".to_owned()),
                http: None,
                chunk_gaps: None,
                drafts: None,
            })
        };
        Ok(batch.iter().map(row).collect())
    }

    fn count_tokens(&self, _text: &str) -> Option<u32> {
        let call = self.counted.fetch_add(1, Ordering::Relaxed);
        self.injected.at(Stage::Counting(u32::try_from(call).unwrap()));
        Some(1)
    }
}

struct FragileReader {
    injected: Injected,
    changes: u32,
}

impl InstrumentReader for FragileReader {
    fn has_energy(&self, _device: &str) -> bool {
        false
    }

    fn select_device(&mut self, _device: &str) {}

    fn take_absences(&mut self) -> Vec<Absence> {
        Vec::new()
    }

    fn read(&mut self, _clock: &Stopwatch, trigger: Trigger) -> Readings {
        if trigger == Trigger::PhaseChange {
            self.injected.at(Stage::PhaseChange(self.changes));
            self.changes += 1;
        } else if self.changes == 4 {
            self.injected.has_ticked.store(true, Ordering::Release);
            self.injected.at(Stage::Tick);
        }
        Readings::default()
    }
}

fn spec() -> EngineSpec {
    EngineSpec {
        model: "fragile".to_owned(),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype: Dtype::F32,
        endpoint: None,
        engine: EngineName::default(),
    }
}

fn batch(index: u32) -> Batch {
    let request = Request {
        sample_id: format!("s{index}"),
        dialogue: "A: hi".to_owned(),
        earlier: Vec::new(),
        reference: Some("so".to_owned()),
    };
    Batch { index, requests: vec![request] }
}

/// All reports of a runner with this panic, until they end.
async fn reports(injected: Injected, period: Duration) -> Vec<Report> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let reader = FragileReader { injected: injected.clone(), changes: 0 };
    let (sampler, _observations) = Sampler::start(reader).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lock = MachineLock::on(&folder.path().join("lock").display().to_string());
    let runner = Runner::start(Fragile(injected), sender, lock, sampler).unwrap();
    runner.send(Command::Inspect {
        engines: vec![AskedEngine { spec: spec(), generation: generation() }; 2],
        telemetry: period,
    });
    runner.send(Command::Measure(Box::new(Offer {
        shard: 4,
        attempt: 7,
        warmup: (0..WARMUP).map(batch).collect(),
        batches: (0..BATCHES).map(batch).collect(),
        batch_size: 1,
        ..Offer::default()
    })));
    let mut all = Vec::new();
    while let Some(report) = receiver.recv().await {
        all.push(report);
    }
    all
}

#[tokio::test]
async fn a_panic_at_any_stage_is_a_named_failure_that_ends_the_reports() {
    for seed in 0..SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let stage = Stage::draw(&mut random);
        let words = format!("injection {seed}");
        let injected =
            Injected { stage, words: words.clone(), has_ticked: Arc::new(AtomicBool::new(false)) };
        let period =
            if stage == Stage::Tick { Duration::from_millis(1) } else { Duration::from_hours(1) };
        let all = tokio::time::timeout(DEADLINE, reports(injected, period)).await;
        let all = all.unwrap_or_else(|_| panic!("seed {seed}: {stage:?} is not heard"));
        let failures: Vec<&Failure> = match all.last() {
            Some(Report::Failed { shard: 4, attempt: 7, failure }) => vec![failure],
            Some(Report::Inspected(found)) => {
                assert_eq!(stage, Stage::Inspecting, "seed {seed}");
                assert_eq!(found.len(), 2);
                found.iter().map(|found| found.as_ref().unwrap_err()).collect()
            }
            other => panic!("seed {seed}: {stage:?} ends with {other:?}"),
        };
        for failure in failures {
            assert_eq!((failure.kind, failure.retry), (Kind::Internal, Retry::OtherAgent));
            assert!(failure.detail.contains(&words), "seed {seed}: {failure}");
        }
        // What was measured before is complete and in order.
        let sequences: Vec<u64> = all
            .iter()
            .filter_map(|report| match report {
                Report::Batch(batch) => Some(batch.sequence),
                _ => None,
            })
            .collect();
        assert!(sequences.iter().copied().eq(1..=sequences.len() as u64), "seed {seed}");
        let most = match stage {
            Stage::Generating(call) | Stage::OtherThread(call) => call.saturating_sub(WARMUP),
            Stage::Counting(call) => call,
            // The last change of the phase comes after the measurement.
            Stage::Tick | Stage::PhaseChange(4) => BATCHES,
            _ => 0,
        };
        assert!(sequences.len() <= most as usize, "seed {seed}: {stage:?}");
    }
}
