#!/usr/bin/env bash
# Runs what deploy/ and docs/ promise on the platforms themselves, as far as one machine can: each part installs what it needs,
# from Debian and PyPI, and cleans up behind itself. A part that can't run here is skipped, and says why.
#
# usage: tests/platforms.sh [--short] [PART...]    parts: docker kubernetes slurm terraform tutorial book; all of them where none is named.
#                                                  And compile, half an hour of compiling in the images, only where it is named.
#     --short    leaves out what takes minutes, and says what: for CI
# Programs are taken from target/release, or from FLEETMARK_PROGRAMS.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

if [ "${1:-}" = --short ]; then
    export FLEETMARK_SHORT=1
    shift
fi
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(docker kubernetes slurm terraform tutorial book)
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
