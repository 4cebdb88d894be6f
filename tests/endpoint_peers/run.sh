#!/usr/bin/env bash
# Runs run.py in a Python environment with the peers, which are installed into target/endpoint_peers (6 GB).
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=target/endpoint_peers/venv
if [ ! -x "$venv/bin/guidellm" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement tests/endpoint_peers/requirements.txt
fi
exec "$venv/bin/python" tests/endpoint_peers/run.py "$@" --venv "$PWD/$venv"
