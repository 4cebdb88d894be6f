#!/usr/bin/env bash
# Measures time and memory of the report of a large campaign: tests/scale.sh [SAMPLES] (default 1,000,000).
# Fills a store in a temporary folder first. Needs python3 to measure peak memory.
set -euo pipefail
cd "$(dirname "$0")/.."
samples=${1:-1000000}

cargo build --release --workspace --bins --example fill_store
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "filling a store with $samples samples"
./target/release/examples/fill_store "$work/data" "$samples"
python3 - "$work" "$samples" <<'PYTHON'
import resource, subprocess, sys, time
work, samples = sys.argv[1:]
start = time.monotonic()
command = ["./target/release/controller", "report", "latest", "--data-dir", f"{work}/data", "--output", f"{work}/results.json"]
subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.monotonic() - start
peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{samples} samples: report in {seconds:.1f} s, peak {peak_mb:.0f} MB")
PYTHON
