"""Where Docker and containerd read their settings: files, flags, and what the running daemons were started with."""

from __future__ import annotations

import os
import re
from typing import Any

from .engine import is_installed, running
from .redact import command_without_secrets, daemon_json_without_secrets, without_secrets
from .supervise import Absent, ProbeError
from .tools import slurp_or_none, tool

DAEMON_JSON = "/etc/docker/daemon.json"
CONTAINERD_CONFIG = "/etc/containerd/config.toml"
CONTAINERD_ROOT = "/var/lib/containerd"
_ROOT = re.compile(r"""^\s*root\s*=\s*(?:"([^"]*)"|'([^']*)')""")


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
    flags = running("dockerd")
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
        "containerd_root": containerd_root(running("containerd")),
        "dockerd_flags": command_without_secrets(flags[1:], []),
    }
