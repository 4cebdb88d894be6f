#!/usr/bin/env bash
# Builds the images on a local base and runs deploy/docker with a real Docker Engine that is started here: the quickstart over
# TLS, and campaigns whose containers are killed, paused and cut off. Needs root; Debian's docker.io and docker-compose.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
. tests/platforms/images.sh
. tests/platforms/scripted.sh
needs_root
needs docker.io dockerd; needs docker-compose docker-compose; needs iptables iptables; needs binutils strip

work=$(mktemp -d /var/tmp/fleetmark-docker.XXXXXX)
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=1
# Debian's client, which has BuildKit without a plugin; quickstart.sh finds it, too.
PATH=/usr/bin:$PATH
forwarding=$(cat /proc/sys/net/ipv4/ip_forward)
dockerd --data-root "$work/data" --exec-root "$work/exec" -H "$DOCKER_HOST" --pidfile "$work/pid" >"$work/log" 2>&1 &
engine=$!
clean() {
    FLEETMARK_STATE=$work/none compose down --timeout 1 >/dev/null 2>&1 || true
    docker system prune -af --volumes >/dev/null 2>&1 || true
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
    ip link del docker0 2>/dev/null || true
    echo "$forwarding" >/proc/sys/net/ipv4/ip_forward
    rm -rf "$work" deploy/docker/.env
}
trap clean EXIT
for _ in $(seq 100); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
docker info >/dev/null || { cat "$work/log" >&2; exit 1; }

export FLEETMARK_CONTROLLER_IMAGE=localhost/fleetmark-test/controller FLEETMARK_AGENT_IMAGE=localhost/fleetmark-test/agent
images docker
for name in controller agent; do
    facts=$(docker image inspect -f '{{.Config.User}} {{index .Config.Labels "org.opencontainers.image.version"}} {{.Size}}' "localhost/fleetmark-test/$name")
    read -r user version size <<<"$facts"
    [ "$user" = 65532:65532 ] || { echo "$name runs as $user" >&2; exit 1; }
    docker run --rm --read-only --network none "localhost/fleetmark-test/$name" --version | grep -qF "$version"
    echo "image $name: $((size / 1000000)) MB, version $version, user $user"
done

echo "== the quickstart over TLS"
FLEETMARK_STATE=$work/quickstart deploy/docker/quickstart.sh --no-build >"$work/quickstart.out" 2>&1 ||
    { cat "$work/quickstart.out" >&2; exit 1; }
python3 tests/platforms/whole.py "$work/quickstart/data" "$work/quickstart/data/results.json" --targets 2

# Faults. They come to a campaign once it measures, and it must end whole.
compose() { (cd deploy/docker && docker-compose "$@"); }
of() { compose ps -q "$1"; }
counted() { python3 - "$FLEETMARK_STATE/data/fleetmark.db" <<'PYTHON'
import sqlite3, sys
try: print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT count(*) FROM sample").fetchone()[0])
except sqlite3.OperationalError: print(0)
PYTHON
}
# until_counted N: waits until so many samples are stored.
until_counted() {
    for _ in $(seq 150); do [ "$(counted)" -ge "$1" ] && return; sleep 0.2; done
    echo "the campaign does not get on" >&2; cat "$work"/*.out >&2; return 1
}
network() { docker network ls --format '{{.Name}}' | grep _fleet; }

killed() { kill -9 "$(docker inspect -f '{{.State.Pid}}' "$(of agent-two-cpus)")"; }
# Longer than a lease: its shard is lost to it, and what it brings afterwards is late.
paused() { docker pause "$(of agent-two-cpus)" >/dev/null; sleep 25; docker unpause "$(of agent-two-cpus)" >/dev/null; }
cut_off() {
    docker network disconnect "$(network)" "$(of agent-two-cpus)"; sleep 25
    docker network connect "$(network)" "$(of agent-two-cpus)"
}
controller_killed() { kill -9 "$(docker inspect -f '{{.State.Pid}}' "$(of controller)")"; }

fault() {
    local name=$1 at
    export FLEETMARK_STATE=$work/$name FLEETMARK_MATRIX=$work/$name.toml FLEETMARK_MODELS=$work/models
    mkdir -p "$FLEETMARK_MODELS"
    echo "$script" >"$FLEETMARK_MODELS/script.json"
    chmod -R a+rX "$work" "$FLEETMARK_MODELS"
    scripted_matrix /models/script.json "${SAMPLES:-100}" one-cpu:1 two-cpus:1 >"$FLEETMARK_MATRIX"
    deploy/docker/quickstart.sh --no-build >"$work/$name.out" 2>&1 &
    local campaign=$!
    until_counted 50
    if [ "$name" = killed ]; then
        for service in controller agent-one-cpu agent-two-cpus; do
            at=$(of $service)
            docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.HostConfig.CapDrop}}' "$at" | grep -q '^true 65532:65532 \[ALL\]$'
            for _ in $(seq 100); do [ "$(docker inspect -f '{{.State.Health.Status}}' "$at")" = healthy ] && break; sleep 0.1; done
            [ "$(docker inspect -f '{{.State.Health.Status}}' "$at")" = healthy ] || { echo "$service isn't healthy" >&2; docker inspect -f '{{json .State.Health}}' "$at" >&2; exit 1; }
        done
        echo "all three run without rights on a read-only root, and are healthy"
    fi
    "$name"
    wait "$campaign" || { echo "$name: it isn't complete" >&2; cat "$work/$name.out" >&2; exit 1; }
    echo "$name: $(python3 tests/platforms/whole.py "$FLEETMARK_STATE/data" "$FLEETMARK_STATE/data/results.json" --targets 2)"
    case $name in paused | cut_off) grep -q 'was lost' "$work/$name.out" || { echo "$name: the fault wasn't felt" >&2; exit 1; } ;; esac
}
echo "== faults"
for name in ${FAULTS:-killed paused cut_off controller_killed}; do fault "$name"; done
