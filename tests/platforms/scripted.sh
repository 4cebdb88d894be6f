#!/usr/bin/env bash
# Sourced: a matrix for the scripted engine with given durations, so that a campaign outlasts the faults.

# scripted_matrix SCRIPT SAMPLES TARGET:AGENTS...: writes the matrix to standard output; SCRIPT is the path on the agents.
scripted_matrix() {
    local script=$1 samples=$2 target
    shift 2
    cat <<TOML
name = "faults"
[dataset]
source = "builtin:dialogues"
samples = $samples
[[model]]
name = "script"
id = "scripted:$script"
[factors]
batch_sizes = [1, 4]
[protocol]
runs = 2
warmup = 1
TOML
    for target in "$@"; do
        printf '[[target]]\nname = "%s"\nagents = %s\nusd_per_hour = 1.0\n' "${target%:*}" "${target#*:}"
    done
}

# About 40 ms per batch.
script='{"prompt_ms": 10, "token_ms": 3, "per_row_ms": 1, "spread": 0.2, "output_tokens": 10, "paced": true}'
