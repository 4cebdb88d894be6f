"""Writes a campaign with hostile names and texts: markup, quotes, characters beyond the basic plane, bidirectional marks,
and 10,000 letters. The scripted engine returns the texts unchanged.

    hostile.py FOLDER
"""

import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
NASTY = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'`|*_~#[link](javascript:alert(3)) "
    "&amp; ]]> \u202ereversed\u2066 \U0001f600\U0001f9d1\u200d\U0001f680 \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd "
    "\u4f60\u597d e\u0301\u0323 %0A::error::x <!channel> @everyone \u001b[31m"
)
LONG = "Ω\U0001f600x" * 3_334
UNBROKEN = "x" * 10_000

lines, script = [], {}
for place in range(24):
    words = [NASTY, LONG, UNBROKEN, f"{NASTY} {LONG}"][place] if place < 4 else f"{NASTY} {place}"
    lines.append(json.dumps({"id": f"d{place}", "dialogue": f"A: {words}\r\nB: {words}", "summary": words}))
    # The controller accepts at most 16 KiB from an agent.
    script[f"d{place}"] = {"text": words.encode()[:16_000].decode(errors="ignore"), "output_tokens": 12}
(folder / "dialogues.jsonl").write_text("\n".join(lines), encoding="utf-8")
(folder / "script.json").write_text(json.dumps({"seed": 1, "spread": 0.2, "samples": script}), encoding="utf-8")
# JSON strings are valid TOML strings.
name = json.dumps(f"{NASTY} {LONG}", ensure_ascii=False)
prompt = json.dumps(f"{NASTY} {{dialogue}}", ensure_ascii=False)
(folder / "matrix.toml").write_text(
    f"""
name = {name}
[dataset]
source = "dialogues.jsonl"
samples = 16
[[model]]
name = "{'m' * 64}"
id = "scripted:script.json"
[[model]]
name = "played.again"
id = "scripted:script.json"
baseline = "{'m' * 64}"
[factors]
batch_sizes = [1, 4]
[generation]
prompt = {prompt}
[protocol]
runs = 3
warmup = 1
[report]
sample_texts = 6
[[fleet.local]]
target = "{'t' * 64}"
usd_per_hour = 123456.789
[[fleet.local]]
target = "free"
usd_per_hour = 0.000001
""",
    encoding="utf-8",
)
