//! Attention over keys and values stored in panels, so that scores and weighted sums are tile
//! products.
//!
//! Keys: `[panels of positions][width][columns]`. Values: `[panels of width][positions][columns]`.
//! Scores, softmax and sums are f32 for every storage.

use super::dispatch::{Dispatch, MAX_ROWS, Storage};
use super::gemm::{Kernels, MAX_COLUMNS, tile_rows};
use super::rows::{Rows, SharedPtr};
use super::tile::Operands;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    pub count: usize,
    /// Elements of one head's query, key or value.
    pub width: usize,
}

/// Relative position biases, `[heads][offsets]`.
#[derive(Debug, Clone, Default)]
pub struct Bias {
    pub values: Vec<f32>,
    pub offsets: usize,
    /// Index of offset 0, where a query meets its own position.
    pub zero: usize,
}

impl Bias {
    /// The biases of a query at `position` for the positions `0..count`.
    fn of(&self, head: usize, position: usize, count: usize) -> &[f32] {
        let start = head * self.offsets + self.zero - position;
        &self.values[start..start + count]
    }
}

/// Location of the keys and values of one row and head, in elements from the start of the storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) keys: usize,
    pub(super) values: usize,
    /// In positions.
    pub(super) capacity: usize,
}

/// Elements of the keys and of the values of one head.
pub(super) fn elements(dispatch: &Dispatch, width: usize, capacity: usize) -> (usize, usize) {
    let columns = dispatch.columns();
    let keys = capacity.next_multiple_of(columns) * width;
    (keys, width.next_multiple_of(columns) * capacity)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct KeyValues<'a> {
    pub(super) storage: Storage,
    pub(super) memory: SharedPtr<u8>,
    pub(super) place: Slot,
    /// Filled positions.
    pub(super) length: usize,
    pub(super) bias: Option<&'a Bias>,
    pub(super) head: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Queries {
    pub(super) first: *const f32,
    /// In f32.
    pub(super) stride: usize,
    /// Position of the first query.
    pub(super) position: usize,
    pub(super) count: usize,
    pub(super) mask: Mask,
}

/// Which of the filled positions a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    Whole,
    /// Those up to its own.
    Causal,
}

/// `softmax(q kᵀ + bias) v` for at most one tile of queries. Writes rows that are `stride` f32
/// apart to `to`.
///
/// # Safety
/// The pointers must be valid for the shapes given, and no other thread may write to the target.
pub(super) unsafe fn attend(
    dispatch: &Dispatch,
    width: usize,
    queries: Queries,
    seen: &KeyValues<'_>,
    scores: &mut Vec<f32>,
    to: *mut f32,
    stride: usize,
) {
    let columns = dispatch.columns();
    let element = if seen.storage == Storage::F16 { 2 } else { 4 };
    let row_length = seen.length.next_multiple_of(columns);
    // One cache line between rows of scores, as between rows of activations.
    let row_stride = row_length + 16;
    scores.resize((queries.count * row_stride).max(scores.len()), 0.0);
    let mut sums = [0.0_f32; MAX_ROWS * MAX_COLUMNS];
    for panel in 0..row_length / columns {
        // SAFETY: keys are laid out in whole panels, and a single row of sums fits into the row of scores.
        unsafe {
            let single = queries.count == 1;
            let there = scores.as_mut_ptr().add(panel * columns);
            let operands = Operands {
                rows: queries.first.cast(),
                stride: queries.stride * size_of::<f32>(),
                panel: seen.memory.at((seen.place.keys + panel * width * columns) * element),
                steps: width,
                sums: if single { there } else { sums.as_mut_ptr() },
            };
            dispatch.tile(seen.storage, queries.count, &operands);
            if !single {
                for row in 0..queries.count {
                    let from = sums.as_ptr().add(row * columns);
                    from.copy_to_nonoverlapping(there.add(row * row_stride), columns);
                }
            }
        }
    }
    for row in 0..queries.count {
        let scores = &mut scores[row * row_stride..row * row_stride + row_length];
        let count = match queries.mask {
            Mask::Whole => seen.length,
            Mask::Causal => queries.position + row + 1,
        };
        let bias = seen.bias.map(|bias| bias.of(seen.head, queries.position + row, count));
        dispatch.softmax(scores, bias, count);
    }
    for panel in 0..width.div_ceil(columns) {
        // SAFETY: values are laid out in panels of `capacity` positions; only `width` results are written.
        unsafe {
            let values = seen.place.values + panel * seen.place.capacity * columns;
            let operands = Operands {
                rows: scores.as_ptr().cast(),
                stride: row_stride * size_of::<f32>(),
                panel: seen.memory.at(values * element),
                steps: seen.length,
                sums: sums.as_mut_ptr(),
            };
            dispatch.tile(seen.storage, queries.count, &operands);
            let taken = columns.min(width - panel * columns);
            for row in 0..queries.count {
                let from = sums.as_ptr().add(row * columns);
                from.copy_to_nonoverlapping(to.add(row * stride + panel * columns), taken);
            }
        }
    }
}

/// Stores the key and value of one position in the layout that [`attend`] reads.
///
/// # Safety
/// `key` and `value` must have `width` elements, the memory must contain the slot, and no other
/// thread may use it.
#[expect(clippy::cast_ptr_alignment, reason = "memory starts on a boundary of its elements")]
pub(super) unsafe fn store_key_value(
    dispatch: &Dispatch,
    storage: Storage,
    memory: SharedPtr<u8>,
    place: Slot,
    position: usize,
    key: &[f32],
    value: &[f32],
) {
    let columns = dispatch.columns();
    let width = key.len();
    let key_at = place.keys + position / columns * width * columns + position % columns;
    let value_at = |panel: usize| place.values + (panel * place.capacity + position) * columns;
    // SAFETY: the position lies within the capacity, and so within the head's part of the memory.
    unsafe {
        if storage == Storage::F16 {
            let memory = memory.0.cast::<u16>();
            let mut halves = [0_u16; MAX_COLUMNS];
            let mut padded = [0.0_f32; MAX_COLUMNS];
            for (panel, (keys, values)) in
                key.chunks(columns).zip(value.chunks(columns)).enumerate()
            {
                let mut rounded = |numbers: &[f32]| {
                    padded[..numbers.len()].copy_from_slice(numbers);
                    dispatch.to_f16(&padded[..columns], &mut halves[..columns]);
                    halves
                };
                for (place, key) in rounded(keys)[..keys.len()].iter().enumerate() {
                    memory.add(key_at + (panel * columns + place) * columns).write(*key);
                }
                let from = rounded(values);
                from.as_ptr().copy_to_nonoverlapping(memory.add(value_at(panel)), values.len());
            }
        } else {
            let memory = memory.0.cast::<f32>();
            for (place, key) in key.iter().enumerate() {
                memory.add(key_at + place * columns).write(*key);
            }
            for (panel, values) in value.chunks(columns).enumerate() {
                let to = memory.add(value_at(panel));
                values.as_ptr().copy_to_nonoverlapping(to, values.len());
            }
        }
    }
}

impl Kernels {
    /// Encoder self-attention: each sequence, a range of rows, attends to itself. `projected`:
    /// queries, keys and values side by side, `[tokens, 3 * inner]`.
    pub fn attend_within(
        &self,
        projected: &Rows,
        sequences: &[Range<usize>],
        heads: Heads,
        bias: Option<&Bias>,
        to: &mut Rows,
    ) {
        let inner = heads.count * heads.width;
        assert_eq!((projected.width(), to.width()), (3 * inner, inner));
        assert!(sequences.iter().all(|sequence| sequence.end <= projected.count()));
        to.resize(projected.count());
        let dispatch = self.dispatch;
        let (target, stride) = (to.shared(), to.stride());
        let next = AtomicUsize::new(0);
        self.pool.run_present(&|thread| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let scratch = &mut *scratch;
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                let Some(sequence) = sequences.get(task / heads.count) else { return };
                let head = task % heads.count;
                let length = sequence.len();
                let (keys, values) = elements(dispatch, heads.width, length);
                scratch.panels.resize((keys + values).max(scratch.panels.len()), 0.0);
                let memory = SharedPtr(scratch.panels.as_mut_ptr().cast::<u8>());
                let place = Slot { keys: 0, values: keys, capacity: length };
                for (position, row) in sequence.clone().enumerate() {
                    let part = |third: usize| {
                        let start = third * inner + head * heads.width;
                        &projected.row(row)[start..start + heads.width]
                    };
                    // SAFETY: the buffer is this thread's and holds `elements` for the sequence.
                    unsafe {
                        store_key_value(
                            dispatch,
                            Storage::F32,
                            memory,
                            place,
                            position,
                            part(1),
                            part(2),
                        );
                    }
                }
                let seen = KeyValues { storage: Storage::F32, memory, place, length, bias, head };
                let tiles = length.div_ceil(dispatch.tile_rows);
                for tile in 0..tiles {
                    let part = tile_rows(0..length, tiles, tile);
                    let row = sequence.start + part.start;
                    // SAFETY: rows and columns of the target belong to this sequence and head alone.
                    unsafe {
                        let first = projected.row(row).as_ptr().add(head * heads.width);
                        let queries = Queries {
                            first,
                            stride: projected.stride(),
                            position: part.start,
                            count: part.len(),
                            mask: Mask::Whole,
                        };
                        let to = target.at(row * stride + head * heads.width);
                        attend(
                            dispatch,
                            heads.width,
                            queries,
                            &seen,
                            &mut scratch.scores,
                            to,
                            stride,
                        );
                    }
                }
            }
        });
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
