"""D205: the snapshots of the site's state are of one schema, so that any two can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

SITE = Path(__file__).parent.parent


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key is there twice among {keys}: take the snapshot again"
    return dict(pairs)


def snapshots() -> dict[str, dict[str, Any]]:
    found = {
        f"snapshots/{path.name}": json.loads(path.read_text("utf-8"), object_pairs_hook=once) for path in sorted((SITE / "snapshots").glob("*.json"))
    }
    assert len(found) > 1, f"snapshots/ holds {len(found)} snapshot(s): two are needed to compare; restore them from git"
    return found


def differences(want: Any, seen: Any, place: str) -> Iterator[str]:
    """Yield where the shape of one value is not that of the other; each item of a list has the shape of the first."""
    if type(want) is not type(seen):
        yield f"{place} is {type(seen).__name__}, not {type(want).__name__}"
    elif isinstance(want, dict):
        yield from (f"{place}.{key} is missing".removeprefix(".") for key in want if key not in seen)
        yield from (f"{place}.{key} is new".removeprefix(".") for key in seen if key not in want)
        for key in want.keys() & seen.keys():
            yield from differences(want[key], seen[key], f"{place}.{key}".removeprefix("."))
    elif isinstance(want, list) and want:
        for i, item in enumerate(seen):
            yield from differences(want[0], item, f"{place}.{i}")


def test_each_snapshot_names_the_same_schema() -> None:
    named: dict[Any, list[str]] = {}
    for name, snapshot in snapshots().items():
        named.setdefault(snapshot.get("schema"), []).append(name)
    assert len(named) == 1, f"snapshots are of {len(named)} schemas: {named}. Take the older ones again, or move them to a folder of their own"


def test_each_snapshot_has_the_keys_and_types_of_the_first() -> None:
    found = snapshots()
    first, want = next(iter(found.items()))
    faults = [
        f"{name}: {fault}, as {first} has it: take it again, or give both a new schema"
        for name, seen in found.items()
        for fault in differences(want, seen, "")
    ]
    assert not faults, "\n".join(faults)


def test_each_snapshot_is_of_the_day_in_its_name_and_of_a_later_run_than_the_one_before() -> None:
    found = snapshots()
    faults = [
        f"{name}: taken_at is {seen['taken_at']}, run {seen['run']}: name the file and the run by the day on which it was taken"
        for name, seen in found.items()
        if not seen["taken_at"].startswith(f"{Path(name).stem}T") or not seen["run"].startswith(f"CAP-{Path(name).stem.replace('-', '')}-")
    ]
    faults += [
        f"{later}: its run is no later than that of {earlier}: take it again"
        for earlier, later in pairwise(found)
        if found[earlier]["run"] >= found[later]["run"]
    ]
    assert not faults, "\n".join(faults)
