"""Sends messages with the built controller to real servers on loopback, and checks the received messages.

    check.py FOLDER    (where messages are kept for look.mjs)
"""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from slack_sdk.models.blocks import Block

ROOT = Path(__file__).resolve().parents[2]
CONTROLLER = ROOT / "target/release/controller"
# Markup, quotes, characters beyond the basic plane, bidirectional marks, and 10,000 letters.
HOSTILE = (
    "<!channel> <b>x</b> <script>alert(1)</script> \"'`|*_~#[l](https://x.example) &amp; \u202eturned \U0001f600\U0001f468\u200d\U0001f680 "
    "\u0645\u0631\u062d\u0628\u0627 " + "Ω\U0001f600x" * 3_334
)
MATRIX = """
name = {name}
[dataset]
source = "builtin:dialogues"
samples = {samples}
[[model]]
name = "tiny"
id = "builtin:tiny"
[factors]
batch_sizes = [4]
[protocol]
runs = 2
warmup = 1
[[fleet.local]]
target = "one-thread"
threads = 1
usd_per_hour = 0.1
"""
EMAIL = """
[notify.email]
host = "localhost"
port = {port}
tls = "{tls}"
ca = "{ca}"
username = "fleet"
password_env = "MAIL_PASSWORD"
from = "Fleetmark <fleetmark@example.com>"
to = ["team@example.com", "other@example.com"]
"""


class Sinks:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.process = subprocess.Popen([sys.executable, ROOT / "tests/notify/sinks.py", folder])
        while not (self.folder / "ports.json").exists():
            assert self.process.poll() is None, "the sinks ended"
        self.ports = json.loads((self.folder / "ports.json").read_text())

    def email(self, tls):
        return EMAIL.format(port=self.ports[tls], tls=tls, ca=self.folder / "smtp.pem")

    def url(self, path):
        return f"http://127.0.0.1:{self.ports['hooks']}{path}"

    def take(self, kind):
        """Messages received since the last call, in order."""
        taken = []
        for path in sorted(self.folder.glob(f"*.{kind}.json")):
            taken.append(json.loads(path.read_text()))
            path.unlink()
        return taken


def controller(folder, *arguments, environment, code):
    done = subprocess.run([CONTROLLER, *arguments], cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    for secret in ("right", "T0/secret", "signing-key"):
        assert secret not in done.stdout + done.stderr, f"{secret} shows: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def matrix(folder, notify, samples=8, name="hello <b>&"):
    path = Path(folder) / "matrix.toml"
    # JSON strings are valid TOML strings.
    path.write_text(MATRIX.format(samples=samples, name=json.dumps(name, ensure_ascii=False)) + notify)
    return str(path)


def hook(kind, name):
    return f'[[notify.{kind}]]\nurl_env = "{name}"\n'


def every_answer(sinks, folder):
    """200, 202, 429 with Retry-After, 500, 400, 302, slow and reset, to channels with and without detection of repeats, and
    failures told in a 200."""
    paths = ["/ok/T0/secret", "/later/x", "/bad/x", "/broken/x", "/moved/x", "/slow/x", "/refused/x", "/page/x"]
    environment = {f"SLACK{at}": sinks.url(path) for at, path in enumerate(paths)}
    environment |= {"TEAMS": sinks.url("/accepted/x"), "TEAMS2": sinks.url("/relayed/x"), "HOOK": sinks.url("/reset/x"), "KEY": "signing-key"}
    notify = "".join(hook("slack", f"SLACK{at}") for at in range(len(paths)))
    notify += hook("teams", "TEAMS") + hook("teams", "TEAMS2")
    notify += hook("webhook", "HOOK") + 'secret_env = "KEY"\n'
    said = controller(folder, "notify", "test", matrix(folder, notify), environment=environment, code=2)
    for line in [
        "slack 1: delivered",
        "slack 2: delivered",
        "slack 3: not delivered: the server answered 400: invalid_payload",
        "slack 4: not delivered: the server answered 500: invalid_payload (5 attempts)",
        "slack 5: not delivered: the server answered 302: invalid_payload",
        "slack 6: not delivered: sent without an answer: timed out; not sent again, because it may have arrived",
        "slack 7: not delivered: the server answered 200, but did not confirm the message: no_service",
        "slack 8: not delivered: the server answered 200, but with a web page, such as a sign-in form",
        "teams 1: delivered",
        "teams 2: not delivered: the server answered 200, but reported a failure: Webhook message delivery failed",
        "webhook: delivered",
    ]:
        assert line in said, f"{line} in\n{said}"
    arrived = sinks.take("hook")
    times = {}
    for one in arrived:
        times[one["path"]] = times.get(one["path"], 0) + 1
    assert times == {"/ok/T0/secret": 1, "/later/x": 2, "/bad/x": 1, "/broken/x": 5, "/moved/x": 1, "/slow/x": 1,
                     "/refused/x": 1, "/page/x": 1, "/accepted/x": 1, "/relayed/x": 1, "/reset/x": 2}, times
    signed = [one for one in arrived if one["path"] == "/reset/x"]
    assert len({one["headers"]["fleetmark-delivery"] for one in signed}) == 1, "a repeat is known as one"
    for one in signed:
        time, digest = (part.split("=")[1] for part in one["headers"]["fleetmark-signature"].split(","))
        expected = hmac.new(b"signing-key", f"{time}.{one['body']}".encode(), hashlib.sha256).hexdigest()
        assert digest == expected, "the signature holds"


def mail(sinks, folder):
    for tls in ("starttls", "implicit"):
        path = matrix(folder, sinks.email(tls))
        environment = {"MAIL_PASSWORD": "right"}
        assert "email: delivered" in controller(folder, "notify", "test", path, environment=environment, code=0)
        [arrived] = sinks.take("mail")
        # With implicit TLS, all connections are encrypted; the server records only upgrades by STARTTLS.
        assert arrived["tls"] or tls == "implicit", arrived
        assert arrived["to"] == ["team@example.com", "other@example.com"], arrived
        said = controller(folder, "notify", "test", path, environment={"MAIL_PASSWORD": "wrong"}, code=2)
        assert "email: not delivered" in said and "535" in said, said
        said = controller(folder, "run", path, environment={"MAIL_PASSWORD": ""}, code=2)
        assert "`MAIL_PASSWORD` is not set" in said, said
        assert not sinks.take("mail")


def campaign(sinks, folder):
    """A complete campaign, stopped once: each ending is reported once, with the figures of results.json."""
    notify = sinks.email("starttls") + hook("slack", "SLACK") + hook("webhook", "HOOK")
    environment = {"MAIL_PASSWORD": "right", "SLACK": sinks.url("/ok/s"), "HOOK": sinks.url("/ok/w")}
    path = matrix(folder, notify, samples=160)
    running = subprocess.Popen([CONTROLLER, "run", path], cwd=folder, env=os.environ | environment,
                               stderr=subprocess.PIPE, text=True)
    for line in running.stderr:
        if "samples ·" in line:
            break
    running.send_signal(signal.SIGINT)
    rest = running.stderr.read()
    assert running.wait() == 3, rest
    [stopped] = [json.loads(one["body"]) for one in sinks.take("hook") if one["path"] == "/ok/w"]
    assert stopped["occasion"] == "stopped" and len(sinks.take("mail")) == 1, stopped

    controller(folder, "run", "--resume", "latest", "--output", "results.json", environment=environment, code=0)
    results = json.loads((Path(folder) / "results.json").read_text())
    cost = results["results"][0]["cells"][0]["cost"]["usd_per_1000_requests"]["value"]
    told = {one["path"]: json.loads(one["body"]) for one in sinks.take("hook")}
    assert told["/ok/w"]["occasion"] == "complete"
    assert told["/ok/w"]["lines"][0]["usd_per_1000_requests"]["value"] == cost
    assert "hello &lt;b&gt;&amp;: complete" in told["/ok/s"]["text"], told["/ok/s"]["text"]
    [arrived] = sinks.take("mail")
    assert arrived["headers"]["Subject"] == "hello <b>&: complete"
    by_type = {part["type"]: part for part in arrived["parts"]}
    assert json.loads(by_type["application/json"]["content"]) == results, "results.json came with it"
    assert "hello &lt;b&gt;&amp;: complete" in by_type["text/html"]["content"]
    assert f"{cost:.4f}"[:5] in by_type["text/plain"]["content"], (cost, by_type["text/plain"]["content"])
    keep("mail.html", by_type["text/html"]["content"])
    controller(folder, "run", "--resume", "latest", environment=environment, code=2)
    assert not sinks.take("hook") and not sinks.take("mail"), "nothing is told twice"


def keep(name, content):
    """Stores a message for look.mjs."""
    (Path(sys.argv[1]) / name).write_text(content, encoding="utf-8")


def blocks(body):
    """Validates a body, including limits, with Slack's message model."""
    body = json.loads(body)
    assert 0 < len(body["text"]) <= 40_000 and 0 < len(body["blocks"]) <= 50, body
    for block in body["blocks"]:
        [parsed] = Block.parse_all([block])
        assert parsed.to_dict() == block, (parsed.to_dict(), block)
        parsed.validate_json()
        for element in block.get("elements", []):
            assert 0 < len(element["text"]) <= 3_000, element
    # Slack interprets commands and mentions in all text except plain text.
    assert "<!" not in json.dumps([block for block in body["blocks"] if block["type"] != "header"]), body


def hostile(sinks, folder):
    """A campaign with a hostile name, reported on every channel."""
    hooks = hook("slack", "SLACK") + hook("teams", "TEAMS") + hook("webhook", "HOOK")
    environment = {name: sinks.url(f"/ok/{name}") for name in ("SLACK", "TEAMS", "HOOK")} | {"MAIL_PASSWORD": "right"}
    for name in ("hello <b>&", HOSTILE):
        path = matrix(folder, sinks.email("starttls") + hooks, samples=16, name=name)
        controller(folder, "run", path, environment=environment, code=0)
        told = {one["path"].split("/")[-1]: one["body"] for one in sinks.take("hook")}
        blocks(told["SLACK"])
        assert len(told["TEAMS"].encode()) < 21_000, "some clients fail above"
        assert json.loads(told["HOOK"])["occasion"] == "complete"
        [arrived] = sinks.take("mail")
        subject = arrived["headers"]["Subject"]
        assert subject.endswith("complete") or len(subject) > 500, subject
        assert "\n" not in subject and "\u202e" not in subject, subject
        kind = "plain" if name != HOSTILE else "hostile"
        keep(f"{kind}.slack.json", told["SLACK"])
        keep(f"{kind}.teams.json", told["TEAMS"])
        [page] = [part["content"] for part in arrived["parts"] if part["type"] == "text/html"]
        assert "<script" not in page and "<b>x" not in page and "\u202e" not in page, page
        keep(f"{kind}.mail.html", page)


with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as arrived:
    sinks = Sinks(arrived)
    try:
        for part in (mail, every_answer, campaign, hostile):
            part(sinks, folder)
            print(f"{part.__name__}: ok", flush=True)
    finally:
        sinks.process.terminate()
        sinks.process.wait()
