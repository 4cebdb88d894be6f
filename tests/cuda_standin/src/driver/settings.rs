//! What the environment says. README.md describes each variable.

use super::code::Code;
use super::devices::{self, Device};
use crate::machine::{Approximation, Options};
use std::path::PathBuf;

/// Of the device, as the driver tells it.
pub(super) const NAME: &str = "Fleetmark software GPU";
pub(super) const CAPABILITY: u32 = 75;
pub(super) const MULTIPROCESSORS: u32 = 40;

#[derive(Debug)]
pub(super) struct Settings {
    /// As the process sees them.
    pub(super) devices: Vec<Device>,
    /// 13000 is 13.0.
    pub(super) driver_version: u32,
    pub(super) options: Options,
    pub(super) report: Option<PathBuf>,
    pub(super) failure: Option<Failure>,
}

/// The n-th call of a function fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) name: String,
    /// From 1.
    pub(super) call: u64,
    pub(super) code: Code,
}

impl Settings {
    #[expect(clippy::disallowed_methods, reason = "a library has no other way to be told")]
    pub(super) fn from_environment() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    pub(super) fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let number = |name: &str| -> Option<u64> {
            let text = variable(name)?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}=`{text}`: expected a number")))
        };
        let small = |name: &str| number(name).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        let mut options =
            Options { seed: number("CUDA_STANDIN_SEED").unwrap_or(0), ..Options::default() };
        if let Some(workers) = number("CUDA_STANDIN_THREADS") {
            options.workers = usize::try_from(workers).unwrap_or(1).max(1);
        }
        options.checks_races = match variable("CUDA_STANDIN_RACES").as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => panic!("CUDA_STANDIN_RACES=`{other}`: expected on or off"),
        };
        if let Some(seed) = number("CUDA_STANDIN_ERRORS") {
            options.approximation = Approximation::Seeded(seed);
        }
        let failure = variable("CUDA_STANDIN_FAIL").map(|text| {
            let parts: Vec<&str> = text.split(':').collect();
            let failure = match parts[..] {
                [name, call, code] => call
                    .parse()
                    .ok()
                    .zip(code.parse().ok())
                    .map(|(call, code)| Failure { name: name.to_owned(), call, code }),
                _ => None,
            };
            failure.unwrap_or_else(|| {
                panic!("CUDA_STANDIN_FAIL=`{text}`: expected FUNCTION:CALL:CODE")
            })
        });
        let machine = match variable("CUDA_STANDIN_DEVICES") {
            Some(text) if text.starts_with('[') => serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("CUDA_STANDIN_DEVICES=`{text}`: {error}")),
            _ => devices::numbered(small("CUDA_STANDIN_DEVICES").unwrap_or(1)),
        };
        let (order, list) = (variable("CUDA_DEVICE_ORDER"), variable("CUDA_VISIBLE_DEVICES"));
        let memory_bytes = number("CUDA_STANDIN_MEMORY").unwrap_or(4 << 30);
        Self {
            devices: devices::visible(&machine, memory_bytes, order.as_deref(), list.as_deref()),
            driver_version: small("CUDA_STANDIN_DRIVER_VERSION").unwrap_or(13_000),
            options,
            report: variable("CUDA_STANDIN_REPORT").map(PathBuf::from),
            failure,
        }
    }

    /// The newest PTX that a driver of this version knows.
    pub(super) fn newest_ptx(&self) -> (u32, u32) {
        match self.driver_version {
            13_000.. => (9, 0),
            12_090.. => (8, 8),
            12_080.. => (8, 7),
            12_050.. => (8, 5),
            12_000.. => (8, (self.driver_version - 12_000) / 10),
            11_000.. => (7, (self.driver_version - 11_000) / 10),
            10_020.. => (6, 5),
            10_010.. => (6, 4),
            10_000.. => (6, 3),
            _ => (6, 0),
        }
    }
}

/// An attribute of the device by its number; zero means no or none. Sizes are those of a T4.
pub(super) fn attribute(number: u32) -> i32 {
    match number {
        // The axes x and y of blocks, threads of a block and of a multiprocessor.
        1..=3 | 39 => 1024,
        4 => 64,
        // The grid's x, and the pitch.
        5 | 11 => i32::MAX,
        6 | 7 => 65_535,
        // Shared memory of a block without asking for more.
        8 => 49_152,
        // Constant memory; registers and shared memory of a block and of a multiprocessor.
        9 | 12 | 81 | 82 | 97 => 65_536,
        10 => 32,
        14 => 512,
        37 => 256,
        38 => 4 << 20,
        75 => (CAPABILITY / 10).cast_signed(),
        76 => (CAPABILITY % 10).cast_signed(),
        106 => 16,
        // Clocks in kHz, of which a software GPU has none: the least that isn't zero. Then what it
        // can do: mapped memory, concurrent kernels, copies, one address space, memory pools.
        13 | 36 | 19 | 31 | 40 | 41 | 115 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_know_the_ptx_of_their_time() {
        let of = |version: u32| {
            let text = version.to_string();
            let name = "CUDA_STANDIN_DRIVER_VERSION";
            Settings::new(|asked| (asked == name).then(|| text.clone())).newest_ptx()
        };
        assert_eq!(of(13_000), (9, 0));
        assert_eq!(of(12_040), (8, 4));
        assert_eq!(of(11_080), (7, 8));
        assert_eq!(of(10_020), (6, 5));
        assert_eq!(of(10_010), (6, 4));
    }

    #[test]
    fn one_call_can_be_told_to_fail() {
        let settings = Settings::new(|name| {
            (name == "CUDA_STANDIN_FAIL").then(|| "cuLaunchKernel:3:719".to_owned())
        });
        let failure = Failure { name: "cuLaunchKernel".to_owned(), call: 3, code: 719 };
        assert_eq!(settings.failure, Some(failure));
    }
}
