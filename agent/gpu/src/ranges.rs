//! Ranges of a cache: lengths in, places out.

use std::collections::BTreeMap;

/// Which parts of a number of places are taken.
#[derive(Debug, Default)]
pub struct Ranges {
    capacity: usize,
    /// Lengths by start.
    taken: BTreeMap<usize, usize>,
}

impl Ranges {
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds places at the end.
    pub fn grow(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity);
    }

    /// Takes the first `length` free places in a row and returns the first of them. `None` if there
    /// are not so many. Panics for 0.
    pub fn take(&mut self, length: usize) -> Option<usize> {
        assert!(length > 0, "an empty range has no place");
        let mut start = 0;
        for (taken, of) in &self.taken {
            if taken - start >= length {
                break;
            }
            start = taken + of;
        }
        if start + length > self.capacity {
            return None;
        }
        self.taken.insert(start, length);
        Some(start)
    }

    /// Frees the range that starts there. Panics if none does.
    pub fn free(&mut self, start: usize) {
        self.taken.remove(&start).expect("a range that was taken");
    }

    pub fn clear(&mut self) {
        self.taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_fill_the_first_gap_that_fits() {
        let mut ranges = Ranges::default();
        assert_eq!(ranges.take(1), None);
        ranges.grow(10);
        assert_eq!([ranges.take(3), ranges.take(3), ranges.take(4)], [Some(0), Some(3), Some(6)]);
        assert_eq!(ranges.take(1), None);
        ranges.free(3);
        assert_eq!(ranges.take(4), None);
        assert_eq!([ranges.take(2), ranges.take(1), ranges.take(1)], [Some(3), Some(5), None]);
        ranges.grow(12);
        assert_eq!(ranges.take(2), Some(10));
        ranges.free(0);
        assert_eq!(ranges.take(3), Some(0));
        ranges.clear();
        assert_eq!(ranges.take(12), Some(0));
    }
}
