#!/usr/bin/env bash
# Runs the scenarios that need real servers: starts the servers on free loopback ports, runs the tests,
# and stops the servers. Needs python3 with venv; packages are installed into target/services.
#
#   bash tests/services.sh                       S3, SageMaker and nginx
#   bash tests/services.sh s3                    only this one
#   bash tests/services.sh transformers llama    servers of language models: PyTorch is 6 GB, llama.cpp is compiled
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/services/venv
work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

python_packages() {
    installed "$venv" tests/services.txt
}

# An environment with the packages of a file.
installed() {
    [ -x "$1/bin/python" ] || python3 -m venv "$1"
    "$1/bin/pip" install --quiet --requirement "$2"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until a server responds: for 10 s, or as many tenths of a second as given.
answers() {
    for _ in $(seq "${2:-100}"); do
        if curl --silent --noproxy '*' --output /dev/null "$1"; then return; fi
        sleep 0.1
    done
    echo "no server at $1; it said:" >&2
    cat "$work"/*.log >&2
    exit 1
}

# moto: an in-memory AWS.
moto() {
    [ -z "${moto_port:-}" ] || return 0
    python_packages
    moto_port=$(free_port)
    "$venv/bin/moto_server" -H 127.0.0.1 -p "$moto_port" > "$work/moto.log" 2>&1 &
    started+=($!)
    answers "http://127.0.0.1:$moto_port/"
}

s3() {
    moto
    FLEETMARK_TEST_S3="127.0.0.1:$moto_port" ${XTASK:-cargo xtask} ignored s3:: --release --test integration
}

# Creates and describes processing jobs in moto, and validates the requests against AWS's API model.
sagemaker() {
    moto
    FLEETMARK_TEST_SAGEMAKER="127.0.0.1:$moto_port" FLEETMARK_TEST_REQUESTS="$work/requests.json" \
        ${XTASK:-cargo xtask} ignored launch:: --release --test integration
    "$venv/bin/python" tests/sagemaker_model.py < "$work/requests.json"
}

# An endpoint behind nginx with TLS. As root, installs Debian's package if it is missing.
nginx() {
    if ! command -v /usr/sbin/nginx > /dev/null; then
        [ "$(id -u)" = 0 ] || { echo "nginx is missing: apt-get install nginx-light" >&2; exit 2; }
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light > /dev/null
    fi
    PATH=$PATH:/usr/sbin ${XTASK:-cargo xtask} ignored nginx:: --release --test integration
}

# `transformers serve` with random weights: those of the repository, or the larger ones of FLEETMARK_TEST_LM.
transformers() {
    local python=target/services/transformers port checkpoint=${FLEETMARK_TEST_LM:-agent/tests/causal}/qwen2
    installed "$python" tests/transformers.txt
    "$python/bin/python" tests/transformers_model.py "$checkpoint" "$work/model"
    port=$(free_port)
    HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES='' "$python/bin/transformers" serve "$work/model" --host 127.0.0.1 --port "$port" \
        --device cpu > "$work/transformers.log" 2>&1 &
    started+=($!)
    answers "http://127.0.0.1:$port/health" 1200
    FLEETMARK_TEST_TRANSFORMERS="127.0.0.1:$port" FLEETMARK_TEST_MODEL="$work/model" \
        ${XTASK:-cargo xtask} ignored llm_servers::transformers --release --test integration
}

# The server of llama-cpp-python with SmolLM2.
llama() {
    local python=target/services/llama port file
    installed "$python" tests/llama.txt
    file=$PWD/$(${XTASK:-cargo xtask} smollm2)
    port=$(free_port)
    "$python/bin/python" -m llama_cpp.server --model "$file" --model_alias smollm2 --host 127.0.0.1 --port "$port" \
        --n_threads 1 --n_ctx 2048 --interrupt_requests false > "$work/llama.log" 2>&1 &
    started+=($!)
    answers "http://127.0.0.1:$port/v1/models" 1200
    FLEETMARK_TEST_LLAMA="127.0.0.1:$port" FLEETMARK_TEST_GGUF="$file" \
        ${XTASK:-cargo xtask} ignored llm_servers::llama --release --test integration
}

services=("$@")
[ ${#services[@]} -gt 0 ] || services=(s3 sagemaker nginx)
for service in "${services[@]}"; do
    printf '\n== %s\n' "$service"
    "$service"
done
