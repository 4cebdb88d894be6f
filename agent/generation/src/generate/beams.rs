//! Beam search of one request: logits of its beams in, the beams of the next step out.
//!
//! As `_beam_search` of transformers 5.24, for one request. All scores are f32, and every operation
//! on them is in the same order, so that the same candidates win.

use super::NotFinite;
use super::log_softmax::log_softmax;
use super::rules::Rules;
use model::generation::{Decoding, EarlyStopping};
use std::sync::Arc;

/// The score of what is not there, in f32 exactly as in transformers.
const NONE: f32 = -1.0e9;

#[derive(Debug)]
pub(super) struct BeamSearch {
    decoding: Arc<Decoding>,
    /// The tokens of a beam before the generated ones: the decoder's start token, or the prompt.
    given: usize,
    eos: Vec<u32>,
    /// Of output tokens.
    limit: usize,
    /// In descending order of their scores. Only one before the first step.
    running: Vec<Beam>,
    /// As many as there are beams, in descending order of their scores.
    finished: Vec<Finished>,
    /// Whether a running beam may become better than those finished.
    can_improve: bool,
}

#[derive(Debug, Clone)]
struct Beam {
    /// With what was given.
    ids: Vec<u32>,
    /// The sum of the log probabilities.
    score: f32,
}

#[derive(Debug, Clone)]
struct Finished {
    /// Without what was given.
    ids: Vec<u32>,
    /// Divided by the length to the power of the length penalty.
    score: f32,
    /// Otherwise a placeholder.
    is_there: bool,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The beam that it continues.
    beam: usize,
    token: u32,
    score: f32,
    ends: bool,
}

/// One row of the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Continued {
    /// The present row that it continues, from 0 within the request.
    pub(super) row: usize,
    pub(super) token: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Summary {
    /// Without what was given.
    pub(super) ids: Vec<u32>,
    /// Divided by the length to the power of the length penalty.
    pub(super) score: f32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// The rows of the next step.
    Rows(Vec<Continued>),
    Ends(Summary),
}

impl BeamSearch {
    /// `given`: the decoder's start token, or the prompt that beams continue. `eos`: tokens that end
    /// a beam. `limit`: output tokens, at least 1.
    pub(super) fn new(
        decoding: Arc<Decoding>,
        given: Vec<u32>,
        eos: Vec<u32>,
        limit: usize,
    ) -> Self {
        let (given, start) = (given.len(), Beam { ids: given, score: 0.0 });
        let none = Finished { ids: Vec::new(), score: NONE, is_there: false };
        let finished = vec![none; decoding.num_beams as usize];
        Self { decoding, given, eos, limit, running: vec![start], finished, can_improve: true }
    }

    /// Rows of the decoder: one before the first step, then one per beam.
    pub(super) fn rows(&self) -> usize {
        self.running.len()
    }

    /// `logits`: `[rows, vocabulary]`, overwritten.
    pub(super) fn advance(&mut self, logits: &mut [f32]) -> Result<Next, NotFinite> {
        let candidates = self.candidates(logits)?;
        let length = self.running[0].ids.len() + 1 - self.given;
        let next = self.next_running(&candidates);
        self.take_finished(&candidates, length);
        let beams = next
            .iter()
            .map(|candidate| Beam { ids: self.extended(candidate), score: candidate.score });
        self.running = beams.collect();

        let worst = self.finished.last().expect("there is a beam").score;
        let best = self.running[0].score / self.penalty(self.hypothetical_length(length));
        let is_better = |finished: &Finished| best > if finished.is_there { worst } else { NONE };
        self.can_improve &= self.finished.iter().any(is_better);
        let is_full = self.is_full();
        let is_over = candidates.iter().all(|candidate| candidate.ends);
        if self.can_improve && !is_full && !is_over {
            let row =
                |candidate: &Candidate| Continued { row: candidate.beam, token: candidate.token };
            return Ok(Next::Rows(next.iter().map(row).collect()));
        }
        let Finished { ids, score, .. } = self.finished.swap_remove(0);
        Ok(Next::Ends(Summary { ids, score }))
    }

    /// The best continuations of all beams, in descending order of their scores. There are enough
    /// for every beam to go on, even if others end.
    fn candidates(&self, logits: &mut [f32]) -> Result<Vec<Candidate>, NotFinite> {
        let beams = self.finished.len();
        let kept = (1 + self.eos.len()).max(2) * beams;
        let vocabulary = logits.len() / self.running.len();
        let Self { decoding, eos, limit, given, .. } = self;
        let rules = Rules { decoding, eos, limit: *limit, given: *given };
        let mut candidates = Vec::with_capacity(kept + 1);
        for (row, scores) in logits.chunks_exact_mut(vocabulary).enumerate() {
            let beam = &self.running[row];
            let place = beam.ids.len() - given;
            log_softmax(scores).map_err(|logit| NotFinite { place, logit })?;
            rules.apply(&beam.ids, scores);
            self.best_of_row(row, beam.score, scores, kept, &mut candidates);
        }
        if self.running.len() == 1 {
            // Before the first step all beams are equal, and only one of them counts. Of the others
            // something is left where that one has too few continuations.
            let scores = &logits[..vocabulary];
            (1..beams).for_each(|_| self.best_of_row(0, NONE, scores, kept, &mut candidates));
        }
        Ok(candidates)
    }

    /// Merges the best continuations of a row into `candidates`.
    fn best_of_row(
        &self,
        beam: usize,
        score: f32,
        log_probabilities: &[f32],
        kept: usize,
        candidates: &mut Vec<Candidate>,
    ) {
        let length = self.running[beam].ids.len() + 1 - self.given;
        // Of equal scores the first counts, in the order of beams and tokens.
        let mut worst = match candidates.get(kept - 1) {
            Some(candidate) => candidate.score,
            None => f32::NEG_INFINITY,
        };
        for (token, log_probability) in (0_u32..).zip(log_probabilities) {
            let score = log_probability + score;
            if score > worst || candidates.len() < kept {
                let place = candidates.partition_point(|candidate| candidate.score >= score);
                let ends = self.eos.contains(&token) || length == self.limit;
                candidates.insert(place, Candidate { beam, token, score, ends });
                candidates.truncate(kept);
                if candidates.len() == kept {
                    worst = candidates[kept - 1].score;
                }
            }
        }
    }

    /// The best candidates that do not end, as many as there are beams.
    fn next_running(&self, candidates: &[Candidate]) -> Vec<Candidate> {
        let mut next = candidates.to_vec();
        for candidate in next.iter_mut().filter(|candidate| candidate.ends) {
            candidate.score += NONE;
        }
        next.sort_by(|one, other| other.score.total_cmp(&one.score));
        next.truncate(self.finished.len());
        next
    }

    /// `length`: of the candidates, in output tokens.
    fn take_finished(&mut self, candidates: &[Candidate], length: usize) {
        let beams = self.finished.len();
        let is_full = self.is_full();
        let penalty = self.penalty(length);
        let found = candidates.iter().enumerate().map(|(place, candidate)| {
            // The others are there only to continue.
            let is_there = candidate.ends && place < beams;
            let mut score = candidate.score / penalty;
            for is_out in [is_full, !self.can_improve, !is_there] {
                score += if is_out { NONE } else { 0.0 };
            }
            let ids =
                if is_there { self.extended(candidate)[self.given..].to_vec() } else { Vec::new() };
            Finished { ids, score, is_there }
        });
        let found: Vec<Finished> = found.collect();
        self.finished.extend(found);
        self.finished.sort_by(|one, other| other.score.total_cmp(&one.score));
        self.finished.truncate(beams);
    }

    /// Whether the search ends with as many finished beams as there are beams.
    fn is_full(&self) -> bool {
        let are_all_there = self.finished.iter().all(|finished| finished.is_there);
        are_all_there && self.decoding.early_stopping == EarlyStopping::On
    }

    fn extended(&self, candidate: &Candidate) -> Vec<u32> {
        let mut ids = self.running[candidate.beam].ids.clone();
        ids.push(candidate.token);
        ids
    }

    /// The length at which the best running beam is compared to those finished.
    fn hypothetical_length(&self, length: usize) -> usize {
        let reaches = self.decoding.early_stopping == EarlyStopping::Never
            && self.decoding.length_penalty > 0.0;
        if reaches { self.limit } else { length }
    }

    #[expect(clippy::cast_possible_truncation, reason = "PyTorch divides f32 by the rounded power")]
    fn penalty(&self, length: usize) -> f32 {
        (length as f64).powf(self.decoding.length_penalty) as f32
    }
}

#[cfg(test)]
#[path = "beams_tests.rs"]
mod tests;
