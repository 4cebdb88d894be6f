#!/usr/bin/env bash
# Compares `controller decide` with measured fleets of one and two processes, and prints the table of docs/decide.md.
#
#   tests/decide/validate.sh [--runs 40] [--requests 240] [--programs target/release]
#
# Needs an otherwise idle machine with two cores, nginx and python3. Takes about ten minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 tests/decide/validate.py "$@"
