#!/usr/bin/env bash
# Runs the store's tests and a complete campaign on a real PostgreSQL, started in a temporary folder on
# a free port and stopped at the end. As root, installs Debian's packages if they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

programs() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; }
if [ -z "$(programs)" ]; then
  [ "$(id -u)" = 0 ] || { echo "PostgreSQL is missing: apt-get install postgresql" >&2; exit 2; }
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
fi
bin=$(programs)

folder=$(mktemp -d)
# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as() { (cd "$folder" && setpriv --reuid postgres --regid postgres --init-groups "$@"); }
else
  as() { "$@"; }
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as "$bin/initdb" -D "$folder/data" -A trust -U fleetmark >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
as "$bin/pg_ctl" -D "$folder/data" -l "$folder/log" -w -o "-p $port -k $folder -c listen_addresses=127.0.0.1" start >/dev/null
trap 'as "$bin/pg_ctl" -D "$folder/data" -m fast stop >/dev/null; rm -rf "$folder"' EXIT
export FLEETMARK_TEST_POSTGRES="postgres://fleetmark@127.0.0.1:$port"

${XTASK:-cargo xtask} ignored postgres:: --release --lib

# An end-to-end campaign, read back from the server.
cargo build --release -q
as "$bin/createdb" -h 127.0.0.1 -p "$port" -U fleetmark bench
export DATABASE_URL="$FLEETMARK_TEST_POSTGRES/bench"
data=$folder/campaigns
mkdir "$data"
target/release/controller run examples/quickstart.toml --samples 8 --quiet --data-dir "$data" --output "$data/run.json" >/dev/null 2>&1
[ ! -e "$data/fleetmark.db" ] || { echo "SQLite was used" >&2; exit 1; }
target/release/controller report latest --data-dir "$data" --output "$data/report.json" >/dev/null 2>&1
python3 - "$data" <<'PYTHON'
import json, sys
run, report = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("run", "report"))
assert run["campaign"]["missing_samples"] == 0, run["campaign"]
# The names of the Parquet files differ.
assert run["results"] == report["results"], "what is read back differs"
PYTHON
echo "a campaign on PostgreSQL: complete, and read back the same"
