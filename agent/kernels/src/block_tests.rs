//! Products with blocks against a plain version in f64, on every instruction set of this machine.

use super::*;
use crate::dispatch::InstructionSet;
use crate::random_rows::{random, rows_of};
use crate::{Activation, Argmax, Epilogue, Head, Kernels, Rows};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Form = (Quants, Coefficients);

const FORMS: [Form; 7] = [
    (Quants::Nibbles, Coefficients::Scale { zero: 8 }),
    (Quants::Nibbles, Coefficients::ScaleAndLeast),
    (Quants::Nibbles, Coefficients::Nested),
    (Quants::Bytes, Coefficients::Scale { zero: 128 }),
    (Quants::Bytes, Coefficients::ScaleAndLeast),
    (Quants::Bytes, Coefficients::Nested),
    (Quants::Bytes, Coefficients::NestedHalves { zero: 32 }),
];

fn matrix(form: Form, outputs: usize, blocks: usize, seed: u64) -> BlockMatrix {
    let (quants_as, coefficients) = form;
    let (values, halves, bytes) = coefficients.per_block();
    let inputs = values * blocks;
    let mut numbers = ChaCha8Rng::seed_from_u64(seed);
    // In the ranges of ggml's formats, whose values f32 holds.
    let most = match (quants_as, coefficients) {
        (Quants::Nibbles, _) => 15,
        (Quants::Bytes, Coefficients::Nested) => 31,
        (Quants::Bytes, Coefficients::NestedHalves { .. }) => 63,
        (Quants::Bytes, _) => u8::MAX,
    };
    BlockMatrix {
        quants_as,
        coefficients,
        inputs,
        quants: (0..outputs * inputs).map(|_| numbers.random_range(0..=most)).collect(),
        halves: (0..outputs * blocks * halves)
            .map(|_| f16::from_f32(numbers.random::<f32>() * 0.02 - 0.01).to_bits())
            .collect(),
        bytes: (0..outputs * blocks * bytes).map(|_| numbers.random_range(0..64)).collect(),
    }
}

/// The values of a matrix by the formulas of [`Coefficients`].
fn values(matrix: &BlockMatrix) -> Vec<f64> {
    let (block, halves, bytes) = matrix.coefficients.per_block();
    let half = |at: usize| f64::from(f16::from_bits(matrix.halves[at]).to_f32());
    let value = |(place, quant): (usize, &u8)| {
        let (at, within, quant) = (place / block, place % block, f64::from(*quant));
        let byte = |place: usize| f64::from(matrix.bytes[at * bytes + place]);
        match matrix.coefficients {
            Coefficients::Scale { zero } => half(at) * (quant - f64::from(zero)),
            Coefficients::ScaleAndLeast => half(2 * at) * quant + half(2 * at + 1),
            Coefficients::Nested => {
                let (scale, least) = (byte(within / 32 * 2), byte(within / 32 * 2 + 1));
                half(halves * at) * scale * quant - half(halves * at + 1) * least
            }
            Coefficients::NestedHalves { zero } => {
                half(at) * (byte(within / 16) - 128.0) * (quant - f64::from(zero))
            }
        }
    };
    matrix.quants.iter().enumerate().map(value).collect()
}

/// A row of activations as its product sees it, and the size of each value's steps.
fn kept(x: &[f32]) -> Vec<(f64, f64)> {
    let groups = x.chunks(GROUP).flat_map(|group| {
        let largest = group.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let (inverse, size) = (if largest > 0.0 { 127.0 / largest } else { 0.0 }, largest / 127.0);
        let step = move |x: &f32| f64::from((x * inverse).round_ties_even());
        group.iter().map(move |x| (step(x) * f64::from(size), f64::from(size)))
    });
    groups.collect()
}

/// A sum, the sum of its terms' sizes, and the sum of weights by the steps of their activations.
fn product(weights: &[f64], x: &[(f64, f64)]) -> (f64, f64, f64) {
    let mut sums = (0.0, 0.0, 0.0);
    for (w, (x, size)) in weights.iter().zip(x) {
        sums.0 += w * x;
        sums.1 += (w * x).abs();
        sums.2 += w.abs() * size;
    }
    sums
}

fn packed(dispatch: &'static Dispatch, matrix: &BlockMatrix) -> Weights {
    Weights::pack_blocks(dispatch, Layout::Plain, vec![matrix.clone()]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn products_of_blocks_equal_the_plain_ones_within_the_rounding_of_activations(
        rows in 1_usize..70, outputs in 1_usize..100, blocks in 1_usize..4,
        threads in 1_usize..3, seed in any::<u64>(),
    ) {
        for form in FORMS {
            let matrix = matrix(form, outputs, blocks, seed);
            let (inputs, w) = (matrix.inputs, values(&matrix));
            let x = random(!seed, rows * inputs);
            for set in InstructionSet::detect() {
                let dispatch = Dispatch::with(set).unwrap();
                let mut kernels = Kernels::new(dispatch, threads);
                let weights = packed(dispatch, &matrix);
                let mut result = Rows::new(outputs);
                kernels.gemm(&weights, &rows_of(&x, inputs), Epilogue::Store, &mut result);
                for (row, x) in x.chunks(inputs).enumerate() {
                    let kept = kept(x);
                    for (found, w) in result.row(row).iter().zip(w.chunks(inputs)) {
                        let (expected, terms, steps) = product(w, &kept);
                        let found = f64::from(*found);
                        // A byte's offset of 128 is in `least`: larger terms than those of the sum.
                        let rounding = 4e-6 * (terms + 128.0 * steps);
                        prop_assert!(
                            (found - expected).abs() <= rounding,
                            "{set:?} {form:?} {found} {expected}"
                        );
                        let exact: f64 = w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum();
                        prop_assert!((found - exact).abs() <= 0.5 * steps + 2.0 * rounding);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_times_blocks_does_not_depend_on_its_neighbors(
        rows in 2_usize..70, outputs in 1_usize..100, blocks in 1_usize..3, seed in any::<u64>(),
    ) {
        for form in FORMS {
            let matrix = matrix(form, outputs, blocks, seed);
            let inputs = matrix.inputs;
            let x = random(!seed, rows * inputs);
            for set in InstructionSet::detect() {
                let dispatch = Dispatch::with(set).unwrap();
                let mut kernels = Kernels::new(dispatch, 2);
                let weights = packed(dispatch, &matrix);
                let (mut all, mut one) = (Rows::new(outputs), Rows::new(outputs));
                kernels.gemm(&weights, &rows_of(&x, inputs), Epilogue::Store, &mut all);
                for (row, x) in x.chunks(inputs).enumerate() {
                    kernels.gemm(&weights, &rows_of(x, inputs), Epilogue::Store, &mut one);
                    prop_assert_eq!(one.row(0), all.row(row), "{:?} {:?}", set, form);
                }
            }
        }
    }

    /// Rows are padded to whole groups. The vector paths add in one order, with fused operations; the
    /// portable path rounds products.
    #[test]
    fn instruction_sets_agree_on_quantized_matrices_of_any_shape(
        rows in 1_usize..20, outputs in 1_usize..100, inputs in 1_usize..150, seed in any::<u64>(),
    ) {
        let (x, w) = (random(seed, rows * inputs), random(!seed, outputs * inputs));
        for storage in [Storage::Q4, Storage::Q8] {
            let mut of_vectors: Option<Vec<f32>> = None;
            for set in InstructionSet::detect() {
                let dispatch = Dispatch::with(set).unwrap();
                let shape = (outputs, inputs);
                let weights = Weights::pack(dispatch, storage, Layout::Plain, shape, &w);
                let mut values = vec![0.0; outputs * inputs];
                values.chunks_mut(inputs).enumerate().for_each(|(row, to)| weights.row(row, to));
                let mut result = Rows::new(outputs);
                let mut kernels = Kernels::new(dispatch, 2);
                kernels.gemm(&weights, &rows_of(&x, inputs), Epilogue::Store, &mut result);
                let found: Vec<f32> = (0..rows).flat_map(|row| result.row(row)).copied().collect();
                for (found, x) in found.chunks(outputs).zip(x.chunks(inputs)) {
                    let kept = kept(x);
                    for (found, w) in found.iter().zip(values.chunks(inputs)) {
                        let w: Vec<f64> = w.iter().map(|w| f64::from(*w)).collect();
                        let (expected, terms, steps) = product(&w, &kept);
                        let off = (f64::from(*found) - expected).abs();
                        let rounding = 4e-6 * (terms + 128.0 * steps);
                        prop_assert!(off <= rounding, "{set:?} {storage:?} {found} {expected}");
                    }
                }
                if set != InstructionSet::Portable {
                    let first = of_vectors.get_or_insert_with(|| found.clone());
                    prop_assert_eq!(&found, first, "{:?} {:?}", set, storage);
                }
            }
        }
    }

    #[test]
    fn gates_of_blocks_equal_the_plain_ones(
        rows in 1_usize..20, half in 1_usize..70, seed in any::<u64>(),
    ) {
        for form in FORMS {
            let [gate, up] = [1, 2].map(|part| matrix(form, half, 1, seed ^ part));
            let inputs = gate.inputs;
            let x = random(!seed, rows * inputs);
            for set in InstructionSet::detect() {
                let dispatch = Dispatch::with(set).unwrap();
                let mut kernels = Kernels::new(dispatch, 2);
                let both = vec![gate.clone(), up.clone()];
                let weights = Weights::pack_blocks(dispatch, Layout::Gated, both).unwrap();
                let epilogue = Epilogue::Gate(Activation::Silu);
                let mut result = Rows::new(half);
                kernels.gemm(&weights, &rows_of(&x, inputs), epilogue, &mut result);
                let (gate, up) = (values(&gate), values(&up));
                for (row, x) in x.chunks(inputs).enumerate() {
                    let kept = kept(x);
                    let pairs = gate.chunks(inputs).zip(up.chunks(inputs));
                    for (found, (gate, up)) in result.row(row).iter().zip(pairs) {
                        let (gate, gate_terms, _) = product(gate, &kept);
                        let (up, up_terms, _) = product(up, &kept);
                        let expected = gate / (1.0 + (-gate).exp()) * up;
                        let off = (f64::from(*found) - expected).abs();
                        let terms = gate_terms * up_terms + gate_terms + up_terms;
                        prop_assert!(off <= 1e-4 * terms, "{set:?} {form:?} {found} {expected}");
                    }
                }
            }
        }
    }
}

#[test]
fn rows_of_blocks_are_read_back_to_the_last_bit() {
    for form in FORMS {
        let matrix = matrix(form, 70, 2, 9);
        let values = values(&matrix);
        for set in InstructionSet::detect() {
            let weights = packed(Dispatch::with(set).unwrap(), &matrix);
            let mut found = vec![0.0; matrix.inputs];
            for (row, values) in values.chunks(matrix.inputs).enumerate() {
                weights.row(row, &mut found);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "rounds once, as the kernel does"
                )]
                let expected: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                assert_eq!(found, expected, "{set:?} {form:?} {row}");
            }
        }
    }
}

/// As in files whose queries, keys and values are stored differently.
#[test]
fn matrices_of_different_forms_are_one_product_if_they_fill_panels() {
    let dispatch = Dispatch::best();
    let mut kernels = Kernels::new(dispatch, 2);
    let first = matrix(FORMS[2], 64, 1, 1);
    let second = matrix(FORMS[6], 40, 1, 2);
    let x = rows_of(&random(3, 5 * 256), 256);
    let mut product = |matrices: Vec<BlockMatrix>| {
        let weights = Weights::pack_blocks(dispatch, Layout::Plain, matrices).unwrap();
        let mut result = Rows::new(weights.outputs());
        kernels.gemm(&weights, &x, Epilogue::Store, &mut result);
        let mut row = vec![0.0; 256];
        weights.row(weights.outputs() - 1, &mut row);
        (result, row)
    };
    let (both, last) = product(vec![first.clone(), second.clone()]);
    let (one, _) = product(vec![first.clone()]);
    let (other, expected) = product(vec![second.clone()]);
    assert_eq!(last, expected);
    for row in 0..5 {
        assert_eq!(&both.row(row)[..64], one.row(row));
        assert_eq!(&both.row(row)[64..], other.row(row));
    }
    let odd = vec![second.clone(), first.clone()];
    assert!(Weights::pack_blocks(dispatch, Layout::Plain, odd).is_none());
    let gated = vec![first, second];
    assert!(Weights::pack_blocks(dispatch, Layout::Gated, gated).is_none());
}

#[test]
fn values_are_quantized_in_groups_to_the_nearest_quant() {
    let (outputs, inputs) = (9, 75);
    for (storage, quants_as) in [(Storage::Q4, Quants::Nibbles), (Storage::Q8, Quants::Bytes)] {
        let w: Vec<f32> = random(4, outputs * inputs).iter().map(|x| 0.1 * x).collect();
        let weights =
            Weights::pack(Dispatch::best(), storage, Layout::Plain, (outputs, inputs), &w);
        let mut found = vec![0.0; inputs];
        for (row, w) in w.chunks(inputs).enumerate() {
            weights.row(row, &mut found);
            for (found, w) in found.chunks(GROUP).zip(w.chunks(GROUP)) {
                let extreme =
                    w.iter().fold(0.0_f32, |most, x| if x.abs() > most.abs() { *x } else { most });
                for (found, w) in found.iter().zip(w) {
                    // 4 bits reach from -8 to 7: the far end is a step away.
                    let step = match quants_as {
                        Quants::Nibbles if w * extreme < -0.93 * extreme * extreme => {
                            extreme.abs() / 8.0
                        }
                        Quants::Nibbles => extreme.abs() / 16.0,
                        Quants::Bytes => extreme.abs() / 254.0,
                    };
                    // And the scale is rounded to f16.
                    assert!((found - w).abs() <= 1.001 * step + w.abs() / 2000.0, "{found} {w}");
                }
            }
        }
        // What quants and an f16 scale can hold is held.
        let exact: Vec<f32> = (-8_i8..8).map(|step| f32::from(step) * 0.125).collect();
        let all = [&exact[..], &exact[..]].concat();
        let weights = Weights::pack(Dispatch::best(), storage, Layout::Plain, (1, 32), &all);
        let mut found = vec![0.0; 32];
        weights.row(0, &mut found);
        if storage == Storage::Q4 {
            assert_eq!(found, all);
        }
    }
}

#[test]
fn the_argmax_of_blocks_is_that_of_their_product() {
    for form in FORMS {
        let matrix = matrix(form, 501, 1, 11);
        let x = rows_of(&random(12, 9 * matrix.inputs), matrix.inputs);
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut kernels = Kernels::new(dispatch, 2);
            let head = Head::of(packed(dispatch, &matrix));
            let (mut found, mut sums) = (Vec::new(), Rows::new(501));
            kernels.argmax(&head, &x, &mut found);
            kernels.gemm(head.weights(), &x, Epilogue::Store, &mut sums);
            for (row, found) in found.into_iter().enumerate() {
                let sums = sums.row(row).iter().copied().enumerate();
                let (column, sum) = sums.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
                assert_eq!(found, Argmax { column, sum }, "{set:?} {form:?} {row}");
            }
        }
    }
}
