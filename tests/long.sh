#!/usr/bin/env bash
# What takes too long for every change: 100 campaigns whose controller and agents are killed at random, and 1,000 simulated
# campaigns on a network that delays, drops and parts. .ci/run plays a short form of both.
set -euo pipefail
cd "$(dirname "$0")/.."

FLEETMARK_SEEDS=0..1000 cargo test --release -p controller --test unreliable -- --nocapture
cargo build --release
FLEETMARK_SEEDS=0..100 cargo test --release -p scenarios --test kills -- --nocapture
