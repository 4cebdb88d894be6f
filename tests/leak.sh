#!/usr/bin/env bash
# Verifies that a real leak is found, with no false alarm without one: five minutes of inference each
# with an agent that leaks 64 KiB per request and one that doesn't. Takes about twelve minutes; not part
# of .ci/run.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/matrix.toml" <<'TOML'
name = "leak"
[dataset]
source = "builtin:dialogues"
samples = 64
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
scenarios = ["stress"]
[generation]
max_new_tokens = 32
[protocol]
runs = 1
warmup = 20
stress = { duration = "5m", request_rate = 20 }
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.06
TOML

# Builds all packages with the same features, so that only the agent is rebuilt.
for kind in leaking sound; do
    features=$([ "$kind" = leaking ] && echo "agent/leak" || true)
    cargo build --release --workspace --features "$features"
    mkdir "$work/$kind"
    cp target/release/controller target/release/agent "$work/$kind/"
done

for kind in leaking sound; do
    (cd "$work" && "./$kind/controller" run matrix.toml --data-dir "$work/data-$kind" --output "$work/$kind.json")
done

python3 - "$work" <<'PYTHON'
import json, sys
folder = sys.argv[1]
found = {}
for kind in ("leaking", "sound"):
    results = json.load(open(f"{folder}/{kind}.json"))
    cell = results["results"][0]["cells"][0]
    rss = cell["stress"][0]["verdicts"]["rss"]
    found[kind] = rss["finding"]["is"]
    rate, per_1000 = rss["mb_per_hour"], rss["mb_per_1000_requests"]
    print(f"{kind}: {found[kind]}, {rate['ci_low']:.1f} to {rate['ci_high']:.1f} MB/h,"
          f" {per_1000['ci_low']:.3f} to {per_1000['ci_high']:.3f} MB per 1,000 requests,"
          f" least that would be found {rss['minimum_detectable_mb_per_hour']:.2f} MB/h")
    if kind == "leaking":
        # 64 KiB per request are 62.5 MiB per 1,000 requests.
        assert per_1000["ci_low"] <= 62.5 * 1.02 and per_1000["ci_high"] >= 62.5 * 0.98, per_1000
assert found["leaking"] == "found", found
assert found["sound"] != "found", found
PYTHON
