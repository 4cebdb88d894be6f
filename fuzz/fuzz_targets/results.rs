//! The controller's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../controller/tests/integration/fuzzed/results.rs"]
mod results;

libfuzzer_sys::fuzz_target!(init: fuzz::ignore_contained_panics(), |bytes: &[u8]| {
    results::check(bytes)
});
