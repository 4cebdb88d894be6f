#!/usr/bin/env bash
# Runs the kernels' tests under AddressSanitizer, or under Miri where it is installed: `check_kernels.sh [asan|miri]`.
#
# The room agent/src/engine/t5/kernels is built alone, as a crate of its own in a temporary folder, with its large
# memory on the heap (cfg kernels_on_heap), where both see its bounds. AddressSanitizer is a flag that stable
# compilers keep for themselves: RUSTC_BOOTSTRAP=1 lets them take it; the standard library stays as it is.
# Miri knows no AVX: it checks the portable kernels, the threads and the layout of memory.
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
    # A target of its own, so that build scripts are built without the flag.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg kernels_on_heap -Zsanitizer=address"
    cargo test --release --lib --target "$(rustc -vV | sed -n 's/^host: //p')"
fi
