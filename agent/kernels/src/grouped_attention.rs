//! Causal attention of new tokens to the cache, where each head of keys serves a group of query
//! heads (Ainslie et al. 2023). Prompts and single tokens take the same way.

use super::attention::{KeyValues, Mask, Queries, attend, store_key_value};
use super::cache::Cache;
use super::gemm::{Kernels, tile_rows};
use super::pool::share;
use super::rows::{Rows, SharedPtr};
use std::ops::Range;
use std::sync::PoisonError;

/// Tokens that continue rows of a cache.
#[derive(Debug)]
pub struct NewTokens<'a> {
    pub layer: usize,
    /// The row of the cache that the first sequence continues.
    pub first_row: usize,
    /// The tokens of each row, as rows of `projected`, in order.
    pub sequences: &'a [Range<usize>],
    /// Of each sequence: positions that its row holds already.
    pub positions: &'a [usize],
    /// Queries, keys and values side by side.
    pub projected: &'a Rows,
    pub query_heads: usize,
}

/// Queries of one head of keys that one thread takes.
#[derive(Debug, Clone, Copy)]
struct Task {
    sequence: usize,
    key_head: usize,
    /// Within the sequence.
    first: usize,
    end: usize,
}

/// Tiles of queries in a task of a prompt: few enough to share the work of a single prompt.
const TILES_PER_TASK: usize = 4;

impl Kernels {
    /// Stores the keys and values of the new tokens, and writes to `to` what each token sees of its
    /// row up to itself, `[tokens, query heads * width]`. Panics if a row has no room or shapes
    /// differ.
    pub fn attend_causal(&self, cache: &mut Cache, new: &NewTokens<'_>, to: &mut Rows) {
        let heads = cache.heads();
        assert!(new.query_heads.is_multiple_of(heads.count), "groups of heads are equal");
        let queries = new.query_heads * heads.width;
        let expected = queries + 2 * heads.count * heads.width;
        assert_eq!((new.projected.width(), to.width()), (expected, queries));
        assert_eq!(new.sequences.len(), new.positions.len());
        for (place, (sequence, held)) in new.sequences.iter().zip(new.positions).enumerate() {
            let capacity = cache.capacity(new.first_row + place);
            assert!(sequence.end <= new.projected.count() && held + sequence.len() <= capacity);
        }
        assert!(new.layer < cache.layers(), "layer {}", new.layer);
        to.resize(new.projected.count());
        let memory = cache.shared();
        let cache = &*cache;
        self.append(cache, memory, new);
        if new.sequences.iter().all(|sequence| sequence.len() == 1) {
            self.attend_tokens(cache, memory, new, to);
        } else {
            self.attend_prompts(cache, memory, new, to);
        }
    }

    fn append(&self, cache: &Cache, memory: SharedPtr<u8>, new: &NewTokens<'_>) {
        let heads = cache.heads();
        let keys = new.query_heads * heads.width;
        let values = keys + heads.count * heads.width;
        let elements = new.projected.count() * heads.width / new.sequences.len().max(1);
        self.by_row(new.sequences.len() * heads.count, elements, &|task| {
            let (sequence, head) = (task / heads.count, task % heads.count);
            let place = cache.place(new.first_row + sequence, new.layer, head);
            let held = new.positions[sequence];
            for (offset, token) in new.sequences[sequence].clone().enumerate() {
                let token = new.projected.row(token);
                let part = |start: usize| &token[start + head * heads.width..][..heads.width];
                // SAFETY: the caller has checked that the row has room; each row and head is one
                // thread's.
                unsafe {
                    store_key_value(
                        self.dispatch,
                        cache.storage(),
                        memory,
                        place,
                        held + offset,
                        part(keys),
                        part(values),
                    );
                }
            }
        });
    }

    /// One token per row: a tile holds the query heads of one head of keys.
    fn attend_tokens(
        &self,
        cache: &Cache,
        memory: SharedPtr<u8>,
        new: &NewTokens<'_>,
        to: &mut Rows,
    ) {
        let heads = cache.heads();
        let group = new.query_heads / heads.count;
        let pairs = new.sequences.len() * heads.count;
        // Enough tasks for all threads, and none with more rows than a tile.
        let parts = (2 * self.threads()).div_ceil(pairs.max(1));
        let parts = parts.clamp(group.div_ceil(self.dispatch.tile_rows), group);
        let (target, stride) = (to.shared(), to.stride());
        self.pool.share(pairs * parts, 1, &|thread, tasks| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for task in tasks {
                let (pair, part) = (task / parts, share(group, parts, task % parts));
                let (sequence, key_head) = (pair / heads.count, pair % heads.count);
                let row = new.sequences[sequence].start;
                let first = (key_head * group + part.start) * heads.width;
                let seen = KeyValues {
                    storage: cache.storage(),
                    memory,
                    place: cache.place(new.first_row + sequence, new.layer, key_head),
                    length: new.positions[sequence] + 1,
                    bias: None,
                    head: key_head,
                };
                let queries = Queries {
                    first: new.projected.row(row)[first..].as_ptr(),
                    stride: heads.width,
                    position: new.positions[sequence],
                    count: part.len(),
                    mask: Mask::Whole,
                };
                // SAFETY: `length` positions are filled; these heads of the row are this task's.
                unsafe {
                    let to = target.at(row * stride + first);
                    let scores = &mut scratch.scores;
                    attend(self.dispatch, heads.width, queries, &seen, scores, to, heads.width);
                }
            }
        });
    }

    /// Whole prompts: a tile holds consecutive tokens of one query head.
    fn attend_prompts(
        &self,
        cache: &Cache,
        memory: SharedPtr<u8>,
        new: &NewTokens<'_>,
        to: &mut Rows,
    ) {
        let heads = cache.heads();
        let group = new.query_heads / heads.count;
        let block = TILES_PER_TASK * self.dispatch.tile_rows;
        let mut tasks = Vec::new();
        for (sequence, tokens) in new.sequences.iter().enumerate() {
            for first in (0..tokens.len()).step_by(block) {
                let end = tokens.len().min(first + block);
                tasks.extend((0..heads.count).map(|key_head| Task {
                    sequence,
                    key_head,
                    first,
                    end,
                }));
            }
        }
        let (target, stride) = (to.shared(), to.stride());
        self.pool.share(tasks.len(), 1, &|thread, places| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for Task { sequence, key_head, first, end } in tasks[places].iter().copied() {
                let held = new.positions[sequence];
                let place = cache.place(new.first_row + sequence, new.layer, key_head);
                let tiles = (end - first).div_ceil(self.dispatch.tile_rows);
                for head in key_head * group..(key_head + 1) * group {
                    for tile in 0..tiles {
                        let part = tile_rows(first..end, tiles, tile);
                        let row = new.sequences[sequence].start + part.start;
                        let seen = KeyValues {
                            storage: cache.storage(),
                            memory,
                            place,
                            length: held + part.end,
                            bias: None,
                            head: key_head,
                        };
                        let queries = Queries {
                            first: new.projected.row(row)[head * heads.width..].as_ptr(),
                            stride: new.projected.stride(),
                            position: held + part.start,
                            count: part.len(),
                            mask: Mask::Causal,
                        };
                        // SAFETY: `length` positions are filled; these tokens and heads are this
                        // task's.
                        unsafe {
                            let to = target.at(row * stride + head * heads.width);
                            let scores = &mut scratch.scores;
                            attend(self.dispatch, heads.width, queries, &seen, scores, to, stride);
                        }
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::Heads;
    use crate::dispatch::{Dispatch, InstructionSet, Storage};
    use std::slice::from_ref;

    const QUERY_HEADS: usize = 6;
    const KEYS: Heads = Heads { count: 2, width: 20 };

    /// Numbers that differ from place to place.
    fn value(place: usize) -> f32 {
        let mixed = u32::try_from(place).unwrap().wrapping_mul(2_654_435_761);
        (mixed >> 8) as f32 / 8_388_608.0 - 1.0
    }

    fn projected(tokens: usize, seed: usize) -> Rows {
        let mut rows = Rows::new((QUERY_HEADS + 2 * KEYS.count) * KEYS.width);
        rows.resize(tokens);
        for row in 0..tokens {
            let place = |column: usize| seed * 1_000_003 + row * 4_099 + column;
            let numbers = rows.row_mut(row).iter_mut().enumerate();
            numbers.for_each(|(column, number)| *number = value(place(column)));
        }
        rows
    }

    /// In f64, one token of one sequence.
    fn expected(projected: &Rows, sequence: &Range<usize>, token: usize) -> Vec<f64> {
        let width = KEYS.width;
        let part = |row: usize, head: usize| &projected.row(row)[head * width..][..width];
        let mut all = Vec::new();
        for head in 0..QUERY_HEADS {
            let key_head = QUERY_HEADS + head / (QUERY_HEADS / KEYS.count);
            let dot = |row: usize| -> f64 {
                let pairs = part(token, head).iter().zip(part(row, key_head));
                pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
            };
            let weights: Vec<f64> = (sequence.start..=token).map(|row| dot(row).exp()).collect();
            let total: f64 = weights.iter().sum();
            for column in 0..width {
                let values = (sequence.start..=token)
                    .map(|row| f64::from(part(row, key_head + KEYS.count)[column]));
                let sum: f64 = weights.iter().zip(values).map(|(w, v)| w * v).sum();
                all.push(sum / total);
            }
        }
        all
    }

    #[test]
    fn every_token_sees_its_row_up_to_itself() {
        for instructions in InstructionSet::detect() {
            let dispatch = Dispatch::with(instructions).expect("detected");
            for (storage, tolerance) in [(Storage::F32, 2e-6), (Storage::F16, 2e-3)] {
                let kernels = Kernels::new(dispatch, 3);
                let mut cache = Cache::new(dispatch, storage, 2, KEYS);
                cache.add_rows([1, 3, 80].into_iter());
                let sequences = [0..1, 1..4, 4..71];
                let rows = projected(71, 1);
                let mut to = Rows::new(QUERY_HEADS * KEYS.width);
                let new = NewTokens {
                    layer: 1,
                    first_row: 0,
                    sequences: &sequences,
                    positions: &[0, 0, 0],
                    projected: &rows,
                    query_heads: QUERY_HEADS,
                };
                kernels.attend_causal(&mut cache, &new, &mut to);
                for sequence in &sequences {
                    for token in sequence.clone() {
                        for (found, expected) in
                            to.row(token).iter().zip(expected(&rows, sequence, token))
                        {
                            let apart = (f64::from(*found) - expected).abs();
                            assert!(apart < tolerance, "{instructions:?} {storage:?} {token}");
                        }
                    }
                }
            }
        }
    }

    /// Bit for bit: neither neighbors nor the way a prompt is split change a token's result.
    #[test]
    fn parts_of_a_prompt_give_what_the_whole_gives() {
        for instructions in InstructionSet::detect() {
            let dispatch = Dispatch::with(instructions).expect("detected");
            let kernels = Kernels::new(dispatch, 2);
            let rows = projected(50, 2);
            let attend = |parts: &[Range<usize>]| -> Vec<Vec<f32>> {
                let mut cache = Cache::new(dispatch, Storage::F32, 1, KEYS);
                cache.add_rows([7, 60].into_iter());
                let mut found = Vec::new();
                for part in parts {
                    let mut some = Rows::new(rows.width());
                    some.resize(part.len());
                    for (place, row) in part.clone().enumerate() {
                        some.row_mut(place).copy_from_slice(rows.row(row));
                    }
                    let mut to = Rows::new(QUERY_HEADS * KEYS.width);
                    let all = 0..part.len();
                    let new = NewTokens {
                        layer: 0,
                        first_row: 1,
                        sequences: from_ref(&all),
                        positions: &[part.start],
                        projected: &some,
                        query_heads: QUERY_HEADS,
                    };
                    kernels.attend_causal(&mut cache, &new, &mut to);
                    found.extend((0..part.len()).map(|row| to.row(row).to_vec()));
                }
                found
            };
            let whole = attend(from_ref(&(0..50)));
            let single: Vec<Range<usize>> = (0..50).map(|token| token..token + 1).collect();
            assert_eq!(attend(&single), whole, "{instructions:?}");
            assert_eq!(attend(&[0..17, 17..18, 18..50]), whole, "{instructions:?}");
        }
    }
}
