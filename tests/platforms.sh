#!/usr/bin/env bash
# Tests deploy/ and docs/ on the real platforms, as far as possible on one machine. Each part installs its
# dependencies from Debian and PyPI and cleans up. Parts that can't run here are skipped with a reason.
#
# usage: tests/platforms.sh [--short] [PART...]    parts: docker kubernetes slurm terraform policies tutorial book (default: all)
#                                                  compile takes half an hour and must be named explicitly
#     --short    skips steps that take minutes, and lists them: for CI
# Uses the programs in FLEETMARK_PROGRAMS (default: target/release).
set -uo pipefail
cd "$(dirname "$0")/.." || exit

if [ "${1:-}" = --short ]; then
    export FLEETMARK_SHORT=1
    shift
fi
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(docker kubernetes slurm terraform policies tutorial book)
if [ -z "${FLEETMARK_PROGRAMS:-}" ] && ! { [ -x target/release/agent ] && [ -x target/release/controller ]; }; then
    cargo build --release || exit 1
fi
passed=0 failed=0 skipped=0 told=()
for part in "${parts[@]}"; do
    [ -x "tests/platforms/$part.sh" ] || { echo "no part $part" >&2; exit 2; }
    printf '\n== %s\n' "$part"
    began=$SECONDS
    "tests/platforms/$part.sh" 2> >(tee /tmp/fleetmark-platforms.$$ >&2)
    code=$?
    case $code in
    0) passed=$((passed + 1)) told+=("$part: passed in $((SECONDS - began)) s") ;;
    77) skipped=$((skipped + 1)) told+=("$part: $(grep -m1 '^skipped: ' /tmp/fleetmark-platforms.$$)") ;;
    *) failed=$((failed + 1)) told+=("$part: FAILED with $code") ;;
    esac
    rm -f /tmp/fleetmark-platforms.$$
done
printf '\n'
printf '%s\n' "${told[@]}"
echo "platforms: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
