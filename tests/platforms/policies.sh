#!/usr/bin/env bash
# Validates the policy files of `controller decide`: KEDA's own types, the schemas of Kubernetes, the service model of
# Application Auto Scaling, and moto, which applies them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
venv=$(python_with cloudcoil-models-keda==2.16.1.0 kubernetes-validate==1.37.0 'moto[applicationautoscaling,sagemaker]==5.2.5' boto3 setuptools)
work=$(mktemp -d /var/tmp/fleetmark-policies.XXXXXX)
trap 'rm -rf "$work"' EXIT
for platform in sagemaker kubernetes; do
    for policy in fixed tracking scheduled; do
        sed "s/^platform = .*/platform = \"$platform\"/; s/^policies = .*/policies = [\"$policy\"]/" examples/traffic-office.toml >"$work/traffic.toml"
        "$programs/controller" decide docs/example/results.json --traffic "$work/traffic.toml" --simulations 5 \
            --policies "$work/$platform-$policy" --name summaries >/dev/null 2>&1
    done
done
"$venv/python" tests/platforms/policies.py "$work"
for file in "$work"/*/horizontal-pod-autoscaler.json; do
    for version in 1.31 1.37; do
        "$venv/kubernetes-validate" --strict -k $version "$file" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
    done
done
echo "the pod autoscaler is valid for Kubernetes 1.31 and 1.37"
