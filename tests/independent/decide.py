#!/usr/bin/env python3
"""Recomputes the figures of `controller decide --json` with a simulator of its own.

    tests/independent/decide.py slow results.json FOLDER FACTOR
    tests/independent/decide.py results.json traffic.toml decision.json
    tests/independent/decide.py calibration results.json decision.json

The first form writes the results with all times multiplied, so that fleets of several instances need few requests.
The second form is the check, and the third one that of the predictions for measured `server` cells. It is written from the definitions in docs/decide.md: batch times from the samples, queues
and batching, scaling, paid time. It reads profiles of a day or a week, constant rates, and traces of relative times. Every
simulated figure must agree within the error of two simulations: 4.5 standard errors of the difference, and 0.6% for the
buckets of latencies. What follows from other figures must agree exactly. Exits with 1 and lists the figures that differ.
"""

import bisect
import hashlib
import heapq
import json
import math
import sys
import tomllib
from collections import defaultdict, deque
from pathlib import Path

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as parquet

HOURS_OF_MONTH = 730.5
# A dozen may lack what happens in one of ten, and then say too little of its spread: a choice with figures that differ
# is judged by as many as `OF_DOUBT` others.
SIMULATIONS, OF_DOUBT = 12, 80
# Of a measured cell, by this script and by the decision.
PREDICTIONS, OF_DECISION = 60, 200
# Choices of each policy that are simulated again.
MOST_CHOICES = 2
SHARES = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]


def batches_of(rows, scenario, max_size, delay_s):
    """(size, run, seconds, pause before it, mean length of the prompts) of each batch of a cell without failures. The
    pause before the first batch of a segment of an open loop is unknown: it is left out."""
    def tokens(batch):
        return float(np.mean([row["input_tokens"] for row in batch]))

    found = []
    if scenario in ("offline", "single_stream"):
        by_batch = defaultdict(list)
        for row in rows:
            by_batch[row["run"], row["host"], row["segment"], row["batch"]].append(row)
        for (run, *_), batch in by_batch.items():
            if all(row["ok"] for row in batch):
                begin = min(row["start_ns"] for row in batch)
                end = max(row["start_ns"] + row["latency_ns"] for row in batch)
                found.append((len(batch), run, (end - begin) / 1e9, 0.0, tokens(batch)))
        return found
    by_segment = defaultdict(list)
    for row in rows:
        if row["ok"]:
            by_segment[row["run"], row["host"], row["segment"]].append(row)
    for (run, *_), queue in by_segment.items():
        queue.sort(key=lambda row: row["start_ns"])
        free = None
        while queue:
            oldest = queue[0]["start_ns"]
            full = queue[max_size - 1]["start_ns"] if len(queue) >= max_size else math.inf
            begin = max(free or 0, oldest, min(oldest + delay_s * 1e9, full))
            size = min(sum(row["start_ns"] <= begin for row in queue[: max_size + 1]), max_size)
            batch, queue = queue[:size], queue[size:]
            end = max(row["start_ns"] + row["latency_ns"] for row in batch)
            if free is not None:
                found.append((size, run, (end - begin) / 1e9, (begin - free) / 1e9, tokens(batch)))
            free = end
    return found


class Times:
    """Batch times by size and by the run of a cell."""

    def __init__(self, batches):
        by_size = defaultdict(lambda: defaultdict(list))
        for size, run, *time in batches:
            by_size[size][run].append(time)
        counts = {size: sum(map(len, runs.values())) for size, runs in by_size.items()}
        enough = min(8, max(counts.values()))
        self.by_size = {size: runs for size, runs in sorted(by_size.items()) if counts[size] >= enough}
        self.batches = sum(counts.values())

    def measured(self, tokens):
        """`tokens`: the mean length of the prompts that mean times are for, or None."""
        return Curve({size: np.concatenate(list(runs.values())) for size, runs in self.by_size.items()}, tokens)

    def resampled(self, rng):
        """Runs with replacement, those of open loops apart, and batches within them."""
        sizes = {}
        for size, by_run in self.by_size.items():
            drawn = []
            for is_open in (False, True):
                runs = [times for run, times in by_run.items() if run[2] == is_open]
                drawn += [rng.choice(run, len(run)) for run in (runs[rng.integers(len(runs))] for _ in runs)]
            sizes[size] = np.concatenate(drawn)
        return Curve(sizes, None)


class Curve:
    """Batch times to draw from, with times of equal rank interpolated between sizes.

    They are drawn from batches after a similar pause: 0, or one of up to ten groups of as many batches. Where the
    prompts are known, a time is the rest of a measured one, plus a slope times their mean length."""

    def __init__(self, sizes, tokens):
        self.known, self.tokens, self.slopes = sorted(sizes), tokens, {}
        self.groups, self.least_pauses = {}, {}
        for size, times in sizes.items():
            seconds, pauses, lengths = times[np.argsort(times[:, 1], kind="stable")].T
            slope = 0.0
            if np.ptp(lengths) > 0:
                slope = max(0.0, float(np.polynomial.Polynomial.fit(lengths, seconds, 1).convert().coef[1]))
                self.slopes[size] = slope
            followed = int((pauses == 0).sum())
            first = followed if followed >= 8 else 0
            paused = len(pauses) - first
            if len(pauses) - followed < 8:
                bounds = [0, len(pauses)]
            else:
                count = min(max(paused // 30, 1), 10)
                bounds = [0] * bool(first) + [first + group * paused // count for group in range(count + 1)]
            rests = seconds - slope * lengths
            parts = [slice(low, high) for low, high in zip(bounds, bounds[1:])]
            self.groups[size] = [(np.sort(seconds[part]).tolist(), np.sort(rests[part]).tolist()) for part in parts]
            self.least_pauses[size] = pauses[bounds[:-1]].tolist()

    def group(self, size, pause_s):
        return self.groups[size][max(0, bisect.bisect_right(self.least_pauses[size], pause_s) - 1)]

    def weights(self, size):
        below = [known for known in self.known if known <= size]
        above = [known for known in self.known if known >= size]
        if not below:
            return [(above[0], 1.0)]
        if not above:
            return [(below[-1], size / below[-1])]
        low, high = below[-1], above[0]
        if low == high:
            return [(low, 1.0)]
        share = (size - low) / (high - low)
        return [(low, 1 - share), (high, share)]

    def draw(self, batch, pause_s, unit):
        lengths = [request.tokens for request in batch]
        tokens = None if None in lengths else sum(lengths) / len(lengths)
        return sum(weight * self.time(of, pause_s, tokens, unit) for of, weight in self.weights(len(batch)))

    def time(self, size, pause_s, tokens, unit):
        seconds, rests = self.group(size, pause_s)
        index = int(unit * len(seconds))
        if tokens is None or size not in self.slopes:
            return seconds[index]
        return max(rests[index] + self.slopes[size] * tokens, 0.0)

    def mean(self, size):
        """Of batches that follow each other, as far as there are any."""
        return sum(weight * self.mean_of(of) for of, weight in self.weights(size))

    def mean_of(self, size):
        seconds, rests = self.group(size, 0.0)
        if self.tokens is None or size not in self.slopes:
            return float(np.mean(seconds))
        return float(np.maximum(np.array(rests) + self.slopes[size] * self.tokens, 0.0).mean())

    def full_rate(self, size):
        return size / self.mean(size)


class Request(float):
    """The time of a request, with the length of its prompt."""

    tokens = None

    def __new__(cls, time, tokens=None):
        request = super().__new__(cls, time)
        request.tokens = tokens
        return request


class Instance:
    def __init__(self, paid_from, ready_at, is_base=False):
        self.paid_from, self.ready_at, self.is_base = paid_from, ready_at, is_base
        self.queue, self.batch = deque(), 0
        self.free_since = ready_at
        self.leaving = self.killed = False


class Fleet:
    """One simulation of a fleet over the arrivals."""

    def __init__(self, setting, policy, curves, arrivals, span_s, rng):
        """`curves`: of the scaled instances and of the base."""
        self.set, self.policy, self.curves, self.rng = setting, policy, curves, rng
        self.spilled, self.by_base, self.base_paid_s = 0, 0, 0.0
        self.arrivals, self.span_s = arrivals, span_s
        self.events, self.number = [], 0
        self.instances, self.wanted, self.most = [], 0, 0
        self.latencies, self.rejected, self.during_start, self.good = [], 0, 0, 0
        self.without_instance, self.failed, self.lost = 0, 0, 0
        self.paid_s = self.busy_s = self.tail_s = 0.0
        self.hours = [[0, 0, 0.0, 0.0] for _ in range(max(1, math.ceil(span_s / 3600)))]
        self.backlog = deque()
        self.has_changed = True

    def at(self, time, what, *of):
        self.number += 1
        heapq.heappush(self.events, (time, self.number, what, of))

    def run(self):
        first = self.policy.first()
        self.wanted = self.most = first
        self.instances = [Instance(0.0, 0.0) for _ in range(first)]
        self.base = [Instance(0.0, 0.0, True) for _ in range(self.set["base"]["instances"])]
        for instance in self.instances:
            self.interrupt_later(0.0, instance)
        for time in self.policy.times(self.span_s):
            self.at(time, self.evaluate)
        self.minute, self.counted = 0.0, 0
        self.at(60.0, self.end_of_minute)
        for now in self.arrivals:
            while self.events and self.events[0][0] <= now:
                time, _, what, of = heapq.heappop(self.events)
                what(time, *of)
            self.arrive(now)
        while self.events:
            time, _, what, of = heapq.heappop(self.events)
            what(time, *of)
            self.last = time
        for instance in self.instances + self.base:
            self.pay(instance, self.span_s)
        return self

    def start(self, now):
        # Provisioning is not billed, loading is.
        running = now + self.set["provisioning_s"]
        instance = Instance(running, running + self.set["load_s"])
        self.instances.append(instance)
        self.has_changed = True
        self.at(instance.ready_at, self.became_ready, instance)

    def became_ready(self, now, instance):
        if instance.leaving:
            return
        self.interrupt_later(now, instance)
        instance.queue.extend(self.backlog)
        self.backlog.clear()
        if instance.queue:
            self.begin(now, instance)

    def interrupt_later(self, now, instance):
        if self.set["interruptions_per_hour"]:
            after = self.rng.exponential(3600.0 / self.set["interruptions_per_hour"])
            if now + after <= self.span_s:
                self.at(now + after, self.interrupt, instance)

    def interrupt(self, now, instance):
        """Two minutes of notice without new requests, and a replacement at once."""
        if instance.leaving:
            return
        instance.leaving = self.has_changed = True
        if not instance.queue and not instance.batch:
            self.instances.remove(instance)
            self.pay(instance, now)
        else:
            self.at(now + 120.0, self.kill, instance)
        self.start(now)

    def kill(self, now, instance):
        if instance in self.instances:
            self.lost += len(instance.queue) + instance.batch
            instance.killed = True
            self.instances.remove(instance)
            self.pay(instance, now)

    def ready(self, now):
        self.look(now)
        return self.those_ready

    def look(self, now):
        """Finds the instances that are ready and those that start, unless nothing has changed."""
        if not self.has_changed and now < self.next_ready_at:
            return
        present = [one for one in self.instances if not one.leaving]
        self.those_ready = [one for one in present if one.ready_at <= now]
        self.next_ready_at = min((one.ready_at for one in present if one.ready_at > now), default=math.inf)
        self.has_changed = False

    def arrive(self, now):
        self.counted += 1
        hour = min(int(now / 3600), len(self.hours) - 1)
        self.hours[hour][0] += 1
        self.look(now)
        self.during_start += self.next_ready_at < math.inf
        outstanding = lambda one: len(one.queue) + one.batch
        chosen = min(self.base, key=outstanding, default=None)
        if chosen is None or outstanding(chosen) >= self.set["base"]["spill_at"]:
            self.spilled += 1
            ready = self.ready(now)
            if ready and self.set["is_random"]:
                chosen = ready[self.rng.integers(len(ready))]
            else:
                chosen = min(ready, key=outstanding, default=chosen)
        if chosen is None and self.set["min_instances"]:
            # All instances were interrupted: the request waits for the next one.
            if len(self.backlog) < self.set["max_queue"]:
                self.backlog.append(now)
            else:
                self.rejected += 1
            return
        if chosen is None:
            # An endpoint without a copy: an error, which the metric of target tracking doesn't have.
            self.without_instance += 1
            self.failed += 1
            self.counted -= 1
            return
        if len(chosen.queue) >= self.set["max_queue"]:
            self.rejected += 1
            return
        chosen.queue.append(now)
        if not chosen.batch:
            self.begin(now, chosen)

    def begin(self, now, instance):
        if instance.batch or not instance.queue or instance.killed:
            return
        most = self.set["base"]["max_batch_size"] if instance.is_base else self.set["max_batch_size"]
        complete_at = instance.queue[0] + self.set["delay_s"]
        if len(instance.queue) < most and complete_at > now:
            self.at(complete_at, self.begin, instance)
            return
        size = min(len(instance.queue), most)
        batch = [instance.queue.popleft() for _ in range(size)]
        seconds = self.curves[instance.is_base].draw(batch, now - instance.free_since, self.rng.random())
        instance.batch = size
        self.busy_s += seconds
        self.at(now + seconds, self.end, instance, batch)

    def end(self, now, instance, arrived):
        if instance.killed:
            return
        self.by_base += len(arrived) * instance.is_base
        for time in arrived:
            self.latencies.append(now - time)
            if now - time <= self.set["limit_s"]:
                self.good += 1
                self.hours[min(int(time / 3600), len(self.hours) - 1)][1] += 1
        instance.batch, instance.free_since = 0, now
        if instance.queue:
            self.begin(now, instance)
        elif instance.leaving:
            self.instances.remove(instance)
            self.pay(instance, now)

    def pay(self, instance, until):
        until = min(until, self.span_s)
        self.paid_s += max(0.0, until - instance.paid_from)
        self.base_paid_s += max(0.0, until - instance.paid_from) * instance.is_base
        for index, hour in enumerate(self.hours):
            length = min(until, (index + 1) * 3600) - max(instance.paid_from, index * 3600)
            hour[2] += max(0.0, length)
            hour[3] += max(0.0, length) * instance.is_base

    def end_of_minute(self, now):
        # An endpoint of peaks has the requests that spill over; a pod autoscaler is told the rate beyond the base.
        counted = self.spilled if self.set["base"]["instances"] and not self.set["is_kubernetes"] else self.counted
        rate = max(0.0, counted / 60.0 - self.set["base"]["rate"] * self.set["is_kubernetes"])
        self.spilled = 0
        self.policy.minutes.append(rate)
        self.policy.failed, self.failed = self.failed, 0
        if self.policy.target and not self.set["is_kubernetes"]:
            needed = max(math.ceil(rate / self.policy.target - 1e-9), self.set["min_instances"])
            self.tail_s += 60.0 * max(0, len(self.ready(now)) - needed)
        self.counted = 0
        if now + 60.0 <= self.span_s:
            self.at(now + 60.0, self.end_of_minute)

    def evaluate(self, now):
        beyond = self.set["base"]["rate"]
        wanted = self.policy.wanted(now, self.wanted, len(self.ready(now)), self.arrivals, beyond)
        if self.policy.target and self.set["is_kubernetes"]:
            needed = max(math.ceil(self.policy.rate / self.policy.target - 1e-9), self.set["min_instances"])
            self.tail_s += 15.0 * max(0, len(self.ready(now)) - needed)
        wanted = min(max(wanted, self.set["min_instances"]), self.set["max_instances"])
        present = [one for one in self.instances if not one.leaving]
        for _ in range(len(present), wanted):
            self.start(now)
        self.most = max(self.most, len(self.instances))
        # The youngest leave first; those that have not started are cancelled.
        for instance in sorted(present, key=lambda one: one.ready_at)[wanted:]:
            instance.leaving = self.has_changed = True
            if not instance.queue and not instance.batch:
                self.instances.remove(instance)
                self.pay(instance, max(now, instance.paid_from))
        self.wanted = wanted


class Fixed:
    target = None

    def __init__(self, choice):
        self.count, self.minutes = choice["instances"], []

    def first(self):
        return self.count

    def times(self, _span_s):
        return []


class SageMaker:
    """3 minutes above the target add instances, 15 below 90% of it remove them, 300 s after others at the earliest."""

    def __init__(self, target, first, least):
        self.target, self.started, self.minutes, self.least = target, first, [], least
        self.failed, self.quiet = 0, 0
        self.in_until = 0.0
        self.per_instance = deque(maxlen=15)

    def first(self):
        return self.started

    def times(self, span_s):
        return np.arange(60.0, span_s, 60.0) + 1e-6

    def wanted(self, now, wanted, ready, _arrivals, _beyond):
        if self.least == 0 and not ready:
            # Only the alarm on failed requests can add the first copy.
            self.per_instance.clear()
            self.quiet = 0
            return max(wanted, 1 if self.failed else 0)
        self.quiet = 0 if self.minutes[-1] else self.quiet + 1
        self.per_instance.append(self.minutes[-1] / max(ready, 1))
        last = list(self.per_instance)
        if len(last) >= 3 and min(last[-3:]) > self.target:
            return max(math.ceil(ready * last[-1] / self.target - 1e-9), wanted)
        if len(last) == 15 and max(last) < 0.9 * self.target and now >= self.in_until:
            fewer = max(math.ceil(ready * last[-1] / self.target - 1e-9), 0 if self.least == 0 and self.quiet >= 15 else 1)
            if fewer < wanted:
                self.in_until = now + 300.0
                return fewer
        return wanted


class Kubernetes:
    """The last minute every 15 s; tolerance 10%; at most 4 pods or double at a time; down after 300 s at most."""

    def __init__(self, target, first):
        self.target, self.started, self.minutes = target, first, []
        self.recommended = deque()

    def first(self):
        return self.started

    def times(self, span_s):
        return np.arange(15.0, span_s, 15.0) + 1e-6

    def wanted(self, now, wanted, _ready, arrivals, beyond):
        last_minute = bisect.bisect_right(arrivals, now) - bisect.bisect_right(arrivals, now - 60.0)
        self.rate = max(0.0, last_minute / min(now, 60.0) - beyond)
        # Of an external metric, the autoscaler divides by all pods, those that start included.
        ratio = self.rate / max(wanted, 1) / self.target
        recommended = wanted if abs(ratio - 1) <= 0.1 and wanted else math.ceil(self.rate / self.target - 1e-9)
        self.recommended.append((now, recommended))
        while self.recommended[0][0] < now - 300.0 - 1e-3:
            self.recommended.popleft()
        if recommended > wanted:
            return min(recommended, max(2 * wanted, wanted + 4))
        return min(wanted, max(one for _, one in self.recommended))


class Scheduled:
    target = None

    def __init__(self, instances, lead_s):
        self.instances, self.lead_s, self.minutes = instances, lead_s, []

    def slot(self, time):
        return self.instances[int(time // 3600) % len(self.instances)]

    def first(self):
        return self.slot(0.0)

    def times(self, span_s):
        hours = np.arange(0.0, span_s + 3600.0, 3600.0)
        return sorted({*hours[1:], *(hours[1:] - self.lead_s)})

    def wanted(self, now, _wanted, _ready, _arrivals, _beyond):
        return max(self.slot(now), self.slot(now + self.lead_s))


def poisson(rates, rng):
    """A Poisson process with a rate for each hour."""
    times = [np.sort(rng.uniform(hour * 3600.0, (hour + 1) * 3600.0, rng.poisson(rate * 3600.0)))
             for hour, rate in enumerate(rates)]
    return np.concatenate(times)


class Traffic:
    def __init__(self, file, folder, max_tokens):
        traffic, self.tokens = file["traffic"], None
        self.growth, self.peak = traffic.get("growth", 1.0), traffic.get("peak_factor", 1.0)
        self.trace = None
        if "trace" in traffic:
            rows = (folder / traffic["trace"]).read_text().splitlines()
            times, self.lengths, _ = np.array([row.split(",") for row in rows[1:]], float).T
            # Prompts are cut as those of the campaign.
            self.lengths = np.minimum(self.lengths, max_tokens)
            self.tokens = self.lengths.mean()
            self.trace = times - times[0]
            self.span_s = float(self.trace[-1])
            counts, _ = np.histogram(self.trace, np.arange(0.0, self.span_s + 3600.0, 3600.0))
            lengths = [min(3600.0, self.span_s - 3600.0 * hour) for hour in range(len(counts))]
            self.rates = list(counts / lengths)
            self.rate = len(self.trace) / self.span_s
            return
        self.rate = traffic["rate"]
        hours, days = traffic.get("hours"), traffic.get("days")
        if hours is None and days is None:
            span_s = min(max(50_000 / (traffic["rate"] * self.growth), 3600.0), 86_400.0)
            self.rates, self.span_s = [traffic["rate"]] * math.ceil(span_s / 3600), span_s
            return
        weights = np.outer(days or [1.0], hours or [1.0] * 24).ravel()
        self.rates = list(traffic["rate"] * weights / weights.mean())
        self.span_s = 3600.0 * len(self.rates)

    def arrivals(self, factor, rng):
        if self.trace is not None:
            return self.repeated(factor, rng)
        times = poisson([rate * factor for rate in self.rates], rng)
        return [Request(time) for time in times[times < self.span_s]]

    def repeated(self, factor, rng):
        """The trace, with requests repeated up to a minute later, or thinned."""
        copies = []
        for number in range(math.ceil(factor)):
            kept = rng.random(len(self.trace)) < factor - number
            later = rng.uniform(0.0, 60.0, len(self.trace)) if number else 0.0
            times = np.minimum(self.trace + later, self.span_s)[kept]
            copies += [Request(*one) for one in zip(times, self.lengths[kept])]
        return sorted(copies)


class Option:
    """A choice of the decision, simulated again."""

    def __init__(self, choice, candidates, by_index, file, traffic):
        facts, base = candidates[choice["candidate"]], choice["base"]
        self.choice, self.times, self.traffic = choice, by_index[choice["candidate"]], traffic
        self.base_times = by_index[base["candidate"]] if base else self.times
        of_base = candidates[base["candidate"]] if base else facts
        fleet = file.get("fleet", {})
        self.is_kubernetes = fleet.get("platform") == "kubernetes"
        self.failed_share = max(facts["failed_share"], of_base["failed_share"])
        self.set = {
            "max_batch_size": facts["max_batch_size"],
            "max_queue": fleet.get("max_queue", 256),
            "min_instances": fleet.get("min_instances", 1),
            "max_instances": fleet.get("max_instances", 100),
            "provisioning_s": fleet.get("provisioning_s", 120.0 if self.is_kubernetes else 240.0),
            "load_s": fleet.get("load_s", facts["load_s"] or 0.0),
            "limit_s": file["objective"]["latency_ms"] / 1000.0,
            "is_random": fleet.get("routing") == "random",
            "delay_s": fleet.get("max_batch_delay_ms", 0.0) / 1000.0,
            "interruptions_per_hour": fleet.get("spot_interruptions_per_hour", 0.0),
        }
        self.set["is_kubernetes"] = self.is_kubernetes
        self.set["base"] = {"instances": 0, "rate": 0.0, "spill_at": 0, "max_batch_size": of_base["max_batch_size"]}
        if base:
            self.set["base"] |= self.of_base(base, choice["target_share"])
            least, most = (0 if self.is_kubernetes else 1), max(self.set["max_instances"] - base["instances"], 1)
            self.set["min_instances"] = min(max(self.set["min_instances"] - base["instances"], least), most)
            self.set["max_instances"] = most
        self.base_usd_per_hour = of_base["usd_per_hour"]
        if choice["policy"] == "fixed":
            self.set["min_instances"] = self.set["max_instances"] = choice["instances"]
        self.usd_per_hour = facts["usd_per_hour"]
        self.percentile = file["objective"].get("percentile", 95)

    def of_base(self, base, share):
        """The base's rate at the share, and the requests of an instance in 90% of the limit."""
        curve, size = self.base_times.measured(self.traffic.tokens), self.set["base"]["max_batch_size"]
        batches = max(1, math.floor(0.9 * self.set["limit_s"] / curve.mean(size)))
        rate = base["instances"] * share * curve.full_rate(size)
        return {"instances": base["instances"], "rate": rate, "spill_at": batches * size}

    def policy(self, factor):
        choice, (least, most) = self.choice, (self.set["min_instances"], self.set["max_instances"])
        full_rate = self.times.measured(self.traffic.tokens).full_rate(self.set["max_batch_size"])
        if choice["policy"] == "fixed":
            return Fixed(choice)
        target = choice["target_share"] * full_rate
        if choice["policy"] == "scheduled":
            return Scheduled(choice["instances"], self.set["provisioning_s"] + self.set["load_s"])
        beyond = max(0.0, self.traffic.rates[0] * factor - self.set["base"]["rate"])
        first = math.ceil(beyond / target - 1e-9)
        first = min(max(first, least), most)
        return Kubernetes(target, first) if self.is_kubernetes else SageMaker(target, first, least)

    def curves(self, rng=None):
        """As measured, or resampled."""
        both = (self.times, self.base_times)
        return [times.resampled(rng) if rng else times.measured(self.traffic.tokens) for times in both]

    def simulate(self, curves, factor, rng):
        arrivals = self.traffic.arrivals(factor, rng)
        fleet = Fleet(self.set, self.policy(factor), curves, arrivals, self.traffic.span_s, rng).run()
        month = self.usd_per_hour * HOURS_OF_MONTH / self.traffic.span_s
        of_base = self.base_usd_per_hour * HOURS_OF_MONTH / self.traffic.span_s
        arrived = max(len(arrivals), 1)
        answered = {"answered_share": fleet.by_base / max(len(fleet.latencies), 1)} if self.choice["base"] else {}
        return answered | {
            "usd_per_month": (fleet.paid_s - fleet.base_paid_s) * month + fleet.base_paid_s * of_base,
            "latency_ms": float(np.quantile(fleet.latencies, self.percentile / 100)) * 1e3,
            "latencies": np.sort(fleet.latencies) * 1e3,
            "good_share": fleet.good / arrived,
            "error_share": min((fleet.rejected + fleet.without_instance + fleet.lost) / arrived + self.failed_share, 1.0),
            "utilization": fleet.busy_s / fleet.paid_s,
            "cold_start_share": fleet.during_start / arrived,
            "scale_in_tail_usd_per_month": fleet.tail_s * month,
            "mean_instances": fleet.paid_s / self.traffic.span_s,
            "hours": fleet.hours,
        }


class ServerlessOption(Option):
    """A serverless endpoint, simulated again."""

    def __init__(self, choice, candidates, by_index, file, traffic):
        super().__init__(choice, candidates, by_index, file, traffic)
        self.given = file["fleet"]["serverless"]
        cold_s = self.given.get("cold_start_s")
        self.cold_s = (candidates[choice["candidate"]]["load_s"] or 0.0) if cold_s is None else cold_s

    def usd(self, billed_s):
        """Of a processed request."""
        data_gb = self.given.get("data_kb_per_request", 0.0) / 2**20
        return billed_s * self.given["memory_mb"] / 1024 * self.given["usd_per_gb_second"] + data_gb * self.given.get("data_usd_per_gb", 0.0)

    def simulate(self, curves, factor, rng):
        arrivals = self.traffic.arrivals(factor, rng)
        hours = [[0, 0, 0.0, 0.0] for _ in range(math.ceil(self.traffic.span_s / 3600))]
        latencies, throttled, cold, late = [], 0, 0, 0
        busy_s = billed_s = usd = 0.0
        sandboxes = []  # when each is free
        for now in arrivals:
            hour = hours[min(int(now / 3600), len(hours) - 1)]
            hour[0] += 1
            sandboxes = [free for free in sandboxes if now - free < self.given["idle_minutes"] * 60.0]
            idle = [free for free in sandboxes if free <= now]
            if len(sandboxes) - len(idle) >= self.given["max_concurrency"]:
                throttled += 1
                continue
            pause_s = 0.0
            if idle:
                last = max(idle)
                sandboxes.remove(last)
                pause_s = now - last
            else:
                cold += 1
            wait = 0.0 if idle else self.cold_s
            seconds = curves[0].draw([now], pause_s, rng.random())
            processing = min(seconds, 60.0)
            sandboxes.append(now + wait + processing)
            billed = math.ceil(processing * 1000) / 1000
            busy_s, billed_s, usd = busy_s + processing, billed_s + billed, usd + self.usd(billed)
            hour[2] += billed
            hour[3] += self.usd(billed)
            if seconds > 60.0:
                late += 1
                continue
            latencies.append(wait + processing)
            hour[1] += wait + processing <= self.set["limit_s"]
        arrived = max(len(arrivals), 1)
        return {
            "usd_per_month": usd * HOURS_OF_MONTH * 3600 / self.traffic.span_s,
            "latency_ms": float(np.quantile(latencies, self.percentile / 100)) * 1e3,
            "latencies": np.sort(latencies) * 1e3,
            "good_share": sum(hour[1] for hour in hours) / arrived,
            "error_share": min((throttled + late) / arrived + self.failed_share, 1.0),
            "utilization": busy_s / billed_s,
            "cold_start_share": cold / arrived,
            "scale_in_tail_usd_per_month": 0.0,
            "mean_instances": billed_s / self.traffic.span_s,
            "hours": hours,
        }


def deviation_of_quantile(simulations, share):
    """The deviation of a quantile that follows from that of the share below its mean. The quantile itself may lie on one
    side of the gap between warm and cold requests in all of a few simulations, and on the other in one of many."""
    at = np.mean([np.quantile(latencies, share) for latencies in simulations])
    below = np.std([np.searchsorted(latencies, at) / len(latencies) for latencies in simulations], ddof=1)
    low, high = (np.mean([np.quantile(latencies, min(max(share + off * below, 0.0), 1.0)) for latencies in simulations]) for off in (-2.5, 2.5))
    return (high - low) / 5.0


class Check:
    """Compares and counts figures, and collects those that differ."""

    def __init__(self):
        self.compared, self.wrong = 0, []

    def near(self, name, found, own, simulations, least, deviation=0.0):
        """A mean of `simulations` against that of this script's. `deviation`: of one simulation, as far as it is known."""
        self.compared += 1
        deviation = max(deviation, np.std(own, ddof=1))
        error = 4.5 * deviation * math.sqrt(1 / len(own) + 1 / simulations) + least
        if not abs(found - np.mean(own)) <= error:
            self.wrong.append(f"{name}: {found:.6g}, expected {np.mean(own):.6g} ± {error:.2g}")

    def add(self, other):
        self.compared += other.compared
        self.wrong += other.wrong

    def within(self, name, found, low, high):
        self.compared += 1
        if not low <= found <= high:
            self.wrong.append(f"{name}: {found:.6g}, expected {low:.6g} to {high:.6g}")

    def same(self, name, found, expected):
        self.compared += 1
        if not math.isclose(found, expected, rel_tol=1e-9):
            self.wrong.append(f"{name}: {found}, expected {expected}")


def read_times(results_file):
    """Batch times by candidate's cell, and the most tokens of a prompt."""
    results = json.loads(results_file.read_text())
    rows = parquet.read_table(results_file.parent / results["campaign"]["samples_file"]["name"]).to_pylist()
    by_cell = defaultdict(list)
    for row in rows:
        row["ok"] = row["outcome"] in ("eos", "length")
        if row["counted"]:
            by_cell[row["cell"]].append(row)
    found = {}
    for entry in results["results"]:
        for cell in entry["cells"]:
            load = entry["load"] or {}
            delay_s = (load.get("max_batch_delay_ms") or 0.0) / 1e3
            batches = batches_of(by_cell[cell["cell"]], entry["scenario"], cell["batch_size"], delay_s)
            found[cell["cell"]] = [(size, (cell["cell"], run, bool(entry["load"])), *time) for size, run, *time in batches]
    return found, results["environment"]["generation"]["max_input_tokens"]


def calibration(results_file, decision_file):
    """Predicts the `server` cells of Poisson arrivals again, with the batch times of the other cells."""
    results, decision = json.loads(Path(results_file).read_text()), json.loads(Path(decision_file).read_text())
    by_cell, _ = read_times(Path(results_file))
    cells = {cell["cell"]: (entry, cell) for entry in results["results"] for cell in entry["cells"]}
    same_kind = lambda one, other: all(one[key] == other[key] for key in ("model", "target", "dtype"))
    wanted = decision["objective"]["percentile"]
    check, rng = Check(), np.random.default_rng(2)
    for found in decision["calibration"]:
        name, (entry, cell) = f"calibration of {found['cell']}", cells[found["cell"]]
        group = next(one["cells"] for one in decision["candidates"] if same_kind(one, found))
        others = [batch for other in group if other != found["cell"] for batch in by_cell[other]]
        check.same(f"{name}: is_in_sample", found["is_in_sample"], not others)
        times = Times(others or by_cell[found["cell"]])
        latency = cell["estimates"]["latency_ms"]
        percentile = min((p for p in (50, 90, 95, 99) if latency[f"p{p}"]["value"] is not None), key=lambda p: abs(p - wanted))
        check.same(f"{name}: percentile", found["percentile"], percentile)
        measured = latency[f"p{percentile}"]["value"]
        check.same(f"{name}: measured", found["measured_ms"]["value"], measured)
        load, runs = entry["load"], entry["num_runs"]
        requests = (cell["counted_samples"] + cell["failed_samples"]) // runs
        setting = {
            "base": {"instances": 0, "spill_at": 0, "rate": 0.0, "max_batch_size": 1}, "provisioning_s": 0.0, "load_s": 0.0,
            "interruptions_per_hour": 0.0, "is_random": False, "is_kubernetes": False, "min_instances": 1, "max_instances": 1,
            "max_queue": load["max_queue"] or math.inf, "max_batch_size": cell["batch_size"],
            "delay_s": (load["max_batch_delay_ms"] or 0.0) / 1e3, "limit_s": math.inf,
        }
        own = []
        for _ in range(PREDICTIONS):
            curve, latencies = times.resampled(rng), []
            for _ in range(runs):
                arrivals = [Request(at) for at in np.cumsum(rng.exponential(1 / load["request_rate"], requests))]
                fleet = Fleet(setting, Fixed({"instances": 1}), [curve, curve], arrivals, arrivals[-1], rng)
                latencies += fleet.run().latencies
            own.append(1e3 * float(np.quantile(latencies, percentile / 100)))
        predicted = found["predicted_ms"]
        least = 0.006 * float(np.mean(own))
        check.near(f"{name}: predicted", predicted["value"], own, OF_DECISION, least)
        for key, share in (("low", 0.025), ("high", 0.975)):
            # The error of an end, from how far the share below it varies.
            error = 4.5 * math.sqrt(share * (1 - share) * (1 / PREDICTIONS + 1 / OF_DECISION))
            ends = [float(np.quantile(own, min(max(share + sign * error, 0.0), 1.0))) for sign in (-1, 1)]
            # Beyond the smallest and the largest simulation nothing is known.
            ends = [ends[0] - np.std(own) if share < error else ends[0], ends[1] + np.std(own) if share + error > 1 else ends[1]]
            check.within(f"{name}: {key}", predicted[key], ends[0] - least, ends[1] + least)
        check.same(f"{name}: is_hit", found["is_hit"], predicted["low"] <= measured <= predicted["high"])
    for wrong in check.wrong:
        print(f"DIFFERS {wrong}")
    print(f"{check.compared} figures of {len(decision['calibration'])} calibrated cells recomputed, {len(check.wrong)} differ")
    return bool(check.wrong) or not decision["calibration"]


def slow(results_file, folder, factor):
    """Writes results whose requests take `factor` times as long. Estimates stay: the decision reads the samples."""
    results = json.loads(Path(results_file).read_text())
    file = results["campaign"]["samples_file"]
    table = parquet.read_table(Path(results_file).parent / file["name"])
    for name in ("start_ns", "latency_ns", "ttft_ns"):
        index = table.schema.get_field_index(name)
        slower = compute.multiply(table.column(name), int(factor))
        table = table.set_column(index, table.schema.field(index), slower)
    samples = Path(folder) / file["name"]
    parquet.write_table(table, samples, compression="none")
    file["sha256"] = hashlib.sha256(samples.read_bytes()).hexdigest()
    (Path(folder) / "results.json").write_text(json.dumps(results))


def main(results_file, traffic_file, decision_file):
    file = tomllib.loads(Path(traffic_file).read_text())
    decision = json.loads(Path(decision_file).read_text())
    (by_cell, max_tokens), by_index = read_times(Path(results_file)), {}
    check, traffic = Check(), Traffic(file, Path(traffic_file).parent, max_tokens)
    facts = decision["traffic"]
    check.same("mean_rate", facts["mean_rate"], traffic.rate * traffic.growth)
    check.same("busiest_rate", facts["busiest_rate"], max(traffic.rates) * traffic.growth)
    check.same("span_s", facts["span_s"], traffic.span_s)
    if decision["first_two"]:
        first, second = [one for one in decision["choices"] if one["attained"] != "missed"][:2]
        differences = np.subtract(second["usd_by_simulation"], first["usd_by_simulation"])
        found = decision["first_two"]
        check.same("first_two", found["difference_usd_per_month"]["value"], np.mean(differences))
        check.same("first_is_cheaper_in", found["first_is_cheaper_in"], int((differences > 0).sum()))
    for index, facts in enumerate(decision["candidates"]):
        times = Times([batch for cell in facts["cells"] for batch in by_cell[cell]])
        check.same(f"batches of candidate {index}", facts["batches"], times.batches)
        by_index[index] = times
    for policy in ("fixed", "tracking", "scheduled", "serverless"):
        of_policy = [one for one in decision["choices"] if one["policy"] == policy]
        for has_base in (False, True):
            for choice in [one for one in of_policy if bool(one["base"]) == has_base][:MOST_CHOICES]:
                kind = ServerlessOption if policy == "serverless" else Option
                option = kind(choice, decision["candidates"], by_index, file, traffic)
                compared = compare(option, decision, seed=1, simulations=SIMULATIONS)
                if compared.wrong:
                    compared = compare(option, decision, seed=2, simulations=OF_DOUBT)
                check.add(compared)
    for wrong in check.wrong:
        print(f"DIFFERS {wrong}")
    print(f"{check.compared} figures of decisions recomputed, {len(check.wrong)} differ")
    return bool(check.wrong)


def compare(option, decision, seed, simulations):
    check, choice = Check(), option.choice
    name = f"{choice['policy']} of candidate {choice['candidate']}"
    if choice["base"]:
        name += f" and base {choice['base']['candidate']}"
        for figure in ("rate", "spill_at"):
            check.same(f"{name}: {figure}", choice["base"][figure], option.set["base"][figure])
    rng = np.random.default_rng(seed)
    own = [option.simulate(option.curves(rng), option.traffic.growth, rng) for _ in range(simulations)]
    for figure in own[0]:
        if figure in ("hours", "latencies"):
            continue
        values = [one[figure] for one in own]
        # Buckets of latencies are 0.5% wide, and a month's cost has rounding of single minutes.
        least = 0.006 * abs(float(np.mean(values))) + 1e-6
        if figure == "error_share":
            # An interrupted instance loses several requests at once, in few of the simulations.
            least += 1e-4
        predicted = choice["base"][figure] if figure == "answered_share" else choice[figure]
        # Few simulations of a rare overload may have none: the other side's interval has it.
        deviation = (predicted["high"] - predicted["low"]) / 3.92
        if figure == "latency_ms":
            deviation = max(deviation, deviation_of_quantile([one["latencies"] for one in own], option.percentile / 100))
        check.near(f"{name}: {figure}", predicted["value"], values, decision["simulations"], least, deviation)
    for number, hour in enumerate(choice["hours"]):
        length_s = min(option.traffic.span_s - 3600.0 * number, 3600.0)
        instances = [one["hours"][number][2] / length_s for one in own]
        arrived = [one["hours"][number][0] for one in own]
        at, least = f"{name}: hour {number}", 0.03 * float(np.mean(instances))
        check.near(f"{at}: instances", hour["instances"], instances, decision["simulations"], least)
        requests = hour["requests_per_s"] * length_s
        check.near(f"{at}: requests", requests, arrived, decision["simulations"], 1.0, math.sqrt(requests))
        of_base = option.set["base"]["instances"]
        if choice["policy"] == "serverless":
            usd = [one["hours"][number][3] for one in own]
            check.near(f"{at}: usd", hour["usd"], usd, decision["simulations"], 0.03 * float(np.mean(usd)))
            continue
        usd = (hour["instances"] - of_base) * option.usd_per_hour + of_base * option.base_usd_per_hour
        check.same(f"{at}: usd", hour["usd"], usd * length_s / 3600)
    simulated = choice["usd_by_simulation"]
    for figure, expected in (("value", np.mean(simulated)), ("low", np.quantile(simulated, 0.025)), ("high", np.quantile(simulated, 0.975))):
        check.same(f"{name}: usd_per_month.{figure}", choice["usd_per_month"][figure], expected)
    peak = option.traffic.growth * option.traffic.peak
    at_peak = [option.simulate(option.curves(), peak, rng) for _ in range(3)]
    good, errors = ([one[figure] for one in at_peak] for figure in ("good_share", "error_share"))
    least, most = option.percentile / 100, decision["objective"]["max_error_share"]
    # The decision has one simulation at the peak.
    margin = max(0.005, 4.5 * float(np.std([one["good_share"] for one in own], ddof=1)))
    if min(good) > least + margin and max(errors) < 0.7 * most:
        check.same(f"{name}: meets_at_peak", choice["meets_at_peak"], True)
    elif max(good) < least - margin or min(errors) > 1.4 * most:
        check.same(f"{name}: meets_at_peak", choice["meets_at_peak"], False)
    if choice["policy"] == "tracking":
        full_rate = option.times.measured(option.traffic.tokens).full_rate(option.set["max_batch_size"])
        check.same(f"{name}: target_rate", choice["target_rate"], choice["target_share"] * full_rate)
    return check


if __name__ == "__main__":
    forms = {"slow": slow, "calibration": calibration}
    sys.exit(forms[sys.argv[1]](*sys.argv[2:]) if sys.argv[1] in forms else main(*sys.argv[1:]))
