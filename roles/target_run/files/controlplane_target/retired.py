"""What a run leaves behind on purpose, until a later, approved run removes it (`purge`).

Recorded are path, run, size, entries and a fingerprint of the whole tree, so that a later change is seen.
"""

from __future__ import annotations

from typing import Any

from .fingerprint import fingerprint_tree
from .state import Home, utc


def retire(home: Home, run: str, trees: list[dict[str, Any]], *, now: float) -> None:
    """Record each tree's source as retired by `run`, replaced by its destination."""
    fresh = []
    for tree in trees:
        fingerprint, entries, size = fingerprint_tree(tree["from"])
        fresh.append(
            {
                "path": tree["from"],
                "run": run,
                "retired_at": utc(now),
                "size": size,
                "entries": entries,
                "recorded": fingerprint,
                "replaced_by": tree["to"],
                # A volume is removed by Docker, and by its name.
                **({"volume": tree["volume"]} if tree.get("volume") else {}),
            }
        )
    with home.lock():
        gone = {held["path"] for held in fresh} | {tree["to"] for tree in trees}
        home.write_retired([held for held in home.retired() if held["path"] not in gone] + fresh)


def forget(home: Home, paths: list[str]) -> None:
    """Take paths out of the records: they are about to be live again."""
    with home.lock():
        held = home.retired()
        kept = [record for record in held if record["path"] not in paths]
        if kept != held:
            home.write_retired(kept)


def differs(record: dict[str, Any]) -> bool:
    """Return whether the tree of that record changed since it was retired."""
    return fingerprint_tree(str(record["path"]))[0] != str(record["recorded"])
