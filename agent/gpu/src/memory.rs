//! Memory of a GPU: typed buffers, copied to and from slices of the host.

use crate::driver::{Error, Gpu, free};
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUdeviceptr, CUresult};
use half::{bf16, f16};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// Types without padding or invalid values.
pub trait Element: Copy + Default + Send + Sync + private::Sealed + 'static {}

mod private {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($element:ty),*) => {
        $(impl private::Sealed for $element {}
        impl Element for $element {})*
    };
}

elements!(f32, f16, bf16, i8, i32, u8);

/// A fixed number of elements in a GPU's memory.
pub struct Buffer<T> {
    gpu: Arc<Gpu>,
    pointer: CUdeviceptr,
    len: usize,
    elements: PhantomData<T>,
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} x {} bytes)", self.len, size_of::<T>())
    }
}

#[expect(unsafe_code, reason = "calls into the driver's library")]
impl<T: Element> Buffer<T> {
    /// Zeros.
    pub fn zeroed(gpu: &Arc<Gpu>, len: usize) -> Result<Self, Error> {
        gpu.bind()?;
        // The driver refuses to allocate nothing.
        let bytes = (len * size_of::<T>()).max(1);
        // Safety: the context is current.
        let pointer = unsafe { result::malloc_sync(bytes) }.map_err(|error| match error {
            DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY) => {
                Error::OutOfMemory { bytes, free: free() }
            }
            error => Error::call("cuMemAlloc")(error),
        })?;
        let buffer = Self { gpu: Arc::clone(gpu), pointer, len, elements: PhantomData };
        // Safety: the memory has so many bytes.
        unsafe { result::memset_d8_async(pointer, 0, bytes, gpu.stream) }
            .map_err(Error::call("cuMemsetD8"))?;
        Ok(buffer)
    }

    pub fn from_slice(gpu: &Arc<Gpu>, values: &[T]) -> Result<Self, Error> {
        let mut buffer = Self::zeroed(gpu, values.len())?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// Copies `values` to the elements from `start` on. Panics beyond the end.
    pub fn write(&mut self, start: usize, values: &[T]) -> Result<(), Error> {
        assert!(start + values.len() <= self.len, "{start} + {} of {}", values.len(), self.len);
        if values.is_empty() {
            return Ok(());
        }
        self.gpu.bind()?;
        // Safety: checked against the length; the copy has ended before `values` can change.
        unsafe { result::memcpy_htod_async(self.address(start), values, self.gpu.stream) }
            .map_err(Error::call("cuMemcpyHtoD"))?;
        self.gpu.synchronize()
    }

    /// Copies elements to the host, after everything that was started. Panics beyond the end.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<T>, Error> {
        assert!(range.end <= self.len, "{range:?} of {}", self.len);
        let mut values = vec![T::default(); range.len()];
        if values.is_empty() {
            return Ok(values);
        }
        self.gpu.bind()?;
        // Safety: checked against the length; the copy ends before `values` is used.
        unsafe {
            result::memcpy_dtoh_async(&mut values, self.address(range.start), self.gpu.stream)
        }
        .map_err(Error::call("cuMemcpyDtoH"))?;
        self.gpu.synchronize()?;
        Ok(values)
    }

    /// Copies elements of another buffer to the elements from `start` on. Panics beyond either end.
    pub fn copy_from(
        &mut self,
        start: usize,
        from: &Self,
        range: Range<usize>,
    ) -> Result<(), Error> {
        assert!(range.end <= from.len && start + range.len() <= self.len, "{range:?} to {start}");
        if range.is_empty() {
            return Ok(());
        }
        self.gpu.bind()?;
        let bytes = range.len() * size_of::<T>();
        let (to, from) = (self.address(start), from.address(range.start));
        // Safety: checked against both lengths; two buffers don't overlap.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.gpu.stream) }
            .map_err(Error::call("cuMemcpyDtoD"))
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Of the element at `start`, which may be one past the last.
    pub(crate) fn address(&self, start: usize) -> u64 {
        assert!(start <= self.len, "{start} of {}", self.len);
        self.pointer + (start * size_of::<T>()) as u64
    }
}

impl<T> Drop for Buffer<T> {
    #[expect(unsafe_code, reason = "calls into the driver's library")]
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // Safety: the driver waits for what still uses the memory; nothing else frees it.
            let _ = unsafe { result::free_sync(self.pointer) };
        }
    }
}
