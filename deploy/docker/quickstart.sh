#!/usr/bin/env bash
# Builds the images, makes certificates, runs the campaign of FLEETMARK_MATRIX (default: quickstart.toml) and takes everything
# down again; what stays is the folder FLEETMARK_STATE (default: state). Ends with the controller's exit code.
#
# usage: deploy/docker/quickstart.sh [--no-build]
set -euo pipefail
cd "$(dirname "$0")"

compose=(docker compose)
"${compose[@]}" version >/dev/null 2>&1 || compose=(docker-compose)
export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
state=${FLEETMARK_STATE:-$PWD/state}
# Whoever starts it owns its files; root lends them to a user without rights.
if [ "$(id -u)" = 0 ]; then user=65532:65532; else user=$(id -u):$(id -g); fi
export FLEETMARK_STATE=$state FLEETMARK_USER=${FLEETMARK_USER:-$user}
# For the next docker compose in this folder.
cat >.env <<ENV
FLEETMARK_STATE=$FLEETMARK_STATE
FLEETMARK_USER=$FLEETMARK_USER
FLEETMARK_MATRIX=${FLEETMARK_MATRIX:-./quickstart.toml}
ENV

if [ "${1:-}" != --no-build ]; then
    docker build -f controller.Dockerfile -t "${FLEETMARK_CONTROLLER_IMAGE:-fleetmark/controller}" ../..
    docker build -f agent.Dockerfile -t "${FLEETMARK_AGENT_IMAGE:-fleetmark/agent}" ../..
fi

if [ ! -e "$state/authority/ca.pem" ]; then
    mkdir -p -m 700 "$state"/{authority,controller,agent,data}
    [ "$(id -u)" != 0 ] || chown -R "$FLEETMARK_USER" "$state"
    docker run --rm --network none --read-only --user "$FLEETMARK_USER" -v "$state/authority:/certs" \
        "${FLEETMARK_CONTROLLER_IMAGE:-fleetmark/controller}" certs init --dir /certs --host controller
    # Each side gets what it needs; the authority's key stays where it is.
    cp -p "$state"/authority/{ca.pem,controller.pem,controller.key} "$state/controller/"
    cp -p "$state"/authority/{ca.pem,agent.pem,agent.key} "$state/agent/"
fi

trap '"${compose[@]}" down --timeout 20 >/dev/null 2>&1' EXIT
"${compose[@]}" up -d --no-build
controller=$("${compose[@]}" ps -q controller)
# Ctrl-C stops the campaign, which can be gone on with; it doesn't leave containers behind.
trap 'docker stop --time 20 "$controller" >/dev/null' INT TERM
docker logs --follow "$controller" &
while :; do
    code=$(docker wait "$controller")
    wait "$!" || true
    # The controller's own codes are its last word. After a crash it is started again, and docker doesn't wait for that.
    case $code in [0-3] | 70) break ;; esac
    [ "$(docker inspect -f '{{.State.Status}}' "$controller")" != exited ] || break
    docker logs --follow --since "$(docker inspect -f '{{.State.FinishedAt}}' "$controller")" "$controller" &
done
echo "results: $state/data/results.json"
exit "$code"
