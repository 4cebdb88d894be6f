#!/usr/bin/env bash
# Measures small campaigns with the built programs and recomputes their figures in Python.
# Needs python3 with venv; packages are installed into target/independent.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/independent/venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --requirement tests/independent/requirements.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The quickstart with an objective that some of its cells miss.
{ cat examples/quickstart.toml; printf '[slo]\nrequest_latency_ms = 20\npercentile = 90\n'; } > "$work/matrix.toml"
campaign() {
    ./target/release/controller run "$work/matrix.toml" --data-dir "$work/data" --output "$work/results.json" "$@"
    "$venv/bin/python" tests/independent/estimates.py "$work/results.json" "$work/data/fleetmark.db"
}
campaign --runs 3 --samples 120 --batch-sizes 1 4

# The same campaign from a bundle alone: `verify` recomputes its figures, and so does Python.
./target/release/controller certs init --dir "$work/data/certs"
./target/release/controller bundle latest --texts --data-dir "$work/data" --output "$work/bundle.tar"
./target/release/controller verify "$work/bundle.tar" --certificate "$work/data/certs/controller.pem"
mkdir "$work/bundle"
tar -xf "$work/bundle.tar" -C "$work/bundle"
"$venv/bin/python" tests/independent/estimates.py "$work/bundle/results.json" "$work/bundle"

# Fleets, simulated again. Requests that take 400 times as long fill several instances with few of them.
mkdir "$work/slow"
"$venv/bin/python" tests/independent/decide.py slow "$work/results.json" "$work/slow" 400
for traffic in day kubernetes constant two-targets to-zero trace spot; do
    file=tests/independent/traffic-$traffic.toml
    # A fleet that misses its objective is an answer as well.
    ./target/release/controller decide "$work/slow/results.json" --traffic "$file" --simulations 40 --json \
        > "$work/decision.json" || [ $? -eq 1 ]
    "$venv/bin/python" tests/independent/decide.py "$work/slow/results.json" "$file" "$work/decision.json"
done

"$venv/bin/python" tests/independent/example.py
campaign --runs 1 --samples 48 --batch-sizes 8
