//! The check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../agent/gguf/tests/fuzzed.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzed::check(bytes));
