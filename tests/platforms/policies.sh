#!/usr/bin/env bash
# Validates the policy files of `controller decide`: KEDA's own types, the schemas of Kubernetes, the service model of
# Application Auto Scaling, moto, which applies them, and Terraform with the AWS provider, where it is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
venv=$(python_with cloudcoil-models-keda==2.16.1.0 kubernetes-validate==1.37.0 'moto[applicationautoscaling,cloudwatch,sagemaker]==5.2.5' boto3 setuptools)
work=$(mktemp -d /var/tmp/fleetmark-policies.XXXXXX)
TF_CLI_CONFIG_FILE=$work/terraformrc # ignores this machine's settings
export TF_CLI_CONFIG_FILE TF_IN_AUTOMATION=1
touch "$TF_CLI_CONFIG_FILE"
trap 'rm -rf "$work"' EXIT

# decided TRAFFIC ARGUMENT...: exits with 1 if no fleet meets the objective, which has policies as well.
decided() {
    "$programs/controller" decide docs/example/results.json --traffic "$1" --simulations 5 "${@:2}" 2>"$work/said" ||
        [ $? -eq 1 ] || { cat "$work/said" >&2; exit 1; }
}
for platform in sagemaker kubernetes; do
    for policy in fixed tracking scheduled; do
        sed "s/^platform = .*/platform = \"$platform\"/; s/^policies = .*/policies = [\"$policy\"]/" examples/traffic-office.toml >"$work/traffic.toml"
        decided "$work/traffic.toml" --policies "$work/$platform-$policy" --name summaries --option 1 >/dev/null
        # The fleet of two targets that is ranked first.
        [ $policy != fixed ] || continue
        sed -i '/^platform/a base_targets = ["one-thread"]' "$work/traffic.toml"
        decided "$work/traffic.toml" --json >"$work/decision.json"
        rank=$(python3 -c 'import json, sys; print(1 + [bool(one["base"]) for one in json.load(sys.stdin)["choices"]].index(True))' <"$work/decision.json")
        decided "$work/traffic.toml" --policies "$work/$platform-base-$policy" --name summaries --option "$rank" >/dev/null
    done
done
# Scale to zero on SageMaker, and a serverless endpoint.
cat >"$work/traffic.toml" <<'TOML'
[traffic]
rate = 0.1
[objective]
latency_ms = 500
[fleet]
policies = ["tracking"]
min_instances = 0
[fleet.serverless]
target = "one-thread"
memory_mb = 2048
usd_per_gb_second = 0.00001
max_concurrency = 20
idle_minutes = 5
TOML
decided "$work/traffic.toml" --json >"$work/decision.json"
for policy in tracking serverless; do
    rank=$(python3 -c 'import json, sys; print(1 + [one["policy"] for one in json.load(sys.stdin)["choices"]].index(sys.argv[1]))' $policy <"$work/decision.json")
    decided "$work/traffic.toml" --policies "$work/sagemaker-zero-$policy" --name summaries --option "$rank" >/dev/null
done
"$venv/python" tests/platforms/policies.py "$work"

valid() {
    for version in 1.31 1.37; do
        "$venv/kubernetes-validate" --strict -k $version "$1" >"$work/said" 2>&1 || return 1
    done
}
for file in "$work"/kubernetes-*/horizontal-pod-autoscaler.json; do
    valid "$file" || { cat "$work/said" >&2; exit 1; }
done
sed 's/maxReplicas/maxReplica/' "$file" >"$work/broken.json"
! valid "$work/broken.json" || { echo "a pod autoscaler with an unknown key is accepted" >&2; exit 1; }
echo "the pod autoscaler is valid for Kubernetes 1.31 and 1.37; one with an unknown key is refused"

if ! command -v terraform >/dev/null; then
    echo "scaling.tf.json isn't validated: terraform is missing, and it is in no registry of packages"
    exit 0
fi
# Each folder is a module, as a user has it; one root calls all of them.
mkdir "$work/root"
{
    printf 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'
    for folder in "$work"/sagemaker-*; do
        printf 'module "%s" { source = "../%s" }\n' "$(basename "$folder")" "$(basename "$folder")"
    done
} >"$work/root/main.tf"
init() { terraform -chdir="$work/root" init -input=false -no-color "$@" >"$work/said" 2>&1; }
if ! init -plugin-dir="${FLEETMARK_TERRAFORM_PLUGINS:-/opt/tf-plugins}" && ! init; then
    # Anything else is an error in the modules.
    grep -q "Failed to query available provider packages" "$work/said" || { cat "$work/said" >&2; exit 1; }
    echo "scaling.tf.json isn't validated: the AWS provider can't be had here"
    exit 0
fi
validate() { terraform -chdir="$work/root" validate -no-color >"$work/said" 2>&1; }
validate || { cat "$work/said" >&2; exit 1; }
provider=$(terraform -chdir="$work/root" version -json | python3 -c 'import json, sys; print(*json.load(sys.stdin)["provider_selections"].values())')
sed -i 's/"predefined_metric_type"/"predefined_metric"/' "$work/sagemaker-base-tracking/peak-scaling.tf.json"
! validate || { echo "Terraform accepts a policy with an unknown argument" >&2; exit 1; }
echo "the Terraform files of $(find "$work"/sagemaker-* -maxdepth 0 | wc -l) fleets are valid for the AWS provider $provider; one with an unknown argument is refused"
