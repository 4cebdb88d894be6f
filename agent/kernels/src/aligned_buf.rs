//! Large zeroed buffers on page boundaries that request huge pages: weights and caches are
//! streamed, and small pages cost a tenth of the bandwidth.

#[cfg(kernels_on_heap)]
use heap::Memory;
#[cfg(not(kernels_on_heap))]
use memmap2::MmapMut as Memory;

/// Types that any bytes represent.
pub(super) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for i8 {}
impl Plain for u16 {}
impl Plain for f32 {}

#[derive(Debug)]
pub(super) struct AlignedBuf(Memory);

impl AlignedBuf {
    /// The system provides pages on first write. Panics if it is out of memory.
    pub(super) fn zeroed(bytes: usize) -> Self {
        let map = Memory::map_anon(bytes.max(1)).expect("the system has memory");
        #[cfg(all(target_os = "linux", not(kernels_on_heap)))]
        {
            // Slower without huge pages, but correct.
            let _refused = map.advise(memmap2::Advice::HugePage);
        }
        Self(map)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(super) fn slice<T: Plain>(&self) -> &[T] {
        let length = self.0.len() / size_of::<T>();
        // SAFETY: the map starts on a page boundary, holds `length` numbers, any bytes make a `Plain`, and
        // the borrow of self lasts as long as that of the slice.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), length) }
    }

    pub(super) fn slice_mut<T: Plain>(&mut self) -> &mut [T] {
        let length = self.0.len() / size_of::<T>();
        // SAFETY: as in `slice`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), length) }
    }
}

/// The same on the heap, so that sanitizers and Miri see its bounds (tools/check_kernels.sh).
#[cfg(kernels_on_heap)]
mod heap {
    use std::ops::{Deref, DerefMut};

    const LINE: usize = 64;

    #[derive(Debug, Clone, Copy)]
    #[repr(align(64))]
    struct Line([u8; LINE]);

    #[derive(Debug)]
    pub(super) struct Memory(Box<[Line]>, usize);

    impl Memory {
        pub(super) fn map_anon(bytes: usize) -> std::io::Result<Self> {
            Ok(Self(vec![Line([0; LINE]); bytes.div_ceil(LINE)].into(), bytes))
        }
    }

    impl Deref for Memory {
        type Target = [u8];
        fn deref(&self) -> &[u8] {
            // SAFETY: a line is as many bytes as it holds, and there are enough lines for the bytes.
            unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.1) }
        }
    }

    impl DerefMut for Memory {
        fn deref_mut(&mut self) -> &mut [u8] {
            // SAFETY: as in `deref`, and the borrow is exclusive.
            unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.1) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_starts_as_zeros_and_keeps_what_is_written() {
        let mut region = AlignedBuf::zeroed(64);
        assert_eq!(region.slice::<f32>(), [0.0; 16]);
        region.slice_mut::<f32>()[3] = 1.0;
        assert_eq!(region.slice::<u8>()[12..16], 1.0_f32.to_le_bytes());
    }
}
