#!/usr/bin/env bash
# Sends messages with the built controller to a mail server and to webhooks on loopback, and checks the
# received messages with Slack's message model, Teams' card renderer, and a browser for the mail. Needs
# python3 with venv, openssl, node with npm, and chromium; packages are installed into target/notify.
#   tests/notify/run.sh [FOLDER_FOR_MESSAGES_AND_PICTURES]
set -euo pipefail
cd "$(dirname "$0")/../.."
# Only what is missing: another Node.js than Debian's conflicts with Debian's npm.
missing=()
for program in openssl npm chromium; do command -v "$program" >/dev/null || missing+=("$program"); done
if [ ${#missing[@]} -gt 0 ]; then
    [ "$(id -u)" = 0 ] || { echo "missing: apt-get install ${missing[*]}" >&2; exit 2; }
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

tools=target/notify
venv=$tools/venv
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet --requirement tests/notify/requirements.txt
cp tests/notify/package.json tests/notify/look.mjs "$tools/"
npm install --prefix "$tools" --silent --no-audit --no-fund

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kept=${1:-$work}
mkdir -p "$kept"
"$venv/bin/python" tests/notify/check.py "$kept"
node "$tools/look.mjs" "$kept" ${1:+"$kept"}
echo "messages: all as they should be"
