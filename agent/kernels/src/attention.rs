//! Attention over keys and values that lie in panels, so that scores and sums are tile products too.
//!
//! Keys: `[panels of positions][width][columns]`. Values: `[panels of width][positions][columns]`.
//! Scores, softmax and sums are f32, whatever the storage.

use super::product::{Kernels, MOST_COLUMNS, tile_rows};
use super::rows::{Rows, Shared};
use super::table::{MOST_ROWS, Storage, Table};
use super::tile::Operands;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The heads of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// How many there are.
    pub count: usize,
    /// Numbers of one head's query, key or value.
    pub width: usize,
}

/// Biases by relative position: `[heads][offsets]`.
#[derive(Debug, Clone, Default)]
pub struct Bias {
    /// Row by row.
    pub table: Vec<f32>,
    /// Offsets in a row.
    pub offsets: usize,
    /// The place of offset 0, where a query meets itself.
    pub zero: usize,
}

impl Bias {
    /// The biases of a query at `position` towards the positions from 0 to `count`.
    fn of(&self, head: usize, position: usize, count: usize) -> &[f32] {
        let start = head * self.offsets + self.zero - position;
        &self.table[start..start + count]
    }
}

/// Where the keys and values of one row and head lie, in elements from the start of the storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) keys: usize,
    pub(super) values: usize,
    /// Positions that there is room for.
    pub(super) capacity: usize,
}

/// Elements of the keys and values of one head.
pub(super) fn elements(table: &Table, width: usize, capacity: usize) -> (usize, usize) {
    let columns = table.columns();
    let keys = capacity.next_multiple_of(columns) * width;
    (keys, width.next_multiple_of(columns) * capacity)
}

/// What one query attends to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) storage: Storage,
    pub(super) memory: Shared<u8>,
    pub(super) place: Place,
    /// Positions that are filled.
    pub(super) length: usize,
    pub(super) bias: Option<&'a Bias>,
    pub(super) head: usize,
}

/// Queries of one head, one below the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queries {
    pub(super) first: *const f32,
    /// f32 from one to the next.
    pub(super) stride: usize,
    /// The position of the first one.
    pub(super) position: usize,
    pub(super) count: usize,
}

/// `softmax(q kᵀ + bias) v` for at most a tile of queries; the result goes to `to`, `stride` f32 apart.
///
/// # Safety
/// Queries, memory and target must hold what they say, and no one else may write to the target.
pub(super) unsafe fn attend(
    table: &Table,
    width: usize,
    queries: Queries,
    seen: &Seen<'_>,
    scores: &mut Vec<f32>,
    (to, stride): (*mut f32, usize),
) {
    let columns = table.columns();
    let element = if seen.storage == Storage::F16 { 2 } else { 4 };
    let row_length = seen.length.next_multiple_of(columns);
    // Rows of scores a cache line apart, as rows of activations are.
    let row_stride = row_length + 16;
    scores.resize((queries.count * row_stride).max(scores.len()), 0.0);
    let mut sums = [0.0_f32; MOST_ROWS * MOST_COLUMNS];
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
            table.tile(seen.storage, queries.count, &operands);
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
        let bias = seen.bias.map(|bias| bias.of(seen.head, queries.position + row, seen.length));
        table.softmax(scores, bias, seen.length);
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
            table.tile(seen.storage, queries.count, &operands);
            let taken = columns.min(width - panel * columns);
            for row in 0..queries.count {
                let from = sums.as_ptr().add(row * columns);
                from.copy_to_nonoverlapping(to.add(row * stride + panel * columns), taken);
            }
        }
    }
}

/// Puts one position's key and value where [`attend`] reads them.
///
/// # Safety
/// `key` and `value` must hold `width` numbers, the memory must hold the place, and no one else may use it.
#[expect(clippy::cast_ptr_alignment, reason = "memory starts on a boundary of its elements")]
pub(super) unsafe fn remember(
    table: &Table,
    (storage, memory, place): (Storage, Shared<u8>, Place),
    position: usize,
    key: &[f32],
    value: &[f32],
) {
    let columns = table.columns();
    let width = key.len();
    let key_at = place.keys + position / columns * width * columns + position % columns;
    let value_at = |panel: usize| place.values + (panel * place.capacity + position) * columns;
    // SAFETY: the position lies within the capacity, and so within the head's part of the memory.
    unsafe {
        if storage == Storage::F16 {
            let memory = memory.0.cast::<u16>();
            let mut halves = [0_u16; MOST_COLUMNS];
            let mut padded = [0.0_f32; MOST_COLUMNS];
            for (panel, (keys, values)) in
                key.chunks(columns).zip(value.chunks(columns)).enumerate()
            {
                let mut rounded = |numbers: &[f32]| {
                    padded[..numbers.len()].copy_from_slice(numbers);
                    table.to_f16(&padded[..columns], &mut halves[..columns]);
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
    /// Self-attention of the encoder: every sequence, a range of rows, attends to itself.
    ///
    /// `projected` holds queries, keys and values side by side, `[tokens, 3 * inner]`.
    ///
    /// # Panics
    /// Where widths or ranges don't fit together.
    pub fn attend_within(
        &self,
        projected: &Rows,
        sequences: &[Range<usize>],
        heads: Heads,
        bias: &Bias,
        to: &mut Rows,
    ) {
        let inner = heads.count * heads.width;
        assert_eq!((projected.width(), to.width()), (3 * inner, inner));
        assert!(sequences.iter().all(|sequence| sequence.end <= projected.count()));
        to.resize(projected.count());
        let table = self.table;
        let (target, stride) = (to.shared(), to.stride());
        let next = AtomicUsize::new(0);
        self.pool.run_present(&|thread| {
            let mut room = self.rooms[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let room = &mut *room;
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                let Some(sequence) = sequences.get(task / heads.count) else { return };
                let head = task % heads.count;
                let length = sequence.len();
                let (keys, values) = elements(table, heads.width, length);
                room.panels.resize((keys + values).max(room.panels.len()), 0.0);
                let memory = Shared(room.panels.as_mut_ptr().cast::<u8>());
                let place = Place { keys: 0, values: keys, capacity: length };
                for (position, row) in sequence.clone().enumerate() {
                    let part = |third: usize| {
                        let start = third * inner + head * heads.width;
                        &projected.row(row)[start..start + heads.width]
                    };
                    // SAFETY: the room is this thread's and holds `elements` for the sequence.
                    unsafe {
                        let place = (Storage::F32, memory, place);
                        remember(table, place, position, part(1), part(2));
                    }
                }
                let seen =
                    Seen { storage: Storage::F32, memory, place, length, bias: Some(bias), head };
                let tiles = length.div_ceil(table.tile_rows);
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
                        };
                        let to = target.at(row * stride + head * heads.width);
                        attend(table, heads.width, queries, &seen, &mut room.scores, (to, stride));
                    }
                }
            }
        });
    }
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
