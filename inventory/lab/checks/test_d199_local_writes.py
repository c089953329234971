"""D199: what was fetched of mail and calendar is written to our own services and folders only."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE, STACKS = "registry/providers.yml", "registry/stacks.yml"


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def providers() -> dict[str, dict[str, Any]]:
    found = read(FILE)["mail_and_calendar"]
    assert found, f"{FILE}: mail_and_calendar is empty: restore it from git"
    return found


def doubt(write: dict[str, Any], home: dict[str, Any], stacks: dict[str, Any]) -> str | None:
    """Return why a write is not known to stay with us, or None."""
    keys = set(write) - {"what"}
    if keys == {"service"}:
        ours = {name for stack in stacks.values() for name in stack["services"]}
        return None if write["service"] in ours else f"goes to {write['service']}, no service of {STACKS}"
    if keys == {"path"}:
        path, root = PurePosixPath(write["path"]), PurePosixPath(stacks[home["stack"]]["dir"])
        return None if root in path.parents and ".." not in path.parts else f"goes to {path}, not below {root}"
    return f"is told by {', '.join(sorted(keys)) or 'nothing'}, not by one of service and path"


def test_each_write_stays_with_us() -> None:
    stacks, faults = read(STACKS)["stacks"], []
    for name, provider in providers().items():
        place = f"{FILE}: mail_and_calendar.{name}.writes"
        if not isinstance(provider.get("writes"), list):
            faults.append(f"{place} is no list: write where {name} is kept, [] if nowhere")
            continue
        for i, write in enumerate(provider["writes"]):
            why = doubt(write, provider["home"], stacks)
            if why is not None:
                faults.append(f"{place}.{i} {why}: keep it in a service of ours, or in the folder of its home's stack")
    assert not faults, "\n".join(faults)
