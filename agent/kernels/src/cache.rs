//! The decoder's key-value cache, row by row, for the prompt and for the generated tokens.
//!
//! Rows are appended, removed, copied and shared; later rows reuse the space of removed ones. The
//! memory never shrinks.

use super::aligned_buf::AlignedBuf;
use super::attention::{
    Bias, Heads, KeyValues, Mask, Queries, Slot, attend, elements, store_key_value,
};
use super::dispatch::{Dispatch, Storage};
use super::gemm::{Kernels, tile_rows};
use super::rows::{Rows, SharedPtr};
use std::{ops::Range, sync::PoisonError};

#[derive(Debug, Clone, Copy)]
struct Extent {
    /// In elements.
    start: usize,
    /// One past the last element.
    end: usize,
    /// In positions.
    capacity: usize,
}

/// Keys and values of all layers for the rows of a batch.
#[derive(Debug)]
pub struct Cache {
    dispatch: &'static Dispatch,
    storage: Storage,
    layers: usize,
    heads: Heads,
    /// Rows that are only read can share an extent.
    rows: Vec<Extent>,
    /// Of each row, by position: equal marks of two rows are equal keys and values. Positions since
    /// the last [`Cache::fork_rows`] have none yet.
    marks: Vec<Vec<u64>>,
    /// The last mark given.
    last_mark: u64,
    memory: AlignedBuf,
    used: usize,
}

/// Offsets of the keys and values within a projected row.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub keys: usize,
    pub values: usize,
}

/// One step of attention over a cache.
#[derive(Debug)]
pub struct Step<'a> {
    pub layer: usize,
    /// The tokens of each row, as rows of `projected`, in order.
    pub sequences: &'a [Range<usize>],
    /// Rows that start with the queries.
    pub projected: &'a Rows,
    /// The keys and values of this step in the same rows, if they have to be stored first. Then a
    /// token sees its row up to itself, otherwise all of it.
    pub appended: Option<Appended>,
    pub bias: Option<&'a Bias>,
    /// Of each row: tokens before this step.
    pub positions: &'a [usize],
}

impl Cache {
    /// Panics unless `storage` is f32 or f16.
    pub fn new(dispatch: &'static Dispatch, storage: Storage, layers: usize, heads: Heads) -> Self {
        assert!(matches!(storage, Storage::F32 | Storage::F16), "{storage:?}");
        let memory = AlignedBuf::zeroed(0);
        Self {
            dispatch,
            storage,
            layers,
            heads,
            rows: Vec::new(),
            marks: Vec::new(),
            last_mark: 0,
            memory,
            used: 0,
        }
    }

    /// Appends rows with these capacities, in positions.
    pub fn add_rows(&mut self, capacities: impl Iterator<Item = usize>) {
        let mut taken = self.rows.clone();
        taken.sort_unstable_by_key(|extent| extent.start);
        taken.dedup_by_key(|extent| extent.start);
        let kept = self.used;
        for capacity in capacities {
            let (keys, values) = elements(self.dispatch, self.heads.width, capacity);
            let size = self.layers * self.heads.count * (keys + values);
            // First fit. There is always room behind the last row.
            let ends = std::iter::once(0).chain(taken.iter().map(|extent| extent.end));
            let starts = taken.iter().map(|extent| extent.start).chain([usize::MAX]);
            let gap = ends.zip(starts).position(|(end, start)| start - end >= size);
            let place = gap.unwrap_or(taken.len());
            let start = place.checked_sub(1).map_or(0, |before| taken[before].end);
            let extent = Extent { start, end: start + size, capacity };
            taken.insert(place, extent);
            self.rows.push(extent);
        }
        self.marks.resize(self.rows.len(), Vec::new());
        self.measure();
        if self.used > self.memory.bytes() {
            let mut memory = AlignedBuf::zeroed(self.used);
            memory.slice_mut::<u8>()[..kept].copy_from_slice(&self.memory.slice()[..kept]);
            self.memory = memory;
        }
    }

    /// Keeps only the rows at these ascending indices.
    pub fn retain_rows(&mut self, rows: &[usize]) {
        for (place, row) in rows.iter().enumerate() {
            self.rows[place] = self.rows[*row];
            self.marks.swap(place, *row);
        }
        self.rows.truncate(rows.len());
        self.marks.truncate(rows.len());
        self.measure();
    }

    /// Row `i` becomes the old row `rows[i]`, in the same memory: for rows that are only read.
    pub fn share_rows(&mut self, rows: &[usize]) {
        self.rows = rows.iter().map(|row| self.rows[*row]).collect();
        self.marks = rows.iter().map(|row| self.marks[*row].clone()).collect();
        self.measure();
    }

    /// Row `i` continues the old row `rows[i]`. `filled`: the filled positions of each old row.
    ///
    /// Of the rows that continue the same one, the first keeps its memory. The others take the
    /// memory of rows that end, and only positions in which the two differ are copied.
    pub fn fork_rows(&mut self, rows: &[usize], filled: &[usize]) {
        assert_eq!(filled.len(), self.rows.len());
        for (marks, filled) in self.marks.iter_mut().zip(filled) {
            self.last_mark += 1;
            marks.resize(*filled, self.last_mark);
        }
        let mut is_taken = vec![false; self.rows.len()];
        let mut owners: Vec<Option<usize>> = rows
            .iter()
            .map(|row| (!std::mem::replace(&mut is_taken[*row], true)).then_some(*row))
            .collect();
        let (mut copies, mut missing) = (Vec::new(), Vec::new());
        for (row, owner) in rows.iter().zip(&mut owners).filter(|(_, owner)| owner.is_none()) {
            let Extent { capacity, .. } = self.rows[*row];
            let free = (0..is_taken.len())
                .filter(|free| !is_taken[*free] && self.rows[*free].capacity == capacity)
                .max_by_key(|free| self.equal_positions(*free, *row));
            let to = free.unwrap_or_else(|| {
                missing.push(capacity);
                self.rows.len() + missing.len() - 1
            });
            if let Some(is_taken) = is_taken.get_mut(to) {
                *is_taken = true;
            }
            copies.push((*row, to));
            *owner = Some(to);
        }
        // All at once: the memory grows by copying.
        if !missing.is_empty() {
            self.add_rows(missing.into_iter());
        }
        for (row, to) in copies {
            self.copy_row(row, to, self.equal_positions(to, row)..filled[row]);
        }
        let owners = owners.into_iter().map(|owner| owner.expect("every row has memory"));
        self.rows = owners.map(|owner| self.rows[owner]).collect();
        self.marks = rows.iter().map(|row| self.marks[*row].clone()).collect();
        self.measure();
    }

    /// The number of first positions in which two rows are equal.
    fn equal_positions(&self, one: usize, other: usize) -> usize {
        let marks = self.marks[one].iter().zip(&self.marks[other]);
        marks.take_while(|(one, other)| one == other).count()
    }

    fn copy_row(&mut self, from: usize, to: usize, positions: Range<usize>) {
        let (columns, width) = (self.dispatch.columns(), self.heads.width);
        // Keys are copied in whole panels, whose other positions are equal or not filled.
        let panels = positions.start / columns..positions.end.div_ceil(columns);
        for layer in 0..self.layers {
            for head in 0..self.heads.count {
                let [from, to] = [from, to].map(|row| self.place(row, layer, head));
                let keys = |slot: Slot| slot.keys + panels.start * width * columns;
                self.copy_elements(keys(from), keys(to), panels.len() * width * columns);
                for panel in 0..width.div_ceil(columns) {
                    let values = |slot: Slot| {
                        slot.values + (panel * slot.capacity + positions.start) * columns
                    };
                    self.copy_elements(values(from), values(to), positions.len() * columns);
                }
            }
        }
    }

    fn copy_elements(&mut self, from: usize, to: usize, count: usize) {
        let element = self.element();
        let from = from * element..(from + count) * element;
        self.memory.slice_mut::<u8>().copy_within(from, to * element);
    }

    /// Bytes up to the end of the last row.
    pub fn bytes(&self) -> usize {
        self.used
    }

    fn measure(&mut self) {
        let end = self.rows.iter().map(|extent| extent.end).max().unwrap_or(0);
        self.used = end * self.element();
    }

    fn element(&self) -> usize {
        if self.storage == Storage::F16 { 2 } else { 4 }
    }

    pub(super) fn heads(&self) -> Heads {
        self.heads
    }

    pub(super) fn layers(&self) -> usize {
        self.layers
    }

    pub(super) fn storage(&self) -> Storage {
        self.storage
    }

    /// Positions of a row.
    pub(super) fn capacity(&self, row: usize) -> usize {
        self.rows[row].capacity
    }

    /// A pointer for several threads that write disjoint parts.
    pub(super) fn shared(&mut self) -> SharedPtr<u8> {
        SharedPtr(self.memory.slice_mut::<u8>().as_mut_ptr())
    }

    pub(super) fn place(&self, row: usize, layer: usize, head: usize) -> Slot {
        let Extent { start, capacity, .. } = self.rows[row];
        let (keys, values) = elements(self.dispatch, self.heads.width, capacity);
        let start = start + (layer * self.heads.count + head) * (keys + values);
        Slot { keys: start, values: start + keys, capacity }
    }
}

impl Kernels {
    /// Fills rows of the cache, from `first_row` on, with the keys and values of whole sequences.
    /// `projected`: both side by side, `[tokens, 2 * inner]`. Panics if one exceeds its row.
    pub fn fill(
        &self,
        cache: &mut Cache,
        layer: usize,
        first_row: usize,
        sequences: &[Range<usize>],
        projected: &Rows,
    ) {
        let Heads { count, width } = cache.heads;
        assert_eq!(projected.width(), 2 * count * width);
        let fits = |(row, sequence): (usize, &Range<usize>)| {
            sequence.len() <= cache.rows[first_row + row].capacity
        };
        assert!(sequences.iter().enumerate().all(fits), "sequences fit into their rows");
        let memory = cache.shared();
        let cache = &*cache;
        self.pool.share(sequences.len() * count, 1, &|_, tasks| {
            for task in tasks {
                let (row, head) = (task / count, task % count);
                let place = cache.place(first_row + row, layer, head);
                for (position, token) in sequences[row].clone().enumerate() {
                    let token = projected.row(token);
                    let key = &token[head * width..(head + 1) * width];
                    let value = &token[(count + head) * width..(count + head + 1) * width];
                    // SAFETY: checked above; each row and head is one thread's.
                    unsafe {
                        store_key_value(
                            self.dispatch,
                            cache.storage,
                            memory,
                            place,
                            position,
                            key,
                            value,
                        );
                    }
                }
            }
        });
    }

    /// The tokens of each row attend to the row's cached keys and values, `[tokens, heads * width]`.
    /// Panics if one is full.
    pub fn attend_cached(&self, cache: &mut Cache, step: &Step<'_>, to: &mut Rows) {
        let Heads { count, width } = cache.heads;
        assert_eq!((step.sequences.len(), to.width()), (cache.rows.len(), count * width));
        assert_eq!(step.sequences.len(), step.positions.len());
        assert!(step.sequences.iter().all(|tokens| tokens.end <= step.projected.count()));
        to.resize(step.projected.count());
        if step.appended.is_some() {
            let mut tokens = step.sequences.iter().zip(step.positions);
            let has_room = |row: &Extent| {
                tokens.next().is_some_and(|(tokens, held)| held + tokens.len() <= row.capacity)
            };
            assert!(cache.rows.iter().all(has_room), "every row has room for its tokens");
        }
        let (target, stride) = (to.shared(), to.stride());
        let memory = cache.shared();
        let cache = &*cache;
        self.pool.share(cache.rows.len() * count, 1, &|thread, tasks| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for task in tasks {
                let (row, head) = (task / count, task % count);
                let (tokens, held) = (step.sequences[row].clone(), step.positions[row]);
                let place = cache.place(row, layer_of(cache, step), head);
                let part = |token: usize, start: usize| {
                    &step.projected.row(token)[start + head * width..start + (head + 1) * width]
                };
                if let Some(Appended { keys, values }) = step.appended {
                    for (position, token) in (held..).zip(tokens.clone()) {
                        let (key, value) = (part(token, keys), part(token, values));
                        // SAFETY: there is room for the position; each row and head is one
                        // thread's.
                        unsafe {
                            store_key_value(
                                self.dispatch,
                                cache.storage,
                                memory,
                                place,
                                position,
                                key,
                                value,
                            );
                        }
                    }
                }
                let storage = cache.storage;
                let tiles = tokens.len().div_ceil(self.dispatch.tile_rows);
                for tile in 0..tiles {
                    let tile = tile_rows(0..tokens.len(), tiles, tile);
                    let (length, mask) = match step.appended {
                        Some(_) => (held + tile.end, Mask::Causal),
                        None => (cache.rows[row].capacity, Mask::Whole),
                    };
                    let seen = KeyValues { storage, memory, place, length, bias: step.bias, head };
                    let first = tokens.start + tile.start;
                    let queries = Queries {
                        first: part(first, 0).as_ptr(),
                        stride: step.projected.stride(),
                        position: held + tile.start,
                        count: tile.len(),
                        mask,
                    };
                    // SAFETY: `length` positions were filled; the target's parts are these tokens'
                    // and this head's.
                    unsafe {
                        let to = target.at(first * stride + head * width);
                        let scores = &mut scratch.scores;
                        attend(self.dispatch, width, queries, &seen, scores, to, stride);
                    }
                }
            }
        });
    }
}

fn layer_of(cache: &Cache, step: &Step<'_>) -> usize {
    assert!(step.layer < cache.layers, "layer {} of {}", step.layer, cache.layers);
    step.layer
}
