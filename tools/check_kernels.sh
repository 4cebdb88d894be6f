#!/usr/bin/env bash
# Runs the kernels' tests under AddressSanitizer or, if installed, under Miri: `check_kernels.sh [asan|miri]`.
#
# Builds agent/kernels with its large buffers on the heap (cfg kernels_on_heap), so that both tools see
# their bounds. RUSTC_BOOTSTRAP=1 enables AddressSanitizer on a stable compiler; the standard library is
# not instrumented. Miri doesn't support AVX: it checks the portable kernels, the threads and the memory
# layout.
set -euo pipefail
cd "$(dirname "$0")/.."
how=${1:-asan}
# A separate target directory: these flags would rebuild everything else.
export CARGO_TARGET_DIR=${CHECK_KERNELS_DIR:-target/check_kernels}
if [ "$how" = miri ]; then
    export RUSTFLAGS="--cfg kernels_on_heap" MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" PROPTEST_CASES=2
    cargo +nightly miri test -p kernels --lib
else
    # An explicit target keeps the flags away from build scripts.
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="--cfg kernels_on_heap -Zsanitizer=address"
    cargo test -p kernels --lib --release --target "$(rustc -vV | sed -n 's/^host: //p')"
fi
