//! Each kernel against the same formula in f64, and a row against itself in another batch.
//!
//! Needs a driver: that of a GPU, or the software GPU of `tests/cuda_standin` on the loader's path.

use gpu::{
    Activation, Attention, Bias, Buffer, Cache, Destination, DeviceName, Driver, Embed, Fork, Form,
    Gate, Gpu, Graph, Kernels, Keys, NextTokens, Norm, Positions, Product, Split, Storage,
    TileProduct, Weights,
};
use std::sync::Arc;

const STORAGES: [Storage; 4] = [Storage::F32, Storage::F16, Storage::Bf16, Storage::Int8];

fn kernels() -> Kernels {
    let driver = Driver::load().expect("a driver");
    Kernels::load(&driver.open(&DeviceName::Ordinal(0)).unwrap()).unwrap()
}

/// Values between -1 and 1, of a linear congruential generator (Knuth's MMIX).
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// `x W^T`, `[rows, outputs]`.
fn product(x: &[f32], weights: &[f32], inputs: usize) -> Vec<f64> {
    let dot = |row: &[f32], of: &[f32]| -> f64 {
        row.iter().zip(of).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
    };
    let rows = x.chunks_exact(inputs);
    rows.flat_map(|row| weights.chunks_exact(inputs).map(move |of| dot(row, of))).collect()
}

fn normed(x: &[f32], gain: &[f32], epsilon: f64) -> Vec<f32> {
    let norm = |row: &[f32]| -> Vec<f32> {
        let mean = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / row.len() as f64;
        let scale = (mean + epsilon).sqrt().recip();
        let scaled = row.iter().zip(gain).map(|(x, gain)| f64::from(*x) * scale * f64::from(*gain));
        scaled.map(|x| x as f32).collect()
    };
    x.chunks_exact(gain.len()).flat_map(norm).collect()
}

/// `(x - mean) / deviation * gain + bias`.
fn layer_normed(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f64) -> Vec<f32> {
    let norm = |row: &[f32]| -> Vec<f32> {
        let count = row.len() as f64;
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count;
        let scale = (variance + epsilon).sqrt().recip();
        let affine = gain.iter().zip(bias).map(|(gain, bias)| (f64::from(*gain), f64::from(*bias)));
        let all = row.iter().zip(affine);
        all.map(|(x, (gain, bias))| ((f64::from(*x) - mean) * scale * gain + bias) as f32).collect()
    };
    x.chunks_exact(gain.len()).flat_map(norm).collect()
}

fn as_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Without norm, factor and bias.
fn plain<'a>(
    x: &'a Buffer<f32>,
    rows: usize,
    weights: &'a Weights,
    to: Destination<'a>,
) -> Product<'a> {
    Product { x, rows, norm: None, factor: 1.0, kept: None, weights, bias: None, to }
}

fn assert_close(found: &[f32], expected: &[f64], bound: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= bound, "{what} at {place}: {found} instead of {expected}");
    }
}

/// How far a sum of 200 products of numbers up to 1 can be from that with unrounded weights.
fn bound(storage: Storage) -> f64 {
    match storage {
        Storage::F32 => 2e-5,
        Storage::F16 => 0.02,
        Storage::Bf16 => 0.15,
        Storage::Int8 => 0.2,
    }
}

fn upload(gpu: &Arc<Gpu>, values: &[f32]) -> Buffer<f32> {
    Buffer::from_slice(gpu, values).unwrap()
}

fn zeros(gpu: &Arc<Gpu>, len: usize) -> Buffer<f32> {
    Buffer::zeroed(gpu, len).unwrap()
}

#[test]
#[ignore = "needs a CUDA driver"]
fn products_of_a_step_are_right_and_do_not_depend_on_the_batch() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    for (inputs, outputs) in [(48, 20), (200, 9)] {
        let (x, w) = (values(1, 9 * inputs), values(2, outputs * inputs));
        let x_there = upload(gpu, &x);
        for storage in STORAGES {
            let weights = Weights::new(gpu, storage, inputs, &w).unwrap();
            let run = |rows: usize| {
                let mut to = zeros(gpu, rows * outputs);
                let to_there = Destination::Store(&mut to, Activation::Identity);
                kernels.product(plain(&x_there, rows, &weights, to_there)).unwrap();
                to.read(0..rows * outputs).unwrap()
            };
            let all = run(9);
            let expected = product(&x, &w, inputs);
            assert_close(&all, &expected, bound(storage), &format!("{storage:?} {inputs}"));
            for rows in [1, 3, 4, 5, 8] {
                assert_eq!(run(rows), all[..rows * outputs], "{storage:?} {inputs} {rows} rows");
            }
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn a_fused_norm_is_the_norm_and_activations_and_gates_follow() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (inputs, outputs, rows) = (48, 12, 3);
    let (x, w) = (values(3, rows * inputs), values(4, 2 * outputs * inputs));
    let gain = values(5, inputs);
    let (x_there, gain_there) = (upload(gpu, &x), upload(gpu, &gain));
    let norm = Norm { gain: &gain_there, bias: None, epsilon: 0.125 };
    let mut between = zeros(gpu, rows * inputs);
    kernels.norm(&x_there, rows, norm, &mut between).unwrap();
    let between = between.read(0..rows * inputs).unwrap();
    let expected = normed(&x, &gain, 0.125);
    assert_close(&between, &as_f64(&expected), 1e-6, "norm");

    let weights = Weights::new(gpu, Storage::F32, inputs, &w).unwrap();
    let fused = |to: Destination<'_>, factor| {
        let product = plain(&x_there, rows, &weights, to);
        kernels.product(Product { norm: Some(norm), factor, ..product }).unwrap();
    };
    let sums: Vec<f64> = product(&expected, &w, inputs).iter().map(|sum| sum * 0.5).collect();
    type Function = fn(f64) -> f64;
    let functions: [(Activation, Function); 3] = [
        (Activation::Identity, |x| x),
        (Activation::Relu, |x| x.max(0.0)),
        (Activation::GeluTanh, |x| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }),
    ];
    for (activation, function) in functions {
        let mut to = zeros(gpu, rows * 2 * outputs);
        fused(Destination::Store(&mut to, activation), 0.5);
        let activated: Vec<f64> = sums.iter().map(|sum| function(*sum)).collect();
        let found = to.read(0..rows * 2 * outputs).unwrap();
        assert_close(&found, &activated, 2e-5, &format!("{activation:?}"));

        let mut gated = zeros(gpu, rows * outputs);
        fused(Destination::Gate(&mut gated, activation), 0.5);
        let expected: Vec<f64> = sums
            .chunks_exact(2 * outputs)
            .flat_map(|row| (0..outputs).map(|n| function(row[n]) * row[outputs + n]))
            .collect();
        let gated = gated.read(0..rows * outputs).unwrap();
        assert_close(&gated, &expected, 5e-5, &format!("gated {activation:?}"));

        // The same on sums that are there already.
        let raw: Vec<f32> = sums.iter().map(|sum| *sum as f32).collect();
        let mut apart = zeros(gpu, rows * outputs);
        let x = &upload(gpu, &raw);
        let gate = Gate { x, rows, width: outputs, form: Form::Gated, activation };
        kernels.gate(&gate, &mut apart).unwrap();
        let apart = apart.read(0..rows * outputs).unwrap();
        assert_close(&apart, &expected, 5e-5, &format!("gate {activation:?}"));
    }
    let mut added = upload(gpu, &vec![1.0; rows * 2 * outputs]);
    fused(Destination::Add(&mut added), 0.5);
    let expected: Vec<f64> = sums.iter().map(|sum| sum + 1.0).collect();
    assert_close(&added.read(0..rows * 2 * outputs).unwrap(), &expected, 2e-5, "added");
}

/// The layers of BART: a norm with a bias, whose result is what the next sum adds to.
#[test]
#[ignore = "needs a CUDA driver"]
fn a_layer_norm_is_kept_for_the_sum_and_every_product_has_its_bias() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    // Several groups of rows and of outputs.
    let (inputs, outputs, rows) = (50, 20, 11);
    let x: Vec<f32> = values(13, rows * inputs).iter().map(|x| x + 3.0).collect();
    let (gain, norm_bias) = (values(14, inputs), values(15, inputs));
    let (w, bias) = (values(16, outputs * inputs), values(17, outputs));
    let x_there = upload(gpu, &x);
    let (gain_there, norm_bias_there) = (upload(gpu, &gain), upload(gpu, &norm_bias));
    let norm = Norm { gain: &gain_there, bias: Some(&norm_bias_there), epsilon: 1e-5 };
    let expected = layer_normed(&x, &gain, &norm_bias, 1e-5);
    let mut apart = zeros(gpu, rows * inputs);
    kernels.norm(&x_there, rows, norm, &mut apart).unwrap();
    let apart = apart.read(0..rows * inputs).unwrap();
    assert_close(&apart, &as_f64(&expected), 5e-6, "norm");

    let sums: Vec<f64> = product(&expected, &w, inputs)
        .iter()
        .zip(bias.iter().cycle())
        .map(|(sum, bias)| sum + f64::from(*bias))
        .collect();
    let bias_there = upload(gpu, &bias);
    for storage in STORAGES {
        let weights = Weights::new(gpu, storage, inputs, &w).unwrap();
        let (mut to, mut kept) = (zeros(gpu, rows * outputs), zeros(gpu, rows * inputs));
        let fused =
            plain(&x_there, rows, &weights, Destination::Store(&mut to, Activation::Identity));
        let (norm, bias) = (Some(norm), Some(&bias_there));
        kernels.product(Product { norm, kept: Some(&mut kept), bias, ..fused }).unwrap();
        let found = to.read(0..rows * outputs).unwrap();
        // Normed rows are larger than those of the bound.
        let most = 3.0 * bound(storage);
        assert_close(&found, &sums, most, &format!("{storage:?}"));
        let found = kept.read(0..rows * inputs).unwrap();
        assert_close(&found, &as_f64(&expected), 5e-6, &format!("kept {storage:?}"));

        let halves = sums.chunks_exact(outputs).flat_map(|row| {
            let (first, second) = row.split_at(outputs / 2);
            first.iter().zip(second).map(|(first, second)| first.max(0.0) * second)
        });
        let halves: Vec<f64> = halves.collect();
        let mut gated = zeros(gpu, rows * outputs / 2);
        let to = Destination::Gate(&mut gated, Activation::Relu);
        kernels.product(Product { bias, ..plain(&kept, rows, &weights, to) }).unwrap();
        let found = gated.read(0..rows * outputs / 2).unwrap();
        assert_close(&found, &halves, 12.0 * most, &format!("gated {storage:?}"));

        let residual = values(18, rows * outputs);
        let residual_there = upload(gpu, &residual);
        let mut to = zeros(gpu, rows * outputs);
        let to_there = Destination::Sum { to: &mut to, residual: &residual_there };
        kernels.product(Product { bias, ..plain(&kept, rows, &weights, to_there) }).unwrap();
        let with_residual: Vec<f64> =
            sums.iter().zip(&residual).map(|(sum, other)| sum + f64::from(*other)).collect();
        let found = to.read(0..rows * outputs).unwrap();
        assert_close(&found, &with_residual, most, &format!("sum {storage:?}"));

        for rounds in [false, storage == Storage::F16] {
            let many = TileProduct { x: &kept, rows, weights: &weights, bias, rounds };
            let mut to = upload(gpu, &residual);
            kernels.tile_add(&many, &mut to).unwrap();
            let found = to.read(0..rows * outputs).unwrap();
            assert_close(&found, &with_residual, most, &format!("tile {storage:?} {rounds}"));
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn gelu_is_that_of_the_error_function() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let x = [-6.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 40.0];
    let expected = [
        -5.919_526_3e-9,
        -0.158_655_25,
        -0.154_268_77,
        0.0,
        0.345_731_23,
        0.841_344_75,
        2.995_950_3,
        40.0,
    ];
    let mut to = zeros(gpu, 8);
    let x = &upload(gpu, &x);
    let (form, activation) = (Form::Plain, Activation::Gelu);
    kernels.gate(&Gate { x, rows: 1, width: 8, form, activation }, &mut to).unwrap();
    assert_close(&to.read(0..8).unwrap(), &expected, 1e-6, "gelu");
}

#[test]
#[ignore = "needs a CUDA driver"]
fn products_of_many_rows_are_right_in_every_storage() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (inputs, outputs, rows) = (200, 70, 67);
    let (x, w) = (values(6, rows * inputs), values(7, outputs * inputs));
    let expected = product(&x, &w, inputs);
    let x_there = upload(gpu, &x);
    for (storage, rounds) in
        STORAGES.map(|storage| (storage, false)).into_iter().chain([(Storage::F16, true)])
    {
        let weights = Weights::new(gpu, storage, inputs, &w).unwrap();
        let run = |rows: usize| {
            let mut to = zeros(gpu, rows * outputs);
            let product = TileProduct { x: &x_there, rows, weights: &weights, bias: None, rounds };
            kernels.tile_store(&product, &mut to).unwrap();
            kernels.tile_add(&product, &mut to).unwrap();
            to.read(0..rows * outputs).unwrap()
        };
        let all = run(rows);
        let twice: Vec<f64> = expected.iter().map(|sum| 2.0 * sum).collect();
        assert_close(&all, &twice, 2.0 * bound(storage), &format!("{storage:?} {rounds}"));
        assert_eq!(run(3), all[..3 * outputs], "{storage:?} {rounds}");
    }
}

/// Attention in f64 of one query over `keys` and `values`, `[count, width]`.
fn attended(query: &[f32], keys: &[f32], values: &[f32], bias: impl Fn(usize) -> f64) -> Vec<f64> {
    let scores = product(query, keys, query.len());
    let scores: Vec<f64> =
        scores.iter().enumerate().map(|(key, score)| score + bias(key)).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    let of = |d: usize| {
        let rows = values.chunks_exact(query.len()).zip(&weights);
        rows.map(|(row, weight)| f64::from(row[d]) * weight).sum::<f64>() / total
    };
    (0..query.len()).map(of).collect()
}

#[test]
#[ignore = "needs a CUDA driver"]
fn projections_fill_caches_and_queries_attend_to_them() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (heads, width, inputs, layer) = (2, 12, 48, 1);
    let inner = heads * width;
    let w = values(8, 3 * inner * inputs);
    let weights = Weights::new(gpu, Storage::F32, inputs, &w).unwrap();
    // Two rows with 5 and 2 tokens, which lie at places 7 and 0 of the cache.
    let lengths = [5usize, 2];
    let first = Buffer::from_slice(gpu, &[7, 0]).unwrap();
    for (storage, most_error) in [(Storage::F32, 2e-5), (Storage::F16, 2e-2)] {
        let mut cache = Cache::new(gpu, storage, 2, 2 * inner).unwrap();
        cache.grow(gpu, 3).unwrap();
        cache.grow(gpu, 12).unwrap();
        let x = values(9, 2 * 5 * inputs);
        let of = |row: usize, token: usize| &x[(row * 5 + token) * inputs..][..inputs];
        let mut queries = zeros(gpu, 2 * inner);
        for token in 0..5 {
            // The shorter row starts when the longer one has three tokens.
            let place = |row: usize| (token + lengths[row]).checked_sub(5);
            let position = [0, 1].map(|row| place(row).map_or(0, |at| i32::try_from(at).unwrap()));
            let position = Buffer::from_slice(gpu, &position).unwrap();
            let fed = [of(0, token), of(1, place(1).unwrap_or(0))].concat();
            let to = Destination::Split(Split {
                queries: &mut queries,
                cache: &mut cache,
                layer,
                first: &first,
                position: &position,
            });
            kernels.product(plain(&upload(gpu, &fed), 2, &weights, to)).unwrap();
        }
        let bias = values(10, heads * 6);
        let bias_there = upload(gpu, &bias);
        let position = Buffer::from_slice(gpu, &[4, 1]).unwrap();
        let mut to = zeros(gpu, 2 * inner);
        let attention = Attention {
            queries: &queries,
            keys: Keys::Cache(&cache, layer),
            rows: 2,
            heads,
            width,
            first: &first,
            count: &position,
            more: 1,
            most_keys: 6,
            bias: Some(Bias { values: &bias_there, offsets: 6, zero: 5, position: &position }),
        };
        kernels.attend(&attention, &mut to).unwrap();
        let found = to.read(0..2 * inner).unwrap();
        for (row, length) in lengths.into_iter().enumerate() {
            let tokens: Vec<f32> = (0..length).flat_map(|token| of(row, token).to_vec()).collect();
            let sums = product(&tokens, &w, inputs);
            for head in 0..heads {
                let part = |token: usize, which: usize| -> Vec<f32> {
                    let start = token * 3 * inner + which * inner + head * width;
                    sums[start..start + width].iter().map(|x| *x as f32).collect()
                };
                let all =
                    |which| -> Vec<f32> { (0..length).flat_map(|t| part(t, which)).collect() };
                let bias = |key: usize| f64::from(bias[head * 6 + 5 + key + 1 - length]);
                let expected = attended(&part(length - 1, 0), &all(1), &all(2), bias);
                let found = &found[row * inner + head * width..][..width];
                assert_close(found, &expected, most_error, &format!("{storage:?} {row} {head}"));
            }
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn packed_prompts_attend_to_themselves_alone() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (heads, width) = (2, 40);
    let inner = heads * width;
    let lengths = [3usize, 6];
    let projected = values(11, 9 * 3 * inner);
    let ints = |values: [i32; 9]| Buffer::from_slice(gpu, &values).unwrap();
    let mut to = zeros(gpu, 9 * inner);
    let attention = Attention {
        queries: &upload(gpu, &projected),
        keys: Keys::Projected,
        rows: 9,
        heads,
        width,
        first: &ints([0, 0, 0, 3, 3, 3, 3, 3, 3]),
        count: &ints([3, 3, 3, 6, 6, 6, 6, 6, 6]),
        more: 0,
        most_keys: 6,
        bias: None,
    };
    kernels.attend(&attention, &mut to).unwrap();
    let found = to.read(0..9 * inner).unwrap();
    let mut start = 0;
    for length in lengths {
        for row in start..start + length {
            for head in 0..heads {
                let part = |row: usize, which: usize| {
                    projected[row * 3 * inner + which * inner + head * width..][..width].to_vec()
                };
                let all = |which| -> Vec<f32> {
                    (start..start + length).flat_map(|r| part(r, which)).collect()
                };
                let expected = attended(&part(row, 0), &all(1), &all(2), |_| 0.0);
                let found = &found[row * inner + head * width..][..width];
                assert_close(found, &expected, 1e-5, &format!("token {row}, head {head}"));
            }
        }
        start += length;
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn the_next_token_is_the_lowest_of_the_best_and_a_nan_wins() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let vocabulary = 300;
    let mut logits = vec![-1.0f32; 4 * vocabulary];
    logits[270] = 2.0;
    logits[30] = 2.0;
    logits[vocabulary + 299] = 5.0;
    logits[2 * vocabulary + 7] = f32::NAN;
    logits[2 * vocabulary + 3] = f32::INFINITY;
    logits[3 * vocabulary..].fill(f32::NEG_INFINITY);
    let mut tokens: Buffer<i32> = Buffer::zeroed(gpu, 4).unwrap();
    let mut best = zeros(gpu, 4);
    let mut position = Buffer::from_slice(gpu, &[0, 5, 6, 7]).unwrap();
    let logits = upload(gpu, &logits);
    let next = NextTokens { tokens: &mut tokens, best: &mut best, position: &mut position };
    kernels.choose(&logits, 4, vocabulary, next).unwrap();
    assert_eq!(tokens.read(0..4).unwrap(), [30, 299, 7, 0]);
    let best = best.read(0..4).unwrap();
    assert_eq!((best[0], best[1], best[3]), (2.0, 5.0, f32::NEG_INFINITY));
    assert!(best[2].is_nan());
    assert_eq!(position.read(0..4).unwrap(), [1, 6, 7, 8]);
}

#[test]
#[ignore = "needs a CUDA driver"]
fn embeddings_are_looked_up_and_graphs_repeat_what_was_recorded() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (vocabulary, width) = (7, 20);
    let table = values(12, vocabulary * width);
    for storage in [Storage::F32, Storage::F16, Storage::Bf16] {
        let embedding = Weights::new(gpu, storage, width, &table).unwrap();
        let mut tokens = Buffer::from_slice(gpu, &[6, 0]).unwrap();
        let mut to = zeros(gpu, 2 * width);
        let mut graph = Graph::record(gpu, || {
            let (tokens, embedding) = (&tokens, &embedding);
            let embed = Embed { tokens, embedding, rows: 2, scale: 1.0, positions: None };
            kernels.embed(&embed, &mut to)
        })
        .unwrap();
        assert_eq!(graph.nodes(), 1);
        assert_eq!(to.read(0..2 * width).unwrap(), vec![0.0; 2 * width], "recorded only");
        for ids in [[6, 0], [2, 5]] {
            tokens.write(0, &ids.map(|id| i32::try_from(id).unwrap())).unwrap();
            graph.launch().unwrap();
            let expected: Vec<f64> = ids
                .iter()
                .flat_map(|id: &usize| table[id * width..][..width].iter().map(|x| f64::from(*x)))
                .collect();
            let found = to.read(0..2 * width).unwrap();
            assert_close(&found, &expected, 0.05 * bound(storage), &format!("{storage:?}"));
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn embeddings_are_scaled_and_positions_added() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (vocabulary, width) = (7, 20);
    let (embedding, table) = (values(19, vocabulary * width), values(20, 9 * width));
    let weights = Weights::new(gpu, Storage::F32, width, &embedding).unwrap();
    let mut to = zeros(gpu, 2 * width);
    kernels
        .embed(
            &Embed {
                tokens: &Buffer::from_slice(gpu, &[6, 2]).unwrap(),
                embedding: &weights,
                rows: 2,
                scale: 5.5,
                positions: Some(Positions {
                    table: &upload(gpu, &table),
                    position: &Buffer::from_slice(gpu, &[8, 0]).unwrap(),
                }),
            },
            &mut to,
        )
        .unwrap();
    let expected: Vec<f64> = [(6, 8), (2, 0)]
        .into_iter()
        .flat_map(|(id, at)| embedding[id * width..][..width].iter().zip(&table[at * width..]))
        .map(|(token, position)| 5.5 * f64::from(*token) + f64::from(*position))
        .collect();
    assert_close(&to.read(0..2 * width).unwrap(), &expected, 1e-6, "with positions");
}

#[test]
#[ignore = "needs a CUDA driver"]
fn forked_places_are_copied_in_every_layer() {
    let kernels = kernels();
    let gpu = kernels.gpu();
    let (layers, width, inputs) = (2, 4, 4);
    let identity: Vec<f32> = (0..16).map(|at| if at % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let weights = Weights::new(gpu, Storage::F32, inputs, &identity).unwrap();
    let mut cache = Cache::new(gpu, Storage::F16, layers, width).unwrap();
    cache.grow(gpu, 8).unwrap();
    let x = upload(gpu, &(0..12u8).map(f32::from).collect::<Vec<_>>());
    let places = Buffer::from_slice(gpu, &[2, 0, 1]).unwrap();
    for layer in 0..layers {
        let product = TileProduct { x: &x, rows: 3, weights: &weights, bias: None, rounds: false };
        kernels.tile_cache(&product, &mut cache, layer, &places).unwrap();
    }
    let ints = |value: i32| Buffer::from_slice(gpu, &[value]).unwrap();
    let fork = Fork { copies: 1, from: &ints(1), to: &ints(5), count: &ints(2) };
    kernels.fork(&mut cache, layers, &fork).unwrap();
    // What a query sees of one place is its value: the second half of the place.
    for layer in 0..layers {
        for (place, expected) in
            [(5, [10.0, 11.0]), (6, [2.0, 3.0]), (0, [6.0, 7.0]), (7, [0.0, 0.0])]
        {
            let mut to = zeros(gpu, 2);
            let attention = Attention {
                queries: &zeros(gpu, 2),
                keys: Keys::Cache(&cache, layer),
                rows: 1,
                heads: 1,
                width: 2,
                first: &ints(place),
                count: &ints(1),
                more: 0,
                most_keys: 1,
                bias: None,
            };
            kernels.attend(&attention, &mut to).unwrap();
            let found = to.read(0..2).unwrap();
            assert_close(&found, &expected, 1e-5, &format!("layer {layer}, place {place}"));
        }
    }
}
