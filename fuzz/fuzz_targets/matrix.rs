//! The controller's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../controller/tests/integration/fuzzed/matrix.rs"]
mod matrix;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| matrix::check(bytes));
