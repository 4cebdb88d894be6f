//! The thread that decodes queued texts.

use super::Limits;
use engine::{Engine, Intake, Request, Row};
use model::failure::{Failure, Kind, Retry};
use model::generation::{DIALOGUE, Generation, Settings, Stop};
use model::panic::words;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use stopwatch::Stopwatch;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) text: String,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    /// How many texts of the same request are queued after this one.
    pub(super) following: usize,
    pub(super) answer: oneshot::Sender<Result<Answer, Failure>>,
    /// Receives pieces of the text while it is decoded.
    pub(super) pieces: Option<UnboundedSender<String>>,
}

/// The requests of a batch, which stream their texts.
struct StreamedBatch<'a> {
    requests: Vec<Request>,
    jobs: &'a [Job],
    rows: Vec<Option<Result<Row, Failure>>>,
}

impl Intake for StreamedBatch<'_> {
    fn enter(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.requests)
    }

    fn wants_text(&self, number: usize) -> bool {
        self.jobs[number].pieces.is_some()
    }

    fn text(&mut self, number: usize, piece: &str) {
        if let Some(pieces) = &self.jobs[number].pieces {
            // The caller may have gone away.
            drop(pieces.send(piece.to_owned()));
        }
    }

    fn ended(&mut self, number: usize, row: Result<Row, Failure>) {
        self.rows[number] = Some(row);
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) row: Row,
    /// On the stopwatch.
    pub(super) end_ns: u64,
}

/// Decodes until the queue closes. Texts with equal limits and settings share a batch; the batch does not
/// affect their tokens. The texts of a request are queued one by one; a batch waits for the rest of them. A
/// panic of the engine is resumed after all who wait for it were told.
pub(super) fn work(
    mut engine: Box<dyn Engine>,
    mut jobs: mpsc::Receiver<Job>,
    batch_size: usize,
    stopwatch: &Stopwatch,
) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| jobs.blocking_recv()) {
        let (limits, settings) = (first.limits, first.settings.clone());
        let mut batch = vec![first];
        while batch.len() < batch_size {
            let queued = match batch.last() {
                Some(Job { following: 1.., .. }) => jobs.blocking_recv(),
                _ => jobs.try_recv().ok(),
            };
            match queued {
                Some(job) if job.limits == limits && job.settings == settings => batch.push(job),
                other => {
                    next = other;
                    break;
                }
            }
        }
        // Skip disconnected callers.
        batch.retain(|job| !job.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let decoding = AssertUnwindSafe(|| decode(engine.as_mut(), &mut batch, stopwatch));
        match catch_unwind(decoding) {
            Ok(answers) => {
                for (job, answer) in batch.into_iter().zip(answers) {
                    // The caller may have disconnected.
                    drop(job.answer.send(answer));
                }
            }
            Err(panic) => {
                let detail = format!("the engine panicked: {}", words(&*panic));
                let failure = Failure { retry: Retry::Never, kind: Kind::Internal, detail };
                jobs.close();
                let queued = std::iter::from_fn(|| jobs.try_recv().ok());
                for job in batch.into_iter().chain(next.take()).chain(queued) {
                    drop(job.answer.send(Err(failure.clone())));
                }
                resume_unwind(panic);
            }
        }
    }
}

/// Takes the texts of a batch, all with the limits and settings of the first, and decodes them.
fn decode(
    engine: &mut dyn Engine,
    batch: &mut [Job],
    stopwatch: &Stopwatch,
) -> Vec<Result<Answer, Failure>> {
    let Some(Job { limits, settings, .. }) = batch.first() else { return Vec::new() };
    let generation = Generation {
        // Callers send complete prompts.
        prompt: DIALOGUE.to_owned(),
        max_input_tokens: limits.max_input_tokens,
        stop: Stop::Eos,
        settings: Settings { max_new_tokens: Some(limits.max_new_tokens), ..settings.clone() },
    };
    let request = |(index, job): (usize, &mut Job)| Request {
        sample_id: format!("request-{index}"),
        dialogue: std::mem::take(&mut job.text),
        reference: None,
    };
    let requests: Vec<Request> = batch.iter_mut().enumerate().map(request).collect();
    let rows = if batch.iter().any(|job| job.pieces.is_some()) {
        let rows = batch.iter().map(|_| None).collect();
        let mut streamed = StreamedBatch { requests, jobs: batch, rows };
        let ended = |row: Option<_>| row.expect("every request that entered has ended");
        engine
            .serve(&mut streamed, &generation, stopwatch)
            .map(|()| streamed.rows.into_iter().map(ended).collect())
    } else {
        engine.generate(&requests, &generation, stopwatch)
    };
    let end_ns = stopwatch.now_ns();
    // Rows may end before the batch; scripted rows end on a synthetic clock.
    let ended = |row: Row| Answer { end_ns: row.end_ns.min(end_ns), row };
    match rows {
        Ok(rows) => rows.into_iter().map(|row| row.map(ended)).collect(),
        Err(failure) => batch.iter().map(|_| Err(failure.clone())).collect(),
    }
}
