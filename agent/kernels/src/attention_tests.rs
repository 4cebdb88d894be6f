//! Attention against a plain version, on every instruction set of this machine.

use super::*;
use crate::cache::{Appended, Cache, Step};
use crate::dispatch::InstructionSet;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn random_rows(seed: u64, count: usize, width: usize) -> Rows {
    let mut numbers = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Rows::new(width);
    rows.resize(count);
    for row in 0..count {
        rows.row_mut(row).fill_with(|| numbers.random::<f32>() * 4.0 - 2.0);
    }
    rows
}

fn random_bias(seed: u64, heads: usize, before: usize, after: usize) -> Bias {
    let mut numbers = ChaCha8Rng::seed_from_u64(seed);
    let offsets = before + 1 + after;
    let values = (0..heads * offsets).map(|_| numbers.random::<f32>() * 3.0).collect();
    Bias { values, offsets, zero: before }
}

/// One head's attention of one query, in f64.
fn plain(query: &[f32], keys: &[&[f32]], values: &[&[f32]], bias: &[f32]) -> Vec<f64> {
    let scores: Vec<f64> = keys
        .iter()
        .zip(bias)
        .map(|(key, bias)| {
            let products = query.iter().zip(*key).map(|(q, k)| f64::from(*q) * f64::from(*k));
            products.sum::<f64>() + f64::from(*bias)
        })
        .collect();
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    (0..query.len())
        .map(|place| {
            let terms = weights.iter().zip(values).map(|(w, value)| w * f64::from(value[place]));
            terms.sum::<f64>() / sum
        })
        .collect()
}

fn close(found: &[f32], expected: &[f64], most: f64) -> bool {
    found.iter().zip(expected).all(|(found, expected)| (f64::from(*found) - expected).abs() < most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn sequences_attend_to_themselves_alone(
        lengths in prop::collection::vec(1_usize..70, 1..4), count in 1_usize..4, width in 1_usize..70,
        seed in any::<u64>(),
    ) {
        let heads = Heads { count, width };
        let inner = count * width;
        let tokens: usize = lengths.iter().sum();
        let projected = random_rows(seed, tokens, 3 * inner);
        let bias = random_bias(seed, count, 80, 80);
        let mut start = 0;
        let sequences: Vec<Range<usize>> = lengths.iter().map(|length| {
            start += length;
            start - length..start
        }).collect();
        for set in InstructionSet::detect() {
            let kernels = Kernels::new(Dispatch::with(set).unwrap(), 2);
            let mut result = Rows::new(inner);
            let zeros = Bias { values: vec![0.0; bias.values.len()], ..bias };
            kernels.attend_within(&projected, &sequences, heads, Some(&zeros), &mut result);
            let mut without = Rows::new(inner);
            kernels.attend_within(&projected, &sequences, heads, None, &mut without);
            for row in 0..tokens {
                prop_assert_eq!(without.row(row), result.row(row), "{:?}", set);
            }
            kernels.attend_within(&projected, &sequences, heads, Some(&bias), &mut result);
            for sequence in &sequences {
                for (position, row) in sequence.clone().enumerate() {
                    for head in 0..count {
                        let part = |row: usize, third: usize| {
                            let start = third * inner + head * width;
                            &projected.row(row)[start..start + width]
                        };
                        let keys: Vec<_> = sequence.clone().map(|row| part(row, 1)).collect();
                        let values: Vec<_> = sequence.clone().map(|row| part(row, 2)).collect();
                        let bias = bias.of(head, position, sequence.len());
                        let expected = plain(part(row, 0), &keys, &values, bias);
                        let found = &result.row(row)[head * width..(head + 1) * width];
                        prop_assert!(close(found, &expected, 1e-4), "{set:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_cache_sees_every_step_before_and_rows_may_leave(
        rows in 1_usize..6, steps in 1_usize..40, count in 1_usize..4, width in 1_usize..70,
        seed in any::<u64>(),
    ) {
        let heads = Heads { count, width };
        let inner = count * width;
        let bias = random_bias(seed, count, steps, 0);
        let taken: Vec<Rows> =
            (0..steps).map(|step| random_rows(seed ^ step as u64, rows, 3 * inner)).collect();
        // From the middle on, only the last row is left.
        let leaves = steps / 2;
        for (set, storage, most) in InstructionSet::detect().into_iter().flat_map(|set| {
            [(set, Storage::F32, 1e-4), (set, Storage::F16, 2e-2)]
        }) {
            let dispatch = Dispatch::with(set).unwrap();
            let kernels = Kernels::new(dispatch, 2);
            let mut cache = Cache::new(dispatch, storage, 2, heads);
            cache.add_rows((0..rows).map(|_| steps));
            let mut result = Rows::new(inner);
            for (position, all) in taken.iter().enumerate() {
                let mut projected = Rows::new(3 * inner);
                let alive = if position < leaves { 0..rows } else { rows - 1..rows };
                if position == leaves {
                    cache.retain_rows(&[rows - 1]);
                }
                projected.resize(alive.len());
                for (row, source) in alive.clone().enumerate() {
                    projected.row_mut(row).copy_from_slice(all.row(source));
                }
                let appended = Some(Appended { keys: inner, values: 2 * inner });
                let positions = vec![position; projected.count()];
                let sequences = one_each(projected.count());
                let step = Step {
                    layer: 1, sequences: &sequences, projected: &projected, appended, bias: Some(&bias),
                    positions: &positions,
                };
                kernels.attend_cached(&mut cache, &step, &mut result);
                for (row, source) in alive.enumerate() {
                    for head in 0..count {
                        let part = |step: usize, third: usize| {
                            let start = third * inner + head * width;
                            &taken[step].row(source)[start..start + width]
                        };
                        let keys: Vec<_> = (0..=position).map(|step| part(step, 1)).collect();
                        let values: Vec<_> = (0..=position).map(|step| part(step, 2)).collect();
                        let bias = bias.of(head, position, position + 1);
                        let expected = plain(part(position, 0), &keys, &values, bias);
                        let found = &result.row(row)[head * width..(head + 1) * width];
                        prop_assert!(close(found, &expected, most), "{set:?} {storage:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_may_come_at_any_time_and_see_what_they_would_see_alone(
        stays in proptest::collection::vec((0_usize..12, 1_usize..12), 1..10), count in 1_usize..4,
        width in 1_usize..40, seed in any::<u64>(),
    ) {
        let heads = Heads { count, width };
        let inner = count * width;
        let bias = random_bias(seed, count, 12, 0);
        for (set, storage) in InstructionSet::detect().into_iter().flat_map(|set| {
            [(set, Storage::F32), (set, Storage::F16)]
        }) {
            let dispatch = Dispatch::with(set).unwrap();
            let kernels = Kernels::new(dispatch, 2);
            let projected = |of: usize, position: usize| {
                random_rows(seed ^ (of * 100 + position) as u64, 1, 3 * inner)
            };
            let appended = Some(Appended { keys: inner, values: 2 * inner });
            // Each stays for as many steps as it has room for.
            let alone: Vec<Vec<Rows>> = stays.iter().enumerate().map(|(of, (_, steps))| {
                let mut cache = Cache::new(dispatch, storage, 1, heads);
                cache.add_rows([*steps].into_iter());
                (0..*steps).map(|position| {
                    let mut result = Rows::new(inner);
                    let (projected, positions) = (projected(of, position), [position]);
                    let bias = Some(&bias);
                    let sequences = one_each(1);
                    let step = Step {
                        layer: 0, sequences: &sequences, projected: &projected, appended, bias,
                        positions: &positions,
                    };
                    kernels.attend_cached(&mut cache, &step, &mut result);
                    result
                }).collect()
            }).collect();
            let mut cache = Cache::new(dispatch, storage, 1, heads);
            let mut live: Vec<(usize, usize)> = Vec::new();
            let mut result = Rows::new(inner);
            for moment in 0..24 {
                let come: Vec<usize> =
                    (0..stays.len()).filter(|of| stays[*of].0 == moment).collect();
                cache.add_rows(come.iter().map(|of| stays[*of].1));
                live.extend(come.into_iter().map(|of| (of, 0)));
                let mut batched = Rows::new(3 * inner);
                batched.resize(live.len());
                for (row, (of, position)) in live.iter().enumerate() {
                    batched.row_mut(row).copy_from_slice(projected(*of, *position).row(0));
                }
                let positions: Vec<usize> = live.iter().map(|(_, position)| *position).collect();
                let bias = Some(&bias);
                let sequences = one_each(live.len());
                let step = Step {
                    layer: 0, sequences: &sequences, projected: &batched, appended, bias,
                    positions: &positions,
                };
                kernels.attend_cached(&mut cache, &step, &mut result);
                for (row, (of, position)) in live.iter().enumerate() {
                    prop_assert_eq!(result.row(row), alone[*of][*position].row(0));
                }
                for (_, position) in &mut live {
                    *position += 1;
                }
                let kept: Vec<usize> = (0..live.len())
                    .filter(|row| live[*row].1 < stays[live[*row].0].1)
                    .collect();
                cache.retain_rows(&kept);
                live = kept.into_iter().map(|row| live[row]).collect();
            }
        }
    }

    /// Each step continues some of the rows, in any order and number, and drops the others.
    #[test]
    fn forked_rows_see_what_each_of_them_would_see_alone(
        choices in proptest::collection::vec(proptest::collection::vec(0_usize..5, 1..6), 1..36),
        count in 1_usize..3, width in 1_usize..40, seed in any::<u64>(),
    ) {
        let heads = Heads { count, width };
        let inner = count * width;
        let steps = choices.len();
        let bias = random_bias(seed, count, steps, 0);
        let appended = Some(Appended { keys: inner, values: 2 * inner });
        for (set, storage) in InstructionSet::detect().into_iter().flat_map(|set| {
            [(set, Storage::F32), (set, Storage::F16)]
        }) {
            let dispatch = Dispatch::with(set).unwrap();
            let kernels = Kernels::new(dispatch, 2);
            let mut cache = Cache::new(dispatch, storage, 1, heads);
            cache.add_rows([steps].into_iter());
            // What each row was fed so far.
            let mut fed: Vec<Vec<Rows>> = vec![Vec::new()];
            let mut result = Rows::new(inner);
            for (position, choice) in choices.iter().enumerate() {
                let mut projected = Rows::new(3 * inner);
                projected.resize(fed.len());
                for (row, fed) in fed.iter_mut().enumerate() {
                    let own = random_rows(seed ^ (position * 100 + row) as u64, 1, 3 * inner);
                    projected.row_mut(row).copy_from_slice(own.row(0));
                    fed.push(own);
                }
                let positions = vec![position; fed.len()];
                let sequences = one_each(fed.len());
                let step = Step {
                    layer: 0, sequences: &sequences, projected: &projected, appended, bias: Some(&bias),
                    positions: &positions,
                };
                kernels.attend_cached(&mut cache, &step, &mut result);
                for (row, fed) in fed.iter().enumerate() {
                    for head in 0..count {
                        let part = |step: usize, third: usize| {
                            let start = third * inner + head * width;
                            &fed[step].row(0)[start..start + width]
                        };
                        let keys: Vec<_> = (0..=position).map(|step| part(step, 1)).collect();
                        let values: Vec<_> = (0..=position).map(|step| part(step, 2)).collect();
                        let bias = bias.of(head, position, position + 1);
                        let expected = plain(part(position, 0), &keys, &values, bias);
                        let found = &result.row(row)[head * width..(head + 1) * width];
                        let most = if storage == Storage::F16 { 2e-2 } else { 1e-4 };
                        prop_assert!(close(found, &expected, most), "{set:?} {storage:?}");
                    }
                }
                let rows: Vec<usize> = choice.iter().map(|row| row % fed.len()).collect();
                let before = cache.bytes();
                cache.fork_rows(&rows, &vec![position + 1; fed.len()]);
                if rows.len() <= fed.len() {
                    prop_assert!(cache.bytes() <= before, "rows that end make place");
                }
                fed = rows.iter().map(|row| copies(&fed[*row])).collect();
            }
        }
    }

    /// Bit for bit, with the keys and values of another continuation in the places that follow.
    #[test]
    fn several_tokens_at_once_see_what_each_would_see_alone(
        parts in proptest::collection::vec((1_usize..30, 0_usize..4), 1..5), count in 1_usize..3,
        width in 1_usize..40, seed in any::<u64>(),
    ) {
        let heads = Heads { count, width };
        let inner = count * width;
        let steps = parts.iter().map(|(tokens, _)| tokens).sum::<usize>();
        let room = steps + 4;
        let bias = random_bias(seed, count, room, 0);
        let appended = Some(Appended { keys: inner, values: 2 * inner });
        let tokens = random_rows(seed, steps, 3 * inner);
        let memory = random_rows(seed ^ 1, 7, 2 * inner);
        for (set, storage) in InstructionSet::detect().into_iter().flat_map(|set| {
            [(set, Storage::F32), (set, Storage::F16)]
        }) {
            let dispatch = Dispatch::with(set).unwrap();
            let kernels = Kernels::new(dispatch, 2);
            // What each token finds in its row and in a prompt.
            let attend = |parts: &[(usize, usize)]| -> Vec<[Vec<f32>; 2]> {
                let mut own = Cache::new(dispatch, storage, 1, heads);
                let mut prompt = Cache::new(dispatch, storage, 1, heads);
                // The last one of two rows, whose other one gets a token in every step.
                own.add_rows([steps, room].into_iter());
                prompt.add_rows([7, 7].into_iter());
                kernels.fill(&mut prompt, 0, 1, std::slice::from_ref(&(0..7)), &memory);
                let mut found = Vec::new();
                for (step, (taken, wrong)) in parts.iter().enumerate() {
                    let mut projected = Rows::new(3 * inner);
                    let new = found.len()..found.len() + taken;
                    projected.resize(1 + taken + wrong);
                    let others = random_rows(seed ^ 2, *wrong, 3 * inner);
                    projected.row_mut(0).copy_from_slice(tokens.row(step));
                    for (place, token) in new.enumerate() {
                        projected.row_mut(1 + place).copy_from_slice(tokens.row(token));
                    }
                    for place in 0..*wrong {
                        projected.row_mut(1 + taken + place).copy_from_slice(others.row(place));
                    }
                    let positions = [step, found.len()];
                    let sequences = [0..1, 1..projected.count()];
                    let step = Step {
                        layer: 0, sequences: &sequences, projected: &projected, appended,
                        bias: Some(&bias), positions: &positions,
                    };
                    let [mut in_row, mut in_prompt] = [inner; 2].map(Rows::new);
                    kernels.attend_cached(&mut own, &step, &mut in_row);
                    let step = Step { appended: None, bias: None, ..step };
                    kernels.attend_cached(&mut prompt, &step, &mut in_prompt);
                    found.extend((1..=*taken).map(|token| {
                        [&in_row, &in_prompt].map(|rows| rows.row(token).to_vec())
                    }));
                }
                found
            };
            let alone = attend(&vec![(1, 0); steps]);
            prop_assert_eq!(attend(&parts), alone, "{:?} {:?}", set, storage);
        }
    }

    #[test]
    fn shared_rows_are_stored_once(count in 1_usize..9) {
        let dispatch = Dispatch::best();
        let mut cache = Cache::new(dispatch, Storage::F32, 1, Heads { count: 2, width: 8 });
        cache.add_rows([7, 9].into_iter());
        let bytes = cache.bytes();
        let rows: Vec<usize> = (0..2 * count).map(|row| row / count).collect();
        cache.share_rows(&rows);
        prop_assert_eq!(cache.bytes(), bytes);
        // A row that joins gets a place of its own, also after all but one have left.
        cache.add_rows([7].into_iter());
        prop_assert!(cache.bytes() > bytes);
        cache.retain_rows(&[2 * count - 1]);
        cache.add_rows([7].into_iter());
        prop_assert_eq!(cache.bytes(), bytes);
    }
}

/// One token for each row.
fn one_each(rows: usize) -> Vec<Range<usize>> {
    (0..rows).map(|row| row..row + 1).collect()
}

fn copies(rows: &[Rows]) -> Vec<Rows> {
    let copy = |rows: &Rows| {
        let mut copy = Rows::new(rows.width());
        copy.resize(1);
        copy.row_mut(0).copy_from_slice(rows.row(0));
        copy
    };
    rows.iter().map(copy).collect()
}
