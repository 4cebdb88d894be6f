#!/usr/bin/env bash
# Long tests (hours), in named parts; .ci/run runs a short form of each.
# tests/long.sh            all parts
# tests/long.sh fuzz       one of them
set -euo pipefail
cd "$(dirname "$0")/.."

# 1,000 simulated campaigns on a network with delays, losses and partitions.
part_seeds() {
  FLEETMARK_SEEDS=0..1000 cargo test --release --workspace --test unreliable -- --nocapture
}

# Campaigns over faulty real networks, each fault once.
part_network() {
  bash tests/network.sh
}

# 100 campaigns with random kills of controller and agents.
part_kills() {
  cargo build --release
  FLEETMARK_SEEDS=0..100 cargo test --release --workspace --test kills -- --nocapture
}

# Every fuzz target for FUZZ_SECONDS (600): any text as a matrix or price book, any bytes as messages, adapters, datasets.
# Needs cargo-fuzz (cargo install cargo-fuzz --locked). Findings are written to fuzz/artifacts.
part_fuzz() {
  local target
  for target in matrix wire adapter dataset prices; do
    # New inputs are stored separately, to keep the committed corpus small.
    mkdir -p "fuzz/corpus-work/$target"
    (cd fuzz && RUSTC_BOOTSTRAP=1 cargo fuzz run -s none "$target" "corpus-work/$target" "corpus/$target" -- \
      -max_total_time="${FUZZ_SECONDS:-600}" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1)
  done
}

# 10, 100 and 1,000 simulated agents, a million samples each. Needs an idle machine.
part_load() {
  cargo build --release --workspace --bins
  target/release/load
}

parts=$(declare -F | sed -n 's/^declare -f part_//p')
for part in ${*:-$parts}; do
  declare -F "part_$part" >/dev/null || { echo "no part $part; there are:" $parts; exit 2; }
  printf '\n== %s\n' "$part"
  "part_$part"
done
