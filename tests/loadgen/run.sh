#!/usr/bin/env bash
# Measures one `agent serve` with MLPerf's LoadGen and with Fleetmark, and compares their figures and logs. LoadGen's
# Server scenario has no counterpart for endpoints; there, Fleetmark measures the same model in its agent.
# Needs python3 with venv; packages are installed into target/loadgen. About two minutes on an idle machine.
#   tests/loadgen/run.sh [FOLDER_OF_PROGRAMS] [--write docs/loadgen.md] [--figures-may-differ]
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=target/release
case ${1:-} in
    "" | --*) ;;
    *) bin=$1 && shift ;;
esac

venv=target/loadgen/venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --requirement tests/loadgen/requirements.txt

work=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

# p99 has an interval from 473 distinct requests on. All of them are measured, so none is left for Fleetmark's warm-up:
# LoadGen's tests warm the server up.
python3 tools/dialogues/generate.py --split builtin --style plain --seed 11 --count 480 >"$work/dialogues.jsonl"
input=64 output=24 batch_size=8 objective_ms=200
"$bin/agent" serve --model builtin:tiny --threads 1 --batch-size "$batch_size" --listen 127.0.0.1:0 2>"$work/serve.log" &
started+=($!)
until grep -q '^serving' "$work/serve.log"; do
    kill -0 "${started[0]}" || { cat "$work/serve.log" >&2; exit 1; }
    sleep 0.1
done
url=$(sed -n 's/^listening on \([^;]*\);.*/\1/p' "$work/serve.log")/invocations

# SCENARIO [OPTIONS...]: LoadGen's next test
loadgen() {
    local scenario=$1 number=1
    while [ -e "$work/loadgen/$scenario-$number" ]; do number=$((number + 1)); done
    "$venv/bin/python" tests/loadgen/drive.py "$scenario" "$url" "$work/dialogues.jsonl" "$work/loadgen/$scenario-$number" \
        --max-input-tokens "$input" --max-new-tokens "$output" --seed "$number" "${@:2}"
}

# NAME, with the rest of the matrix on standard input
fleetmark() {
    {
        printf 'name = "%s"\n[dataset]\nsource = "dialogues.jsonl"\n' "$1"
        printf '[generation]\nmax_input_tokens = %s\nmax_new_tokens = %s\n' "$input" "$output"
        printf '[protocol]\nwarmup = 0\n[[fleet.local]]\ntarget = "here"\nthreads = 1\nusd_per_hour = 0.1\n'
        cat
    } >"$work/$1.toml"
    "$bin/controller" run "$work/$1.toml" --data-dir "$work/data" >"$work/$1.out" 2>"$work/$1.log" ||
        { cat "$work/$1.log" >&2; exit 1; }
    "$bin/controller" report latest --data-dir "$work/data" --formats json,mlperf --output-dir "$work/fleetmark/$1" &>>"$work/$1.log"
}

# LoadGen's tests are before and after a campaign, so that a drift of the machine shows in them.
closed_loop() {
    loadgen single_stream
    loadgen offline --concurrency "$batch_size"
}
closed_loop
fleetmark endpoint <<MATRIX
[[model]]
name = "served"
id = "$url"
[model.endpoint]
request = { inputs = "{prompt}", parameters = { max_input_tokens = "{max_input_tokens}", max_new_tokens = "{max_new_tokens}" } }
answer = "/0/generated_text"
output_tokens = "/0/output_tokens"
server_ms = "/0/server_ms"
[factors]
scenarios = ["single_stream", "offline"]
batch_sizes = [$batch_size]
MATRIX
closed_loop

# Half of what the server can do without batches.
rate=$(sed -n 's/^QPS w\/ loadgen overhead *: //p' "$work"/loadgen/single_stream-1/mlperf_log_summary.txt | awk '{ print int($1 / 2) }')
open_loop() { loadgen server --rate "$rate" --objective-ms "$objective_ms"; }
open_loop
fleetmark in_agent <<MATRIX
[[model]]
name = "loaded"
id = "builtin:tiny"
[factors]
scenarios = ["server"]
batch_sizes = [$batch_size]
[protocol.server]
request_rates = [$rate]
[slo]
request_latency_ms = $objective_ms
percentile = 95
MATRIX
open_loop

"$venv/bin/python" tests/loadgen/compare.py "$work/loadgen" "$work/fleetmark" "$@"
