"""Lets MLPerf's LoadGen ask an HTTP endpoint as `agent serve` offers it, and writes its logs.

usage: drive.py single_stream|offline|server URL DIALOGUES.jsonl FOLDER --max-new-tokens N --max-input-tokens N [OPTIONS]

LoadGen decides which request is due when and takes the time; this is its system under test. Every dialogue is sent
once per test. In offline, the requests are sent in groups of `--concurrency`, each over its own connection, and a
group begins when the one before it has been answered, as Fleetmark does with an endpoint's batch size.
"""

import argparse
import concurrent.futures
import json
import pathlib
import queue
import socket
import urllib.parse

import mlperf_loadgen as loadgen

SCENARIOS = {
    "single_stream": loadgen.TestScenario.SingleStream,
    "offline": loadgen.TestScenario.Offline,
    "server": loadgen.TestScenario.Server,
}
# Requests that are not counted: they open the connections.
WARMUP = 16


class Connection:
    """One kept connection. It speaks just enough HTTP/1.1 that the client's own time is small."""

    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request):
        """Sends a request and returns the body of its response."""
        self.socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.read()
        head, _, body = received.partition(b"\r\n\r\n")
        status, *fields = head.lower().split(b"\r\n")
        assert status.split()[1] == b"200", received
        length = next(int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length:"))
        while len(body) < length:
            body += self.read()
        return body

    def read(self):
        """At least one byte."""
        received = self.socket.recv(65536)
        assert received, "the server closed the connection"
        return received


class Endpoint:
    """Answers LoadGen's queries over kept connections."""

    def __init__(self, url, bodies, connections):
        parts = urllib.parse.urlsplit(url)
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        self.requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self.connections = queue.SimpleQueue()
        for _ in range(connections):
            self.connections.put(Connection((parts.hostname, parts.port)))
        self.threads = concurrent.futures.ThreadPoolExecutor(connections)
        self.issuer = concurrent.futures.ThreadPoolExecutor(1)
        self.failures = []

    def ask(self, index, answered=lambda: None):
        """Sends one request, calls `answered` after the last byte of its response, and reads the response."""
        connection = self.connections.get()
        try:
            body = connection.ask(self.requests[index])
        finally:
            self.connections.put(connection)
            answered()
        (answer,) = json.loads(body)
        assert answer["generated_text"].strip(), "the summary is empty"

    def complete(self, sample):
        """Sends the request of a sample and reports it to LoadGen, failed or not: LoadGen waits for all of them."""
        response = [loadgen.QuerySampleResponse(sample.id, 0, 0)]
        try:
            self.ask(sample.index, lambda: loadgen.QuerySamplesComplete(response))
        except Exception as error:  # noqa: BLE001: the requests after it are still asked for
            self.failures.append(error)

    def one_by_one(self, samples):
        """SingleStream."""
        for sample in samples:
            self.complete(sample)

    def at_once(self, samples):
        """Server."""
        for sample in samples:
            self.threads.submit(self.complete, sample)

    def in_groups(self, samples, size):
        """Offline. LoadGen goes on as soon as the query is issued, so this doesn't run on its thread."""

        def groups():
            for start in range(0, len(samples), size):
                list(self.threads.map(self.complete, samples[start : start + size]))

        self.issuer.submit(groups)


def main():
    """The command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("scenario", choices=SCENARIOS)
    arguments.add_argument("url")
    arguments.add_argument("dialogues", type=pathlib.Path)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--concurrency", type=int, default=1)
    arguments.add_argument("--rate", type=float, default=0)
    arguments.add_argument("--objective-ms", type=float, default=0)
    arguments.add_argument("--max-new-tokens", type=int, required=True)
    arguments.add_argument("--max-input-tokens", type=int, required=True)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()

    dialogues = [json.loads(line)["dialogue"] for line in asked.dialogues.read_text().splitlines()]
    parameters = {"max_new_tokens": asked.max_new_tokens, "max_input_tokens": asked.max_input_tokens}
    bodies = [json.dumps({"inputs": f"Summarize: {text}", "parameters": parameters}).encode() for text in dialogues]
    endpoint = Endpoint(asked.url, bodies, 64 if asked.scenario == "server" else asked.concurrency)
    for index in range(WARMUP):
        endpoint.ask(index)
    issue = {
        "single_stream": endpoint.one_by_one,
        "offline": lambda samples: endpoint.in_groups(samples, asked.concurrency),
        "server": endpoint.at_once,
    }[asked.scenario]

    count = len(bodies)
    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = SCENARIOS[asked.scenario], loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = 0
    # Each dialogue once, in an order by chance. LoadGen adds queries up to the next multiple of the dialogues.
    settings.min_query_count = count - 1
    settings.sample_concatenate_permutation = True
    settings.sample_index_rng_seed = settings.schedule_rng_seed = settings.qsl_rng_seed = asked.seed
    settings.offline_expected_qps = 1
    settings.server_target_qps = asked.rate
    settings.server_target_latency_ns = int(asked.objective_ms * 1e6)
    settings.server_target_latency_percentile = 0.95
    logs = loadgen.LogSettings()
    asked.folder.mkdir(parents=True)
    logs.log_output.outdir = str(asked.folder)
    logs.enable_trace = False
    sut = loadgen.ConstructSUT(issue, lambda: None)
    qsl = loadgen.ConstructQSL(count, count, lambda samples: None, lambda samples: None)
    loadgen.StartTestWithLogSettings(sut, qsl, settings, logs)
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    if endpoint.failures:
        raise SystemExit(f"{len(endpoint.failures)} requests failed, the first: {endpoint.failures[0]!r}")


if __name__ == "__main__":
    main()
