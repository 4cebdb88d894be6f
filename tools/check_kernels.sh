#!/usr/bin/env bash
# Runs the kernels' tests under AddressSanitizer or, if installed, under Miri: `check_kernels.sh [asan|miri]`.
#
# Builds agent/src/engine/t5/kernels as a separate crate in a temporary folder, with its large buffers on
# the heap (cfg kernels_on_heap), so that both tools see their bounds. RUSTC_BOOTSTRAP=1 enables
# AddressSanitizer on a stable compiler; the standard library is not instrumented. Miri doesn't support
# AVX: it checks the portable kernels, the threads and the memory layout.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
how=${1:-asan}
crate=${CHECK_KERNELS_DIR:-$(mktemp -d)}
mkdir -p "$crate/src/engine/t5"
version() { sed -n "s/^$1 = { version = \"\([^\"]*\)\".*/\1/p; s/^$1 = \"\([^\"]*\)\"/\1/p" "$root/Cargo.toml" | head -1; }
cat > "$crate/Cargo.toml" <<TOML
[package]
name = "kernels"
version = "0.0.0"
edition = "2024"
[dependencies]
half = "$(version half)"
memmap2 = "$(version memmap2)"
rayon = "$(version rayon)"
[dev-dependencies]
proptest = { version = "$(version proptest)", default-features = false, features = ["std"] }
rand = "$(version rand)"
rand_chacha = "$(version rand_chacha)"
[profile.release]
debug = 1
[workspace]
TOML
cat > "$crate/src/lib.rs" <<RUST
#![allow(unused, unexpected_cfgs)]
pub mod engine {
    pub mod t5 {
        #[path = "$root/agent/src/engine/t5/kernels/mod.rs"]
        pub mod kernels;
    }
}
#[path = "$root/agent/src/stopwatch.rs"]
pub mod stopwatch;
RUST
cp "$root/Cargo.lock" "$root/rust-toolchain.toml" "$crate/"
cd "$crate"
if [ "$how" = miri ]; then
    export RUSTFLAGS="--cfg kernels_on_heap" MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" PROPTEST_CASES=2
    cargo +nightly miri test --lib
else
    # With an explicit target, build scripts are built without the flag.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg kernels_on_heap -Zsanitizer=address"
    cargo test --release --lib --target "$(rustc -vV | sed -n 's/^host: //p')"
fi
