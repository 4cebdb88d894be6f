#!/usr/bin/env bash
# Measures the time to write the reports of a large campaign: simulates one (without waiting), and writes
# HTML, PDF, Markdown and JSON from the store.
#   tests/reports/speed.sh [SAMPLES]   (a multiple of 20; default 100,000)
set -euo pipefail
cd "$(dirname "$0")/../.."
samples=${1:-100000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# 2 targets x 2 batch sizes x 5 runs
python3 - "$work" $((samples / 20)) <<'PYTHON'
import json, random, sys
folder, count = sys.argv[1], int(sys.argv[2])
chance = random.Random(1)
words = "the meeting moves to friday because anna has no time and bob brings the cake for all of them at noon".split()
sentence = lambda length: " ".join(chance.choice(words) for _ in range(length))
lines, script = [], {}
for place in range(count):
    lines.append(json.dumps({"id": f"d{place}", "dialogue": sentence(60), "summary": sentence(18)}))
    script[f"d{place}"] = {"text": sentence(16), "output_tokens": chance.randint(8, 30)}
open(f"{folder}/dialogues.jsonl", "w").write("\n".join(lines))
json.dump({"seed": 1, "spread": 0.3, "samples": script}, open(f"{folder}/script.json", "w"))
open(f"{folder}/matrix.toml", "w").write(f"""
name = "large"
[dataset]
source = "dialogues.jsonl"
[[model]]
name = "scripted"
id = "scripted:{folder}/script.json"
[factors]
batch_sizes = [8, 32]
[protocol]
runs = 5
warmup = 0
[[fleet.local]]
target = "one"
usd_per_hour = 0.06
[[fleet.local]]
target = "two"
usd_per_hour = 0.10
""")
PYTHON
./target/release/controller run "$work/matrix.toml" --data-dir "$work/data" --quiet >/dev/null 2>"$work/log" || { tail -5 "$work/log"; exit 1; }
for formats in html,pdf,markdown,json json html pdf markdown; do
    /usr/bin/env time -f "$samples samples, $formats: %e s, %M KiB" \
        ./target/release/controller report latest --data-dir "$work/data" --formats "$formats" --output-dir "$work/out" >/dev/null 2>"$work/time"
    tail -1 "$work/time"
done
ls -l "$work/out" | awk 'NR > 1 { print $5, $9 }'
