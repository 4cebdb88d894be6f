#!/usr/bin/env python3
"""Times `agent bench` against other runtimes in turn, on the same weights, prompts and threads.

    compare_runtimes.py measure --peers PEER_BENCH.py --python ct2=V/bin/python --python ov=W/bin/python \\
        --agent target/release/agent --model DIR --input in.jsonl --batch-size 8 --record runs.jsonl
    compare_runtimes.py measure ... --runtimes hf:bf16 ov:int8 llama:q8_0 --own-dtypes bf16 int8 --num-beams 4
    compare_runtimes.py table runs.jsonl

PEER_BENCH.py is a script with `make SHAPE DIR` (weights in the Hugging Face layout) and
`time RUNTIME DIR --dtype --batch-size --samples --new-tokens --threads --num-beams`, which prints one JSON line
with `samples_per_s`. If it is missing, nothing is measured.

`measure` runs every runtime once, then alternates --runs times between the best peer and Fleetmark's best dtype at
each number of bits for a weight that both have, and in any dtype. Each run is a separate process and a line of --record,
with the share of the cores that other processes used. Runs above 5% are repeated, at most twice. Recorded runs are
not repeated, so measuring can be spread over several idle periods of --minutes each.
`table` prints medians as Markdown. The machine must be otherwise idle.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PEERS = [("ct2", "f32"), ("ct2", "int8"), ("ov", "f32"), ("ov", "bf16"), ("ov", "int8")]
OURS = [("ours", "f32"), ("ours", "f16"), ("ours", "bf16"), ("ours", "int8")]
NAMES = {"ct2": "CTranslate2", "ov": "OpenVINO", "hf": "PyTorch", "llama": "llama.cpp", "ours": "Fleetmark"}
BITS = {"f32": 32, "f16": 16, "bf16": 16, "int8": 8, "q8_0": 8, "int4": 4, "q4": 4, "q4_0": 4, "q4_k_m": 4}
MOST_OTHERS = 0.05


def cpu_ticks():
    """Busy ticks of the machine, and those of this process's reaped children."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    busy = sum(fields) - fields[3] - fields[4]
    children = os.times()
    ticks = os.sysconf("SC_CLK_TCK")
    return busy, (children.children_user + children.children_system) * ticks


def command(options, side, dtype, samples):
    common = ["--dtype", dtype, "--batch-size", str(options.batch_size), "--samples", str(samples)]
    common += ["--new-tokens", str(options.new_tokens), "--threads", str(options.threads), "--input", options.input]
    if options.num_beams > 1:
        common += ["--num-beams", str(options.num_beams)]
    if side == "ours":
        return [options.agent, "bench", "--model", options.model, "--json"] + common
    python = dict(options.python or []).get(side, sys.executable)
    return [python, options.peers, "time", side, options.model] + common


def timed(options, side, dtype, samples, phase):
    for attempt in range(3):
        busy, own = cpu_ticks()
        start = time.monotonic()
        done = subprocess.run(command(options, side, dtype, samples), capture_output=True, text=True)
        seconds = time.monotonic() - start
        if done.returncode != 0:
            sys.exit(f"{side} {dtype} failed:\n{done.stderr[-2000:]}")
        busy_after, own_after = cpu_ticks()
        others = (busy_after - busy) - (own_after - own)
        others = max(0.0, others / (seconds * os.sysconf("SC_CLK_TCK") * os.cpu_count()))
        figures = json.loads(done.stdout.strip().splitlines()[-1])
        line = dict(side=side, dtype=dtype, model=os.path.basename(options.model.rstrip("/")), phase=phase)
        line |= dict(batch_size=options.batch_size, num_beams=options.num_beams, samples=samples, others=round(others, 3), seconds=round(seconds, 1))
        line |= {key: figures[key] for key in figures if key not in line and key != "runtime"}
        if others <= MOST_OTHERS or attempt == 2:
            with open(options.record, "a") as record:
                record.write(json.dumps(line) + "\n")
            print(f"{phase:9} {NAMES[side]:12} {dtype:5} {figures['samples_per_s']:8.2f} samples/s, others {others:.1%}, {seconds:.0f} s", flush=True)
            return figures["samples_per_s"]
        print(f"{side} {dtype}: other processes used {others:.0%} of the cores, repeating", flush=True)


def held(options):
    """Recorded figures of this model and batch size, by phase, runtime and dtype."""
    found = {}
    if os.path.exists(options.record):
        with open(options.record) as record:
            for line in map(json.loads, record):
                wanted = (os.path.basename(options.model.rstrip("/")), options.batch_size, options.num_beams)
                if (line["model"], line["batch_size"], line.get("num_beams", 1)) == wanted:
                    found.setdefault((line["phase"], line["side"], line["dtype"]), []).append(line["samples_per_s"])
    return found


def measure(options):
    if not os.path.exists(options.peers):
        print(f"`{options.peers}` not found: nothing to compare with, nothing measured")
        return
    deadline = time.monotonic() + 60 * options.minutes

    def run(key, samples, phase, wanted):
        if len(held(options).get((phase, *key), [])) < wanted:
            if time.monotonic() > deadline:
                sys.exit("not finished: run the same command to resume")
            timed(options, *key, samples, phase)

    peers = options.runtimes or PEERS
    ours = [("ours", dtype) for dtype in options.own_dtypes] if options.own_dtypes else OURS
    for key in peers + ours:
        run(key, options.survey_samples or options.samples, "survey", 1)
    found = {key[1:]: figures[0] for key, figures in held(options).items() if key[0] == "survey"}
    turns = []
    for bits in [32, 16, 8, 4, None]:
        pairs = [[key for key in keys if bits in (None, BITS[key[1]])] for keys in (peers, ours)]
        turns += [max(keys, key=found.get) for keys in pairs if all(pairs)]
    for wanted in range(1, options.runs + 1):
        for key in dict.fromkeys(turns):
            run(key, options.samples, "turns", wanted)


def table(options):
    cells = {}
    with open(options.record) as record:
        for line in map(json.loads, record):
            beams = line.get("num_beams", 1)
            model = line["model"] + (f", {beams} beams" if beams > 1 else "")
            cell = cells.setdefault((model, line["batch_size"]), {})
            cell.setdefault((line["side"], line["dtype"]), {}).setdefault(line["phase"], []).append(line)
    figure = lambda lines: statistics.median(line["samples_per_s"] for line in lines)
    for model in dict.fromkeys(model for model, _ in cells):
        sizes = sorted(size for name, size in cells if name == model)
        lines = [line for (name, _), cell in cells.items() if name == model for side in cell.values() for line in side.get("turns", [])]
        samples = sorted({line["samples"] for line in lines})
        print(f"\n{model}: samples/s, {' and '.join(map(str, samples))} dialogues\n")
        print("| runtime | dtype | " + " | ".join(f"batch {size}" for size in sizes) + " |")
        print("| --- | --- |" + " ---: |" * len(sizes))
        best = {}
        keys = dict.fromkeys(key for size in sizes for key in cells[model, size])
        for key in sorted(keys, key=lambda key: key[0] == "ours"):
            texts = []
            for size in sizes:
                runs = cells[model, size].get(key)
                if not runs:
                    texts.append("")
                    continue
                whole = runs.get("turns")
                value = figure(whole or runs["survey"])
                kind = "ours" if key[0] == "ours" else "peer"
                if whole:
                    low, high = (pick(line["samples_per_s"] for line in whole) for pick in (min, max))
                    texts.append(f"**{value:.2f}** ({low:.2f} to {high:.2f})")
                    for scope in (None, BITS[key[1]]):
                        best[kind, scope, size] = max(value, best.get((kind, scope, size), 0))
                else:
                    texts.append(f"{value:.2f}")
            print(f"| {NAMES[key[0]]} | {key[1]} | " + " | ".join(texts) + " |")
        for scope in (32, 16, 8, 4, None):
            if not all(any((kind, scope, size) in best for size in sizes) for kind in ("ours", "peer")):
                continue
            title = f"{scope} bits" if scope else "best dtypes"
            pairs = [(best.get(("ours", scope, size)), best.get(("peer", scope, size))) for size in sizes]
            texts = [f"{ours / peer:.2f} times" if ours and peer else "" for ours, peer in pairs]
            print(f"| Fleetmark / best other, {title} | | " + " | ".join(texts) + " |")
        shares = {}
        for (name, size), cell in cells.items():
            for (side, dtype), phases in cell.items():
                lines = [line for lines in phases.values() for line in lines if line.get("roofline")]
                if name == model and side == "ours" and lines:
                    shares[dtype, size] = statistics.median(line["roofline"]["share_of_limit"] for line in lines)
        if shares:
            print("\n| share of the roofline | " + " | ".join(f"batch {size}" for size in sizes) + " |")
            print("| --- |" + " ---: |" * len(sizes))
            for dtype in dict.fromkeys(dtype for dtype, _ in shares):
                print(f"| {dtype} | " + " | ".join(f"{100 * shares.get((dtype, size), float('nan')):.0f} %" for size in sizes) + " |")


def pair(separator):
    """A parser of two texts with `separator` between them."""

    def parse(text):
        first, found, second = text.partition(separator)
        if not found:
            raise argparse.ArgumentTypeError(f"expected A{separator}B, not `{text}`")
        return first, second

    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    measuring = commands.add_parser("measure", help="run all runtimes and record each run")
    measuring.add_argument("--peers", required=True, metavar="PEER_BENCH.py")
    measuring.add_argument("--python", action="append", type=pair("="), metavar="RUNTIME=PYTHON")
    measuring.add_argument("--runtimes", nargs="+", type=pair(":"), metavar="RUNTIME:DTYPE")
    measuring.add_argument("--own-dtypes", nargs="+", metavar="DTYPE")
    measuring.add_argument("--agent", default="target/release/agent")
    measuring.add_argument("--model", required=True, metavar="DIR")
    measuring.add_argument("--input", required=True, metavar="IN.jsonl")
    measuring.add_argument("--record", required=True, metavar="RUNS.jsonl")
    for name, default in (("batch-size", 8), ("samples", 64), ("survey-samples", 0), ("new-tokens", 32), ("threads", 2), ("runs", 5), ("num-beams", 1)):
        measuring.add_argument(f"--{name}", type=int, default=default)
    measuring.add_argument("--minutes", type=float, default=float("inf"))
    commands.add_parser("table", help="medians of the runs as Markdown").add_argument("record", metavar="RUNS.jsonl")
    options = parser.parse_args()
    measure(options) if options.what == "measure" else table(options)


if __name__ == "__main__":
    main()
