//! Rows of f32 that kernels read and write: padded with zeros to whole panels, with a gap between rows.

use super::region::Region;

/// Widths are padded to whole panels of the widest instruction set.
const PANEL: usize = 32;
/// f32 between rows, one cache line: rows of 1024 f32 would else fall on the same few lines of the cache.
const GAP: usize = 16;

/// Rows of equal width. Memory grows to the largest count that was asked for and stays.
#[derive(Debug)]
pub struct Rows {
    memory: Region,
    width: usize,
    count: usize,
}

impl Rows {
    /// No rows yet, of `width` numbers.
    pub fn new(width: usize) -> Self {
        Self { memory: Region::zeroed(0), width, count: 0 }
    }

    /// Numbers of a row, without padding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers of a row with padding.
    pub fn padded(&self) -> usize {
        self.width.next_multiple_of(PANEL)
    }

    /// From one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.padded() + GAP
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Makes it `count` rows. Their contents are whatever they were; padding stays zero.
    pub fn resize(&mut self, count: usize) {
        let bytes = count * self.stride() * size_of::<f32>();
        if bytes > self.memory.bytes() {
            self.memory = Region::zeroed(bytes);
        }
        self.count = count;
    }

    fn span(&self, row: usize) -> std::ops::Range<usize> {
        assert!(row < self.count, "row {row} of {}", self.count);
        row * self.stride()..row * self.stride() + self.padded()
    }

    /// A row with its padding.
    pub(super) fn padded_row(&self, row: usize) -> &[f32] {
        &self.memory.slice()[self.span(row)]
    }

    /// A row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.padded_row(row)[..self.width]
    }

    /// A row to be written.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let span = self.span(row);
        &mut self.memory.slice_mut()[span][..self.width]
    }

    /// The first row.
    pub(super) fn as_ptr(&self) -> *const f32 {
        self.memory.slice::<f32>().as_ptr()
    }

    /// The first row, to be written by several threads.
    pub(super) fn shared(&mut self) -> Shared<f32> {
        Shared(self.memory.slice_mut::<f32>().as_mut_ptr())
    }
}

/// A place that several threads write to, each its own part.
#[derive(Debug)]
pub(super) struct Shared<T>(pub(super) *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
// SAFETY: the pointer alone does nothing; each use of it says why its part is its own.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The place `offset` further on.
    ///
    /// # Safety
    /// It must lie within the same memory.
    pub(super) unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: passed on to the caller.
        unsafe { self.0.add(offset) }
    }
}
