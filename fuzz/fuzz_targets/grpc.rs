//! The controller's check of this name, over whatever the fuzzer finds.

#![no_main]

#[path = "../../controller/tests/integration/fuzzed/grpc/mod.rs"]
mod grpc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| grpc::check(bytes));
