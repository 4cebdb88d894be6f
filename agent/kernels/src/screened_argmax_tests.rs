//! The best columns against those of all sums.

use super::*;
use crate::dispatch::InstructionSet;
use crate::rowwise::Epilogue;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Of the sums that `gemm` writes: the highest, the lowest column of those.
fn argmax_of_product(kernels: &mut Kernels, head: &Head, x: &Rows) -> Vec<Argmax> {
    let mut sums = Rows::new(head.exact.outputs);
    kernels.gemm(head.weights(), x, Epilogue::Store, &mut sums);
    (0..x.count())
        .map(|row| {
            sums.row(row).iter().enumerate().fold(Argmax::NONE, |best, (column, sum)| {
                if *sum > best.sum { Argmax { column, sum: *sum } } else { best }
            })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_best_column_is_that_of_all_sums(
        rows in 1_usize..20, outputs in 1_usize..1200, inputs in 1_usize..150, outlier in 1.0_f32..100.0,
        seed in any::<u64>(),
    ) {
        let mut numbers = ChaCha8Rng::seed_from_u64(seed);
        let mut random = |_: usize| numbers.random::<f32>() * 2.0 - 1.0;
        let mut values: Vec<f32> = (0..outputs * inputs).map(&mut random).collect();
        // Equal columns: the lowest is the best.
        values.copy_within(..inputs, (outputs - 1) * inputs);
        // Larger than the sums, so that it often decides; equal for the equal columns.
        let mut bias: Vec<f32> = (0..outputs).map(|_| 40.0 * random(0)).collect();
        bias[outputs - 1] = bias[0];
        let mut x = Rows::new(inputs);
        x.resize(rows);
        for row in 0..rows {
            x.row_mut(row).iter_mut().for_each(|x| *x = random(0));
            x.row_mut(row)[0] *= outlier;
        }
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut kernels = Kernels::new(dispatch, 2);
            for storage in [Storage::F32, Storage::F16, Storage::Bf16, Storage::Int8] {
                let head = Head::pack(dispatch, storage, (outputs, inputs), &values);
                let mut found = Vec::new();
                kernels.argmax(&head, &x, &mut found);
                prop_assert_eq!(&found, &argmax_of_product(&mut kernels, &head, &x), "{:?} {:?}", set, storage);
                let head = head.with_bias(&bias);
                kernels.argmax(&head, &x, &mut found);
                let expected = argmax_of_product(&mut kernels, &head, &x);
                prop_assert_eq!(found, expected, "with a bias: {:?} {:?}", set, storage);
            }
        }
    }
}

#[test]
fn numbers_that_ran_away_give_no_best_column() {
    let dispatch = Dispatch::best();
    let mut kernels = Kernels::new(dispatch, 2);
    let head = Head::pack(dispatch, Storage::F32, (40, 8), &[1.0; 320]);
    let mut x = Rows::new(8);
    x.resize(2);
    x.row_mut(0).fill(f32::NAN);
    x.row_mut(1).fill(1.0);
    let mut found = Vec::new();
    kernels.argmax(&head, &x, &mut found);
    assert!(!found[0].sum.is_finite());
    assert_eq!(found[1], Argmax { column: 0, sum: 8.0 });
}
