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
import selectors
import socket
import urllib.parse

import mlperf_loadgen as loadgen

SCENARIOS = {
    "single_stream": loadgen.TestScenario.SingleStream,
    "offline": loadgen.TestScenario.Offline,
    "server": loadgen.TestScenario.Server,
}
# In open loop. The server takes as many requests as its queue holds, 64.
MOST_IN_FLIGHT = 64


class Connection:
    """One kept connection. It speaks just enough HTTP/1.1 that the client's own time is small."""

    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def send(self, request):
        """Sends a request whose response is to be received before the next one."""
        self.received = b""
        self.socket.sendall(request)

    def receive(self):
        """Waits for a part of the response, and returns the body once it is complete."""
        part = self.socket.recv(65536)
        assert part, "the server closed the connection"
        self.received += part
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        status, *fields = head.lower().split(b"\r\n")
        assert status.split()[1] == b"200", self.received
        length = next(int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length:"))
        return body if len(body) == length else None

    def ask(self, request):
        """Sends a request and returns the body of its response."""
        self.send(request)
        while (body := self.receive()) is None:
            pass
        return body


class Endpoint:
    """Answers LoadGen's queries over kept connections. Responses are checked after the test."""

    def __init__(self, url, bodies, connections):
        parts = urllib.parse.urlsplit(url)
        head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        self.requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
        self.connections = [Connection((parts.hostname, parts.port)) for _ in range(connections)]
        self.idle = queue.SimpleQueue()
        for connection in self.connections:
            connection.ask(self.requests[0])
            self.idle.put(connection)
        self.threads = concurrent.futures.ThreadPoolExecutor(connections)
        self.answers, self.completed = [], set()
        self.failure = None

    def complete(self, sample, body):
        """Tells LoadGen that the last byte of a response has arrived."""
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0)])
        self.completed.add(sample.id)
        self.answers.append(body)

    def guarded(self, work, samples):
        """Does the work for samples. LoadGen would wait forever for those that are missing, so they end as well."""
        try:
            work(samples)
        except Exception as error:  # noqa: BLE001: it is raised after the test
            self.failure = self.failure or error
            missing = [sample.id for sample in samples if sample.id not in self.completed]
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(id_, 0, 0) for id_ in missing])

    def one_by_one(self, samples):
        """On any idle connection."""
        connection = self.idle.get()
        try:
            for sample in samples:
                self.complete(sample, connection.ask(self.requests[sample.index]))
        finally:
            self.idle.put(connection)

    def in_groups(self, samples):
        """As many at a time as there are connections."""
        with selectors.DefaultSelector() as selector:
            for connection in self.connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            size = len(self.connections)
            for start in range(0, len(samples), size):
                group = list(zip(self.connections, samples[start : start + size]))
                for connection, sample in group:
                    connection.send(self.requests[sample.index])
                waiting = dict(group)
                while waiting:
                    for key, _ in selector.select():
                        if (body := key.data.receive()) is not None:
                            self.complete(waiting.pop(key.data), body)

    def single_stream(self, samples):
        """LoadGen issues the next query when this returns."""
        self.guarded(self.one_by_one, samples)

    def offline(self, samples):
        """LoadGen takes the query as issued when this returns."""
        self.threads.submit(self.guarded, self.in_groups, samples)

    def server(self, samples):
        """LoadGen issues the next query when it is due, so this doesn't wait."""
        for sample in samples:
            self.threads.submit(self.guarded, self.one_by_one, [sample])

    def check(self, count):
        """Whether every request has returned a summary."""
        self.threads.shutdown()
        if self.failure:
            raise self.failure
        texts = [answer["generated_text"] for body in self.answers for answer in json.loads(body)]
        assert len(texts) == count and all(text.strip() for text in texts), "summaries are missing or empty"


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
    endpoint = Endpoint(asked.url, bodies, MOST_IN_FLIGHT if asked.scenario == "server" else asked.concurrency)
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
    sut = loadgen.ConstructSUT(getattr(endpoint, asked.scenario), lambda: None)
    qsl = loadgen.ConstructQSL(count, count, lambda samples: None, lambda samples: None)
    loadgen.StartTestWithLogSettings(sut, qsl, settings, logs)
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    endpoint.check(count)


if __name__ == "__main__":
    main()
