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
check_traffic() {
    local file=tests/independent/traffic-$1.toml decision=$work/decision-$1.json
    # A fleet that misses its objective is an answer as well.
    ./target/release/controller decide "$work/slow/results.json" --traffic "$file" --simulations 40 --json \
        > "$decision" || [ $? -eq 1 ]
    "$venv/bin/python" tests/independent/decide.py "$work/slow/results.json" "$file" "$decision"
}
export -f check_traffic
export work venv
# On two cores; the longest first.
printf '%s\n' spot to-zero two-targets day kubernetes trace constant |
    xargs -P 2 -I TRAFFIC bash -euo pipefail -c 'check_traffic TRAFFIC'

# Predictions for measured cells. The rates are those of an agent that is idle half of the time, more or less.
cat > "$work/server.toml" <<'MATRIX'
name = "server"
seed = 7
[dataset]
source = "builtin:dialogues"
samples = 120
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [1, 4]
scenarios = ["offline", "server"]
[generation]
max_new_tokens = 32
[protocol]
runs = 2
warmup = 2
server = { request_rates = [40, 60], max_batch_delay_ms = 10, max_queue = 50 }
[[fleet.local]]
target = "one-thread"
threads = 1
usd_per_hour = 0.06
MATRIX
./target/release/controller run "$work/server.toml" --data-dir "$work/data" --output "$work/server.json"
./target/release/controller decide "$work/server.json" --traffic tests/independent/traffic-constant.toml --json \
    > "$work/decision.json" || [ $? -eq 1 ]
"$venv/bin/python" tests/independent/decide.py calibration "$work/server.json" "$work/decision.json"

"$venv/bin/python" tests/independent/example.py
campaign --runs 1 --samples 48 --batch-sizes 8
