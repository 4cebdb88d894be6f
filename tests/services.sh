#!/usr/bin/env bash
# Runs the scenarios that need real servers: starts the servers on free loopback ports, runs the tests,
# and stops the servers. Needs python3 with venv; packages are installed into target/services.
#
#   bash tests/services.sh          all of them
#   bash tests/services.sh s3       only these
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
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement tests/services.txt
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until a server responds.
answers() {
    for _ in $(seq 100); do
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

services=("$@")
[ ${#services[@]} -gt 0 ] || services=(s3 sagemaker nginx)
for service in "${services[@]}"; do
    printf '\n== %s\n' "$service"
    "$service"
done
