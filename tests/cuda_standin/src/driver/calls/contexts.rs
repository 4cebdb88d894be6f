//! The driver, its devices and contexts, and errors.

use super::{Pointer, c_functions, of};
use crate::driver::code::{self, Code};
use crate::driver::devices::Device;
use crate::driver::settings::attribute;
use crate::driver::write;
use std::ffi::{c_char, c_int, c_uint};

/// Copies a text with its end into a buffer of C.
fn text(value: &str, out: *mut c_char, length: usize) -> Result<(), Code> {
    if out.is_null() || length <= value.len() {
        return Err(code::INVALID_VALUE);
    }
    for (index, byte) in value.bytes().chain([0]).enumerate() {
        // SAFETY: the buffer holds `length` bytes, and the text with its end is not longer.
        unsafe { out.cast::<u8>().add(index).write(byte) };
    }
    Ok(())
}

c_functions! {
    /// Starts the driver.
    fn cuInit(_flags: c_uint) |state| { state.initialize() }

    /// 13000 is 13.0.
    fn cuDriverGetVersion(out: *mut c_int) |state| {
        write(out, state.settings.driver_version.cast_signed())
    }

    /// Devices.
    fn cuDeviceGetCount(out: *mut c_int) |state| {
        write(out, c_int::try_from(state.settings.devices.len()).map_err(|_| code::UNKNOWN)?)
    }

    /// A device by its ordinal.
    fn cuDeviceGet(out: *mut c_int, ordinal: c_int) |state| {
        state.device(ordinal)?;
        write(out, ordinal)
    }

    /// The name, which says that it is software.
    fn cuDeviceGetName(out: *mut c_char, length: c_int, device: c_int) |state| {
        let name = &state.device(device)?.name;
        text(name, out, usize::try_from(length).unwrap_or(0))
    }

    /// Of an instance of MIG, that of its GPU.
    fn cuDeviceGetUuid(out: *mut [u8; 16], device: c_int) |state| {
        write(out, state.device(device)?.gpu_uuid)
    }

    /// Of an instance of MIG, its own.
    fn cuDeviceGetUuid_v2(out: *mut [u8; 16], device: c_int) |state| {
        write(out, state.device(device)?.uuid)
    }

    /// Bytes of memory.
    fn cuDeviceTotalMem_v2(out: *mut usize, device: c_int) |state| {
        let bytes = state.device(device)?.memory_bytes;
        write(out, usize::try_from(bytes).map_err(|_| code::UNKNOWN)?)
    }

    /// An attribute by its number.
    fn cuDeviceGetAttribute(out: *mut c_int, number: c_uint, device: c_int) |state| {
        let Device { bus, multiprocessors, .. } = state.device(device)?;
        write(out, match number {
            16 => multiprocessors.cast_signed(),
            33 => c_int::try_from(*bus).map_err(|_| code::UNKNOWN)?,
            _ => attribute(number),
        })
    }

    /// A place that no bus has.
    fn cuDeviceGetPCIBusId(out: *mut c_char, length: c_int, device: c_int) |state| {
        let bus = state.device(device)?.bus;
        text(&format!("ffff:{bus:02x}:00.0"), out, usize::try_from(length).unwrap_or(0))
    }

    /// The primary context.
    fn cuDevicePrimaryCtxRetain(out: *mut usize, device: c_int) |state| {
        let handle = state.open(device, true)?;
        write(out, handle)
    }

    /// With its last release, it is destroyed.
    fn cuDevicePrimaryCtxRelease_v2(device: c_int) |state| { state.release(device) }

    /// A context of its own.
    fn cuCtxCreate_v2(out: *mut usize, _flags: c_uint, device: c_int) |state| {
        let handle = state.open(device, false)?;
        state.set_current(handle)?;
        write(out, handle)
    }

    /// The same.
    fn cuCtxCreate_v3(
        out: *mut usize,
        _affinities: Pointer,
        _count: c_int,
        _flags: c_uint,
        device: c_int,
    ) |state| {
        let handle = state.open(device, false)?;
        state.set_current(handle)?;
        write(out, handle)
    }

    /// The same.
    fn cuCtxCreate_v4(out: *mut usize, _params: Pointer, _flags: c_uint, device: c_int) |state| {
        let handle = state.open(device, false)?;
        state.set_current(handle)?;
        write(out, handle)
    }

    /// Its streams are destroyed with it.
    fn cuCtxDestroy_v2(context: Pointer) |state| { state.close(of(context)) }

    /// Of the calling thread.
    fn cuCtxSetCurrent(context: Pointer) |state| { state.set_current(of(context)) }

    /// Of the calling thread; null if there is none.
    fn cuCtxGetCurrent(out: *mut usize) |state| { write(out, state.current()) }

    /// Of the current context.
    fn cuCtxGetDevice(out: *mut c_int) |state| {
        let device = state.context()?.1.device;
        write(out, device)
    }

    /// All work has been done: says only whether it failed.
    fn cuCtxSynchronize() |state| { state.context().map(|_| ()) }

    /// Priorities make no difference.
    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) |state| {
        state.context()?;
        write(least, 0)?;
        write(greatest, 0)
    }

    /// Flags make no difference.
    fn cuCtxSetFlags(_flags: c_uint) |state| { state.context().map(|_| ()) }

    /// `CUDA_ERROR_NOT_FOUND`
    fn cuGetErrorName(number: c_uint, out: *mut *const c_char) |_state| {
        let (name, _) = code::texts(number).ok_or(code::INVALID_VALUE)?;
        write(out, name.as_ptr())
    }

    /// What an error means, and what is known of the last one of its kind.
    fn cuGetErrorString(number: c_uint, out: *mut *const c_char) |state| {
        let (_, text) = code::texts(number).ok_or(code::INVALID_VALUE)?;
        write(out, state.details.get(&number).map_or(text.as_ptr(), |detail| detail.as_ptr()))
    }

    /// The report as JSON with its end, cut to `length` bytes; `needed`: bytes of the whole.
    fn cudaStandinReport(out: *mut c_char, length: usize, needed: *mut usize) |state| {
        let mut json = state.json();
        write(needed, json.len() + 1)?;
        if length == 0 {
            return Ok(());
        }
        json.truncate(length - 1);
        text(&json, out, length)
    }
}
