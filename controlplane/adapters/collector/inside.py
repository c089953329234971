"""Step into a running container's network and root, in a child that never comes back.

Rules:
- Nothing is started in the container: we look with our own code, and speak to its server as its own client would.
- After chroot the container's symlinks lead nowhere outside of it; what must be imported is imported before.
- The child dies with the probe that started it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
from typing import Any, Callable

from .engine import Engine, is_installed
from .supervise import Absent, Probe, ProbeError, run_probes

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
WITHIN = 3.5


def _call(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def enter(pid: int) -> None:
    """Make the container's network and root ours. Raises OSError without CAP_SYS_ADMIN and CAP_SYS_CHROOT."""
    # Encodings are imported at first use, and after chroot there is no library to import them from.
    "".encode("idna")
    "".encode("latin-1")
    net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _call("setns", net, _CLONE_NEWNET)
    os.fchdir(root)
    os.chroot(".")
    os.chdir("/")


def dies_with_parent() -> None:
    """End this process when the one that forked it ends."""
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def chosen(asked: dict[str, Any], containers: list[dict[str, Any]], kind: str, program: re.Pattern[str]) -> dict[str, dict[str, Any]]:
    """Return {container name: its service as asked, else {}} for the services of a kind and for containers that run its program."""
    wanted = {name: service for name, service in asked.get("services", {}).items() if service.get("kind") == kind}
    for container in containers:
        image = container["image"].rpartition("@")[0] or container["image"]
        words = [image.rpartition(":")[0] or image, *container["command"][:3]]
        if container["running"] and container["name"] not in wanted and any(program.search(word) for word in words):
            wanted[container["name"]] = {}
    return wanted


def look_into(
    wanted: dict[str, dict[str, Any]],
    containers: list[dict[str, Any]] | None,
    look: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    unreachable: Callable[[str], dict[str, Any]],
) -> dict[str, Any]:
    """Return what `look(inspection, service)` sees in each container, each in a child of its own; `unreachable(why)` where it could not look."""
    if not is_installed():
        raise Absent("no Docker engine is installed")
    if containers is None:
        raise ProbeError("the containers are not known")
    by_name = {container["name"]: container for container in containers}
    found: dict[str, Any] = {}
    probes = []
    engine = Engine() if wanted else None
    for name, service in sorted(wanted.items()):
        if name not in by_name:
            found[name] = unreachable("there is no container of this name")
            continue
        assert engine is not None  # noqa: S101 - made when anything is wanted
        inspection = engine.get(f"/containers/{by_name[name]['id']}/json")

        def run(_a: dict[str, Any], _s: dict[str, Any], inspection: dict[str, Any] = inspection, service: dict[str, Any] = service) -> dict[str, Any]:
            dies_with_parent()
            return look(inspection, service)

        probes.append(Probe(name, run, WITHIN))
    for name, text in run_probes(probes, {}).items():
        record = json.loads(text)
        found[name] = record["data"] if record["status"] == "ok" else unreachable(f"{record['status']}: {record['error']}")
    return found
