"""As much of `docker compose config` as tests need: files put together with what they include and extend, their env_files and their variables."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, compose
from controlplane_target.command import Said

from controlplane.adapters.strict_yaml import parse_document

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def install(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    """Let Compose's `config` be this one, drafts lie in that folder, and every other program be the host's own."""
    others = command.run
    monkeypatch.setattr(compose, "MEMORY", str(memory))

    def run(argv: list[str], **more: Any) -> Said:
        if argv[:2] != ["docker", "compose"] or "config" not in argv:
            return others(argv, **more)
        try:
            read = _reading(argv)
        except OSError as fault:
            return Said(1, "", str(fault))
        if "--hash" in argv:
            return Said(0, f"{argv[-1]} {config_hash(read, argv[-1])}\n", "")
        return Said(0, json.dumps(read), "")

    monkeypatch.setattr(command, "run", run)


def config_hash(read: dict[str, Any], service: str) -> str:
    """Return the hash of one service: it knows nothing of a volume's name."""
    return hashlib.sha256(json.dumps(read["services"][service], sort_keys=True).encode()).hexdigest()


def _reading(argv: list[str]) -> dict[str, Any]:
    told = {option: [argv[at + 1] for at, word in enumerate(argv) if word == option] for option in ("--file", "--env-file", "--project-directory")}
    folder = Path(told["--project-directory"][0])
    variables = dict(pair for path in told["--env-file"] or [folder / ".env"] for pair in _pairs(Path(path)))
    found: dict[str, Any] = {"name": "shop", "services": {}, "volumes": {}}

    def load(path: Path) -> dict[str, Any]:
        return dict(parse_document(_VARIABLE.sub(lambda match: variables.get(match[1], ""), path.read_text()), str(path)).data)

    def add(path: Path) -> None:
        held = load(path)
        for one in held.get("include") or []:
            add(folder / one)
        found["volumes"] |= held.get("volumes") or {}
        for name, own in (held.get("services") or {}).items():
            base = own.pop("extends", None)
            service = {**found["services"].get(name, {}), **(load(folder / base["file"])["services"][base["service"]] if base else {}), **own}
            for env_file in service.pop("env_file", []):
                if not (folder / env_file).exists():
                    raise FileNotFoundError(f"env file {folder / env_file} not found")
                service["environment"] = {**service.get("environment", {}), **dict(_pairs(folder / env_file))}
            found["services"][name] = service

    for path in told["--file"]:
        add(Path(path))
    return found


def _pairs(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [(name, value) for name, _, value in (line.partition("=") for line in lines) if name]
