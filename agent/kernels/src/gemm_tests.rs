//! Products against a plain version, on every instruction set of this machine.

use super::*;
use crate::dispatch::InstructionSet;
use crate::random_rows::{random, rows_of};
use crate::rowwise::Activation;
use half::{bf16, f16};
use proptest::prelude::*;

/// Values as the storage keeps them.
fn kept(storage: Storage, values: &[f32]) -> Vec<f32> {
    match storage {
        Storage::F32 => values.to_vec(),
        Storage::F16 => values.iter().map(|x| f16::from_f32(*x).to_f32()).collect(),
        Storage::Bf16 => values.iter().map(|x| bf16::from_f32(*x).to_f32()).collect(),
        Storage::Int8 => {
            let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let step = largest / 127.0;
            values.iter().map(|x| (x * inverse).round_ties_even() * step).collect()
        }
        Storage::Q4 | Storage::Q8 => unreachable!("blocks have tests of their own"),
    }
}

fn naive(storage: Storage, weights: &[f32], x: &[f32]) -> Vec<f64> {
    let x = if storage == Storage::F16 { x.to_vec() } else { kept(storage, x) };
    weights
        .chunks(x.len())
        .map(|row| {
            let row = kept(storage, row);
            row.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
        })
        .collect()
}

fn function(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Gelu => {
            // erf by its series, good for the small values of these tests.
            let z = x / std::f64::consts::SQRT_2;
            let mut term = z;
            let mut sum = z;
            for n in 1..60 {
                term *= -z * z / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
        }
    }
}

const STORAGES: [Storage; 4] = [Storage::F32, Storage::F16, Storage::Bf16, Storage::Int8];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn products_equal_the_plain_ones_for_any_shape(
        rows in 1_usize..80, outputs in 1_usize..100, inputs in 1_usize..150,
        threads in 1_usize..3, seed in any::<u64>(),
    ) {
        let (x, w) = (random(seed, rows * inputs), random(!seed, outputs * inputs));
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut kernels = Kernels::new(dispatch, threads);
            for storage in STORAGES {
                let weights = Weights::pack(dispatch, storage, Layout::Plain, (outputs, inputs), &w);
                let mut result = Rows::new(outputs);
                kernels.gemm(&weights, &rows_of(&x, inputs), Epilogue::Store, &mut result);
                kernels.gemm(&weights, &rows_of(&x, inputs), Epilogue::Add, &mut result);
                for (row, x) in x.chunks(inputs).enumerate() {
                    for (found, expected) in result.row(row).iter().zip(naive(storage, &w, x)) {
                        let off = (f64::from(*found) - 2.0 * expected).abs();
                        prop_assert!(off < 1e-4, "{set:?} {storage:?} {found} {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_bias_is_added_to_every_row_before_the_epilogue(
        rows in 1_usize..80, outputs in 1_usize..100, inputs in 1_usize..40, seed in any::<u64>(),
    ) {
        let (x, w) = (random(seed, rows * inputs), random(!seed, outputs * inputs));
        let bias: Vec<f32> = random(seed ^ 1, outputs).iter().map(|bias| 3.0 * bias).collect();
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut kernels = Kernels::new(dispatch, 2);
            for storage in STORAGES {
                let weights = Weights::pack(dispatch, storage, Layout::Plain, (outputs, inputs), &w);
                let weights = weights.with_bias(&bias);
                let (mut sums, mut applied) = (Rows::new(outputs), Rows::new(outputs));
                let x_rows = rows_of(&x, inputs);
                kernels.gemm(&weights, &x_rows, Epilogue::Store, &mut sums);
                kernels.gemm(&weights, &x_rows, Epilogue::Add, &mut sums);
                kernels.gemm(&weights, &x_rows, Epilogue::Apply(Activation::Relu), &mut applied);
                for (row, x) in x.chunks(inputs).enumerate() {
                    for (place, sum) in naive(storage, &w, x).into_iter().enumerate() {
                        let expected = sum + f64::from(bias[place]);
                        let off = (f64::from(sums.row(row)[place]) - 2.0 * expected).abs();
                        prop_assert!(off < 1e-4, "{set:?} {storage:?}");
                        let off = (f64::from(applied.row(row)[place]) - expected.max(0.0)).abs();
                        prop_assert!(off < 1e-4, "{set:?} {storage:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn gates_and_functions_equal_the_plain_ones(
        rows in 1_usize..60, half in 1_usize..70, inputs in 1_usize..40, seed in any::<u64>(),
    ) {
        let x: Vec<f32> = random(seed, rows * inputs).iter().map(|x| x * 0.4).collect();
        let w = random(!seed, 2 * half * inputs);
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut kernels = Kernels::new(dispatch, 2);
            let kinds =
                [Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu];
            for kind in kinds {
                for storage in STORAGES {
                    let gated = Weights::pack(dispatch, storage, Layout::Gated, (2 * half, inputs), &w);
                    let plain = Weights::pack(dispatch, storage, Layout::Plain, (2 * half, inputs), &w);
                    let (mut gate, mut applied) = (Rows::new(half), Rows::new(2 * half));
                    let x_rows = rows_of(&x, inputs);
                    kernels.gemm(&gated, &x_rows, Epilogue::Gate(kind), &mut gate);
                    kernels.gemm(&plain, &x_rows, Epilogue::Apply(kind), &mut applied);
                    for (row, x) in x.chunks(inputs).enumerate() {
                        let sums = naive(storage, &w, x);
                        for place in 0..half {
                            let expected = function(kind, sums[place]);
                            let off = (f64::from(applied.row(row)[place]) - expected).abs();
                            prop_assert!(off < 1e-4, "{set:?} {storage:?} {kind:?}");
                            let expected = expected * sums[place + half];
                            let off = (f64::from(gate.row(row)[place]) - expected).abs();
                            prop_assert!(off < 1e-3, "{set:?} {storage:?} {kind:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbors(
        rows in 2_usize..80, outputs in 1_usize..100, inputs in 1_usize..150, seed in any::<u64>(),
    ) {
        let (x, w) = (random(seed, rows * inputs), random(!seed, outputs * inputs));
        for set in InstructionSet::detect() {
            let dispatch = Dispatch::with(set).unwrap();
            let mut kernels = Kernels::new(dispatch, 2);
            for storage in STORAGES {
                let weights = Weights::pack(dispatch, storage, Layout::Plain, (outputs, inputs), &w);
                let (mut all, mut one) = (Rows::new(outputs), Rows::new(outputs));
                kernels.gemm(&weights, &rows_of(&x, inputs), Epilogue::Store, &mut all);
                for (row, x) in x.chunks(inputs).enumerate() {
                    kernels.gemm(&weights, &rows_of(x, inputs), Epilogue::Store, &mut one);
                    prop_assert_eq!(one.row(0), all.row(row), "{:?} {:?}", set, storage);
                }
            }
        }
    }

    #[test]
    fn the_norm_equals_the_plain_one(rows in 1_usize..60, width in 1_usize..200, seed in any::<u64>()) {
        let (x, gain) = (random(seed, rows * width), random(!seed, width));
        for set in InstructionSet::detect() {
            let kernels = Kernels::new(Dispatch::with(set).unwrap(), 2);
            let mut result = Rows::new(width);
            let mut padded = gain.clone();
            padded.resize(result.padded(), 0.0);
            kernels.rms_norm(&rows_of(&x, width), &padded, 1e-6, &mut result);
            for (row, x) in x.chunks(width).enumerate() {
                let mean = x.iter().map(|x| x * x).sum::<f32>() / width as f32;
                for ((x, gain), found) in x.iter().zip(&gain).zip(result.row(row)) {
                    let expected = x / (mean + 1e-6).sqrt() * gain;
                    prop_assert!((found - expected).abs() < 1e-5, "{set:?}");
                }
            }
        }
    }

    #[test]
    fn the_layer_norm_equals_the_plain_one_wherever_the_mean_is(
        rows in 1_usize..60, width in 2_usize..200, mean in -30.0_f32..30.0, seed in any::<u64>(),
    ) {
        let x: Vec<f32> = random(seed, rows * width).iter().map(|x| x + mean).collect();
        let (gain, bias) = (random(!seed, width), random(seed ^ 1, width));
        for set in InstructionSet::detect() {
            let kernels = Kernels::new(Dispatch::with(set).unwrap(), 2);
            let mut result = Rows::new(width);
            let padded = |values: &[f32]| {
                let mut values = values.to_vec();
                values.resize(Rows::new(width).padded(), 0.0);
                values
            };
            let (padded_gain, padded_bias) = (padded(&gain), padded(&bias));
            let affine = Affine { gain: &padded_gain, bias: &padded_bias };
            kernels.layer_norm(&rows_of(&x, width), &affine, 1e-5, &mut result);
            for (row, x) in x.chunks(width).enumerate() {
                let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                let mean = x.iter().sum::<f64>() / width as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                for (place, x) in x.iter().enumerate() {
                    let normed = (x - mean) / (variance + 1e-5).sqrt();
                    let expected = normed * f64::from(gain[place]) + f64::from(bias[place]);
                    let found = f64::from(result.row(row)[place]);
                    prop_assert!((found - expected).abs() < 2e-3, "{set:?} {found} {expected}");
                }
                prop_assert!(result.padded_row(row)[width..].iter().all(|x| *x == 0.0));
            }
        }
    }
}

#[test]
fn softmax_equals_the_plain_one_and_clears_what_lies_behind() {
    for set in InstructionSet::detect() {
        let dispatch = Dispatch::with(set).unwrap();
        for count in [1, 7, 16, 33, 64] {
            let scores: Vec<f32> = random(3, 64).iter().map(|x| x * 30.0).collect();
            let bias = random(4, 64);
            let mut found = scores.clone();
            dispatch.softmax(&mut found, Some(&bias), count);
            let biased: Vec<f64> =
                scores.iter().zip(&bias).map(|(x, b)| f64::from(x + b)).take(count).collect();
            let highest = biased.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = biased.iter().map(|x| (x - highest).exp()).sum();
            for (place, found) in found.iter().enumerate() {
                let expected = biased.get(place).map_or(0.0, |score| (score - highest).exp() / sum);
                assert!((f64::from(*found) - expected).abs() < 1e-6, "{set:?} {count} {place}");
            }
        }
    }
}

#[test]
fn rows_are_read_back_as_they_were_stored() {
    let (outputs, inputs) = (70, 37);
    let values = random(5, outputs * inputs);
    for set in InstructionSet::detect() {
        for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
            let dispatch = Dispatch::with(set).unwrap();
            let weights =
                Weights::pack(dispatch, storage, Layout::Plain, (outputs, inputs), &values);
            let mut found = vec![0.0; inputs];
            for (row, values) in values.chunks(inputs).enumerate() {
                weights.row(row, &mut found);
                assert_eq!(found, kept(storage, values), "{set:?} {storage:?} {row}");
            }
        }
    }
}
