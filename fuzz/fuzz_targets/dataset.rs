//! The controller's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../controller/tests/integration/fuzzed/dataset.rs"]
mod dataset;

libfuzzer_sys::fuzz_target!(init: fuzz::ignore_contained_panics(), |bytes: &[u8]| {
    dataset::check(bytes)
});
