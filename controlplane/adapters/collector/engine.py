"""Docker's API over its socket, with as much HTTP as that takes: importing http.client costs more than all requests."""

from __future__ import annotations

import json
import os
import re
import socket
from typing import Any

from .supervise import Absent, ProbeError

SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
DAEMONS = tuple(f"{folder}/dockerd" for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/snap/bin"))
UNITS = tuple(
    f"{folder}/docker.service" for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system")
)
# The newest version whose answers this reads; Engine 29 still speaks it, Engine 20.10 speaks only up to 1.41.
NEWEST = (1, 44)
MOST_BYTES = 64 << 20


def is_installed() -> bool:
    """Say whether anything of a Docker engine is on this host."""
    return any(os.path.lexists(path) for path in (*DAEMONS, *UNITS, *SOCKETS, "/var/snap/docker"))


def _ask(path: str, timeout: float | None) -> tuple[int, dict[str, str], bytes]:
    where = next((name for name in SOCKETS if os.path.exists(name)), None)
    if where is None:
        raise ProbeError("Docker's socket is not there: the daemon is not running")
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(timeout)
        try:
            stream.connect(where)
            # HTTP/1.0: the answer comes unchunked and ends with the connection.
            stream.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            answer = bytearray()
            while chunk := stream.recv(1 << 18):
                answer += chunk
                if len(answer) > MOST_BYTES:
                    raise ProbeError(f"Docker's answer to {path} is larger than {MOST_BYTES} bytes")
        except OSError as error:
            raise ProbeError(f"Docker does not answer on {where}: {error}") from None
    head, found, body = bytes(answer).partition(b"\r\n\r\n")
    status, _, lines = head.decode("latin-1").partition("\r\n")
    match = re.match(r"HTTP/1\.[01] (\d{3})", status)
    if not found or not match:
        raise ProbeError(f"what answers on {where} does not speak HTTP")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines.split("\r\n"))}
    if "content-length" in headers and int(headers["content-length"]) != len(body):
        raise ProbeError(f"Docker's answer to {path} was cut short")
    return int(match.group(1)), headers, body


class Engine:
    """The engine of this host, in the newest version of the API that both sides know."""

    def __init__(self) -> None:
        if not is_installed():
            raise Absent("no Docker engine is installed")
        _, headers, _ = _ask("/_ping", None)
        try:
            offered = tuple(int(part) for part in headers["api-version"].split("."))
        except (KeyError, ValueError):
            raise ProbeError("Docker named no API version") from None
        self._version = ".".join(str(part) for part in min(offered, NEWEST))

    def get(self, path: str, timeout: float | None = None) -> Any:
        """Return the JSON answer to one GET; anything but 200 is a ProbeError."""
        code, _, body = _ask(f"/v{self._version}{path}", timeout)
        if code != 200:
            raise ProbeError(f"Docker answered {path} with {code}: {body[:200].decode('utf-8', 'replace').strip()}")
        try:
            return json.loads(body)
        except ValueError:
            raise ProbeError(f"Docker's answer to {path} is no JSON") from None
