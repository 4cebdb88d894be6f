//! The agent's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../agent/tests/integration/fuzzed/serve_http.rs"]
mod serve_http;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| serve_http::check(bytes));
