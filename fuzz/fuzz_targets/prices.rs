//! The controller's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../controller/tests/integration/fuzzed/prices.rs"]
mod prices;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| prices::check(bytes));
