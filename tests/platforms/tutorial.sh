#!/usr/bin/env bash
# Runs the commands of docs/tutorial.md and of the README unchanged, in a clean clone of the last commit.
# Skips blocks marked as "not run". Compiles only with FLEETMARK_TUTORIAL=build; otherwise links the built
# programs into the clone.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh

work=$(mktemp -d /var/tmp/fleetmark-tutorial.XXXXXX)
trap 'rm -rf "$work"' EXIT
git clone --quiet . "$work/clone"
if [ "${FLEETMARK_TUTORIAL:-}" != build ]; then
    mkdir -p "$work/clone/target/release"
    ln -s "$programs/agent" "$programs/controller" "$work/clone/target/release/"
fi
for page in docs/tutorial.md README.md; do
    python3 tests/platforms/blocks.py "$work/clone/$page" ${FLEETMARK_TUTORIAL:+--build} ${FLEETMARK_SHORT:+--short} >"$work/script.sh"
    (cd "$work/clone" && env -u FLEETMARK_PROGRAMS bash -euo pipefail "$work/script.sh") >"$work/said" 2>&1 ||
        { tail -60 "$work/said" >&2; echo "$page: a block failed" >&2; exit 1; }
    echo "$page: $(grep -c '^== block' "$work/said") blocks ran$(grep '^== left out' "$work/said" | sed 's/^== /, /' | tr -d '\n')"
done
