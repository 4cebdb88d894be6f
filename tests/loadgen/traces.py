"""Records traces of LoadGen, which the statistics must reproduce: a line `START END` (ns) per request.

usage: traces.py FOLDER

LoadGen asks a function that sleeps. FOLDER gets single_stream.txt, offline.txt and server.txt, for
controller/stats/src/loadgen/traces; LoadGen's own figures, for the tests there, are printed.
"""

import json
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

import mlperf_loadgen as loadgen

RESULTS = re.compile("result_|early_stopping")


def record(scenario, folder, count, pause_s, **settings):
    """Runs one test and returns its requests and its figures."""
    chance = random.Random(7)

    def answer(samples):
        for sample in samples:
            time.sleep(pause_s * (0.5 + chance.random()))
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])

    def issue(samples):
        if scenario == loadgen.TestScenario.SingleStream:
            answer(samples)
        else:
            threading.Thread(target=answer, args=(samples,)).start()

    asked = loadgen.TestSettings()
    asked.scenario, asked.mode = scenario, loadgen.TestMode.PerformanceOnly
    asked.min_duration_ms, asked.min_query_count, asked.max_query_count = 0, count, count
    for name, value in settings.items():
        setattr(asked, name, value)
    logs = loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.enable_trace = True
    sut = loadgen.ConstructSUT(issue, lambda: None)
    qsl = loadgen.ConstructQSL(count, count, lambda samples: None, lambda samples: None)
    loadgen.StartTestWithLogSettings(sut, qsl, asked, logs)
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)

    trace = (folder / "mlperf_log_trace.json").read_text()

    def at(phase):
        found = re.findall(rf'"name":"Sample","cat":"default","ph":"{phase}", ?"pid":\d+,"id":(\d+),"ts":([-\d.]+)', trace)
        return {sample: round(float(us) * 1000) for sample, us in found}

    starts, ends = at("b"), at("e")
    assert len(starts) == len(ends) == count, "the trace lacks requests"
    first = min(starts.values())
    detail = (folder / "mlperf_log_detail.txt").read_text().splitlines()
    figures = [json.loads(line.removeprefix(":::MLLOG")) for line in detail]
    return (
        sorted((start - first, ends[sample] - first) for sample, start in starts.items()),
        [(figure["key"], figure["value"]) for figure in figures if RESULTS.match(figure["key"])],
    )


def main():
    """The command line."""
    (out,) = map(pathlib.Path, sys.argv[1:])
    scenarios = loadgen.TestScenario
    objective = {"server_target_latency_ns": 8_000_000, "server_target_latency_percentile": 0.95}
    for name, scenario, count, pause_s, settings in [
        ("single_stream", scenarios.SingleStream, 700, 0.0004, {}),
        ("offline", scenarios.Offline, 200, 0.0005, {"offline_expected_qps": 1}),
        ("server", scenarios.Server, 600, 0.0005, {"server_target_qps": 700, **objective}),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            requests, figures = record(scenario, pathlib.Path(folder), count, pause_s, **settings)
        lines = [f"{start} {end}\n" for start, end in requests]
        (out / f"{name}.txt").write_text("".join(lines))
        print(name, *(f"{key} {value}" for key, value in figures), sep="\n  ")


if __name__ == "__main__":
    main()
