"""Where Docker and containerd read their settings: files, flags, and what the running daemons were started with."""

from __future__ import annotations

import os
import re
from typing import Any

from .engine import is_installed
from .redact import command_without_secrets, daemon_json_without_secrets, without_secrets
from .supervise import Absent, ProbeError
from .tools import slurp_or_none, tool

DAEMON_JSON = "/etc/docker/daemon.json"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_ROOT = "/var/lib/containerd"
_ROOT = re.compile(r"""^\s*root\s*=\s*(?:"([^"]*)"|'([^']*)')""")


def _running(name: str) -> list[str] | None:
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


def toml_root(text: str) -> str | None:
    """Return the top-level `root` of a containerd configuration, or None."""
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            return None
        match = _ROOT.match(line)
        if match:
            return match.group(1) or match.group(2)
    return None


def _option(command: list[str], *names: str) -> str | None:
    for index, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name in names:
            return value if equals else command[index + 1] if index + 1 < len(command) else None
    return None


def containerd_root(command: list[str] | None) -> str | None:
    """Return the root that containerd uses: its flag, else its configuration with all imports, else its default."""
    flag = _option(command or [], "--root", "-root")
    if flag:
        return flag
    path = _option(command or [], "--config", "-c", "-config") or CONTAINERD_CONFIG
    text = slurp_or_none(path)
    if text is None:
        return CONTAINERD_ROOT
    if re.search(r"(?m)^\s*imports\s*=\s*\[\s*[\"']", text):
        code, text, _ = tool("containerd", "--config", path, "config", "dump")
        if code != 0:
            return None
    return toml_root(text) or CONTAINERD_ROOT


def docker_config(_asked: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as files and flags hold them; absent where no engine is installed."""
    if not is_installed():
        raise Absent("no Docker engine is installed")
    units = seen.get("units")
    flags = _running("dockerd")
    if flags is None:
        if units is None:
            raise ProbeError("dockerd does not run and its unit could not be read, so its flags are not known")
        flags = units["docker.service"]["exec_start"].split()
    text = slurp_or_none(DAEMON_JSON)
    containerd = slurp_or_none(CONTAINERD_CONFIG)
    return {
        "installed": True,
        "daemon_json": daemon_json_without_secrets(text),
        "daemon_json_mtime": os.stat(DAEMON_JSON).st_mtime if text is not None else None,
        "containerd_config": None if containerd is None else without_secrets(containerd),
        "containerd_root": containerd_root(_running("containerd")),
        "dockerd_flags": command_without_secrets(flags[1:], []),
    }
