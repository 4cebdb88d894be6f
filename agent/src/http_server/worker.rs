//! The thread that decodes queued texts.

use super::Limits;
use engine::{Engine, Request, Row};
use model::failure::Failure;
use model::generation::{DIALOGUE, Generation, Stop};
use stopwatch::Stopwatch;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug)]
pub(super) struct Job {
    pub(super) text: String,
    pub(super) limits: Limits,
    pub(super) answer: oneshot::Sender<Result<Answer, Failure>>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) row: Row,
    /// On the stopwatch.
    pub(super) end_ns: u64,
}

/// Decodes until the queue closes. Texts with equal limits share a batch; the batch does not affect
/// their tokens.
pub(super) fn work(
    mut engine: Box<dyn Engine>,
    mut jobs: mpsc::Receiver<Job>,
    batch_size: usize,
    stopwatch: &Stopwatch,
) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| jobs.blocking_recv()) {
        let limits = first.limits;
        let mut batch = vec![first];
        while batch.len() < batch_size {
            match jobs.try_recv() {
                Ok(job) if job.limits == limits => batch.push(job),
                Ok(job) => {
                    next = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        // Skip disconnected callers.
        batch.retain(|job| !job.answer.is_closed());
        if !batch.is_empty() {
            decode(engine.as_mut(), batch, limits, stopwatch);
        }
    }
}

fn decode(engine: &mut dyn Engine, batch: Vec<Job>, limits: Limits, stopwatch: &Stopwatch) {
    let (answers, requests): (Vec<_>, Vec<_>) = (batch.into_iter().enumerate())
        .map(|(index, Job { text, answer, .. })| {
            let sample_id = format!("request-{index}");
            (answer, Request { sample_id, dialogue: text, reference: None })
        })
        .unzip();
    let generation = Generation {
        // Callers send complete prompts.
        prompt: DIALOGUE.to_owned(),
        max_input_tokens: limits.max_input_tokens,
        max_new_tokens: limits.max_new_tokens,
        stop: Stop::Eos,
    };
    let rows = engine.generate(&requests, &generation, stopwatch);
    let end_ns = stopwatch.now_ns();
    let answered = match rows {
        Ok(rows) => rows,
        Err(failure) => vec![Err(failure); answers.len()],
    };
    for (answer, row) in answers.into_iter().zip(answered) {
        // Rows may end before the batch; scripted rows end on a synthetic clock.
        let ended = |row: Row| Answer { end_ns: row.end_ns.min(end_ns), row };
        // The caller may have disconnected.
        drop(answer.send(row.map(ended)));
    }
}
