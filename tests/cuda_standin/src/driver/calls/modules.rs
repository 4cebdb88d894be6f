//! Modules, functions and launches.

use super::{Pointer, c_functions, of};
use crate::driver::code::{self, Code};
use crate::driver::graphs::Node;
use crate::driver::settings::CAPABILITY;
use crate::driver::state::{Function, State};
use crate::driver::write;
use crate::machine::{MOST_SHARED_BYTES, MOST_THREADS, SHARED_BYTES};
use std::ffi::{CStr, c_char, c_int, c_uint};

/// Options of `cuModuleLoadDataEx` for what the compiler says of errors, and its length.
const ERROR_LOG: c_uint = 5;
const ERROR_LOG_LENGTH: c_uint = 6;

/// A text of C.
fn text(from: *const c_char) -> Result<String, Code> {
    if from.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: the caller gives a text that ends; null was checked.
    let text = unsafe { CStr::from_ptr(from) };
    Ok(text.to_str().map_err(|_| code::INVALID_IMAGE)?.to_owned())
}

/// PTX; what isn't text, such as a cubin, is no image for this device.
fn load(state: &mut State, out: *mut usize, image: *const c_char) -> Result<(), Code> {
    let text = text(image)?;
    if !text.contains(".version") {
        return Err(code::INVALID_IMAGE);
    }
    let handle = state.load(&text)?;
    write(out, handle)
}

fn function(state: &State, handle: Pointer) -> Result<&Function, Code> {
    state.functions.get(&of(handle)).ok_or(code::INVALID_HANDLE)
}

c_functions! {
    /// Compiles a text of PTX.
    fn cuModuleLoadData(out: *mut usize, image: *const c_char) |state| { load(state, out, image) }

    /// The same; options other than the log of errors make no difference.
    fn cuModuleLoadDataEx(
        out: *mut usize,
        image: *const c_char,
        count: c_uint,
        options: *const c_uint,
        values: *const usize,
    ) |state| {
        let result = load(state, out, image);
        let value = |wanted: c_uint| {
            (0..count as usize)
                // SAFETY: the caller gives `count` options and values.
                .find(|at| unsafe { options.add(*at).read() } == wanted)
                .map(|at| unsafe { values.add(at).read() })
        };
        let detail = result.err().and_then(|code| state.details.get(&code));
        if let (Some(log), Some(length), Some(detail)) =
            (value(ERROR_LOG), value(ERROR_LOG_LENGTH), detail)
        {
            let bytes = detail.to_bytes();
            let kept = bytes.len().min(length.saturating_sub(1));
            let log = log as *mut u8;
            if length > 0 && !log.is_null() {
                // SAFETY: the log has `length` bytes.
                unsafe {
                    log.copy_from_nonoverlapping(bytes.as_ptr(), kept);
                    log.add(kept).write(0);
                }
            }
        }
        result
    }

    /// From a file.
    fn cuModuleLoad(out: *mut usize, path: *const c_char) |state| {
        let image = std::fs::read_to_string(text(path)?).map_err(|_| code::FILE_NOT_FOUND)?;
        let handle = state.load(&image)?;
        write(out, handle)
    }

    /// Its functions are gone with it.
    fn cuModuleUnload(module: Pointer) |state| {
        let module = state.modules.remove(&of(module)).ok_or(code::INVALID_HANDLE)?;
        let is_of = |function: &Function| {
            module.kernels.values().any(|kernel| std::sync::Arc::ptr_eq(kernel, &function.kernel))
        };
        state.functions.retain(|_, function| !is_of(function));
        let machine = state.device_memory()?;
        for (address, _) in module.variables.values() {
            machine.memory.free(*address).map_err(|_| code::UNKNOWN)?;
        }
        Ok(())
    }

    /// A kernel by its name.
    fn cuModuleGetFunction(out: *mut usize, module: Pointer, name: *const c_char) |state| {
        let name = text(name)?;
        let module = state.modules.get(&of(module)).ok_or(code::INVALID_HANDLE)?;
        let kernel = module.kernels.get(&name).cloned().ok_or(code::NOT_FOUND)?;
        let ptx = module.version;
        let most_dynamic_shared = SHARED_BYTES.saturating_sub(kernel.shared_bytes);
        let handle = state.handle();
        state.functions.insert(handle, Function { kernel, ptx, most_dynamic_shared });
        write(out, handle)
    }

    /// Address and bytes of a variable.
    fn cuModuleGetGlobal_v2(
        address: *mut u64,
        bytes: *mut usize,
        module: Pointer,
        name: *const c_char,
    ) |state| {
        let name = text(name)?;
        let module = state.modules.get(&of(module)).ok_or(code::INVALID_HANDLE)?;
        let (start, length) = *module.variables.get(&name).ok_or(code::NOT_FOUND)?;
        if !address.is_null() {
            write(address, start)?;
        }
        if bytes.is_null() { Ok(()) } else { write(bytes, length as usize) }
    }

    /// Numbers of a function. Registers are those of the interpreter: no compiler assigned any.
    fn cuFuncGetAttribute(out: *mut c_int, number: c_uint, handle: Pointer) |state| {
        let function = function(state, handle)?;
        let kernel = &function.kernel;
        let value = match number {
            0 => kernel.most_threads.unwrap_or(MOST_THREADS),
            1 => kernel.shared_bytes,
            4 => u32::try_from(kernel.words + 2 * kernel.longs).unwrap_or(u32::MAX),
            5 => function.ptx.0 * 10 + function.ptx.1,
            6 => CAPABILITY,
            8 => function.most_dynamic_shared,
            _ => 0,
        };
        write(out, value.cast_signed())
    }

    /// Only dynamic shared memory can be set.
    fn cuFuncSetAttribute(handle: Pointer, number: c_uint, value: c_int) |state| {
        let function = state.functions.get_mut(&of(handle)).ok_or(code::INVALID_HANDLE)?;
        if number == 8 {
            let bytes = u32::try_from(value).map_err(|_| code::INVALID_VALUE)?;
            if function.kernel.shared_bytes.saturating_add(bytes) > MOST_SHARED_BYTES {
                return Err(code::INVALID_VALUE);
            }
            function.most_dynamic_shared = bytes;
        }
        Ok(())
    }

    /// Caches make no difference.
    fn cuFuncSetCacheConfig(handle: Pointer, _config: c_uint) |state| {
        function(state, handle).map(|_| ())
    }

    /// By threads and shared memory; registers aren't known.
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        out: *mut c_int,
        handle: Pointer,
        threads: c_int,
        dynamic_shared: usize,
    ) |state| {
        let kernel = &function(state, handle)?.kernel;
        let threads = u32::try_from(threads).map_err(|_| code::INVALID_VALUE)?.max(1);
        let shared = kernel.shared_bytes as usize + dynamic_shared;
        let by_shared = (MOST_SHARED_BYTES as usize).checked_div(shared).unwrap_or(16);
        let by_threads = (MOST_THREADS / threads) as usize;
        write(out, c_int::try_from(by_shared.min(by_threads).min(16)).map_err(|_| code::UNKNOWN)?)
    }

    /// Launches a kernel. Parameters are copied before the call returns.
    fn cuLaunchKernel(
        handle: Pointer,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared: c_uint,
        stream: Pointer,
        arguments: *const *const u8,
        extra: Pointer,
    ) |state| {
        let function = function(state, handle)?.clone();
        let kernel = function.kernel;
        if dynamic_shared > function.most_dynamic_shared {
            let most = function.most_dynamic_shared;
            let what = format!(
                "{dynamic_shared} bytes of dynamic shared memory for kernel `{}`, which may have {most}",
                kernel.name
            );
            state.detail(code::INVALID_VALUE, what);
            return Err(code::INVALID_VALUE);
        }
        if !extra.is_null() || (arguments.is_null() && !kernel.params.is_empty()) {
            return Err(code::INVALID_VALUE);
        }
        let mut params = vec![0; kernel.param_bytes as usize];
        for (at, (offset, bytes)) in kernel.params.iter().enumerate() {
            let target = &mut params[*offset as usize..][..*bytes as usize];
            // SAFETY: the caller gives an address for each parameter, of as many bytes as it has.
            let source = unsafe { std::slice::from_raw_parts(arguments.add(at).read(), target.len()) };
            target.copy_from_slice(source);
        }
        let node = Node::Kernel {
            kernel,
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            dynamic_shared,
            params,
        };
        state.enqueue(of(stream), node)
    }

    /// Calls a function of the host in a stream's order.
    fn cuLaunchHostFunc(
        stream: Pointer,
        function: Option<extern "C" fn(Pointer)>,
        argument: Pointer,
    ) |state| {
        let function = function.ok_or(code::INVALID_VALUE)?;
        let node = Node::Host { function, argument: of(argument) };
        state.enqueue(of(stream), node)
    }
}
