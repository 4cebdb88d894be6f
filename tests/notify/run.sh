#!/usr/bin/env bash
# Sends messages with the built controller to a mail server and to webhooks on loopback, and reads what arrived.
# Needs python3 with venv and openssl; its packages go to target/notify. An argument names a folder that keeps the mail.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/notify/venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --requirement tests/notify/requirements.txt
"$venv/bin/python" tests/notify/check.py "$@"
