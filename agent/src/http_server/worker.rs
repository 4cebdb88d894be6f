//! The thread that decodes queued texts.

use super::Limits;
use super::metrics::{Counted, Metrics, Outcome};
use engine::{Engine, Intake, Request, Row, Turn};
use model::failure::{Failure, Kind, Retry};
use model::generation::{DIALOGUE, Generation, Settings, Stop};
use model::panic::words;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use stopwatch::Stopwatch;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) text: String,
    /// The turns of a chat before the text.
    pub(super) earlier: Vec<Turn>,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    /// On the stopwatch.
    pub(super) arrived_ns: u64,
    /// How many texts of the same request are queued after this one.
    pub(super) following: usize,
    pub(super) answer: oneshot::Sender<Result<Answer, Failure>>,
    /// Receives pieces of the text while it is decoded.
    pub(super) pieces: Option<UnboundedSender<String>>,
    /// In the gauge of the state that it is in.
    pub(super) counted: Counted,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) row: Row,
    /// On the stopwatch.
    pub(super) end_ns: u64,
}

impl Job {
    /// Ends it. The caller may have disconnected.
    fn end(self, answer: Result<Answer, Failure>, metrics: &Metrics) {
        match &answer {
            _ if self.answer.is_closed() => metrics.ended(Outcome::Cancelled),
            Ok(answer) => metrics.answered(&answer.row, self.arrived_ns, answer.end_ns),
            Err(_) => metrics.ended(Outcome::Failed),
        }
        // Whoever is told the answer may read the gauges.
        drop(self.counted);
        drop(self.answer.send(answer));
    }
}

/// Texts with equal limits and settings, which share batches: those of the first one. They enter
/// when they are queued and leave when they end, as far as the engine's batching lets them.
struct SharedBatch<'a> {
    jobs: &'a mut mpsc::Receiver<Job>,
    batch_size: usize,
    limits: Limits,
    settings: Settings,
    metrics: &'a Metrics,
    stopwatch: &'a Stopwatch,
    /// Enters next if it fits; otherwise nothing enters any more.
    next: Option<Job>,
    /// Texts of the same request that are about to be queued.
    following: usize,
    entered: usize,
    live: BTreeMap<usize, Job>,
}

impl<'a> SharedBatch<'a> {
    fn of(
        first: Job,
        jobs: &'a mut mpsc::Receiver<Job>,
        batch_size: usize,
        metrics: &'a Metrics,
        stopwatch: &'a Stopwatch,
    ) -> Self {
        Self {
            jobs,
            batch_size,
            limits: first.limits,
            settings: first.settings.clone(),
            metrics,
            stopwatch,
            next: Some(first),
            following: 0,
            entered: 0,
            live: BTreeMap::new(),
        }
    }

    fn generation(&self) -> Generation {
        let Self { limits, settings, .. } = self;
        Generation {
            // Callers send complete prompts.
            prompt: Some(DIALOGUE.to_owned()),
            max_input_tokens: limits.max_input_tokens,
            stop: Stop::Eos,
            settings: Settings { max_new_tokens: Some(limits.max_new_tokens), ..settings.clone() },
        }
    }

    /// The next text that fits, if one is queued. The texts of a request are queued one by one: the
    /// rest of them is waited for.
    fn next_job(&mut self) -> Option<Job> {
        if self.next.is_none() {
            self.next = match self.following {
                0 => self.jobs.try_recv().ok(),
                _ => self.jobs.blocking_recv(),
            };
            self.following = self.next.as_ref().map_or(0, |job| job.following);
        }
        let Self { limits, settings, .. } = self;
        self.next.take_if(|job| job.limits == *limits && job.settings == *settings)
    }
}

impl Intake for SharedBatch<'_> {
    fn enter(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        while self.live.len() < self.batch_size
            && let Some(mut job) = self.next_job()
        {
            if job.answer.is_closed() {
                self.metrics.ended(Outcome::Cancelled);
                continue;
            }
            job.counted = self.metrics.running();
            requests.push(Request {
                sample_id: format!("request-{}", self.entered),
                dialogue: std::mem::take(&mut job.text),
                earlier: std::mem::take(&mut job.earlier),
                reference: None,
            });
            self.live.insert(self.entered, job);
            self.entered += 1;
        }
        self.metrics.decoded_together(self.live.len());
        requests
    }

    fn wants_text(&self, number: usize) -> bool {
        self.live.get(&number).is_some_and(|job| job.pieces.is_some())
    }

    fn text(&mut self, number: usize, piece: &str) {
        if let Some(pieces) = self.live.get(&number).and_then(|job| job.pieces.as_ref()) {
            // The caller may have gone away.
            drop(pieces.send(piece.to_owned()));
        }
    }

    fn take_cancelled(&mut self) -> Vec<usize> {
        let cancelled = self.live.extract_if(.., |_, job| job.answer.is_closed());
        let numbers: Vec<usize> = cancelled.map(|(number, _)| number).collect();
        numbers.iter().for_each(|_| self.metrics.ended(Outcome::Cancelled));
        numbers
    }

    fn ended(&mut self, number: usize, row: Result<Row, Failure>) {
        let job = self.live.remove(&number).expect("it entered, and ends once");
        let now_ns = self.stopwatch.now_ns();
        // Scripted rows end on a synthetic clock.
        let answer = row.map(|row| Answer { end_ns: row.end_ns.min(now_ns), row });
        job.end(answer, self.metrics);
    }
}

/// Decodes until the queue closes. Texts with equal limits and settings are decoded together; that
/// does not affect their tokens. A panic of the engine is resumed after all who wait for it were
/// told.
pub(super) fn work(
    mut engine: Box<dyn Engine>,
    mut jobs: mpsc::Receiver<Job>,
    batch_size: usize,
    stopwatch: &Stopwatch,
    metrics: &Metrics,
) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| jobs.blocking_recv()) {
        let mut batch = SharedBatch::of(first, &mut jobs, batch_size, metrics, stopwatch);
        let generation = batch.generation();
        let serving = AssertUnwindSafe(|| engine.serve(&mut batch, &generation, stopwatch));
        let served = catch_unwind(serving);
        let SharedBatch { next: left, live, .. } = batch;
        next = left;
        let failure = match &served {
            Ok(Ok(())) => internal("the engine ended without an answer".to_owned()),
            Ok(Err(failure)) => failure.clone(),
            Err(panic) => internal(format!("the engine panicked: {}", words(&**panic))),
        };
        for job in live.into_values() {
            job.end(Err(failure.clone()), metrics);
        }
        if let Err(panic) = served {
            jobs.close();
            let queued = std::iter::from_fn(|| jobs.try_recv().ok());
            for job in next.into_iter().chain(queued) {
                job.end(Err(failure.clone()), metrics);
            }
            resume_unwind(panic);
        }
    }
}

fn internal(detail: String) -> Failure {
    Failure { retry: Retry::Never, kind: Kind::Internal, detail }
}
