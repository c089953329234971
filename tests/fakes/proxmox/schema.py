"""Answer what Proxmox VE's published API schema says of a call.

The schema is read where an operator or a build has put it and is never part of this project. Tests that need it are skipped without
it, with the reason on screen. `scsi[n]`-like names in it stand for scsi0, scsi1, …; how far n goes is in its descriptions, and where
they don't say it, in qemu-server's sources (32 network cards, each with its ipconfig).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Properties = Mapping[str, Mapping[str, Any]]

_LAST = {"net": 31, "ipconfig": 31, "hostpci": 15, "numa": 7, "parallel": 2, "usb": 13, "unused": 255, "virtiofs": 9}


def schema_file() -> Path:
    """Return where the schema is looked for."""
    given = os.environ.get("PROXMOX_API_SCHEMA")
    return Path(given) if given else Path(__file__).resolve().parents[4] / "shared" / "proxmox-api.json"


def missing_reason() -> str | None:
    """Say why nothing can be tested against the schema; None where it is there."""
    if schema_file().is_file():
        return None
    return f"the schema of Proxmox VE's API is not at {schema_file()}: name the file in $PROXMOX_API_SCHEMA"


@dataclass(frozen=True)
class Method:
    """One method of one path: its parameters, who may call it, what it returns."""

    path: str
    name: str
    parameters: Properties
    permissions: Mapping[str, Any]
    returns: Mapping[str, Any]


class Schema:
    """All paths and methods by their templates, such as /nodes/{node}/qemu."""

    def __init__(self, tree: list[Mapping[str, Any]]) -> None:
        self.methods: dict[tuple[str, str], Method] = {}
        self._templates: list[tuple[str, ...]] = []
        for node in tree:
            self._add(node)

    def _add(self, node: Mapping[str, Any]) -> None:
        self._templates.append(tuple(node["path"].strip("/").split("/")))
        for name, told in (node.get("methods") or {}).items():
            self.methods[name, node["path"]] = Method(
                path=node["path"],
                name=name,
                parameters=(told.get("parameters") or {}).get("properties") or {},
                permissions=told.get("permissions") or {},
                returns=told.get("returns") or {},
            )
        for child in node.get("children") or ():
            self._add(child)

    def match(self, path: str) -> tuple[str, dict[str, str]] | None:
        """Return the template that a path is of and what stands in its places; literal parts go before places."""
        parts = path.strip("/").split("/")
        found = [template for template in self._templates if _fits(template, parts)]
        if not found:
            return None
        best = min(found, key=lambda template: sum(part[0] == "{" for part in template))
        seen = [*parts[: len(best) - 1], "/".join(parts[len(best) - 1 :])]
        places = {part[1:-1]: unquote(one) for part, one in zip(best, seen, strict=True) if part[0] == "{"}
        return "/" + "/".join(best), places

    def method(self, name: str, path: str) -> Method:
        """Return a method that is known to be there."""
        return self.methods[name, path]


def _fits(template: tuple[str, ...], parts: list[str]) -> bool:
    """Say whether a path is of a template; a volume's name, which is always last, may have slashes of its own."""
    longer = template[-1] == "{volume}" and len(parts) > len(template)
    return (longer or len(template) == len(parts)) and all(part[0] == "{" or part == seen for part, seen in zip(template, parts, strict=False))


def of_key(properties: Properties, key: str) -> Mapping[str, Any] | None:
    """Return what is said of a parameter, resolving numbered names; None for an unknown one."""
    if key in properties:
        return properties[key] if not key.endswith("[n]") else None
    numbered = re.fullmatch(r"([a-z]+)(0|[1-9]\d*)", key)
    told = properties.get(f"{numbered[1]}[n]") if numbered else None
    if numbered is None or told is None:
        return None
    last = re.search(r"n is 0 to (\d+)", told.get("description", ""))
    return told if int(numbered[2]) <= (int(last[1]) if last else _LAST[numbered[1]]) else None


def plain_keys(properties: Properties) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the parameters that have one name; numbered ones are never required."""
    return ((key, told) for key, told in properties.items() if not key.endswith("[n]"))


@cache
def load_schema() -> Schema:
    """Read the schema; call it only where `missing_reason` has none."""
    return Schema(json.loads(schema_file().read_text("utf-8")))
