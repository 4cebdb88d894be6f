"""Holds LoadGen's figures of a server against Fleetmark's, and Fleetmark's logs in LoadGen's form against LoadGen's.

usage: compare.py LOADGEN_FOLDER FLEETMARK_FOLDER [--write PAGE.md] [--figures-may-differ]

LOADGEN_FOLDER has LoadGen's logs in SCENARIO-NUMBER/, FLEETMARK_FOLDER results.json and mlperf/ of a campaign in each
of its folders. The tables are printed, and with --write they replace those of a page. Exits with 1 if a figure differs
by more than the interval, or if a log lacks a line; with --figures-may-differ, for machines that do other work
meanwhile, only for the latter. The interval of a difference is Fleetmark's own, with half of the
range of LoadGen's tests added in quadrature.
"""

import argparse
import datetime
import json
import math
import pathlib
import re
import statistics
import sys

SCENARIOS = {"single_stream": "SingleStream", "offline": "Offline", "server": "Server"}
MARKS = ("<!-- figures -->", "<!-- end of figures -->")

# What is compared: LoadGen's key and its factor, and where results.json has the estimate. LoadGen's latencies in Offline
# begin with the test, so they have no counterpart among Fleetmark's estimates.
LATENCIES = {
    f"p{percent} latency, ms": (f"result_{percent}.00_percentile_latency_ns", 1e-6, ("latency_ms", f"p{percent}"))
    for percent in (50, 90, 99)
}
RATES = {
    "single_stream": "result_qps_without_loadgen_overhead",
    "offline": "result_samples_per_second",
    "server": "result_completed_samples_per_sec",
}


# Fleetmark measures Server in its agent, so latencies differ by HTTP: they are shown and not judged.
IN_AGENT = "server"


def figures_of(scenario):
    """Its figures by name."""
    rate = {"throughput, requests/s": (RATES[scenario], 1, ("throughput", "per_host"))}
    return rate if scenario == "offline" else {**LATENCIES, **rate}


class Logs:
    """The logs of one test, parsed as mlcommons' own log_parser.py and submission checker parse them."""

    def __init__(self, folder):
        self.summary = (folder / "mlperf_log_summary.txt").read_text()
        lines = (folder / "mlperf_log_detail.txt").read_text().splitlines()
        assert lines[0].startswith(":::MLLOG"), "the first line has no marker"
        messages = [json.loads(line.removeprefix(":::MLLOG")) for line in lines if line.startswith(":::MLLOG")]
        for message in messages:
            assert {"is_error", "is_warning"} <= message["metadata"].keys()
        self.detail = {message["key"]: message["value"] for message in messages}

    def labels(self):
        """What the summary's lines are called, and their values."""
        _, _, body = self.summary.partition("MLPerf Results Summary\n")
        found = re.finditer(r"^( *\*? *[^:\n]*?) *: *(\S.*)$", body, re.MULTILINE)
        return {match[1]: match[2] for match in found}


def cells(folder):
    """Every cell of the campaigns in a folder, with its logs and its host."""
    for results_file in sorted(folder.glob("*/results.json")):
        results = json.loads(results_file.read_text())
        for entry in results["results"]:
            for cell in entry["cells"]:
                logs = Logs(results_file.parent / "mlperf" / cell["cell"])
                yield entry["scenario"], cell, logs, results["environment"]["hosts"][0]


def compare(scenario, tests, cell):
    """The rows of a scenario, and the figures that differ by more than the interval."""
    rows, differing = [], []
    for name, (key, factor, path) in figures_of(scenario).items():
        theirs = [test.detail[key] * factor for test in tests]
        ours = cell["estimates"][path[0]][path[1]]
        value, low, high = ours["value"], ours["ci_low"], ours["ci_high"]
        mean = statistics.mean(theirs)
        spread = f"{mean:.4g} ({min(theirs):.4g} to {max(theirs):.4g})"
        is_same = scenario != IN_AGENT or path[0] == "throughput"
        if low is None or high is None:
            # Queues and a disturbed machine make requests depend on each other, which leaves too few for the tail.
            if "p99" not in name and is_same:
                differing.append(f"{scenario}: {name}: Fleetmark has no interval: {ours['reason']}")
            interval, verdict = ours["reason"]["code"], "–"
        else:
            interval = f"{low:.4g} to {high:.4g}"
            own_half = high - value if mean > value else value - low
            half = math.hypot(own_half, (max(theirs) - min(theirs)) / 2)
            verdict = "yes" if abs(mean - value) <= half else "**no**" if is_same else "no: HTTP"
        change = f"{(mean / value - 1) * 100:+.1f}%" if value else "–"
        own = f"{value:.4g} ({interval})" if value else f"– ({interval})"
        rows.append([SCENARIOS[scenario], name, spread, own, change, verdict])
        if verdict == "**no**":
            differing.append(f"{scenario}: {name}: LoadGen {spread}, Fleetmark {own}")
    return rows, differing


def missing_lines(theirs, ours):
    """What LoadGen's logs have and Fleetmark's lack."""
    # The advice depends on the number of requests, and settings that were asked for are those in effect.
    optional = re.compile(r" \*|least|early stopping|WARNING")
    lacking = [label for label in theirs.labels() if label not in ours.labels() and not optional.match(label)]
    keys = [key for key in theirs.detail if re.match("effective_|result_|early_stopping|sut_|qsl_|test_|num_errors", key)]
    optional = {"result_invalid_reason"}
    return lacking + [key for key in keys if key not in ours.detail and key not in optional]


def side_by_side(scenario, theirs, ours):
    """The rows of both summaries that hold figures."""
    theirs, ours = theirs.labels(), ours.labels()
    is_figure = re.compile(r"Result is|.*(latency|percentile estimate|QPS w|per second)")
    return [
        [SCENARIOS[scenario], label.strip(" *"), theirs[label], ours[label]]
        for label in theirs
        if is_figure.match(label) and label in ours and "target" not in label
    ]


def table(head, rows, right):
    """A Markdown table; columns from `right` on are numbers."""
    rules = ["---:" if place >= right else "---" for place in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rules, *rows]) + "\n"


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("loadgen", type=pathlib.Path)
    arguments.add_argument("fleetmark", type=pathlib.Path)
    arguments.add_argument("--write", type=pathlib.Path, metavar="PAGE.md")
    arguments.add_argument("--figures-may-differ", action="store_true")
    asked = arguments.parse_args()

    compared, summaries, differences, wrong = [], [], [], []
    found = list(cells(asked.fleetmark))
    assert sorted(scenario for scenario, *_ in found) == sorted(SCENARIOS), found
    for scenario, cell, ours, host in sorted(found, key=lambda one: list(SCENARIOS).index(one[0])):
        tests = [Logs(folder) for folder in sorted(asked.loadgen.glob(f"{scenario}-*"))]
        rows, differing = compare(scenario, tests, cell)
        compared += rows
        differences += differing
        summaries += side_by_side(scenario, tests[0], ours)
        wrong += [f"{scenario}: the logs lack `{line}`" for line in missing_lines(tests[0], ours)]
    version = tests[0].detail["loadgen_version"].split()[0]
    text = "\n".join(
        [
            f"{datetime.date.today()}, {host['cpu_model'] or 'unknown processor'}, {host['logical_cpus']} logical cores; LoadGen {version}.\n",
            table(["scenario", "figure", f"LoadGen, mean of {len(tests)} tests (range)", "Fleetmark (95% CI)", "difference", "within the interval"], compared, 2),
            table(["scenario", "line of mlperf_log_summary.txt", "LoadGen, one test", "Fleetmark, all runs"], summaries, 2),
        ]
    )
    print(text)
    if asked.write:
        before, _, rest = asked.write.read_text().partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        asked.write.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{after}")
    if not asked.figures_may_differ:
        wrong += differences
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
