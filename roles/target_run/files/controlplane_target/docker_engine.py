"""Talk to Docker over its socket, and say what of it must be the same before and after a move."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

from .faults import FailedFault

SOCKET = "/var/run/docker.sock"
# These are made anew each time that the daemon starts, under new ids.
_BUILT_IN_NETWORKS = ("bridge", "host", "none")


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

    def call(self, method: str, target: str, *, timeout: float = 60, body: Any = None, more: dict[str, str] | None = None) -> tuple[int, Any]:
        """Return the HTTP status and the decoded JSON answer (None where empty) to a request with that JSON, if any; OSError where nobody answers.

        `more` are headers of its own.
        """
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
        return answer.status, json.loads(text) if text.strip() and "json" in (answer.getheader("Content-Type") or "") else None

    def get(self, target: str, *, timeout: float = 60) -> Any:
        """Return the JSON answer of a GET; anything but 200 is a fault."""
        status, answer = self.call("GET", target, timeout=timeout)
        if status != 200:
            raise FailedFault(f"Docker answered {status} to GET {target}: {(answer or {}).get('message', 'no message')}")
        return answer

    def info(self) -> dict[str, Any]:
        """Return `docker info`."""
        return dict(self.get("/info"))

    def answers(self) -> bool:
        """Return whether the daemon answers a ping now. Never asked while docker.socket alone is up: that would start the daemon."""
        try:
            return self.call("GET", "/_ping", timeout=5)[0] == 200
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

    def containers(self) -> list[dict[str, Any]]:
        """Return the inspection of every container, running or not; one that vanishes meanwhile is left out."""
        found = []
        for summary in self.get("/containers/json?all=1"):
            status, answer = self.call("GET", f"/containers/{summary['Id']}/json")
            if status == 200:
                found.append(dict(answer))
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
                    for held in self.get("/volumes").get("Volumes") or []
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
