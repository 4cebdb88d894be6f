//! Seeded choice of the measured and the warm-up dialogues, the same on every machine. Pure.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One random stream per purpose, so that the choices are independent.
const MEASURED: u64 = 1;
const OUTSIDE: u64 = 2;

/// Chooses `samples` of `count` dialogues, as ascending indices. 0 selects all. For the same seed,
/// a smaller sample is a subset of every larger one.
pub fn sample(count: usize, samples: usize, seed: u64) -> Vec<usize> {
    if samples == 0 || samples >= count {
        return (0..count).collect();
    }
    let mut chosen = shuffled((0..count).collect(), samples, seed, MEASURED);
    chosen.sort_unstable();
    chosen
}

/// Chooses up to `wanted` of `count` dialogues that aren't `measured`, unsorted: for warm-up.
pub fn outside(count: usize, measured: &[usize], wanted: usize, seed: u64) -> Vec<usize> {
    let mut is_free = vec![true; count];
    for index in measured {
        is_free[*index] = false;
    }
    let free = (0..count).filter(|index| is_free[*index]).collect();
    shuffled(free, wanted, seed, OUTSIDE)
}

/// The first `wanted` items of a Fisher-Yates shuffle.
fn shuffled(mut items: Vec<usize>, wanted: usize, seed: u64, purpose: u64) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(key);
    random.set_stream(purpose);
    let wanted = wanted.min(items.len());
    for place in 0..wanted {
        let left = items.len() - place;
        items.swap(place, place + below(&mut random, left));
    }
    items.truncate(wanted);
    items
}

/// A number below `limit`, with a negligible bias of at most `limit` / 2^64.
fn below(random: &mut ChaCha8Rng, limit: usize) -> usize {
    let scaled = (u128::from(random.next_u64()) * limit as u128) >> 64;
    usize::try_from(scaled).expect("less than limit, which is a usize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_choice_is_stable_across_releases() {
        // Computed independently from the definition of ChaCha8.
        assert_eq!(sample(256, 8, 7), [72, 86, 141, 163, 204, 206, 239, 246]);
        assert_eq!(sample(819, 8, 7), [231, 266, 448, 519, 652, 659, 765, 788]);
        assert_eq!(outside(256, &sample(256, 8, 7), 4, 7), [2, 49, 229, 155]);
    }

    #[test]
    fn zero_and_too_many_select_all() {
        assert_eq!(sample(3, 0, 7), [0, 1, 2]);
        assert_eq!(sample(3, 9, 7), [0, 1, 2]);
    }

    #[test]
    fn nothing_is_outside_if_all_are_measured() {
        assert_eq!(outside(3, &sample(3, 0, 7), 2, 7), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn a_sample_is_ascending_and_a_subset_of_larger_ones(
            count in 1_usize..400, a in 1_usize..400, b in 1_usize..400, seed: u64
        ) {
            let (small, large) = (sample(count, a.min(b), seed), sample(count, a.max(b), seed));
            prop_assert_eq!(small.len(), a.min(b).min(count));
            prop_assert!(small.is_sorted_by(|x, y| x < y));
            prop_assert!(small.iter().all(|index| large.contains(index)));
        }

        #[test]
        fn warm_up_dialogues_are_unique_and_not_measured(
            count in 1_usize..200, samples in 1_usize..200, wanted in 0_usize..50, seed: u64
        ) {
            let measured = sample(count, samples, seed);
            let mut outside = outside(count, &measured, wanted, seed);
            prop_assert_eq!(outside.len(), wanted.min(count - measured.len()));
            prop_assert!(outside.iter().all(|index| !measured.contains(index)));
            outside.sort_unstable();
            prop_assert!(outside.is_sorted_by(|x, y| x < y));
        }
    }
}
