"""A small HTTP service on the standard library: routes by method and path, JSON in and out, a health that names what it depends on.

It runs under the Python of the lab's images, and under no other package than Debian's psycopg.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
PORTS = {"files-api": 3500, "order-intake": 3400, "quote-page": 3341}
_LARGEST = 32 * 2**20


class Request(NamedTuple):
    """What was asked: headers by lower-case name, the whole body, and what the route's pattern caught."""

    headers: Mapping[str, str]
    body: bytes
    caught: Sequence[str]

    def json(self) -> Any:
        """Return the body as JSON; what is none is refused."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise RefusedError(400, {"error": "the body is no JSON"}) from None


class Answer(NamedTuple):
    """What is answered."""

    status: int
    body: bytes
    kind: str = "application/json"


class RefusedError(Exception):
    """A request that is answered with a refusal."""

    def __init__(self, status: int, value: Any) -> None:
        super().__init__(status)
        self.answer = told(status, value)


Route = tuple[str, str, Callable[[Request], Answer]]


def told(status: int, value: Any) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, json.dumps(value, sort_keys=True).encode())


def version() -> str:
    """Return the version that this build was given."""
    return (HERE / "VERSION").read_text().strip()


def setting(name: str, otherwise: str | None = None) -> str:
    """Return a variable of the environment; one that has to be there and is empty ends the service."""
    value = os.environ.get(name) or otherwise
    if value is None:
        sys.exit(f"{name} is not set")
    return value


def call(method: str, address: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """Ask another service; what it refuses is returned, what can't be reached is an OSError."""
    # Without a body the object store wants to be told that there is none.
    data = body if body or method != "GET" else None
    request = urllib.request.Request(address, data=data, method=method, headers=dict(headers or {}))  # noqa: S310 - addresses of the stack
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return Answer(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read(), error.headers.get("Content-Type", ""))


def answers(address: str) -> Callable[[], None]:
    """Return a probe that fails unless the service at `address` calls itself healthy."""

    def probe() -> None:
        if (status := call("GET", f"{address}/health").status) != 200:
            raise OSError(f"/health says {status}")

    return probe


def health(name: str, dependencies: Mapping[str, Callable[[], None]], more: Callable[[], Mapping[str, Any]] = dict) -> Answer:
    """Name each dependency with its state; 503 unless all are well."""
    states = {}
    for what, probe in dependencies.items():
        try:
            probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the state
            states[what] = f"down: {type(error).__name__}"
        else:
            states[what] = "ok"
    well = set(states.values()) <= {"ok"}
    value = {"service": name, "version": version(), "status": "ok" if well else "degraded", "dependencies": states}
    return told(200 if well else 503, {**value, **(more() if well else {})})


def serve(name: str, routes: Sequence[Route]) -> None:
    """Serve at the service's port until SIGTERM; a route is a method, a regular expression that fits the whole path, and what is done."""
    table = [(method, re.compile(pattern), act) for method, pattern, act in routes]

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            answer = told(413, {"error": "too large"})
            if length <= _LARGEST:
                answer = self._answer(self.rfile.read(length))
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def _answer(self, body: bytes) -> Answer:
            path = self.path.partition("?")[0]
            for method, pattern, act in table:
                if method == self.command and (found := pattern.fullmatch(path)):
                    headers = {key.lower(): value for key, value in self.headers.items()}
                    try:
                        return act(Request(headers, body, found.groups()))
                    except RefusedError as refused:
                        return refused.answer
                    except Exception as error:  # noqa: BLE001 - one request's failure is not the service's
                        sys.stderr.write(f"{self.command} {path}: {type(error).__name__}: {error}\n")
                        return told(502, {"error": type(error).__name__})
            return told(404, {"error": "no such thing"})

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("0.0.0.0", PORTS[name]), Handler)  # noqa: S104 - inside a container
    server.daemon_threads = True
    # shutdown() waits for the loop that this very thread runs.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
