//! The controller's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../controller/tests/integration/fuzzed/bundle.rs"]
mod bundle_check;

libfuzzer_sys::fuzz_target!(init: fuzz::ignore_contained_panics(), |bytes: &[u8]| {
    bundle_check::check(bytes)
});
