//! The agent's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../agent/tests/integration/fuzzed/adapter.rs"]
mod adapter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| adapter::check(bytes));
