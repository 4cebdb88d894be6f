"""A mail server that requires TLS and a login, and webhooks whose path selects their response.

Writes each received message as a JSON file to the folder given as the first argument, and the ports to `ports.json` when
both servers are ready.
"""

import email
import email.policy
import itertools
import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

folder = Path(sys.argv[1])
number = itertools.count()
seen = {}
lock = threading.Lock()


def keep(kind, content):
    path = folder / f"{next(number):03}.{kind}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False))


class Hooks(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with lock:
            seen[self.path] = times = seen.get(self.path, 0) + 1
        keep("hook", {"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body})
        kind = self.path.split("/")[1]
        if kind == "slow":
            # Until the client gives up and closes the connection.
            self.connection.recv(1)
            return
        if kind == "reset" and times == 1:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        status = {"ok": 200, "accepted": 202, "broken": 500, "bad": 400, "moved": 302}.get(kind, 200)
        if kind == "later" and times == 1:
            status = 429
        # Failures told in a 200, as Slack, Teams and a proxy with a sign-in page tell them.
        told = {
            "refused": b"no_service",
            "relayed": b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 403",
            "page": b"<!DOCTYPE html><html><title>Sign in</title></html>",
        }
        answer = told.get(kind, b"ok" if status < 300 else b"invalid_payload")
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "2")
        if status == 302:
            self.send_header("Location", "/ok/elsewhere")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Mail:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part for part in message.walk() if not part.is_multipart()]
        keep("mail", {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "headers": dict(message.items()),
            "parts": [{
                "type": part.get_content_type(),
                "name": part.get_filename(),
                "content": part.get_payload(decode=True).decode("utf-8", "replace"),
            } for part in parts],
        })
        return "250 ok"


def authenticate(server, session, envelope, mechanism, data):
    is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"fleet", b"right")
    # Not handled: the server itself answers 535.
    return AuthResult(success=is_right, handled=False)


def certificate():
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-keyout", folder / "smtp.key", "-out", folder / "smtp.pem", "-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "smtp.pem", folder / "smtp.key")
    return context


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


context = certificate()
login = {"auth_required": True, "authenticator": authenticate}
starttls = Controller(Mail(), hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True, **login)
implicit = Controller(Mail(), hostname="127.0.0.1", port=free_port(), ssl_context=context, auth_require_tls=False, **login)
starttls.start()
implicit.start()
hooks = ThreadingHTTPServer(("127.0.0.1", 0), Hooks)
ports = {"starttls": starttls.port, "implicit": implicit.port, "hooks": hooks.server_port}
(folder / "ports.unfinished").write_text(json.dumps(ports))
(folder / "ports.unfinished").rename(folder / "ports.json")
hooks.serve_forever()
