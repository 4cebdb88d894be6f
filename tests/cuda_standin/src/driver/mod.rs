//! NVIDIA's driver library: its C functions over the software GPU. Signatures, numbers and errors are
//! those of cuda.h.
//!
//! Every call runs to its end before it returns, so streams are in order by construction. What a kernel
//! does wrong is reported as by a device: by the calls that follow, for as long as the context lives.

mod calls;
mod code;
mod devices;
mod graphs;
mod settings;
mod state;

use code::Code;
use settings::Settings;
use state::State;
use std::ffi::c_uint;
use std::sync::{Mutex, OnceLock};

/// The functions that work before `cuInit`.
const BEFORE_INIT: &[&str] =
    &["cuInit", "cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString", "cudaStandinReport"];

fn driver() -> &'static Mutex<State> {
    static DRIVER: OnceLock<Mutex<State>> = OnceLock::new();
    DRIVER.get_or_init(|| Mutex::new(State::new(Settings::from_environment())))
}

/// Runs a call of this name, unless it is to fail.
fn call(name: &'static str, body: impl FnOnce(&mut State) -> Result<(), Code>) -> c_uint {
    let mut state = driver().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let result = state.begin(name).and_then(|()| body(&mut state));
    result.map_or_else(|code| code, |()| code::SUCCESS)
}

/// Writes the answer of a call.
fn write<T>(place: *mut T, value: T) -> Result<(), Code> {
    if place.is_null() {
        return Err(code::INVALID_VALUE);
    }
    // SAFETY: a caller of C gives a valid place for an answer; null was checked.
    unsafe { place.write(value) };
    Ok(())
}

/// Writes the report at the end of the process.
extern "C" fn write_report() {
    if let Ok(state) = driver().try_lock() {
        state.write_report();
    }
}
