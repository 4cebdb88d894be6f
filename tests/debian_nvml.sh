#!/usr/bin/env bash
# Runs the agent with NVIDIA's management library from Debian on a machine without a driver: the agent
# must report that the driver isn't loaded, and measure everything else. Downloads the package (0.7 MB,
# non-free) into a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
agent=${AGENT:-target/release/agent}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"/{state/lists/partial,cache/archives/partial,deb}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] http://deb.debian.org/debian bookworm non-free" > "$folder/sources.list"
apt=(-o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$folder/state" -o "Dir::Cache=$folder/cache")
if ! (apt-get "${apt[@]}" update && cd "$folder/deb" && apt-get "${apt[@]}" download libnvidia-ml1) > "$folder/log" 2>&1; then
    tail -n 3 "$folder/log"
    echo "skipped: Debian's libnvidia-ml1 can't be had here"
    exit 0
fi
dpkg -x "$folder"/deb/*.deb "$folder/x"
library=$(find "$folder/x" -name 'libnvidia-ml.so.1' | head -n 1)

"$agent" doctor --json --nvml-library "$library" > "$folder/doctor.json"
python3 - "$folder/doctor.json" <<'PYTHON'
import json, sys
seen = json.load(open(sys.argv[1]))
gpu = [found for found in seen["findings"] if found["what"] == "gpu"]
assert len(gpu) == 1 and gpu[0]["status"] == "not_measurable", gpu
assert "driver is not loaded" in gpu[0]["detail"], gpu
assert "process_rss_bytes" in seen["measurable"], seen["measurable"]
print("ok:", gpu[0]["detail"])
PYTHON
