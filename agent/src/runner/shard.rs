//! Loads, warms up and measures one shard.

use super::batch_samples::{bug, cancelled, request_start_ns, requests, sample, sample_id};
use super::load::Load;
use super::start::Start;
use super::{Activity, Engines, MachineLock, Measured, Offer, Report};
use crate::server_metrics::ServerMetrics;
use engine::Engine;
use host::Memory;
use model::engine::{AskedEngine, EngineFacts, EngineSpec};
use model::failure::Failure;
use model::sample::Sample;
use model::segment::SegmentFacts;
use model::telemetry::{Metric, Phase, Readings};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stopwatch::Stopwatch;
use telemetry::{ReadingSource, Sampler, sampler::PhaseStart};
use tokio::sync::mpsc::UnboundedSender;

/// The engines of the last inspection that were found.
#[derive(Default)]
pub(super) struct Known(Vec<(AskedEngine, EngineFacts)>);

impl Known {
    fn of(&self, asked: &AskedEngine) -> Option<EngineFacts> {
        let (_, facts) = self.0.iter().find(|(known, _)| known == asked)?;
        Some(facts.clone())
    }

    /// The files of an engine are read once, whatever it is asked for.
    fn inspect(
        &mut self,
        engines: &impl Engines,
        asked: &[AskedEngine],
    ) -> Vec<Result<EngineFacts, Failure>> {
        let mut found: Vec<_> = asked.iter().map(|asked| self.of(asked).map(Ok)).collect();
        while let Some(first) = found.iter().position(Option::is_none) {
            let spec = &asked[first].spec;
            let is_same = |place: &usize| found[*place].is_none() && asked[*place].spec == *spec;
            let same: Vec<usize> = (first..asked.len()).filter(is_same).collect();
            let generations: Vec<_> = same.iter().map(|place| &asked[*place].generation).collect();
            let facts = engines.inspect(spec, &generations);
            assert_eq!(facts.len(), same.len(), "facts for everything that was asked for");
            for (place, facts) in same.into_iter().zip(facts) {
                found[place] = Some(facts);
            }
        }
        let found: Vec<_> = found.into_iter().flatten().collect();
        let pairs = asked.iter().zip(&found);
        let is_found = |(asked, facts): (&AskedEngine, &Result<EngineFacts, Failure>)| {
            Some((asked.clone(), facts.clone().ok()?))
        };
        self.0 = pairs.filter_map(is_found).collect();
        found
    }
}

/// What the other threads of the agent tell the runner about an attempt.
pub(super) struct Signals {
    /// Attempts up to this one are cancelled.
    pub(super) cancelled: Arc<AtomicU64>,
    pub(super) begun: Arc<Start>,
}

pub(super) struct ShardRunner<E> {
    engines: E,
    reports: UnboundedSender<Report>,
    signals: Signals,
    asked: Vec<AskedEngine>,
    /// Empty for engines that could not be inspected.
    devices: Vec<String>,
    /// At most one engine, so that memory is attributed correctly.
    loaded: Option<Loaded>,
    real: Stopwatch,
    synthetic: Stopwatch,
    machine_lock: MachineLock,
    sampler: Sampler,
}

struct Loaded {
    spec: EngineSpec,
    engine: Box<dyn Engine>,
    rss_bytes: u64,
    gpu_before_bytes: Option<u64>,
    gpu_bytes: Option<u64>,
    /// Of an endpoint's server, or of the device.
    readings: Option<Arc<dyn ReadingSource>>,
}

impl<E: Engines> ShardRunner<E> {
    pub(super) fn new(
        engines: E,
        reports: UnboundedSender<Report>,
        signals: Signals,
        machine_lock: MachineLock,
        sampler: Sampler,
    ) -> Self {
        Self {
            engines,
            reports,
            signals,
            asked: Vec::new(),
            devices: Vec::new(),
            loaded: None,
            real: Stopwatch::start(),
            synthetic: Stopwatch::synthetic(),
            machine_lock,
            sampler,
        }
    }

    fn report(&self, report: Report) {
        // The receiver closes only when the agent ends.
        drop(self.reports.send(report));
    }

    pub(super) fn inspect(
        &mut self,
        asked: Vec<AskedEngine>,
        telemetry: Duration,
        known: &mut Known,
    ) {
        // Downloads may take long; this shows the controller that the agent is alive.
        drop(self.reports.send(Report::Activity(Activity::Loading, None)));
        let found = known.inspect(&self.engines, &asked);
        self.report(Report::Activity(Activity::Idle, None));
        let device = |found: &Result<EngineFacts, Failure>| {
            found.as_ref().map_or_else(|_| String::new(), |facts| facts.device.clone())
        };
        self.devices = found.iter().map(device).collect();
        self.sampler.set_period(telemetry);
        // GPU names sort last: if one engine uses a GPU, its idle power is measured.
        let device = self.devices.iter().max().cloned().unwrap_or_default();
        self.sampler.measure_idle(&device, &self.real);
        // Attempts of another campaign may start from 1 again.
        self.signals.cancelled.store(0, Ordering::Relaxed);
        self.signals.begun.set(0);
        self.asked = asked;
        self.report(Report::Inspected(found));
    }

    pub(super) fn measure(&mut self, offer: &Offer) {
        let (shard, attempt) = (offer.shard, offer.attempt);
        let outcome = self.run(offer);
        self.sampler.pause();
        let report = match outcome {
            Ok((last_sequence, segment)) => {
                Report::Finished { shard, attempt, last_sequence, segment }
            }
            Err(failure) => Report::Failed { shard, attempt, failure },
        };
        self.report(report);
        self.report(Report::Activity(Activity::Idle, None));
    }

    fn run(&mut self, offer: &Offer) -> Result<(u64, SegmentFacts), Failure> {
        let now = |activity| Report::Activity(activity, Some((offer.shard, offer.attempt)));
        let asked = self.asked.get(offer.engine as usize);
        let asked = asked.ok_or_else(|| bug("the shard refers to an unknown engine"))?;
        let AskedEngine { spec, generation } = asked.clone();
        let is_cancelled = {
            let cancelled = Arc::clone(&self.signals.cancelled);
            move || cancelled.load(Ordering::Relaxed) >= offer.attempt
        };
        let queued = || self.report(now(Activity::Queued));
        let guard = self.machine_lock.acquire(&is_cancelled, queued);
        let _guard = guard.ok_or_else(cancelled)?;
        self.report(now(Activity::Loading));
        let loading = self.load(spec, offer)?;
        let (real, synthetic) = (self.real.clone(), self.synthetic.clone());
        let (reports, begun) = (self.reports.clone(), Arc::clone(&self.signals.begun));
        let loaded = self.loaded.as_mut().ok_or_else(|| bug("no engine after loading"))?;
        let sampler = &self.sampler;
        // Between batches, so that a sampler that panicked ends the shard and isn't missed until its end.
        let is_cancelled = || {
            sampler.check();
            is_cancelled()
        };
        let stopwatch = if loaded.engine.facts().synthetic_time { &synthetic } else { &real };

        let device = loaded.engine.facts().device.clone();
        let server = loaded.readings.clone();
        let mark = |phase| PhaseStart {
            phase,
            of: Some((offer.shard, offer.attempt)),
            device: device.clone(),
            clock: stopwatch.clone(),
            server: server.clone(),
        };
        drop(reports.send(now(Activity::Warming)));
        self.sampler.start_phase(mark(Phase::Warming));
        let warmup_start = stopwatch.now_ns();
        for batch in &offer.warmup {
            if is_cancelled() {
                return Err(cancelled());
            }
            loaded.engine.generate(&requests(batch, &generation), &generation, stopwatch)?;
        }
        let warmup_ns = stopwatch.now_ns() - warmup_start;

        if offer.is_together {
            drop(reports.send(now(Activity::Waiting)));
            if !begun.wait(offer.attempt, is_cancelled) {
                return Err(cancelled());
            }
        }
        drop(reports.send(now(Activity::Measuring)));
        self.sampler.start_phase(mark(Phase::Measuring));
        let mut sequence = 0;
        let mut one_by_one = offer.batches.as_slice();
        if let Some(load) = &offer.load {
            one_by_one = &[];
            let engine = loaded.engine.as_mut();
            let (generation, reports, is_cancelled) = (&generation, &reports, &is_cancelled);
            sequence =
                Load { engine, generation, stopwatch, offer, reports, is_cancelled }.run(load)?;
        }
        for batch in one_by_one {
            if is_cancelled() {
                return Err(cancelled());
            }
            let requests = requests(batch, &generation);
            let start_ns = stopwatch.now_ns();
            let rows = loaded.engine.generate(&requests, &generation, stopwatch)?;
            let end_ns = stopwatch.now_ns();
            if rows.len() != requests.len() {
                return Err(bug("the engine returned a wrong number of rows"));
            }
            sequence += 1;
            // After the batch, so that counting is not measured.
            let references: Vec<Option<u32>> = (batch.requests.iter())
                .map(|request| loaded.engine.count_tokens(request.reference.as_ref()?))
                .collect();
            let pairs = requests.iter().zip(rows).zip(references);
            drop(
                reports.send(Report::Batch(Box::new(Measured {
                    shard: offer.shard,
                    attempt: offer.attempt,
                    sequence,
                    batch: batch.index,
                    window: None,
                    samples: pairs
                        .map(|((request, row), reference_tokens)| {
                            let start_ns = request_start_ns(&row, start_ns);
                            let sample = sample(row, start_ns, end_ns);
                            (sample_id(request), Sample { reference_tokens, ..sample })
                        })
                        .collect(),
                }))),
            );
        }
        Ok((sequence, loaded.segment(offer, warmup_ns, loading)))
    }

    /// Loads the shard's engine unless it is loaded, and returns the time taken.
    fn load(&mut self, spec: EngineSpec, offer: &Offer) -> Result<Loading, Failure> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.spec == spec) {
            return Ok(Loading::default());
        }
        // Between two unmerged adapters on one base only the adapter is loaded. A base alone is
        // reloaded, so that its memory does not include that of a previous adapter.
        if let Some(loaded) = self.loaded.take_if(|loaded| loaded.spec.unmerged().is_some())
            && spec.unmerged().is_some()
        {
            let mut engine = loaded.engine;
            self.mark_loading(offer);
            let start_ns = self.real.now_ns();
            if engine.switch(&spec)? {
                let all_ns = self.real.now_ns() - start_ns;
                let gpu_bytes = self.gpu_memory(offer);
                self.loaded = Some(self.with(spec, engine, loaded.gpu_before_bytes, gpu_bytes));
                return Ok(Loading { all_ns, adapter_ns: all_ns });
            }
        }
        self.loaded = None;
        Memory::forget_peak();
        let gpu_before_bytes = self.gpu_memory(offer);
        let start_ns = self.real.now_ns();
        let first = if spec.unmerged().is_some() { spec.base() } else { spec.clone() };
        let mut engine = self.engines.load(&first)?;
        let first_ns = self.real.now_ns() - start_ns;
        if first != spec && !engine.switch(&spec)? {
            return Err(bug("the engine does not support unmerged adapters"));
        }
        let all_ns = self.real.now_ns() - start_ns;
        let gpu_bytes = self.gpu_memory(offer);
        self.loaded = Some(self.with(spec, engine, gpu_before_bytes, gpu_bytes));
        Ok(Loading { all_ns, adapter_ns: all_ns - first_ns })
    }

    /// GPU memory in use by all processes, before or after loading: containers hide individual ones.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of a GPU are whole and far below 2^53"
    )]
    fn gpu_memory(&self, offer: &Offer) -> Option<u64> {
        let mut readings = self.mark_loading(offer);
        if let Some(device) = self.engines.device_readings() {
            device.read(&mut readings);
        }
        readings.of(Metric::GpuMemoryUsedBytes).map(|bytes| bytes as u64)
    }

    /// `gpu_before_bytes`: GPU memory in use before loading; `gpu_bytes`: after it.
    fn with(
        &self,
        spec: EngineSpec,
        engine: Box<dyn Engine>,
        gpu_before_bytes: Option<u64>,
        gpu_bytes: Option<u64>,
    ) -> Loaded {
        let rss_bytes = Memory::read().resident;
        let url = spec.endpoint.as_ref().and_then(|endpoint| endpoint.metrics_url.as_deref());
        let server = url.and_then(ServerMetrics::watch);
        let server = server.map(|server| Arc::new(server) as Arc<dyn ReadingSource>);
        let readings = server.or_else(|| self.engines.device_readings());
        Loaded { spec, engine, rss_bytes, gpu_before_bytes, gpu_bytes, readings }
    }

    /// Starts a loading window and returns the readings at its start.
    fn mark_loading(&self, offer: &Offer) -> Readings {
        self.sampler.start_phase(PhaseStart {
            phase: Phase::Loading,
            of: Some((offer.shard, offer.attempt)),
            device: self.devices.get(offer.engine as usize).cloned().unwrap_or_default(),
            clock: self.real.clone(),
            server: None,
        })
    }
}

/// Loading time in nanoseconds; 0 if the engine was already loaded.
#[derive(Debug, Clone, Copy, Default)]
struct Loading {
    all_ns: u64,
    /// The part spent on an unmerged adapter.
    adapter_ns: u64,
}

impl Loaded {
    /// The facts of a segment that ends now.
    fn segment(&self, offer: &Offer, warmup_ns: u64, loading: Loading) -> SegmentFacts {
        SegmentFacts {
            warmup_batches: u32::try_from(offer.warmup.len()).unwrap_or(u32::MAX),
            warmup_ns,
            load_ns: loading.all_ns,
            peak_rss_bytes: Memory::read().peak_resident,
            rss_after_load_bytes: self.rss_bytes,
            kv_cache_bytes: self.engine.kv_cache_bytes(),
            gpu_memory_bytes: self
                .gpu_bytes
                .zip(self.gpu_before_bytes)
                .map_or(0, |(after, before)| after.saturating_sub(before)),
            model_size_bytes: self.engine.facts().model_size_bytes,
            adapter_bytes: self.engine.adapter_bytes(),
            adapter_load_ns: loading.adapter_ns,
            gpu_memory_before_bytes: self.gpu_before_bytes,
        }
    }
}
