#!/usr/bin/env bash
# Builds the images, creates certificates, runs the campaign of FLEETMARK_MATRIX (default:
# quickstart.toml) and removes the containers; the folder FLEETMARK_STATE (default: state) remains.
# Exits with the controller's exit code.
#
# usage: deploy/docker/quickstart.sh [--no-build]
set -euo pipefail
cd "$(dirname "$0")"

compose=(docker compose)
"${compose[@]}" version >/dev/null 2>&1 || compose=(docker-compose)
export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
state=${FLEETMARK_STATE:-$PWD/state}
# The caller owns the files; as root, an unprivileged user does.
if [ "$(id -u)" = 0 ]; then user=65532:65532; else user=$(id -u):$(id -g); fi
export FLEETMARK_STATE=$state FLEETMARK_USER=${FLEETMARK_USER:-$user}
# Settings for later docker compose commands in this folder.
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
    # Each side gets only its own files; the authority's key is not copied.
    cp -p "$state"/authority/{ca.pem,controller.pem,controller.key} "$state/controller/"
    cp -p "$state"/authority/{ca.pem,agent.pem,agent.key} "$state/agent/"
fi

trap '"${compose[@]}" down --timeout 20 >/dev/null 2>&1' EXIT
"${compose[@]}" up -d --no-build
controller=$("${compose[@]}" ps -q controller)
# Ctrl-C stops the campaign, which can be resumed, and removes the containers.
trap 'docker stop --time 20 "$controller" >/dev/null' INT TERM
docker logs --follow "$controller" &
while :; do
    code=$(docker wait "$controller")
    wait "$!" || true
    # These exit codes are final. After any other, Docker restarts the controller, and docker wait
    # doesn't cover the restart.
    case $code in [0-3] | 70) break ;; esac
    [ "$(docker inspect -f '{{.State.Status}}' "$controller")" != exited ] || break
    docker logs --follow --since "$(docker inspect -f '{{.State.FinishedAt}}' "$controller")" "$controller" &
done
echo "results: $state/data/results.json"
exit "$code"
