"""Docker's API over its socket, with as much HTTP as that takes: importing http.client costs more than all requests."""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Any

from .supervise import Absent, ProbeError

SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
# Beside PATH: where distributions and images without packages put the daemon.
FOLDERS = tuple(
    "/usr/bin /usr/sbin /usr/local/bin /usr/local/sbin /usr/libexec /usr/libexec/docker /opt/bin /opt/docker /opt/docker/bin /snap/bin "
    "/var/lib/snapd/snap/bin /run/current-system/sw/bin".split()
)
DAEMONS = ("dockerd", "dockerd-current")
# Where systemd itself looks; links that enable a unit, or mask it, are in the first.
UNIT_FOLDERS = tuple(
    "/etc/systemd/system /etc/systemd/system.control /run/systemd/system /run/systemd/system.control /run/systemd/transient "
    "/usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system /var/lib/snapd/systemd/system".split()
)
UNITS = ("docker.service", "docker.socket", "snap.docker.dockerd.service")
OTHERS = ("/var/snap/docker",)
# An engine without root has its socket in its user's folder.
USER_SOCKETS = "/run/user/*/docker.sock"
# The newest version whose answers this reads; Engine 29 still speaks it, Engine 20.10 speaks only up to 1.41.
NEWEST = (1, 44)
MOST_BYTES = 64 << 20


def running(name: str) -> list[str] | None:
    """Return the command line of the daemon of this name in our own PID namespace's view, or None."""
    ours = os.readlink("/proc/self/ns/pid")
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as stream:
                if stream.read().strip() != name:
                    continue
            # A daemon inside a container is not this host's.
            if os.readlink(f"/proc/{entry}/ns/pid") != ours:
                continue
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                return [word.decode("utf-8", "replace") for word in stream.read().rstrip(b"\0").split(b"\0")]
        except OSError:
            continue
    return None


def is_installed() -> bool:
    """Say whether anything of a Docker engine is on this host: its program, a unit, a socket, or a daemon that runs from wherever."""
    programs = [f"{folder}/{name}" for folder in (*os.get_exec_path(), *FOLDERS) for name in DAEMONS]
    units = [f"{folder}/{name}" for folder in UNIT_FOLDERS for name in UNITS]
    if any(os.path.lexists(path) for path in (*programs, *units, *SOCKETS, *OTHERS)):
        return True
    return bool(glob.glob(USER_SOCKETS)) or any(running(name) is not None for name in DAEMONS)


def _ask(path: str, timeout: float | None) -> tuple[int, dict[str, str], bytes]:
    where = next((name for name in SOCKETS if os.path.exists(name)), None)
    if where is None:
        raise ProbeError("Docker's socket is not there: the daemon is not running, or listens elsewhere")
    import socket  # noqa: PLC0415 - most of what this module imports, and no host without Docker needs it

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
