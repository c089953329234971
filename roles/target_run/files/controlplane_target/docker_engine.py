"""Talk to Docker over its socket, and say what of it must be the same before and after a move.

Rules:
- Each request names the version of the API whose answers are read here, an older daemon's own: what later versions leave out is not nothing.
- What an answer has to say is read by `field`, `rows` and `size`: where it is missing or of another kind, that is a fault, and never zero or empty.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any, TypeVar
from urllib.parse import quote

from .faults import FailedFault

SOCKET = "/var/run/docker.sock"
# These are made anew each time that the daemon starts, under new ids.
_BUILT_IN_NETWORKS = ("bridge", "host", "none")
# The newest version whose answers this reads, as the collector's (engine.py); Engine 29 still speaks it, Engine 20.10 speaks only up to 1.41.
NEWEST = (1, 44)
# What `docker info` says of containerd came with it.
_NEWEST_INFO = (1, 46)
_KINDS = {int: "a number", str: "a text", bool: "true or false", list: "a list", dict: "an object"}
_T = TypeVar("_T")


def field(said: Any, key: str, kind: type[_T], call: str) -> _T:
    """Return what an answer, or a part of one, to that call says under the key. Raises `FailedFault` where it is not there, or of another kind."""
    if not isinstance(said, dict):
        raise _unread(call, f"is {said!r:.60}, not an object with {key!r}")
    if key not in said:
        raise _unread(call, f"has no {key!r}")
    value = said[key]
    # JSON's true is a number to Python.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _unread(call, f"has {value!r:.60} as {key!r}, which is not {_KINDS[kind]}")
    return value


def rows(said: Any, key: str, kind: type[_T], call: str) -> list[_T]:
    """Return the list under the key; Docker writes an empty one as null too. Raises `FailedFault` where it is not there, or of another kind."""
    if isinstance(said, dict) and key in said and said[key] is None:
        return []
    return _every(field(said, key, list, call), kind, call)


def size(said: Any, key: str, call: str) -> int:
    """Return the bytes under the key. Raises `FailedFault` where they are not there, no number, or the -1 by which Docker says that it can't tell."""
    found = field(said, key, int, call)
    if found < 0:
        raise _unread(call, f"has {found} as {key!r}: it could not tell")
    return found


def _every(said: Any, kind: type[_T], call: str) -> list[_T]:
    if not isinstance(said, list):
        raise _unread(call, f"is {said!r:.60}, which is not a list")
    for one in said:
        if not isinstance(one, kind):
            raise _unread(call, f"lists {one!r:.60}, which is not {_KINDS[kind]}")
    return said


def _unread(call: str, why: str) -> FailedFault:
    return FailedFault(
        f"Docker's answer to {call} {why}. That is unknown, not nothing, so nothing was judged by it. This reads Docker's API up to {_text(NEWEST)}, "
        "as Engine 20.10 to 29 speak it: look at 'docker version' and at Docker's log, mend that, then run this again"
    )


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _version(text: str | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in (text or "").split("."))
    except ValueError:
        return None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One Docker daemon; each call is a connection of its own, so threads may share it."""

    def __init__(self, path: str = SOCKET) -> None:
        self.path = path
        # The newest version that the daemon speaks. Each of its answers tells, so that one that was started anew as another is known by its first.
        self._offered: tuple[int, ...] | None = None

    def call(
        self,
        method: str,
        target: str,
        *,
        timeout: float = 60,
        body: Any = None,
        more: dict[str, str] | None = None,
        newest: tuple[int, ...] = NEWEST,
    ) -> tuple[int, Any]:
        """Return the HTTP status and the decoded JSON answer (None where empty) to a request with that JSON, if any; OSError where nobody answers.

        `more` are headers of its own, `newest` is the version of the API that it is made in, or the daemon's own where that is older.
        """
        if self._offered is None:
            self._send("GET", "/_ping", timeout=timeout)
        if self._offered is None:
            raise OSError(f"what answers on {self.path} names no version of Docker's API")
        return self._send(method, f"/v{_text(min(self._offered, newest))}{target}", timeout=timeout, body=body, more=more)

    def _send(self, method: str, target: str, *, timeout: float, body: Any = None, more: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = _UnixConnection(self.path, timeout)
        try:
            headers = {"Host": "docker"} if body is None else {"Host": "docker", "Content-Type": "application/json"}
            connection.request(method, target, body=None if body is None else json.dumps(body), headers={**headers, **(more or {})})
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as fault:
            raise OSError(f"Docker's answer was cut off: {fault!r}") from fault
        finally:
            connection.close()
        self._offered = _version(answer.getheader("Api-Version")) or self._offered
        return answer.status, json.loads(text) if text.strip() and "json" in (answer.getheader("Content-Type") or "") else None

    def get(self, target: str, *, timeout: float = 60, newest: tuple[int, ...] = NEWEST) -> Any:
        """Return the JSON answer of a GET; anything but 200 is a fault."""
        status, answer = self.call("GET", target, timeout=timeout, newest=newest)
        if status != 200:
            raise FailedFault(f"Docker answered {status} to GET {target}: {(answer or {}).get('message', 'no message')}")
        return answer

    def info(self) -> dict[str, Any]:
        """Return `docker info`."""
        return dict(self.get("/info", newest=_NEWEST_INFO))

    def answers(self) -> bool:
        """Return whether the daemon answers a ping now. Never asked while docker.socket alone is up: that would start the daemon."""
        try:
            # In no version: it has to be told first which one there is.
            return self._send("GET", "/_ping", timeout=5)[0] == 200
        except (OSError, ValueError):
            return False

    def wait(self, limit_s: float) -> bool:
        """Return whether the daemon answered within the limit."""
        end = time.monotonic() + limit_s
        while not self.answers():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def summaries(self, *labels: str) -> list[dict[str, Any]]:
        """Return Docker's listing of every container, running or not, that has each of the labels (NAME=VALUE). Raises `FailedFault`."""
        listing = "/containers/json?all=1" + (f"&filters={quote(json.dumps({'label': labels}))}" if labels else "")
        return _every(self.get(listing), dict, f"GET {listing}")

    def containers(self) -> list[dict[str, Any]]:
        """Return the inspection of every container, running or not; one that vanishes meanwhile is left out. Raises `FailedFault`."""
        found = []
        for summary in self.summaries():
            one = f"/containers/{field(summary, 'Id', str, 'GET /containers/json?all=1')}/json"
            status, answer = self.call("GET", one)
            if status == 404:
                continue
            # Left out, its image and its volumes would seem to be nobody's.
            if status != 200:
                raise FailedFault(f"Docker answered {status} to GET {one}: {(answer or {}).get('message', 'no message')}")
            found += _every([answer], dict, f"GET {one}")
        return found

    def inventory(self) -> dict[str, Any]:
        """Return containers, images, volumes and networks, in the form that is compared: nothing that a restart or another root changes."""
        return {
            "containers": sorted((_container(held) for held in self.containers()), key=lambda held: str(held["id"])),
            "images": sorted(
                ({"id": held["Id"], "tags": sorted(held.get("RepoTags") or [])} for held in self.get("/images/json")),
                key=lambda held: str(held["id"]),
            ),
            "volumes": sorted(
                (
                    {"name": held["Name"], "driver": held["Driver"], "options": held.get("Options") or {}, "labels": held.get("Labels") or {}}
                    for held in rows(self.get("/volumes"), "Volumes", dict, "GET /volumes")
                ),
                key=lambda held: str(held["name"]),
            ),
            "networks": sorted(
                (
                    {"name": held["Name"], "driver": held["Driver"], "id": "" if held["Name"] in _BUILT_IN_NETWORKS else held["Id"]}
                    for held in self.get("/networks")
                ),
                key=lambda held: str(held["name"]),
            ),
        }


def _container(held: dict[str, Any]) -> dict[str, Any]:
    mounts = sorted([mount.get("Type", ""), mount.get("Name") or mount.get("Source", ""), mount["Destination"]] for mount in held.get("Mounts") or [])
    return {"id": held["Id"], "name": held["Name"].lstrip("/"), "image": held["Image"], "created": held["Created"], "mounts": mounts}


def inventory_difference(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return one sentence for each thing that one inventory has and the other has not, or has otherwise."""
    lines = []
    for kind in ("containers", "images", "volumes", "networks"):
        old = {held.get("id") or held["name"]: held for held in before[kind]}
        new = {held.get("id") or held["name"]: held for held in after[kind]}
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) == new.get(key):
                continue
            held = old.get(key) or new[key]
            name = held.get("name") or ", ".join(held.get("tags", [])) or key
            how = "is gone" if key not in new else "is new" if key not in old else f"was {old[key]}, is {new[key]}"
            lines.append(f"{kind[:-1]} {name} {how}")
    return lines
