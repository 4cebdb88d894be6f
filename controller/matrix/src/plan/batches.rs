//! (seed, run, batch size) -> the samples of each batch. All targets and models decode the same
//! batches, so samples can be compared in pairs.

use super::stream;
use rand::seq::SliceRandom;

/// The number of batches; the last one may be smaller.
pub fn count(samples: usize, batch_size: u32) -> u32 {
    u32::try_from(samples.div_ceil(batch_size.max(1) as usize)).unwrap_or(u32::MAX)
}

/// The batches of a run: each index below `samples` once, shuffled, in slices of `batch_size`.
pub fn compose(seed: u64, run: u32, batch_size: u32, samples: usize) -> Vec<Vec<u32>> {
    let mut order: Vec<u32> = (0..u32::try_from(samples).unwrap_or(u32::MAX)).collect();
    order.shuffle(&mut stream(seed, "batches", &[u64::from(run), u64::from(batch_size)]));
    order.chunks(batch_size.max(1) as usize).map(<[u32]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_sample_is_in_one_batch(samples in 1_usize..600, size in 1_u32..40, run in 1_u32..9) {
            let batches = compose(3, run, size, samples);
            prop_assert_eq!(u32::try_from(batches.len()), Ok(count(samples, size)));
            let mut all: Vec<u32> = batches.concat();
            all.sort_unstable();
            prop_assert!(all.iter().map(|index| *index as usize).eq(0..samples));
        }
    }

    #[test]
    fn each_run_and_batch_size_has_its_own_shuffle() {
        assert_eq!(compose(1, 1, 4, 64), compose(1, 1, 4, 64));
        assert_ne!(compose(1, 1, 4, 64), compose(1, 2, 4, 64));
        assert_ne!(compose(1, 1, 4, 64).concat(), compose(1, 1, 8, 64).concat());
    }

    #[test]
    fn batches_are_stable_across_releases() {
        assert_eq!(compose(7, 1, 3, 8), [vec![2, 5, 6], vec![1, 0, 7], vec![3, 4]]);
    }
}
