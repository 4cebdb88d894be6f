//! The check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../agent/chat/tests/fuzzed.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(init: fuzz::ignore_contained_panics(), |bytes: &[u8]| {
    fuzzed::check(bytes)
});
