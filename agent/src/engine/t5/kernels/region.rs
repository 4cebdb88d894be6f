//! Large memory that starts as zeros, lies on page boundaries and asks for huge pages: weights and caches
//! are read in long streams, where small pages cost a tenth of the bandwidth.

use memmap2::MmapMut;

/// Numbers that may be seen as bytes and made from any bytes.
pub(super) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for u16 {}
impl Plain for f32 {}

/// Zeroed memory that is returned when dropped.
#[derive(Debug)]
pub(super) struct Region(MmapMut);

impl Region {
    /// Takes `bytes` of memory. Pages are the system's until they are written to.
    ///
    /// # Panics
    /// Where the system has no memory left.
    pub(super) fn zeroed(bytes: usize) -> Self {
        let map = MmapMut::map_anon(bytes.max(1)).expect("the system has memory");
        #[cfg(target_os = "linux")]
        {
            // Without huge pages it only takes longer.
            let _refused = map.advise(memmap2::Advice::HugePage);
        }
        Self(map)
    }

    /// How many bytes there are.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// All of it as numbers.
    pub(super) fn slice<T: Plain>(&self) -> &[T] {
        let length = self.0.len() / size_of::<T>();
        // SAFETY: the map starts on a page boundary, holds `length` numbers, any bytes make a `Plain`, and
        // the borrow of self lasts as long as that of the slice.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), length) }
    }

    /// All of it as numbers.
    pub(super) fn slice_mut<T: Plain>(&mut self) -> &mut [T] {
        let length = self.0.len() / size_of::<T>();
        // SAFETY: as in `slice`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_starts_as_zeros_and_keeps_what_is_written() {
        let mut region = Region::zeroed(64);
        assert_eq!(region.slice::<f32>(), [0.0; 16]);
        region.slice_mut::<f32>()[3] = 1.0;
        assert_eq!(region.slice::<u8>()[12..16], 1.0_f32.to_le_bytes());
    }
}
