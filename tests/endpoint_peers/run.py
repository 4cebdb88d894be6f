"""Times the same streams with Fleetmark, AIPerf and GuideLLM, against a server that knows when it sent
each token.

    cargo build --release --workspace
    tests/endpoint_peers/run.sh accuracy      errors of TTFT and of the gaps, at 1 and 200 streams
    tests/endpoint_peers/run.sh rate          the request rate at which each tool lags, on one core

Needs an idle machine with at least two cores: the server runs on the last one, the tool on the first.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import urllib.request

from tokenizers import Tokenizer, models, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "target/release"
PROMPT = "Summarize the dialogue. Ann: Are you coming? Bob: In ten minutes. Ann: Good."
TOKENS = 32

MATRIX = """
name = "tokens"
[dataset]
source = "dialogues.jsonl"
[[model]]
name = "served"
id = "{url}/v1/chat/completions"
[model.endpoint]
api = "openai-chat"
model = "tokens"
metrics_url = "none"
[factors]
scenarios = ["{scenario}"]
batch_sizes = [{streams}]
[generation]
prompt = "{{dialogue}}"
max_new_tokens = 64
[protocol]
runs = 1
warmup = 1
{protocol}
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"""


class Server:
    """The server of known times, on the last core."""

    def __init__(self, first_ms, gap_ms):
        core = max(os.sched_getaffinity(0))
        command = ["taskset", "-c", str(core), PROGRAMS / "token_server", first_ms, gap_ms, TOKENS]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def truth(self):
        with urllib.request.urlopen(self.url + "/truth") as answer:
            return json.load(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def tool(command, folder, environment=None):
    """Runs a tool on the first core; its output is shown if it fails."""
    pinned = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] + [str(word) for word in command]
    environment = {**os.environ, **(environment or {}), "NO_PROXY": "*"}
    done = subprocess.run(pinned, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def fleetmark(url, load, folder):
    if "rate" in load:
        fields = {"scenario": "server", "streams": 1}
        fields["protocol"] = f"server = {{ request_rates = [{load['rate']}], max_in_flight = 5000 }}"
    else:
        fields = {"scenario": "offline", "streams": load["streams"], "protocol": ""}
    rows = [json.dumps({"id": str(number), "dialogue": PROMPT}) for number in range(load["requests"])]
    (folder / "dialogues.jsonl").write_text("\n".join(rows))
    (folder / "matrix.toml").write_text(MATRIX.format(url=url, **fields))
    tool([PROGRAMS / "controller", "run", "matrix.toml", "--output", "results.json"], folder)
    cell = json.loads((folder / "results.json").read_text())["results"][0]["cells"][0]
    estimates = cell["estimates"]
    figures = {"ttft": estimates["ttft_ms"]["p50"]["value"], "requests": cell["counted_samples"]}
    figures["gap"] = cell["stream"]["gap_ms"]["p50"]
    if "rate" in load:
        figures["delay_p99"] = cell["schedule_delay_ms"]["p99"]
    return figures


def tokenizer(folder):
    """The peers count tokens with a tokenizer of the hub: here, one of words."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    (folder / "words").mkdir()
    words.save(str(folder / "words/tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}
    (folder / "words/tokenizer_config.json").write_text(json.dumps(config))
    return folder / "words"


def aiperf(url, load, folder):
    (folder / "prompts.jsonl").write_text(json.dumps({"text": PROMPT}) + "\n")
    pace = ["--request-rate", load["rate"], "--arrival-pattern", "poisson"] if "rate" in load else [
        "--concurrency", load["streams"]]
    tool([ARGUMENTS.venv / "bin/aiperf", "profile", "--model", "tokens", "--url", url, "--endpoint-type",
          "chat", "--streaming", "--input-file", "prompts.jsonl", "--custom-dataset-type", "single_turn",
          "--tokenizer", tokenizer(folder), "--request-count", load["requests"], "--ui", "none",
          "--output-artifact-dir", "out", "--num-dataset-entries", 1, "--no-server-metrics", "--no-gpu-telemetry", *pace], folder)
    found = json.loads(next((folder / "out").rglob("profile_export_aiperf.json")).read_text())
    return {"ttft": found["time_to_first_token"]["p50"], "gap": found["inter_token_latency"]["p50"],
            "requests": found["request_count"]["avg"]}


def guidellm(url, load, folder):
    rows = [json.dumps({"prompt": PROMPT})] * load["requests"]
    (folder / "prompts.jsonl").write_text("\n".join(rows))
    profile = f"kind=poisson,rate={load['rate']}" if "rate" in load else (
        f"kind=concurrent,streams={load['streams']}")
    tool([ARGUMENTS.venv / "bin/guidellm", "run", "--backend",
          f"kind=openai_http,target={url},model=tokens", "--profile", profile, "--constraint",
          f"kind=max_requests,count={load['requests']}", "--data", "kind=json_file,path=prompts.jsonl",
          "--tokenizer", f"kind=huggingface_auto,model={tokenizer(folder)}", "--output",
          "kind=json,path=out.json", "--disable-console"], folder, {"HF_HUB_OFFLINE": "1"})
    found = json.loads((folder / "out.json").read_text())["benchmarks"][0]["metrics"]
    at = {name: found[name]["successful"]["percentiles"]["p50"]
          for name in ("time_to_first_token_ms", "inter_token_latency_ms")}
    return {"ttft": at["time_to_first_token_ms"], "gap": at["inter_token_latency_ms"],
            "requests": found["request_totals"]["successful"]}


TOOLS = {"Fleetmark": fleetmark, "AIPerf": aiperf, "GuideLLM": guidellm}


def measured(name, load, first_ms, gap_ms):
    with Server(first_ms, gap_ms) as server, tempfile.TemporaryDirectory() as folder:
        return TOOLS[name](server.url, load, pathlib.Path(folder)), server.truth()


def accuracy():
    """Differences between the medians that a tool reports and those that the server knows."""
    print("| streams | tool | TTFT, ms | error | gap, ms | error |\n| ---: | --- | ---: | ---: | ---: | ---: |")
    for streams, requests in ((1, 20), (200, 2000)):
        errors = {name: [] for name in TOOLS}
        for _ in range(ARGUMENTS.repeats):
            for name in TOOLS:
                found, truth = measured(name, {"streams": streams, "requests": requests}, 200, 50)
                errors[name].append((found["ttft"], found["ttft"] - truth["first"]["p50"],
                                     found["gap"], found["gap"] - truth["gaps"]["p50"]))
        for name, rows in errors.items():
            ttft, ttft_error, gap, gap_error = (statistics.median(column) for column in zip(*rows))
            print(f"| {streams} | {name} | {ttft:.2f} | {ttft_error:+.2f} | {gap:.2f} | {gap_error:+.2f} |", flush=True)


def rate():
    """Requests of 32 tokens in 330 ms, at rising rates, until a tool sends less than 97 % of them in time."""
    print("| asked, requests/s | tool | sent, requests/s | schedule delay, p99, ms |\n| ---: | --- | ---: | ---: |")
    for name in TOOLS:
        for asked in ARGUMENTS.rates:
            found, truth = measured(name, {"rate": asked, "requests": asked * 8}, 20, 10)
            sent = truth["received_per_s"]
            delay = found.get("delay_p99")
            print(f"| {asked} | {name} | {sent:.0f} | {'' if delay is None else format(delay, '.2f')} |", flush=True)
            if sent < 0.97 * asked:
                break


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=("accuracy", "rate"))
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--rates", type=int, nargs="+", default=[50, 100, 200, 400, 800, 1000, 1200, 1600, 2000])
parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
parser.add_argument("--venv", type=pathlib.Path, required=True, help="a Python environment with the peers")
ARGUMENTS = parser.parse_args()
TOOLS = {name: TOOLS[name] for name in ARGUMENTS.tools}
{"accuracy": accuracy, "rate": rate}[ARGUMENTS.what]()
