//! Rows of f32, zero-padded to whole panels, with a gap between rows.

use super::aligned_buf::AlignedBuf;

/// For the widest instruction set.
const PANEL: usize = 32;
/// One cache line in f32. Without it, rows of 1024 f32 would map to the same few cache lines.
const GAP: usize = 16;

/// Rows of equal width. The memory never shrinks.
#[derive(Debug)]
pub struct Rows {
    memory: AlignedBuf,
    width: usize,
    count: usize,
}

impl Rows {
    pub fn new(width: usize) -> Self {
        Self { memory: AlignedBuf::zeroed(0), width, count: 0 }
    }

    /// Without padding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Width with padding.
    pub fn padded(&self) -> usize {
        self.width.next_multiple_of(PANEL)
    }

    /// f32 from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.padded() + GAP
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Sets the number of rows. Their contents are unspecified; padding stays zero.
    pub fn resize(&mut self, count: usize) {
        let bytes = count * self.stride() * size_of::<f32>();
        if bytes > self.memory.bytes() {
            self.memory = AlignedBuf::zeroed(bytes);
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

    pub fn row(&self, row: usize) -> &[f32] {
        &self.padded_row(row)[..self.width]
    }

    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let span = self.span(row);
        &mut self.memory.slice_mut()[span][..self.width]
    }

    pub(super) fn as_ptr(&self) -> *const f32 {
        self.memory.slice::<f32>().as_ptr()
    }

    /// A pointer for several threads that write disjoint parts.
    pub(super) fn shared(&mut self) -> SharedPtr<f32> {
        SharedPtr(self.memory.slice_mut::<f32>().as_mut_ptr())
    }
}

/// A pointer that several threads write through, each to its own part.
#[derive(Debug)]
pub(super) struct SharedPtr<T>(pub(super) *mut T);

impl<T> Clone for SharedPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SharedPtr<T> {}
// SAFETY: the pointer alone does nothing; each use of it says why its part is its own.
unsafe impl<T: Send> Send for SharedPtr<T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for SharedPtr<T> {}

impl<T> SharedPtr<T> {
    /// # Safety
    /// The result must lie within the same allocation.
    pub(super) unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: passed on to the caller.
        unsafe { self.0.add(offset) }
    }
}
