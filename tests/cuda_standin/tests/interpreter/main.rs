//! The interpreter on its own: kernels of `kernels/`, launched without the driver's functions.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod checks;
mod compute;
mod device;
mod texts;
