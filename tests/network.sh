#!/usr/bin/env bash
# Runs campaigns over faulty real networks: controller and agents in separate network namespaces on one
# switch, over TLS. Each fault is one campaign, which must end complete, with every sample counted once
# and the fault observed. Needs root for namespaces and nftables (Debian: iproute2, nftables, ethtool).
# FAULTS="loss delay" runs a subset.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "skipped: network namespaces need root"; exit 0; }
for program in ip tc nft ethtool; do
  command -v $program >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends iproute2 nftables ethtool >/dev/null; break; }
done
cargo build --release -q --workspace --bins
if ! ip netns add "fm$$-try" 2>/dev/null; then echo "skipped: this system gives no network namespaces"; exit 0; fi
ip netns del "fm$$-try"
bin=$PWD/target/release
work=$(mktemp -d)
run=$$
started=()
net() { ip netns exec "fm$run-$1" "${@:2}"; }
clean() {
  for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  for name in sw ctl h1 h2; do ip netns del "fm$run-$name" 2>/dev/null || true; done
  rm -rf "$work"
}
trap clean EXIT

mac() { net "$1" cat /sys/class/net/eth0/address; }
# Hosts 10.77.0.1 (controller), .2 and .3, each with a link to the switch.
build() {
  for name in sw ctl h1 h2; do ip netns add "fm$run-$name"; done
  net sw ip link add br0 type bridge
  net sw ip link set br0 up
  local last=0
  for name in ctl h1 h2; do
    last=$((last + 1))
    ip -n "fm$run-sw" link add "to-$name" type veth peer name eth0 netns "fm$run-$name"
    net sw ip link set "to-$name" master br0 up
    net "$name" ip addr add "10.77.0.$last/24" dev eth0
    net "$name" ip link set eth0 up
    net "$name" ip link set lo up
    for feature in tx tso gso gro; do
      net "$name" ethtool -K eth0 $feature off >/dev/null 2>&1 || true
      net sw ethtool -K "to-$name" $feature off >/dev/null 2>&1 || true
    done
  done
}

cat >"$work/script.json" <<'JSON'
{"prompt_ms": 10, "token_ms": 2, "per_row_ms": 1, "spread": 0.2, "output_tokens": 10, "paced": true}
JSON
# More dialogues than the built-in ones, so that the campaign outlasts a partition.
python3 - "$work/dialogues.jsonl" <<'PYTHON'
import json, sys
with open(sys.argv[1], "w") as lines:
    for number in range(600):
        print(json.dumps({"id": f"d{number}", "dialogue": f"Ann: Is bus {number} late?\nBob: Yes.", "summary": f"Bus {number} is late."}), file=lines)
PYTHON
matrix() { # $1: dialogues
  cat <<TOML
name = "network"
[dataset]
source = "$work/dialogues.jsonl"
samples = $1
[[model]]
name = "script"
id = "scripted:$work/script.json"
[factors]
batch_sizes = [1, 4]
[protocol]
runs = 2
warmup = 1
[[target]]
name = "machine"
agents = 2
usd_per_hour = 1.0
TOML
}

controller() { net ctl "$bin/controller" "$@"; }
"$bin/controller" certs init --dir "$work/certs" --host 10.77.0.1 >/dev/null 2>&1

agent() { # $1: host, $2: log
  net "$1" "$bin/agent" join --controller https://10.77.0.1:7437 --target machine --threads 1 --simulate-host "$1" \
    --ca "$work/certs/ca.pem" --cert "$work/certs/agent.pem" --key "$work/certs/agent.key" 2>>"$2" &
  started+=($!)
}

# fault NAME: runs a campaign, calls NAME once it is measuring, and checks the results.
fault() {
  local name=$1 samples=${2:-160} data=$work/$1
  mkdir "$data"
  matrix "$samples" >"$data/matrix.toml"
  controller run "$data/matrix.toml" --listen 10.77.0.1:7437 --certs "$work/certs" --data-dir "$data" \
    --output "$data/results.json" >/dev/null 2>"$data/log" &
  local pid=$!
  started+=($pid)
  agent h1 "$data/h1.log"; agent h2 "$data/h2.log"
  until grep -q 'samples · ' "$data/log"; do
    kill -0 $pid 2>/dev/null || { echo "$name: the controller ended" >&2; cat "$data/log" "$data"/h?.log >&2; exit 1; }
    sleep 0.1
  done
  "$name"
  wait $pid || { echo "$name: it isn't complete" >&2; cat "$data/log" "$data"/h?.log >&2; exit 1; }
  python3 - "$name" "$data" "$samples" <<'PYTHON'
import json, sqlite3, sys
name, data, samples = sys.argv[1], sys.argv[2], int(sys.argv[3])
campaign = json.load(open(f"{data}/results.json"))["campaign"]
assert campaign["missing_samples"] == 0, campaign
rows = sqlite3.connect(f"{data}/fleetmark.db").execute("SELECT cell, run, sample, counted FROM sample").fetchall()
counted = [row[:3] for row in rows if row[3] == 1]
assert len(counted) == len(set(counted)) == 2 * 2 * samples, f"{len(counted)} counted"
lost = open(f"{data}/log").read().count("was lost")
print(f"{name}: complete, {len(counted)} samples once, {len(rows) - len(counted)} late, {lost} leases lost")
if name in ("partition", "one_way", "reboot"):
    assert lost > 0, "the fault wasn't felt"
PYTHON
}

# A link is down for less than the lease.
unplugged() { net sw ip link set to-h1 down; sleep 5; net sw ip link set to-h1 up; }
# ... and for longer: its shard goes to the other agent, and its own samples arrive late.
partition() { net sw ip link set to-h1 down; sleep 22; net sw ip link set to-h1 up; }
# One-way partition: the controller receives nothing from h2, but h2 receives from the controller.
one_way() {
  net ctl nft -f - <<'NFT'
table inet fault { chain input { type filter hook input priority 0; policy accept; ip saddr 10.77.0.3 drop; }; }
NFT
  sleep 22
  net ctl nft delete table inet fault
}
# 20% packet loss in both directions.
loss() {
  for host in h1 h2; do
    net $host nft -f - <<'NFT'
table inet fault { chain input { type filter hook input priority 0; policy accept; numgen random mod 100 < 20 drop; };
  chain output { type filter hook output priority 0; policy accept; numgen random mod 100 < 20 drop; }; }
NFT
  done
}
no_loss() { for host in h1 h2; do net $host nft delete table inet fault; done; }
# All links are limited to 256 kbit/s.
narrow() { net ctl tc qdisc add dev eth0 root tbf rate 256kbit burst 4kb latency 400ms; }
wide() { net ctl tc qdisc del dev eth0 root; }
# All agents are disconnected at once for less than the lease, three times.
flapping() {
  for _ in 1 2 3; do net sw ip link set to-ctl down; sleep 2; net sw ip link set to-ctl up; sleep 1; done
}

# 100 ms in each direction: h1's link is split, and a user-space relay connects the ends.
slow_cable() {
  ip -n "fm$run-sw" link set to-h1 nomaster
  net sw ip link add far type veth peer name far-br
  net sw ip link set far-br master br0 up
  net sw ip link set far up
  for feature in tx tso gso gro; do for end in far far-br; do net sw ethtool -K $end $feature off >/dev/null 2>&1 || true; done; done
  net sw ip link set to-h1 promisc on; net sw ip link set far promisc on
  # The switch also forwards frames of other hosts; h1 needs only the controller's.
  net sw "$bin/link" to-h1 "$(mac h1)" far "$(mac ctl)" 100 &
  started+=($!)
  # Suppresses the shell's message when the relay is killed.
  disown $!
}

build
for name in ${FAULTS:-unplugged partition one_way loss narrow flapping delay}; do
  case $name in
    loss) fault loss; no_loss;;
    narrow) fault narrow; wide;;
    partition | one_way) fault $name 600;;
    delay) slow_cable; delay() { net h1 ping -c 3 -q 10.77.0.1 2>/dev/null | tail -1 || true; }; fault delay;;
    *) fault $name;;
  esac
done
echo "all campaigns over failing networks are whole"
