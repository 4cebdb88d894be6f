//! Conditions on the next token: scores in, changed scores out.
//!
//! What sampling adds is in [`super::sampling`]. Order and arithmetic are those of transformers 5.24 (`_get_logits_processor`): all in f32, on
//! logits without beams and on log probabilities with them.

use model::generation::Decoding;

/// What the conditions of one request depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) decoding: &'a Decoding,
    pub(super) eos: &'a [u32],
    /// Of output tokens.
    pub(super) limit: usize,
    /// The tokens of a history before the generated ones.
    pub(super) given: usize,
}

impl Rules<'_> {
    /// `history`: what was given, the decoder's start token or a prompt, and the tokens generated so
    /// far.
    pub(super) fn apply(self, history: &[u32], scores: &mut [f32]) {
        let Self { decoding, eos, limit, given } = self;
        let generated = history.len() - given;
        if (decoding.repetition_penalty - 1.0).abs() > f64::EPSILON {
            penalize(decoding.repetition_penalty, history, scores);
        }
        if decoding.no_repeat_ngram_size > 0 {
            forbid_ngrams(decoding.no_repeat_ngram_size as usize, history, scores);
        }
        if generated < decoding.min_new_tokens as usize {
            forbid(eos, scores);
        }
        if let Some(bos) = decoding.forced_bos_token_id.filter(|_| generated == 0) {
            force(&[bos], scores);
        }
        if !decoding.forced_eos_token_id.is_empty() && generated + 1 == limit {
            force(&decoding.forced_eos_token_id, scores);
        }
        forbid(&decoding.suppress_tokens, scores);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "PyTorch converts the penalty to f32 too")]
fn penalize(penalty: f64, history: &[u32], scores: &mut [f32]) {
    let penalty = penalty as f32;
    let changed: Vec<(usize, f32)> = history
        .iter()
        .map(|id| {
            let score = scores[*id as usize];
            (*id as usize, if score < 0.0 { score * penalty } else { score / penalty })
        })
        .collect();
    // A token that occurs twice is penalized once.
    for (id, score) in changed {
        scores[id] = score;
    }
}

/// Forbids every token that would repeat a sequence of `size` tokens.
fn forbid_ngrams(size: usize, history: &[u32], scores: &mut [f32]) {
    let Some(start) = (history.len() + 1).checked_sub(size) else { return };
    let last = &history[start..];
    for ngram in history.windows(size) {
        if &ngram[..size - 1] == last {
            scores[ngram[size - 1] as usize] = f32::NEG_INFINITY;
        }
    }
}

fn forbid(ids: &[u32], scores: &mut [f32]) {
    for id in ids {
        scores[*id as usize] = f32::NEG_INFINITY;
    }
}

fn force(ids: &[u32], scores: &mut [f32]) {
    scores.fill(f32::NEG_INFINITY);
    for id in ids {
        scores[*id as usize] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUT: f32 = f32::NEG_INFINITY;

    fn apply(decoding: &Decoding, history: &[u32]) -> Vec<f32> {
        let mut scores = vec![2.0, -1.0, 0.5, -3.0, 4.0];
        Rules { decoding, eos: &[1], limit: 6, given: 1 }.apply(history, &mut scores);
        scores
    }

    #[test]
    fn a_repeated_token_is_penalized_once_and_the_start_token_counts() {
        let decoding = Decoding { repetition_penalty: 2.0, ..Decoding::default() };
        assert_eq!(apply(&decoding, &[0, 3, 3]), [1.0, -1.0, 0.5, -6.0, 4.0]);
    }

    #[test]
    fn what_would_complete_a_sequence_again_is_forbidden() {
        let trigrams = Decoding { no_repeat_ngram_size: 3, ..Decoding::default() };
        assert_eq!(apply(&trigrams, &[0, 2, 3, 4, 2, 3]), [2.0, -1.0, 0.5, -3.0, OUT]);
        assert_eq!(apply(&trigrams, &[0]), [2.0, -1.0, 0.5, -3.0, 4.0]);
        let tokens = Decoding { no_repeat_ngram_size: 1, ..Decoding::default() };
        assert_eq!(apply(&tokens, &[0, 4]), [OUT, -1.0, 0.5, -3.0, OUT]);
    }

    #[test]
    fn the_first_and_the_last_token_can_be_forced_and_eos_put_off() {
        let decoding = Decoding {
            min_new_tokens: 2,
            forced_bos_token_id: Some(3),
            forced_eos_token_id: vec![1],
            suppress_tokens: vec![4],
            ..Decoding::default()
        };
        assert_eq!(apply(&decoding, &[0]), [OUT, OUT, OUT, 0.0, OUT]);
        assert_eq!(apply(&decoding, &[0, 3]), [2.0, OUT, 0.5, -3.0, OUT]);
        assert_eq!(apply(&decoding, &[0, 3, 2]), [2.0, -1.0, 0.5, -3.0, OUT]);
        assert_eq!(apply(&decoding, &[0, 3, 2, 2, 2, 2]), [OUT, 0.0, OUT, OUT, OUT]);
    }
}
