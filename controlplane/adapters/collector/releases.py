"""Stacks that a release brought here: what its role recorded, and which of the files that it wrote are no longer what they were."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .state import BASE
from .supervise import ProbeError
from .tools import slurp_or_none

# The environment file may hold secrets: of it, only whether it is the one that was written leaves the host.
_KEPT = ("stack", "environment", "project", "dir", "manifest", "manifest_name", "env_digest", "run", "files")
# An older record has none of these: the ids of the containers that were made, by service, and the compose files in their order.
_MORE = ("containers", "order")


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def releases(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return by compose project what is on record of its deployment, and which files are no longer what that says."""
    found: dict[str, Any] = {}
    for project in asked.get("releases", []):
        path = f"{BASE}/releases/{project}.json"
        text = slurp_or_none(path)
        if text is None:
            found[project] = {"record": None, "changed": []}
            continue
        try:
            record = json.loads(text)
            files = {**record["files"], ".env": record["env_sha256"]}
            kept = {key: record[key] for key in _KEPT} | {key: record[key] for key in _MORE if key in record}
        except (ValueError, KeyError, TypeError) as error:
            raise ProbeError(f"{path} is no record of a release: {error}") from None
        changed = sorted(name for name, digest in files.items() if _digest(f"{record['dir']}/{name}") != digest)
        found[project] = {"record": kept, "changed": changed}
    return found
