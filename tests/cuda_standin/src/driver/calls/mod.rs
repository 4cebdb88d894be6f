//! The C functions, by subject.

mod contexts;
mod copies;
mod modules;
mod streams;

/// Defines exported functions whose body is a result: `state` is the driver's, and a number of
/// `CUresult` is what callers get.
macro_rules! c_functions {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) |$state:ident| $body:block)+) => {
        $(
            $(#[$doc])*
            #[unsafe(no_mangle)]
            extern "C" fn $name($($argument: $type),*) -> std::ffi::c_uint {
                $crate::driver::call(stringify!($name), |$state| $body)
            }
        )+
    };
}

use c_functions;

/// A device, context or other object in C: an address that only the driver understands.
type Pointer = *mut std::ffi::c_void;

/// The handle of a pointer.
fn of(pointer: Pointer) -> usize {
    pointer as usize
}
