//! Sampling: the scores of the next token in, a token out.
//!
//! The scores are changed as in transformers 5.24 (`_get_logits_processor`), in its order and in
//! f32: temperature, top-k, top-p. The token is drawn by random numbers of the request's own, so it
//! does not depend on the other rows of a batch.

use crate::compute::NextToken;
use model::generation::Sampling;

/// The random numbers of one request. They follow from the seed and the prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    sampling: Sampling,
    key: u64,
}

impl Draws {
    pub(super) fn new(sampling: Sampling, prompt: &[u32]) -> Self {
        let key = prompt
            .iter()
            .fold(sampling.seed, |key, id| mixed((key ^ u64::from(*id)).wrapping_add(STEP)));
        Self { sampling, key }
    }

    /// The token at an output place, from 0. `scores` are overwritten.
    pub(super) fn next(self, place: usize, scores: &mut [f32]) -> NextToken {
        warp(self.sampling, scores);
        let id = drawn(scores, self.uniform(place));
        NextToken { id: u32::try_from(id).expect("a vocabulary fits into u32"), logit: scores[id] }
    }

    /// A random number in [0, 1): `SplitMix64`, with the key as its seed.
    fn uniform(self, place: usize) -> f64 {
        let state = self.key.wrapping_add(STEP.wrapping_mul(place as u64 + 1));
        (mixed(state) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The increment of `SplitMix64`.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of `SplitMix64`.
fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Scales the scores, and makes those of tokens that can't be drawn -infinity.
#[expect(clippy::cast_possible_truncation, reason = "PyTorch converts these numbers to f32 too")]
fn warp(sampling: Sampling, scores: &mut [f32]) {
    let Sampling { temperature, top_k, top_p, .. } = sampling;
    if (temperature - 1.0).abs() > 0.0 {
        let temperature = temperature as f32;
        scores.iter_mut().for_each(|score| *score /= temperature);
    }
    if top_k > 0 {
        keep_best(usize::try_from(top_k).unwrap_or(usize::MAX), scores);
    }
    if top_p < 1.0 {
        keep_mass((1.0 - top_p) as f32, scores);
    }
}

/// Keeps the best `count` scores, and those equal to the last of them.
fn keep_best(count: usize, scores: &mut [f32]) {
    if count >= scores.len() {
        return;
    }
    let mut sorted = scores.to_vec();
    let (_, least, _) = sorted.select_nth_unstable_by(count - 1, |one, other| other.total_cmp(one));
    let least = *least;
    for score in scores.iter_mut().filter(|score| **score < least) {
        *score = f32::NEG_INFINITY;
    }
}

/// Removes the worst tokens whose probabilities sum up to at most `removed`, but not the best one.
#[expect(clippy::cast_possible_truncation, reason = "PyTorch sums in f64 and returns f32")]
fn keep_mass(removed: f32, scores: &mut [f32]) {
    let mut ascending: Vec<usize> =
        (0..scores.len()).filter(|id| scores[*id] > f32::NEG_INFINITY).collect();
    ascending.sort_by(|one, other| scores[*one].total_cmp(&scores[*other]));
    let Some((&best, others)) = ascending.split_last() else { return };
    let most = scores[best];
    let weight = |id: &usize| (scores[*id] - most).exp();
    let total: f32 = ascending.iter().map(weight).sum();
    let mut sum = 0.0;
    let is_removed = |id: &&usize| {
        sum += f64::from(weight(id) / total);
        sum as f32 <= removed
    };
    let count = others.iter().take_while(is_removed).count();
    for id in &others[..count] {
        scores[*id] = f32::NEG_INFINITY;
    }
}

/// The token whose share of the probabilities, in the order of their ids, contains `place`, in
/// [0, 1). The first one if there are no probabilities.
fn drawn(scores: &[f32], place: f64) -> usize {
    let most = NextToken::of(scores).logit;
    if !most.is_finite() {
        return 0;
    }
    let weight = |score: &f32| f64::from(score - most).exp();
    let mut left = place * scores.iter().map(weight).sum::<f64>();
    let mut last = 0;
    for (id, score) in scores.iter().enumerate() {
        let weight = weight(score);
        if weight > 0.0 {
            if left < weight {
                return id;
            }
            left -= weight;
            last = id;
        }
    }
    // Rounding of the sum.
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    const NEUTRAL: Sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 0 };

    /// What transformers makes of scores; `tools/make_warpers.py` wrote it.
    #[derive(Deserialize)]
    struct Case {
        temperature: f64,
        top_k: u32,
        top_p: f64,
        /// Null: -infinity.
        scores: Vec<Option<f32>>,
        warped: Vec<Option<f32>>,
    }

    #[test]
    fn scores_are_warped_as_in_transformers() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("warpers.json")).unwrap();
        assert!(cases.len() >= 100);
        for (number, case) in cases.into_iter().enumerate() {
            let Case { temperature, top_k, top_p, scores, warped } = case;
            let scores = scores.into_iter().map(|score| score.unwrap_or(f32::NEG_INFINITY));
            let mut scores: Vec<f32> = scores.collect();
            warp(Sampling { temperature, top_k, top_p, seed: 0 }, &mut scores);
            let found = scores.iter().map(|score| Some(*score).filter(|it| it.is_finite()));
            assert_eq!(
                found.collect::<Vec<_>>(),
                warped,
                "case {number}: temperature {temperature}, top_k {top_k}, top_p {top_p}"
            );
        }
    }

    /// The statistic of Pearson's test, and how many degrees of freedom it has.
    fn chi_square(counts: &[u32], probabilities: &[f64]) -> (f64, usize) {
        let draws: u32 = counts.iter().sum();
        let cells = counts.iter().zip(probabilities).filter(|(_, share)| **share > 0.0);
        let parts = cells.map(|(count, share)| {
            let expected = share * f64::from(draws);
            (f64::from(*count) - expected).powi(2) / expected
        });
        let parts: Vec<f64> = parts.collect();
        (parts.iter().sum(), parts.len() - 1)
    }

    /// The probabilities of warped scores.
    fn softmax(scores: &[f32]) -> Vec<f64> {
        let weights: Vec<f64> = scores.iter().map(|score| f64::from(*score).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    /// With a fixed seed: a correct sampler fails in 1 of 1,000 seeds.
    #[test]
    fn tokens_are_drawn_with_their_probabilities() {
        const DRAWS: usize = 50_000;
        // The 99.9% quantiles of the chi-square distribution with 1 to 7 degrees of freedom.
        const CRITICAL: [f64; 7] = [10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32];
        let scores = [0.0_f32, 1.5, -1.0, 0.7, f32::NEG_INFINITY, 2.0, 0.7, -2.0, 1.0];
        let settings = [
            NEUTRAL,
            Sampling { temperature: 0.5, seed: 1, ..NEUTRAL },
            Sampling { temperature: 2.0, top_k: 5, seed: 2, ..NEUTRAL },
            Sampling { top_p: 0.8, seed: 3, ..NEUTRAL },
            Sampling { temperature: 1.3, top_k: 6, top_p: 0.9, seed: u64::MAX },
        ];
        for sampling in settings {
            let mut warped = scores;
            warp(sampling, &mut warped);
            let probabilities = softmax(&warped);
            // Places of one summary, and first tokens of summaries of many prompts.
            for by_place in [true, false] {
                let mut counts = [0_u32; 9];
                for draw in 0..DRAWS {
                    let prompt = [3, if by_place { 7 } else { u32::try_from(draw).unwrap() }];
                    let place = if by_place { draw } else { 0 };
                    let next = Draws::new(sampling, &prompt).next(place, &mut scores.clone());
                    counts[next.id as usize] += 1;
                }
                for (count, share) in counts.iter().zip(&probabilities) {
                    assert_eq!(*count == 0, *share == 0.0, "{sampling:?} {counts:?}");
                }
                let (statistic, freedom) = chi_square(&counts, &probabilities);
                assert!(
                    statistic < CRITICAL[freedom - 1],
                    "{sampling:?}, by place {by_place}: {statistic} with {freedom} degrees"
                );
            }
        }
    }

    #[test]
    fn consecutive_draws_are_independent() {
        const QUARTERS: [f64; 3] = [0.25, 0.5, 0.75];
        let draws = Draws::new(NEUTRAL, &[5, 6]);
        let mut counts = [0_u32; 16];
        for place in 0..40_000 {
            let cell = |place| QUARTERS.iter().filter(|at| draws.uniform(place) >= **at).count();
            counts[4 * cell(place) + cell(place + 1)] += 1;
        }
        let (statistic, freedom) = chi_square(&counts, &[1.0 / 16.0; 16]);
        // 99.9% with 15 degrees of freedom.
        assert!(freedom == 15 && statistic < 37.7, "{statistic}");
    }

    proptest! {
        #[test]
        fn a_drawn_token_is_one_that_is_left(
            scores in prop::collection::vec(-20.0_f32..20.0, 1..40),
            temperature in 0.01_f64..10.0,
            top_k in 0_u32..50,
            top_p in 0.01_f64..=1.0,
            seed: u64,
            place in 0_usize..1000,
        ) {
            let sampling = Sampling { temperature, top_k, top_p, seed };
            let mut warped = scores.clone();
            warp(sampling, &mut warped);
            let best = NextToken::of(&scores).id as usize;
            prop_assert!(warped[best].is_finite());
            let left = warped.iter().filter(|score| score.is_finite()).count();
            prop_assert!(top_k == 0 || left <= scores.len());
            let next = Draws::new(sampling, &[1]).next(place, &mut scores.clone());
            prop_assert!(warped[next.id as usize].is_finite());
            prop_assert_eq!(next.logit.to_bits(), warped[next.id as usize].to_bits());
        }

        #[test]
        fn the_best_token_alone_is_greedy(
            scores in prop::collection::vec(-20.0_f32..20.0, 1..40),
            seed: u64,
        ) {
            let best = NextToken::of(&scores);
            let ties = scores.iter().filter(|score| **score >= best.logit).count();
            prop_assume!(ties == 1);
            let one = Sampling { top_k: 1, seed, ..NEUTRAL };
            prop_assert_eq!(Draws::new(one, &[1]).next(0, &mut scores.clone()).id, best.id);
            let cold = Sampling { top_p: 1e-9, seed, ..NEUTRAL };
            prop_assert_eq!(Draws::new(cold, &[1]).next(0, &mut scores.clone()).id, best.id);
        }
    }

    #[test]
    fn draws_follow_from_the_seed_and_the_prompt_alone() {
        let uniform = |seed, prompt: &[u32], place| {
            Draws::new(Sampling { seed, ..NEUTRAL }, prompt).uniform(place)
        };
        let one = uniform(1, &[4, 5], 3);
        assert_eq!(one.to_bits(), uniform(1, &[4, 5], 3).to_bits());
        for other in [uniform(2, &[4, 5], 3), uniform(1, &[5, 4], 3), uniform(1, &[4, 5], 4)] {
            assert_ne!(one.to_bits(), other.to_bits());
        }
        // Tokens never change between releases unnoticed.
        assert_eq!(Draws::new(NEUTRAL, &[1, 2]).key, 0xbcd9_dbb4_9673_066b);
    }
}
