//! Memory: allocations, copies and fills.

use super::{Pointer, c_functions, of};
use crate::driver::code::{self, Code};
use crate::driver::graphs::Node;
use crate::driver::state::State;
use crate::driver::write;
use crate::memory;
use std::ffi::{c_int, c_uchar, c_uint, c_ushort};

fn allocate(state: &mut State, out: *mut u64, bytes: usize) -> Result<(), Code> {
    if bytes == 0 {
        return Err(code::INVALID_VALUE);
    }
    let machine = state.device_memory()?;
    match machine.memory.allocate(bytes as u64) {
        Ok(address) => write(out, address),
        Err(memory::Error::OutOfMemory) => {
            let (total, used, _) = machine.memory.usage();
            let what =
                format!("{bytes} bytes were asked for, {} of {total} are free", total - used);
            state.detail(code::OUT_OF_MEMORY, what);
            Err(code::OUT_OF_MEMORY)
        }
        Err(_) => Err(code::UNKNOWN),
    }
}

/// Copies of no bytes are in order whatever their addresses are.
fn copy(state: &mut State, stream: usize, bytes: usize, node: Node) -> Result<(), Code> {
    if bytes == 0 { state.context().map(|_| ()) } else { state.enqueue(stream, node) }
}

fn fill(
    state: &mut State,
    stream: usize,
    target: u64,
    element: &[u8],
    count: usize,
) -> Result<(), Code> {
    if !target.is_multiple_of(element.len() as u64) {
        return Err(code::INVALID_VALUE);
    }
    copy(state, stream, count, Node::Fill { target, element: element.to_vec(), count })
}

c_functions! {
    /// Device memory at a multiple of 256.
    fn cuMemAlloc_v2(out: *mut u64, bytes: usize) |state| { allocate(state, out, bytes) }

    /// The same: a stream's work has been done.
    fn cuMemAllocAsync(out: *mut u64, bytes: usize, stream: Pointer) |state| {
        state.not_capturing(of(stream))?;
        allocate(state, out, bytes)
    }

    /// Frees; null is in order.
    fn cuMemFree_v2(address: u64) |state| {
        if address == 0 {
            return Ok(());
        }
        state.enqueue(0, Node::Free { address })
    }

    /// Frees after the stream's work.
    fn cuMemFreeAsync(address: u64, stream: Pointer) |state| {
        state.not_capturing(of(stream))?;
        state.enqueue(0, Node::Free { address })
    }

    /// Memory of the host.
    fn cuMemHostAlloc(out: *mut usize, bytes: usize, _flags: c_uint) |state| {
        state.context()?;
        let memory = vec![0_u128; bytes.div_ceil(16)];
        let handle = memory.as_ptr() as usize;
        state.host.insert(handle, memory);
        write(out, handle)
    }

    /// Frees memory of the host.
    fn cuMemFreeHost(address: Pointer) |state| {
        state.host.remove(&of(address)).map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// Free and total bytes.
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) |state| {
        let (all, used, _) = state.device_memory()?.memory.usage();
        write(free, usize::try_from(all - used).map_err(|_| code::UNKNOWN)?)?;
        write(total, usize::try_from(all).map_err(|_| code::UNKNOWN)?)
    }

    /// The allocation around an address.
    fn cuMemGetAddressRange_v2(start: *mut u64, bytes: *mut usize, address: u64) |state| {
        let found = state.device_memory()?.memory.allocation(address);
        let (first, length) = found.ok_or(code::NOT_FOUND)?;
        if !start.is_null() {
            write(start, first)?;
        }
        if bytes.is_null() { Ok(()) } else { write(bytes, length as usize) }
    }

    /// From the host.
    fn cuMemcpyHtoD_v2(target: u64, source: Pointer, bytes: usize) |state| {
        copy(state, 0, bytes, Node::Upload { target, source: of(source), bytes })
    }

    /// From the host.
    fn cuMemcpyHtoDAsync_v2(target: u64, source: Pointer, bytes: usize, stream: Pointer) |state| {
        copy(state, of(stream), bytes, Node::Upload { target, source: of(source), bytes })
    }

    /// To the host.
    fn cuMemcpyDtoH_v2(target: Pointer, source: u64, bytes: usize) |state| {
        copy(state, 0, bytes, Node::Download { target: of(target), source, bytes })
    }

    /// To the host.
    fn cuMemcpyDtoHAsync_v2(target: Pointer, source: u64, bytes: usize, stream: Pointer) |state| {
        copy(state, of(stream), bytes, Node::Download { target: of(target), source, bytes })
    }

    /// Within the device.
    fn cuMemcpyDtoD_v2(target: u64, source: u64, bytes: usize) |state| {
        copy(state, 0, bytes, Node::Copy { target, source, bytes })
    }

    /// Within the device.
    fn cuMemcpyDtoDAsync_v2(target: u64, source: u64, bytes: usize, stream: Pointer) |state| {
        copy(state, of(stream), bytes, Node::Copy { target, source, bytes })
    }

    /// Repeats a byte.
    fn cuMemsetD8_v2(target: u64, value: c_uchar, count: usize) |state| {
        fill(state, 0, target, &[value], count)
    }

    /// Repeats a byte.
    fn cuMemsetD8Async(target: u64, value: c_uchar, count: usize, stream: Pointer) |state| {
        fill(state, of(stream), target, &[value], count)
    }

    /// Repeats two bytes.
    fn cuMemsetD16Async(target: u64, value: c_ushort, count: usize, stream: Pointer) |state| {
        fill(state, of(stream), target, &value.to_le_bytes(), count)
    }

    /// Repeats four bytes.
    fn cuMemsetD32_v2(target: u64, value: c_uint, count: usize) |state| {
        fill(state, 0, target, &value.to_le_bytes(), count)
    }

    /// Repeats four bytes.
    fn cuMemsetD32Async(target: u64, value: c_uint, count: usize, stream: Pointer) |state| {
        fill(state, of(stream), target, &value.to_le_bytes(), count)
    }

    /// Pools keep nothing, so that any handle is one.
    fn cuDeviceGetDefaultMemPool(out: *mut usize, device: c_int) |state| {
        state.device(device)?;
        write(out, 16)
    }

    /// The same.
    fn cuDeviceGetMemPool(out: *mut usize, device: c_int) |state| {
        state.device(device)?;
        write(out, 16)
    }

    /// Attributes of pools make no difference.
    fn cuMemPoolSetAttribute(_pool: Pointer, _number: c_uint, _value: Pointer) |_state| { Ok(()) }

    /// Nothing is kept.
    fn cuMemPoolTrimTo(_pool: Pointer, _bytes: usize) |_state| { Ok(()) }
}
