//! Keys and values of the decoder, row by row: those of the prompt, and those of the tokens so far.
//!
//! Rows enter behind those that are there, and may leave; what they leave is free for others. Memory grows to
//! the most that was used and stays.

use super::attention::{Bias, Heads, Place, Queries, Seen, attend, elements, remember};
use super::product::Kernels;
use super::region::Region;
use super::rows::{Rows, Shared};
use super::table::{Storage, Table};
use std::ops::Range;
use std::sync::PoisonError;

/// A row's part of the memory.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// In elements.
    start: usize,
    /// The first element behind it.
    end: usize,
    /// Positions that there is room for.
    capacity: usize,
}

/// Keys and values of all layers for the rows of a batch.
#[derive(Debug)]
pub struct Cache {
    table: &'static Table,
    storage: Storage,
    layers: usize,
    heads: Heads,
    rows: Vec<Extent>,
    memory: Region,
    used: usize,
}

/// Which numbers of a row are queries, keys and values: where each of them starts.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    /// Of the keys.
    pub keys: usize,
    /// Of the values.
    pub values: usize,
}

/// One step's attention over a cache.
#[derive(Debug)]
pub struct Step<'a> {
    /// Which layer of the cache.
    pub layer: usize,
    /// Rows whose first numbers are the queries.
    pub projected: &'a Rows,
    /// Where keys and values of this step stand in the same rows, if they are to be remembered first.
    pub appended: Option<Appended>,
    /// Biases towards earlier positions.
    pub bias: Option<&'a Bias>,
    /// Steps that each row took before this one.
    pub positions: &'a [usize],
}

impl Cache {
    /// An empty cache.
    ///
    /// # Panics
    /// Where `storage` is neither f32 nor f16.
    pub fn new(table: &'static Table, storage: Storage, layers: usize, heads: Heads) -> Self {
        assert!(matches!(storage, Storage::F32 | Storage::F16), "{storage:?}");
        let memory = Region::zeroed(0);
        Self { table, storage, layers, heads, rows: Vec::new(), memory, used: 0 }
    }

    /// Lets rows in behind those that are there, with room for these many positions in each.
    pub fn admit(&mut self, capacities: impl Iterator<Item = usize>) {
        let mut taken = self.rows.clone();
        taken.sort_unstable_by_key(|extent| extent.start);
        let kept = self.used;
        for capacity in capacities {
            let (keys, values) = elements(self.table, self.heads.width, capacity);
            let size = self.layers * self.heads.count * (keys + values);
            // The first gap that is wide enough; behind all others there is always one.
            let ends = std::iter::once(0).chain(taken.iter().map(|extent| extent.end));
            let starts = taken.iter().map(|extent| extent.start).chain([usize::MAX]);
            let gap = ends.zip(starts).position(|(end, start)| start - end >= size);
            let place = gap.unwrap_or(taken.len());
            let start = place.checked_sub(1).map_or(0, |before| taken[before].end);
            let extent = Extent { start, end: start + size, capacity };
            taken.insert(place, extent);
            self.rows.push(extent);
        }
        self.measure();
        if self.used > self.memory.bytes() {
            let mut memory = Region::zeroed(self.used);
            memory.slice_mut::<u8>()[..kept].copy_from_slice(&self.memory.slice()[..kept]);
            self.memory = memory;
        }
    }

    /// Lets go of all rows but those at these places, which ascend.
    pub fn keep(&mut self, rows: &[usize]) {
        for (place, row) in rows.iter().enumerate() {
            self.rows[place] = self.rows[*row];
        }
        self.rows.truncate(rows.len());
        self.measure();
    }

    /// Bytes up to the last one that a row has.
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

    fn place(&self, row: usize, layer: usize, head: usize) -> Place {
        let Extent { start, capacity, .. } = self.rows[row];
        let (keys, values) = elements(self.table, self.heads.width, capacity);
        let start = start + (layer * self.heads.count + head) * (keys + values);
        Place { keys: start, values: start + keys, capacity }
    }
}

impl Kernels {
    /// Fills rows of the cache, from `first_row` on, with the keys and values of whole sequences.
    ///
    /// `projected` holds them side by side, `[tokens, 2 * inner]`.
    ///
    /// # Panics
    /// Where a sequence is longer than its row has room for.
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
        let memory = Shared(cache.memory.slice_mut::<u8>().as_mut_ptr());
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
                        let place = (cache.storage, memory, place);
                        remember(self.table, place, position, key, value);
                    }
                }
            }
        });
    }

    /// One query per row attends to what the cache holds of its row.
    ///
    /// # Panics
    /// Where the rows aren't those of the cache, or one is full.
    pub fn attend_cached(&self, cache: &mut Cache, step: &Step<'_>, to: &mut Rows) {
        let Heads { count, width } = cache.heads;
        let rows = step.projected.count();
        assert_eq!((rows, to.width()), (cache.rows.len(), count * width));
        assert_eq!(rows, step.positions.len());
        to.resize(rows);
        if step.appended.is_some() {
            let has_room = |(row, position): (&Extent, &usize)| *position < row.capacity;
            assert!(
                cache.rows.iter().zip(step.positions).all(has_room),
                "every row has room for another position"
            );
        }
        let (target, stride) = (to.shared(), to.stride());
        let memory = Shared(cache.memory.slice_mut::<u8>().as_mut_ptr());
        let cache = &*cache;
        self.pool.share(rows * count, 1, &|thread, tasks| {
            let mut room = self.rooms[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for task in tasks {
                let (row, head) = (task / count, task % count);
                let position = step.positions[row];
                let place = cache.place(row, layer_of(cache, step), head);
                let numbers = step.projected.row(row);
                let part =
                    |start: usize| &numbers[start + head * width..start + (head + 1) * width];
                let length = if let Some(appended) = step.appended {
                    let (key, value) = (part(appended.keys), part(appended.values));
                    // SAFETY: there is room for the position; each row and head is one thread's.
                    unsafe {
                        let place = (cache.storage, memory, place);
                        remember(self.table, place, position, key, value);
                    }
                    position + 1
                } else {
                    cache.rows[row].capacity
                };
                let storage = cache.storage;
                let seen = Seen { storage, memory, place, length, bias: step.bias, head };
                let queries = Queries { first: part(0).as_ptr(), stride: 0, position, count: 1 };
                // SAFETY: `length` positions were filled; the target's part is this row's and head's.
                unsafe {
                    let to = target.at(row * stride + head * width);
                    attend(self.table, width, queries, &seen, &mut room.scores, (to, stride));
                }
            }
        });
    }
}

fn layer_of(cache: &Cache, step: &Step<'_>) -> usize {
    assert!(step.layer < cache.layers, "layer {} of {}", step.layer, cache.layers);
    step.layer
}
