#!/usr/bin/env bash
# Checks the metrics of a running controller and agent with promtool and a real Prometheus. Needs Debian's
# prometheus (installed if missing) and the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in promtool prometheus curl; do
  command -v "$program" >/dev/null || { apt-get update -q && apt-get install -qy --no-install-recommends prometheus curl; break; }
done

bin=$PWD/target/release
work=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
controller_port=$(free) agent_port=$(free) fleet_port=$(free) prometheus_port=$(free)

cat >"$work/matrix.toml" <<MATRIX
name = "watched"
[dataset]
source = "builtin:dialogues"
samples = 32
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [1]
[protocol]
runs = 2
warmup = 1
[[target]]
name = "there"
usd_per_hour = 0.1
[[target]]
name = "never"
usd_per_hour = 0.1
MATRIX
cd "$work"
# A second target without agents keeps the controller waiting during the checks.
"$bin/controller" run matrix.toml --listen "127.0.0.1:$fleet_port" --metrics "$controller_port" >controller.out 2>controller.log &
started+=($!)
until grep -q 'agent join' controller.log; do sleep 0.1; done
token=$(echo .fleetmark/campaigns/*/token)
"$bin/agent" join --controller "http://127.0.0.1:$fleet_port" --target there --threads 1 --token-file "$token" --metrics "$agent_port" 2>agent.log &
started+=($!)
# An agent without a token, which must be refused and counted.
"$bin/agent" join --controller "http://127.0.0.1:$fleet_port" --target there 2>refused.log && exit 1
until grep -q 'joined for there' controller.log; do sleep 0.1; done

for port in "$controller_port" "$agent_port"; do
  curl -sS "http://127.0.0.1:$port/metrics" | tee "metrics.$port" | promtool check metrics
done
grep -q '^fleetmark_refusals_total{reason="identity"} 1$' "metrics.$controller_port"
grep -q '^fleetmark_agents 1$' "metrics.$controller_port"
grep -q '^fleetmark_agent_joined 1$' "metrics.$agent_port"

cat >prometheus.yml <<CONFIG
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: fleetmark
    static_configs: [{targets: ["127.0.0.1:$controller_port", "127.0.0.1:$agent_port"]}]
CONFIG
promtool check config prometheus.yml
prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb --web.listen-address="127.0.0.1:$prometheus_port" 2>prometheus.log &
started+=($!)
ask() { curl -sS --get "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$1" 2>/dev/null || true; }
for query in 'sum(up) == 2' 'fleetmark_refusals_total{reason="identity"} == 1' 'fleetmark_agents == 1' 'fleetmark_agent_joined == 1'; do
  for _ in $(seq 100); do
    answer=$(ask "$query")
    [[ $answer == *'"value"'* ]] && break
    sleep 0.2
  done
  [[ $answer == *'"value"'* ]] || { echo "no answer to $query: $answer"; exit 1; }
  echo "prometheus: $query"
done
