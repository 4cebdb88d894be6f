//! Right kernels against the host's arithmetic, by any order of blocks and any error of approximations.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::many_single_char_names,
    reason = "formulas of the kernels"
)]

use crate::device::Device;
use cuda_standin::machine::{Approximation, Options};

/// Numbers between -2 and 2 from a seed.
fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 22) as f32 - 2.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn half(value: f32) -> u16 {
    half::f16::from_f32(value).to_bits()
}

fn rounded(value: f32) -> f64 {
    half::f16::from_f32(value).to_f64()
}

#[test]
fn vectors_are_added_and_bytes_are_counted() {
    let device = Device::compute(Options::default());
    let (a, b) = (random(1000, 1), random(1000, 2));
    let out = device.unset(4000);
    let arguments = [device.floats(&a).into(), device.floats(&b).into(), out.into(), 1000.into()];
    let counts = device.run("vector_add", [8, 128, 0], &arguments);
    let wanted: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    assert_eq!(device.read_floats(out), wanted);
    assert_eq!((counts.read, counts.written), (8000, 4000));
    assert_eq!((counts.requested_read, counts.requested_written), (8000, 4000));
}

#[test]
fn one_hundred_orders_of_blocks_give_the_same_sums() {
    let values = random(20 * 333, 3);
    let mut results = Vec::new();
    for seed in 0..100 {
        let device = Device::compute(Options { seed, ..Options::default() });
        let out = device.unset(80);
        let arguments = [device.floats(&values).into(), out.into(), 333.into()];
        device.run("row_sums", [20, 128, 0], &arguments);
        results.push(device.read_words(out));
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    for (row, sum) in values.chunks(333).zip(&results[0]) {
        let exact: f64 = row.iter().map(|value| f64::from(*value)).sum();
        assert!((f64::from(f32::from_bits(*sum)) - exact).abs() < 333.0 * 2.0 * 6e-8 * 8.0);
    }
}

#[test]
fn products_of_matrices_stay_within_rounding() {
    let k = 40;
    let (a, b) = (random(16 * k, 4), random(8 * k, 5));
    let halves = |values: &[f32]| values.iter().map(|value| half(*value)).collect::<Vec<_>>();
    // Exact sums, and some that are truncated as tensor cores truncate.
    for seed in 0..6 {
        let approximation =
            if seed == 0 { Approximation::Exact } else { Approximation::Seeded(seed) };
        let device = Device::compute(Options { approximation, ..Options::default() });
        let out = device.unset(16 * 8 * 4);
        let k_word = u32::try_from(k).unwrap();
        let arguments = [
            device.halves(&halves(&a)).into(),
            device.halves(&halves(&b)).into(),
            out.into(),
            k_word.into(),
        ];
        device.run("mma_product", [1, 32, 0], &arguments);
        for (at, value) in device.read_floats(out).into_iter().enumerate() {
            let (row, column) = (at / 8, at % 8);
            let terms = (0..k).map(|i| rounded(a[row * k + i]) * rounded(b[column * k + i]));
            let (sum, size) =
                terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + f64::abs(term)));
            let error = (f64::from(value) - sum).abs();
            assert!(error <= size * k as f64 * 2f64.powi(-24), "{row}, {column}: {error}");
        }
    }
}

#[test]
fn matrices_are_loaded_from_shared_memory() {
    let (a, b) = (random(16 * 8, 6), random(8 * 8, 7));
    let halves = |values: &[f32]| values.iter().map(|value| half(*value)).collect::<Vec<_>>();
    let device = Device::compute(Options::default());
    let out = device.unset(16 * 8 * 4);
    let arguments =
        [device.halves(&halves(&a)).into(), device.halves(&halves(&b)).into(), out.into()];
    device.run("mma_shared", [1, 32, 0], &arguments);
    for (at, value) in device.read_floats(out).into_iter().enumerate() {
        let (row, column) = (at / 8, at % 8);
        let sum: f64 = (0..8).map(|i| rounded(a[row * 8 + i]) * rounded(b[i * 8 + column])).sum();
        assert!((f64::from(value) - sum).abs() < 1e-5, "{row}, {column}: {value} {sum}");
    }
}

#[test]
fn softmax_holds_for_the_whole_error_of_ex2() {
    let columns = 77;
    let rows = 5;
    let values = random(columns * rows, 8);
    let halves: Vec<u16> = values.iter().map(|value| half(*value)).collect();
    for seed in 0..5 {
        let approximation =
            if seed == 0 { Approximation::Exact } else { Approximation::Seeded(seed) };
        let device = Device::compute(Options { approximation, ..Options::default() });
        let out = device.unset(halves.len() * 2);
        let arguments = [device.halves(&halves).into(), out.into(), 77.into()];
        device.run("softmax_rows", [5, 32, 0], &arguments);
        let bytes = device.read(out);
        for (row, bytes) in values.chunks(columns).zip(bytes.chunks(columns * 2)) {
            let total: f64 = row.iter().map(|value| rounded(*value).exp()).sum();
            for (value, bytes) in row.iter().zip(bytes.chunks(2)) {
                let found = half::f16::from_le_bytes(bytes.try_into().unwrap()).to_f64();
                let wanted = rounded(*value).exp() / total;
                // A half of the last place of f16, and a little for f32.
                assert!((found - wanted).abs() < wanted * 2f64.powi(-11) * 1.01 + 3e-8);
            }
        }
    }
}

#[test]
fn norms_and_products_with_dynamic_shared_memory_agree() {
    let (k, rows) = (512, 21);
    let (x, w) = (random(k, 9), random(k * rows, 10));
    let halves: Vec<u16> = w.iter().map(|value| half(*value)).collect();
    for seed in 0..3 {
        let device = Device::compute(Options { seed, ..Options::default() });
        let out = device.unset(rows * 4);
        let arguments = [
            device.floats(&x).into(),
            device.halves(&halves).into(),
            out.into(),
            512.into(),
            21.into(),
        ];
        let counts = device.run("norm_matvec", [6, 128, 512 * 4], &arguments);
        assert_eq!(counts.read, 512 * 4 + 512 * 21 * 2, "each byte once");
        let mean: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / 512.0;
        let scale = 1.0 / (mean + 1e-6).sqrt();
        for (row, value) in w.chunks(k).zip(device.read_floats(out)) {
            let terms = row.iter().zip(&x).map(|(w, x)| rounded(*w) * f64::from(*x) * scale);
            assert!((f64::from(value) - terms.sum::<f64>()).abs() < 1e-3);
        }
    }
}

#[test]
fn lanes_that_leave_a_loop_one_by_one_keep_their_results() {
    let device = Device::compute(Options::default());
    let input: Vec<u32> = (1..=100).collect();
    let out = device.unset(400);
    let arguments = [device.words(&input).into(), out.into(), 100.into()];
    device.run("collatz", [4, 32, 0], &arguments);
    let steps = |mut value: u32| {
        let mut steps = 0;
        while value != 1 {
            value = if value.is_multiple_of(2) { value / 2 } else { 3 * value + 1 };
            steps += 1;
        }
        steps
    };
    assert_eq!(device.read_words(out), input.into_iter().map(steps).collect::<Vec<u32>>());
}

#[test]
fn the_largest_value_wins_by_atomic_operations() {
    let mut values = random(3000, 11);
    values[1234] = 7.5;
    values[2345] = 7.5;
    for seed in 0..10 {
        let device = Device::compute(Options { seed, ..Options::default() });
        let best = device.bytes(&[0; 8]);
        let arguments = [device.floats(&values).into(), best.into(), 3000.into()];
        device.run("argmax", [12, 256, 0], &arguments);
        let key = u64::from_le_bytes(device.read(best).try_into().unwrap());
        assert_eq!(u32::MAX - key as u32, 1234, "seed {seed}");
    }
}

#[test]
fn bytes_are_multiplied_and_converted() {
    let device = Device::compute(Options::default());
    let a: Vec<u32> = random(64, 12).iter().map(|value| value.to_bits().rotate_left(9)).collect();
    let b: Vec<u32> = random(64, 13).iter().map(|value| value.to_bits().rotate_left(11)).collect();
    let (dot, mixed) = (device.unset(256), device.unset(256));
    let arguments =
        [device.words(&a).into(), device.words(&b).into(), dot.into(), mixed.into(), 64.into()];
    device.run("dot_int8", [2, 32, 0], &arguments);
    let signed = |word: u32| word.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
    let dots = a.iter().zip(&b).map(|(a, b)| {
        let products = signed(*a).into_iter().zip(signed(*b)).map(|(a, b)| a * b);
        (products.sum::<i32>() + 7).cast_unsigned()
    });
    assert_eq!(device.read_words(dot), dots.collect::<Vec<_>>());
    let sums = a.iter().map(|a| signed(*a).iter().sum::<i32>() as f32 * 0.125);
    assert_eq!(device.read_floats(mixed), sums.collect::<Vec<_>>());
}

#[test]
fn integers_agree_with_the_host() {
    let device = Device::compute(Options::default());
    let mut a: Vec<u32> =
        random(64, 14).iter().map(|value| value.to_bits().rotate_left(13)).collect();
    let mut b: Vec<u32> =
        random(64, 15).iter().map(|value| value.to_bits().rotate_left(5)).collect();
    a[..6].copy_from_slice(&[0, 1, u32::MAX, 0x8000_0000, 5, 5]);
    b[..6].copy_from_slice(&[0, u32::MAX, 1, 0x8000_0001, 5, 6]);
    let out = device.unset(64 * 64);
    let arguments = [device.words(&a).into(), device.words(&b).into(), out.into()];
    device.run("integers", [1, 64, 0], &arguments);
    for ((x, y), found) in a.into_iter().zip(b).zip(device.read_words(out).chunks(16)) {
        let (s, t) = (x.cast_signed(), y.cast_signed());
        let odd = (y | 1).cast_signed();
        let both = (u64::from(y) << 32) | u64::from(x);
        let bytes = [x.to_le_bytes(), y.to_le_bytes()].concat();
        let first_set = if x == 0 { 0 } else { x.trailing_zeros() + 1 };
        let wanted = [
            (x / (y | 1)).wrapping_add(x % (y | 1)),
            (s.wrapping_div(odd) ^ s.wrapping_rem(odd)).cast_unsigned(),
            ((u64::from(x) * u64::from(y)) >> 32) as u32,
            ((i64::from(s) * i64::from(t)) >> 32) as u32,
            x.count_ones() + x.leading_zeros() * 64 + first_set * 4096,
            u32::from_le_bytes([bytes[1], bytes[5], bytes[3], bytes[7]]),
            ((both << 13) >> 32) as u32 ^ y,
            (s >> (y & 31)).cast_unsigned() ^ x << (y & 15) ^ x >> (y & 7),
            ((u64::from(x) * u64::from(y)) >> 17) as u32,
            ((i64::from(s) << 20) / i64::from(y | 1)) as u32,
            (x & 7) * (x & 7),
            x & y | !x & 0x0f0f_0f0f | (x ^ y) << 1,
            s.min(t).cast_unsigned() ^ x.max(y),
            i32::from(x as i16)
                .wrapping_add(i32::from(y as u8))
                .wrapping_add(i32::from((x >> 8) as i8))
                .cast_unsigned(),
            x.reverse_bits().wrapping_add(x >> 9 & 0x1f),
            if s < t {
                if x < y { 1 } else { 2 }
            } else if x == y {
                3
            } else {
                4
            },
        ];
        assert_eq!(found, wanted, "{x:#x} {y:#x}");
    }
}

#[test]
fn floats_agree_with_the_host() {
    let (a, b) = (random(64, 16), random(64, 17));
    for seed in 0..4 {
        let approximation =
            if seed == 0 { Approximation::Exact } else { Approximation::Seeded(seed) };
        let device = Device::compute(Options { approximation, ..Options::default() });
        let out = device.unset(64 * 64);
        let arguments = [device.floats(&a).into(), device.floats(&b).into(), out.into()];
        device.run("floats", [1, 64, 0], &arguments);
        for ((x, y), found) in a.iter().zip(&b).zip(device.read_floats(out).chunks(16)) {
            let (x, y) = (*x, *y);
            let (h, g) = (half::f16::from_f32(x), half::f16::from_f32(y));
            let of = |value: f64| half::f16::from_f64(value).to_f32();
            let (hd, gd) = (h.to_f64(), g.to_f64());
            let exact = [
                x + y,
                x.mul_add(y, x),
                x / y,
                x.abs().sqrt(),
                of(hd + gd),
                of(hd * gd),
                of(hd * gd + hd),
                of(hd * hd + hd) + of(gd + gd),
                x.min(y) - x.max(y),
                x.round_ties_even() + y.floor() + x.trunc() + y.ceil(),
                x.trunc() + y.abs().trunc(),
                (f64::from(x) * f64::from(y) + 1.0) as f32,
            ];
            assert_eq!(found[..12], exact, "{x} {y}");
            let wide = [
                1.0 / f64::from(x.abs()).sqrt(),
                f64::from(y).exp2(),
                1.0 / (1.0 + (-f64::from(x)).exp()),
                f64::from(x) / f64::from(y),
            ];
            for (found, wanted) in found[12..].iter().zip(wide) {
                // The operand of exp is rounded before it is doubled.
                let error = (f64::from(*found) / wanted - 1.0).abs();
                assert!(error < 6.0 * 2f64.powi(-23), "{x} {y}: {found} {wanted}");
            }
        }
    }
}
