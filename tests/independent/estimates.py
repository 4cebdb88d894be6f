#!/usr/bin/env python3
"""Recomputes the figures of a results.json from its samples.parquet, with numpy, scipy and rouge_score.

    tests/independent/estimates.py results.json fleetmark.db
    tests/independent/estimates.py BUNDLE/results.json BUNDLE

BUNDLE is an unpacked bundle with texts. Shares only the definitions in docs/statistics.md with the product. Every figure must agree to a relative 1e-9 (1e-8 if a
t quantile or a beta function is involved). Summaries, their tokens and the references come from the database or the
bundle, the only places that store them. Exits with 1 and lists the figures that differ.
"""

import json
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from scipy import stats

EXACT, INTERVAL = 1e-9, 1e-8
PERCENTILES = {"p50": (0.5, 8), "p90": (0.9, 46), "p95": (0.95, 93), "p99": (0.99, 473), "p999": (0.999, 4742)}
ALPHA = 0.05


class Check:
    """Compares and counts figures, and collects those that differ."""

    def __init__(self):
        self.compared, self.wrong = 0, []

    def same(self, name, found, expected, tolerance=EXACT):
        self.compared += 1
        if found is None or expected is None:
            equal = found is None and expected is None
        else:
            equal = abs(found - expected) <= tolerance * max(abs(expected), 1e-300)
        if not equal:
            self.wrong.append(f"{name}: {found}, expected {expected}")

    def estimate(self, name, found, value, interval):
        self.same(f"{name}.value", found["value"], value)
        self.same(f"{name}.ci_low", found["ci_low"], interval and interval[0], INTERVAL)
        self.same(f"{name}.ci_high", found["ci_high"], interval and interval[1], INTERVAL)
        if found["value"] is None or found["ci_low"] is None:
            self.same(f"{name} has a reason", float(bool(found["reason"])), 1.0)


def half_width(runs):
    """Half-width of the t interval over the runs' figures."""
    if len(runs) < 2:
        return None
    return stats.t.ppf(1 - ALPHA / 2, len(runs) - 1) * np.std(runs, ddof=1) / np.sqrt(len(runs))


def between_runs(value, runs):
    half = half_width(runs)
    return None if half is None else (max(value - half, 0.0), value + half)


def span_ns(rows):
    return max(r["start_ns"] + r["latency_ns"] for r in rows) - min(r["start_ns"] for r in rows)


def groups(rows, *keys):
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return found


class Cell:
    """The counted samples of a cell, by run and by batch."""

    def __init__(self, rows, scenario):
        self.rows, self.offline = rows, scenario == "offline"
        self.sequential = scenario in ("offline", "single_stream")
        self.runs = [of_run for _, of_run in sorted(groups(rows, "run").items())]

    def host_ns(self, rows):
        """Measured time of each host in one run."""
        keys = ("host", "segment", "batch") if self.sequential else ("host", "segment")
        time = defaultdict(int)
        for key, group in groups(rows, *keys).items():
            time[key[0]] += span_ns(group)
        return time

    def units(self, rows, value):
        """Series of one run, one per host, in time order: batches in offline, otherwise requests."""
        series = defaultdict(list)
        keys = ("host", "segment", "batch") if self.offline else ("host", "segment", "batch", "sample_id", "start_ns")
        for key, group in groups(rows, *keys).items():
            values = [value(r) for r in group if r["ok"] and value(r) is not None]
            if values:
                series[key[0]].append((min(r["start_ns"] for r in group), np.mean(values)))
        return [[v for _, v in sorted(one)] for _, one in sorted(series.items())]

    def support(self, value):
        """Independent units, effective units after autocorrelation, and the autocorrelation."""
        rows = [r for r in self.rows if r["ok"] and value(r) is not None]
        series = [np.array(one) for run in self.runs for one in self.units(run, value)]
        length = sum(map(len, series))
        squares = sum(((one - one.mean()) ** 2).sum() for one in series)
        products = sum(((one[1:] - one.mean()) * (one[:-1] - one.mean())).sum() for one in series)
        lag1 = products / squares if squares > 0 else None
        units = len({r["sample_id"] for r in rows})
        if self.offline and rows:
            units = max(units * length // len(rows), 1)
        effective = units
        if lag1 is not None and lag1 > 1.645 / np.sqrt(length):
            capped = min(lag1, 0.999)
            effective = max(int(units * (1 - capped) / (1 + capped)), 1)
        return units, effective, lag1


def percentile(by_run, p, floor, units, effective):
    """Type 7, its order statistics over the effective units, and the runs' t interval in quadrature."""
    merged = np.sort(np.concatenate(by_run))
    if units < floor:
        return None, None
    value, n = np.quantile(merged, p, method="linear"), len(merged)
    low = int(stats.binom.ppf(ALPHA / 2, effective, p))
    high = int(stats.binom.ppf(1 - ALPHA / 2, effective, p)) + 1
    if low < 1 or high > effective:
        return value, None
    low = merged[int(np.floor((low - 1) * n / effective))]
    high = merged[min(int(np.ceil(high * n / effective)) - 1, n - 1)]
    half = half_width([np.quantile(run, p) for run in by_run])
    if half is not None:
        low, high = max(value - np.hypot(value - low, half), 0.0), value + np.hypot(high - value, half)
    return value, (low, high)


def distribution(check, name, found, by_run, support):
    by_run = [np.array(run) for run in by_run if len(run)]
    if not by_run:
        check.same(f"{name}.mean.value", found["mean"]["value"], None)
        return
    units, effective, lag1 = support
    merged = np.concatenate(by_run)
    mean = merged.mean()
    check.estimate(f"{name}.mean", found["mean"], mean, between_runs(mean, [run.mean() for run in by_run]))
    check.same(f"{name}.std", found["std"], merged.std(ddof=1) if len(merged) > 1 else None)
    check.same(f"{name}.min", found["min"], merged.min())
    check.same(f"{name}.max", found["max"], merged.max())
    check.same(f"{name}.lag1_autocorrelation", found["lag1_autocorrelation"], lag1, INTERVAL)
    check.same(f"{name}.effective_n", found["effective_n"], effective)
    for key, (p, floor) in PERCENTILES.items():
        value, interval = percentile(by_run, p, floor, units, effective)
        check.estimate(f"{name}.{key}", found[key], value, interval)
        check.same(f"{name}.{key}.n", found[key]["n"], units)


def rate(check, name, found, cell, count):
    per_run, fleet, counted, time = [], [], 0.0, 0.0
    for rows in cell.runs:
        hosts = cell.host_ns(rows)
        by_host = {host: sum(count(r) for r in rows if r["ok"] and r["host"] == host) for host in hosts}
        seconds = sum(hosts.values()) / 1e9
        per_run.append(sum(by_host.values()) / seconds)
        fleet.append(sum(by_host[host] / (ns / 1e9) for host, ns in hosts.items()))
        counted, time = counted + sum(by_host.values()), time + seconds
    value = counted / time
    check.estimate(f"{name}.per_host", found["per_host"], value, between_runs(value, per_run))
    check.estimate(f"{name}.fleet", found["fleet"], np.mean(fleet), between_runs(np.mean(fleet), fleet))
    check.same(f"{name}.std", found["std"], np.std(per_run, ddof=1) if len(per_run) > 1 else None)


def lengths(check, name, found, tokens):
    check.same(f"{name}.mean", found["mean"], np.mean(tokens))
    check.same(f"{name}.std", found["std"], np.std(tokens, ddof=1) if len(tokens) > 1 else None)
    check.same(f"{name}.p50", found["p50"], np.quantile(tokens, 0.5))
    check.same(f"{name}.p95", found["p95"], np.quantile(tokens, 0.95))


def tpot(row):
    if row["ttft_ns"] is None or row["output_tokens"] < 2:
        return None
    return (row["latency_ns"] - row["ttft_ns"]) / 1e6 / (row["output_tokens"] - 1)


QUANTITIES = {
    "latency_ms": lambda r: r["latency_ns"] / 1e6,
    "ttft_ms": lambda r: None if r["ttft_ns"] is None else r["ttft_ns"] / 1e6,
    "tpot_ms": tpot,
    "latency_ms_per_output_token": lambda r: r["latency_ns"] / 1e6 / r["output_tokens"] if r["output_tokens"] else None,
}


def root_mean_square(deviations):
    return np.sqrt(np.mean(np.square(deviations))) if len(deviations) else None


def check_other_dialogues(check, name, found, cell, latency_mean, throughput):
    """Intervals for other dialogues: within runs from the units' spread, combined in quadrature with the spread of runs."""
    _, effective, _ = cell.support(QUANTITIES["latency_ms"])
    spread = lambda units: np.std(units, ddof=1) if len(units) > 1 else None
    of_latency, of_rate = [], []
    for rows in cell.runs:
        of_latency.append(spread([value for series in cell.units(rows, QUANTITIES["latency_ms"]) for value in series]))
        batches = list(groups(rows, "host", "segment", "batch").values())
        total = sum(cell.host_ns(rows).values()) / 1e9
        rate = sum(r["ok"] for r in rows) / total
        of_rate.append(spread([(sum(r["ok"] for r in b) - rate * span_ns(b) / 1e9) / (total / len(batches)) for b in batches]))
    for key, between, deviations in (("latency_mean_ms", latency_mean, of_latency), ("throughput", throughput, of_rate)):
        deviation, value = root_mean_square([d for d in deviations if d is not None]), between["value"]
        within = None
        if deviation is not None and effective > 1:
            half = stats.t.ppf(1 - ALPHA / 2, effective - 1) * deviation / np.sqrt(effective)
            within = (max(value - half, 0.0), value + half)
        check.estimate(f"{name}.{key}_within_run", found[f"{key}_within_run"], value, within)
        joined = None
        if within and between["ci_low"] is not None:
            low = np.hypot(value - between["ci_low"], value - within[0])
            joined = (max(value - low, 0.0), value + np.hypot(between["ci_high"] - value, within[1] - value))
        check.estimate(f"{name}.{key}", found[key], value, joined)


def check_variance(check, name, found, rows):
    """Henderson's method 1 with full matrices: each quadratic form y'Qy equals its expectation, a sum of traces."""
    rows = [r for r in rows if r["ok"] and r["latency_ns"] > 0]
    n, keys = len(rows), {"host": "host", "run": "run", "sample": "sample_id"}
    y = np.log([r["latency_ns"] / 1e6 for r in rows])
    y = y - y.mean()
    levels = {name: np.unique([str(r[key]) for r in rows], return_inverse=True)[1] for name, key in keys.items()}
    used = [name for name in keys if 2 <= levels[name].max() + 1 < n]
    z = {name: np.eye(levels[name].max() + 1)[levels[name]] for name in used}
    mean = np.full((n, n), 1 / n)
    forms = [one @ np.diag(1 / one.sum(axis=0)) @ one.T - mean for one in z.values()] + [np.eye(n) - mean]
    system = [[np.sum(form * (one @ one.T)) for one in z.values()] + [np.trace(form)] for form in forms]
    parts = np.maximum(np.linalg.solve(system, [y @ form @ y for form in forms]), 0.0)
    for source, part in zip([*used, "residual"], parts):
        check.same(f"{name}.{source}.share", found[source]["share"], part / parts.sum(), INTERVAL)
        check.same(f"{name}.{source}.relative_std", found[source]["relative_std"], np.expm1(np.sqrt(part)), INTERVAL)
    for source in set(keys) - set(used):
        check.same(f"{name}.{source}", found[source], None)


def check_cell(check, name, found, rows):
    cell = Cell(rows, found["scenario"])
    ok = [r for r in rows if r["ok"]]
    check.same(f"{name}.counted_samples", found["counted_samples"], len(ok))
    check.same(f"{name}.failed_samples", found["failed_samples"], len(rows) - len(ok))
    for quantity, value in QUANTITIES.items():
        by_run = [[value(r) for r in run if r["ok"] and value(r) is not None] for run in cell.runs]
        distribution(check, f"{name}.{quantity}", found[quantity], by_run, cell.support(value))
    spans = [[span_ns(b) / 1e6 for b in groups(run, "host", "segment", "batch").values()] for run in cell.runs]
    distribution(check, f"{name}.batch_ms", found["batch_ms"], spans, cell.support(QUANTITIES["latency_ms"]))
    rate(check, f"{name}.throughput", found["throughput"], cell, lambda r: 1)
    rate(check, f"{name}.output_token_throughput", found["output_token_throughput"], cell, lambda r: r["output_tokens"])
    lengths(check, f"{name}.input_tokens", found["input_tokens"], [r["input_tokens"] for r in ok])
    lengths(check, f"{name}.output_tokens", found["output_tokens"], [r["output_tokens"] for r in ok])
    between = found["latency_ms"]["mean"], found["throughput"]["per_host"]
    check_other_dialogues(check, f"{name}.other_dialogues", found["other_dialogues"], cell, *between)
    check_variance(check, f"{name}.variance", found["variance"], rows)


def check_phases(check, name, found, rows):
    """Prompt tokens until the last first token of each batch, and the tokens after the first ones in the rest."""
    is_sequential = rows[0]["scenario"] in ("offline", "single_stream")
    check.same(f"{name}: known", float(found is not None), float(is_sequential and all(r["ttft_ns"] is not None for r in rows if r["ok"])))
    if found is None:
        return
    sums = []
    for run in groups(rows, "run").values():
        run_sums = np.zeros(4)
        for batch in groups(run, "host", "segment", "batch").values():
            if not all(r["ok"] for r in batch):
                continue
            start = min(r["start_ns"] for r in batch)
            first = max(r["start_ns"] + r["ttft_ns"] for r in batch)
            later = sum(max(r["output_tokens"] - 1, 0) for r in batch)
            run_sums += [sum(r["input_tokens"] for r in batch), first - start, later, start + span_ns(batch) - first]
        sums.append(run_sums)
    sums = np.array(sums)
    for key, count, time in (("prefill_tokens_per_s", 0, 1), ("decode_tokens_per_s", 2, 3)):
        if sums[:, count].sum() == 0:
            check.same(f"{name}.{key}", found[key], None)
            continue
        by_run = sums[:, count] / sums[:, time] * 1e9
        value = sums[:, count].sum() / sums[:, time].sum() * 1e9
        check.estimate(f"{name}.{key}", found[key], value, between_runs(value, by_run))


def check_cost(check, name, cost, estimates):
    """usd per hour / 3600 / rate: the ends of the interval swap."""
    for key, of, count in (
        ("usd_per_1000_requests", "throughput", 1e3),
        ("usd_per_million_output_tokens", "output_token_throughput", 1e6),
    ):
        rate = estimates[of]["per_host"]
        usd = lambda rate: cost["usd_per_hour"] / 3600 / rate * count if rate else None
        check.estimate(f"{name}.{key}", cost[key], usd(rate["value"]), (usd(rate["ci_high"]), usd(rate["ci_low"])))


def design_effect(clusters):
    """Kish's design effect with the intraclass correlation of the analysis of variance; clusters are lists of 0 and 1."""
    n, k = sum(map(len, clusters)), len(clusters)
    if k < 2 or n <= k:
        return 1.0
    share = sum(map(sum, clusters)) / n
    between = sum(len(c) * (np.mean(c) - share) ** 2 for c in clusters) / (k - 1)
    within = sum(((np.array(c) - np.mean(c)) ** 2).sum() for c in clusters) / (n - k)
    squares = sum(len(c) ** 2 for c in clusters)
    size = (n - squares / n) / (k - 1)
    total = between + (size - 1) * within
    return 1 + (squares / n - 1) * max((between - within) / total, 0) if total > 0 else 1.0


def share_interval(rows, good):
    """Clopper and Pearson's interval over the effective number of requests (Korn and Graubard 1998)."""
    one = lambda r: float(good(r))
    by = lambda *keys: [[one(r) for r in group] for group in groups(rows, *keys).values()]
    series = [
        np.array([one(r) for r in sorted(group, key=lambda r: r["start_ns"])])
        for group in groups(rows, "run", "host").values()
    ]
    squares = sum(((s - s.mean()) ** 2).sum() for s in series)
    products = sum(((s[1:] - s.mean()) * (s[:-1] - s.mean())).sum() for s in series)
    effective = len(rows)
    if squares > 0 and products / squares > 1.645 / np.sqrt(len(rows)):
        lag1 = min(products / squares, 0.999)
        effective = max(int(effective * (1 - lag1) / (1 + lag1)), 1)
    n = effective / max(design_effect(by("run")), design_effect(by("sample_id")))
    share = sum(map(one, rows)) / len(rows)
    low = stats.beta.ppf(0.025, share * n, (1 - share) * n + 1) if share > 0 else 0.0
    high = stats.beta.ppf(0.975, share * n + 1, (1 - share) * n) if share < 1 else 1.0
    return low, high


def check_goodput(check, name, goodput, cost, rows, scenario, latency):
    """Good requests: a summary within the limit; the objective is met if the interval of their share reaches the percentile."""
    slo, cell = goodput["slo"], Cell(rows, scenario)
    limit = slo["request_latency_ms"]
    good = lambda r: r["ok"] and r["latency_ns"] / 1e6 <= limit
    count = sum(map(good, rows))
    check.same(f"{name}.good_samples", goodput["good_samples"], count)
    check.same(f"{name}.good_share", goodput["good_share"], count / len(rows))
    rate(check, f"{name}.goodput", goodput["goodput"], cell, lambda r: 1 if good(r) else 0)
    low, high = share_interval(rows, good)
    needed = slo["percentile"] / 100
    kept = "kept" if low >= needed else "missed" if high < needed else "undecided"
    # Requests of one batch start together; their order, and so the last digits of the ends, is not in the file.
    is_near = min(abs(low - needed), abs(high - needed)) < 1e-3
    check.same(f"{name}.kept", float(is_near or goodput["kept"] == kept), 1.0)
    per_host = goodput["goodput"]["per_host"]
    usd = lambda rate: cost["usd_per_hour"] / 3600 / rate * 1000 if rate else None
    ends = (usd(per_host["ci_high"]), usd(per_host["ci_low"]))
    check.estimate(f"{name}.good_cost", cost["usd_per_1000_good_requests"], usd(per_host["value"]), ends)


def check_offered_rates(check, offered):
    """Whole instances at every rate; in the middle of each range, the target that costs less at both ends of the intervals."""
    needed = lambda rate, capacity: np.ceil(np.round(rate / capacity, 9))
    curves = {(c["model"], c["target"]): c["capacity"] for c in offered["curves"]}
    for curve in offered["curves"]:
        capacity, usd = curve["capacity"]["requests_per_second"], curve["capacity"]["usd_per_hour"]
        for point in curve["points"]:
            rate = point["offered_rate"]
            name = f"{curve['target']} at {rate}"
            instances = needed(rate, capacity)
            check.same(f"{name}: instances", point["instances"], instances)
            check.same(f"{name}: idle", point["idle_share"], 1 - rate / capacity / instances, INTERVAL)
            check.same(f"{name}: cost", point["usd_per_1000_requests"], instances * usd / 3.6 / rate)
    for pair in offered["break_even"]:
        first, second = (curves[(pair["model"], pair[side])] for side in ("first", "second"))
        for one in pair["ranges"]:
            rate = (one["from"] + one["to"]) / 2
            cost = lambda of, end: needed(rate, of[end]) * of["usd_per_hour"]
            a, b = [(cost(of, "high"), cost(of, "low")) for of in (first, second)]
            expected = (
                "first" if a[1] < b[0] else "second" if b[1] < a[0] else "same" if a[1] <= b[0] and b[1] <= a[0] else "undecided"
            )
            check.same(f"{pair['first']} or {pair['second']} at {rate}", float(one["cheaper"] == expected), 1.0)


def kept_outputs(database, campaign):
    """For each cell and run, the text and packed tokens of each dialogue, and the references."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (no, plan) = connection.execute("select no, plan from campaign where id = ?", (campaign,)).fetchone()
        cells = [cell["id"] for cell in json.loads(plan)["cells"]]
        dialogues = connection.execute(
            "select ordinal, sample_id, summary from dialogue where campaign = ? and is_measured = 1", (no,)
        ).fetchall()
        ids = {ordinal: sample_id for ordinal, sample_id, _ in dialogues}
        samples = connection.execute(
            "select cell, run, sample, text, output_ids from sample where campaign = ? and counted = 1 order by run", (no,)
        )
        outputs = {(cells[cell], run, ids[sample]): (text, packed) for cell, run, sample, text, packed in samples}
    return outputs, {sample_id: summary for _, sample_id, summary in dialogues}


def bundled_outputs(folder, rows):
    """The same from an unpacked bundle, whose texts are in the order of its samples."""
    texts = parquet.read_table(folder / "texts.parquet").to_pylist()
    assert len(texts) == len(rows)
    outputs = {
        (row["cell"], row["run"], row["sample_id"]): (text["summary"], text["output_ids"])
        for row, text in zip(rows, texts)
        if row["counted"]
    }
    dialogues = json.loads((folder / "dialogues.json").read_text())
    return outputs, {one["sample_id"]: one.get("summary") for one in dialogues if one["is_measured"]}


def unpacked(packed):
    """LEB128: seven bits a byte, the least significant first."""
    ids, number, shift = [], 0, 0
    for byte in packed:
        number, shift = number | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            ids.append(number)
            number, shift = 0, 0
    return ids


def check_quality(check, name, quality, rows, outputs, references):
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    scores = defaultdict(lambda: defaultdict(list))
    for row in rows:
        text, reference = outputs[name, row["run"], row["sample_id"]][0], references[row["sample_id"]]
        if not row["ok"] or text is None or reference is None:
            continue
        for key, score in scorer.score(reference, text).items():
            check.same(f"{name}, {row['sample_id']} in run {row['run']}: {key}", row[key], score.fmeasure)
            scores[key][row["sample_id"]].append(score.fmeasure)
    check.same(f"{name} has scores", float(bool(scores)), 1.0)
    for key, by_sample in scores.items():
        check.same(f"{name}.{key}.value", quality[key]["value"], np.mean([np.mean(s) for s in by_sample.values()]))


COMPARED = {
    "request_latency": QUANTITIES["latency_ms"],
    "latency_per_output_token": QUANTITIES["latency_ms_per_output_token"],
    "ttft": QUANTITIES["ttft_ms"],
    "output_tokens": lambda r: float(r["output_tokens"]),
    "throughput": None,
}


def log_ratios(before, after, value):
    """For each round, the mean logs of both sides over their common dialogues, or the logs of their rates."""
    ratios = []
    for run in sorted({r["run"] for r in before} & {r["run"] for r in after}):
        sides = [[r for r in side if r["run"] == run] for side in (before, after)]
        if value is None:
            rate = lambda rows: sum(r["ok"] for r in rows) / sum(Cell(rows, rows[0]["scenario"]).host_ns(rows).values())
            ratios.append(np.log(rate(sides[1])) - np.log(rate(sides[0])))
            continue
        logs = [{r["sample_id"]: np.log(value(r)) for r in side if r["ok"] and value(r)} for side in sides]
        both = sorted(logs[0].keys() & logs[1].keys())
        ratios.append(np.mean([logs[1][one] for one in both]) - np.mean([logs[0][one] for one in both]))
    return np.array(ratios)


def check_comparisons(check, comparisons, by_cell):
    """Ratios with their t intervals over rounds, and Holm-corrected intervals over the family of each quantity."""
    for quantity, value in COMPARED.items():
        ratios = [log_ratios(by_cell[(c["baseline"],)], by_cell[(c["candidate"],)], value) for c in comparisons]
        error = [np.std(r, ddof=1) / np.sqrt(len(r)) if len(r) > 1 else None for r in ratios]
        family = [(index, 1.0 if not r.any() else 0.0 if e == 0 else 2 * stats.t.sf(abs(r.mean()) / e, len(r) - 1))
                  for index, (r, e) in enumerate(zip(ratios, error)) if e is not None]
        levels, stopped = {}, None
        for rank, (index, p) in enumerate(sorted(family, key=lambda one: (one[1], one[0]))):
            levels[index] = stopped or ALPHA / (len(family) - rank)
            stopped = None if p <= levels[index] else levels[index]
        for index, (comparison, r, e) in enumerate(zip(comparisons, ratios, error)):
            found = comparison["figures"][quantity]
            name = f"{comparison['candidate']} against {comparison['baseline']}: {quantity}"
            ends = lambda alpha: [np.exp(r.mean() + side * stats.t.ppf(1 - alpha / 2, len(r) - 1) * e) for side in (-1, 1)]
            check.estimate(name, found["ratio"], np.exp(r.mean()), None if e is None else ends(ALPHA))
            corrected = ends(levels[index]) if index in levels else (None, None)
            check.same(f"{name}.corrected_ci_low", found["corrected_ci_low"], corrected[0], INTERVAL)
            check.same(f"{name}.corrected_ci_high", found["corrected_ci_high"], corrected[1], INTERVAL)


def check_agreement(check, comparison, outputs):
    """Token by token, on the first run's outputs."""
    found = comparison["agreement"]
    name = f"{comparison['candidate']} against {comparison['baseline']}: agreement"
    check.same(f"{name} is of tokens", float(found["unit"] == "tokens"), 1.0)
    first = lambda cell: {key[2]: unpacked(packed) for key, (_, packed) in outputs.items() if key[:2] == (cell, 1)}
    before, after = first(comparison["baseline"]), first(comparison["candidate"])
    agreed, tokens, identical, earliest = 0, 0, 0, None
    for one in before.keys() & after.keys():
        a, b = before[one], after[one]
        common = next((place for place, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        agreed, tokens, identical = agreed + common, tokens + max(len(a), len(b)), identical + (a == b)
        if a != b:
            earliest = common if earliest is None else min(earliest, common)
    check.same(f"{name}: compared", found["compared"], len(before.keys() & after.keys()))
    check.same(f"{name}: identical", found["identical"], identical)
    check.same(f"{name}: share of tokens", found["tokens_agreed_share"], agreed / tokens)
    check.same(f"{name}: earliest difference", found["earliest_difference"], earliest)


def by_wall_clock(samples, cell):
    """Summaries per second from the first start to the last end of each segment."""
    import duckdb

    summaries, nanoseconds = duckdb.sql(f"""
        select sum(summaries), sum(span) from (
            select count(*) filter (where outcome in ('eos', 'length')) as summaries,
                   max(start_ns + latency_ns) - min(start_ns) as span
            from '{samples}' where counted and cell = '{cell}' group by run, segment, host)""").fetchall()[0]
    return int(summaries) / int(nanoseconds) * 1e9


def check_cells_file(check, results_path, results):
    """cells.parquet contains the same figures, read with pandas and DuckDB."""
    import duckdb
    import pandas

    path = str(Path(results_path).with_suffix("")) + ".cells.parquet"
    frame = pandas.read_parquet(path).set_index("cell")
    cheapest = duckdb.sql(f"select cell from '{path}' order by usd_per_1000_requests limit 1").fetchall()[0][0]
    samples = str(Path(results_path).parent / results["campaign"]["samples_file"]["name"])
    counted = dict(duckdb.sql(f"select cell, count(*) from '{samples}' where counted group by cell").fetchall())
    cells = {cell["cell"]: cell for entry in results["results"] for cell in entry["cells"]}
    for name, cell in cells.items():
        row, throughput = frame.loc[name], cell["estimates"]["throughput"]["per_host"]
        check.same(f"{name} in cells.parquet", row["samples_per_s"], throughput["value"])
        check.same(f"{name} by wall clock", cell["estimates"]["wall_samples_per_s"], by_wall_clock(samples, name))
        check.same(f"{name}: status", float(row["status"] == cell["validity"]["status"]), 1.0)
        check.same(f"{name}: rows", counted[name], cell["counted_samples"] + cell["failed_samples"])
    least = min(cells.values(), key=lambda cell: cell["cost"]["usd_per_1000_requests"]["value"])
    check.same("the cheapest by DuckDB", float(cheapest == least["cell"]), 1.0)


def main(results_path, source):
    results = json.loads(Path(results_path).read_text())
    samples = Path(results_path).parent / results["campaign"]["samples_file"]["name"]
    rows = parquet.read_table(samples).to_pylist()
    for row in rows:
        row["ok"] = row["outcome"] in ("eos", "length")
    by_cell = groups([row for row in rows if row["counted"]], "cell")
    scenario_of = {cell["cell"]: entry["scenario"] for entry in results["results"] for cell in entry["cells"]}
    for row in rows:
        row["scenario"] = scenario_of[row["cell"]]
    is_bundle = Path(source).is_dir()
    if is_bundle:
        outputs, references = bundled_outputs(Path(source), rows)
    else:
        outputs, references = kept_outputs(source, results["campaign"]["id"])

    check = Check()
    for entry in results["results"]:
        for cell in entry["cells"]:
            name = cell["cell"]
            check_cell(check, name, cell["estimates"], by_cell[(name,)])
            check_phases(check, f"{name}.phases", cell["phases"], by_cell[(name,)])
            if cell.get("cost"):
                check_cost(check, name, cell["cost"], cell["estimates"])
            if cell.get("goodput"):
                rows_of_cell = by_cell[(name,)]
                scenario, latency = cell["estimates"]["scenario"], cell["estimates"]["latency_ms"]
                check_goodput(check, name, cell["goodput"], cell["cost"], rows_of_cell, scenario, latency)
            if cell.get("quality"):
                check_quality(check, name, cell["quality"], by_cell[(name,)], outputs, references)
    check_comparisons(check, results["comparisons"], by_cell)
    for comparison in results["comparisons"]:
        if comparison["agreement"]:
            check_agreement(check, comparison, outputs)
    check_offered_rates(check, results["offered_rates"])
    if not is_bundle:
        check_cells_file(check, results_path, results)
    for line in check.wrong:
        print(line)
    print(f"{check.compared} figures of {len(by_cell)} cells, {len(check.wrong)} differ")
    sys.exit(1 if check.wrong or not check.compared else 0)


main(*sys.argv[1:])
