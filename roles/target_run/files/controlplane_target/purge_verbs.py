"""The verbs of `purge`: refuse, leave-word, purge, prove."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from . import begun, purge, purge_judge, root_refusals, way_back
from .docker_engine import Engine
from .faults import RefusedFault
from .state import Home

_UNDO = """#!/bin/sh
echo 'This run removed retired data by name, and that can not be undone. Nothing was changed. Restore from a backup.' >&2
exit 4
"""
_README = """Run {key}, role purge_retired
It removed retired data by name; state.json lists what (key "removed"). There is no undo but a backup.
A removal that was interrupted left .controlplane-purging-NAME beside the path; the same plan ends it, or a new one of storage.purge.
A folder on which a container's mount stands was emptied where it lies, and stays (keys "purging" with in_place, "emptied"; what went with its folder is in "ended").
What that tree is known by stands in state.json (key "purging") until it is gone.
"""


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one of the verbs."""
    run = home.run(options.run)
    if options.action == "leave-word":
        return {"changed": bool(way_back.leave(run, {}, undo=_UNDO, readme=_README.format(key=run.key)))}
    try:
        asked = json.loads(sys.stdin.read())
        items, retention_s = list(asked["items"]), max(0, int(asked["retention_s"]))
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'purge {options.action}' is malformed: {fault}. Nothing was changed.") from fault
    if options.action == "prove":
        return {"left": begun.present(home, items)}
    try:
        engine = Engine()
        roots = list(root_refusals.roots_now(engine.info()).values())
    except (OSError, ValueError) as fault:
        raise RefusedFault(
            f"purge refused: Docker does not answer ({fault}), so its live root is not known. Nothing was changed. Start Docker."
        ) from fault
    terms = purge_judge.Terms(roots, retention_s, time.time(), engine)
    if options.action == "refuse" or options.check:
        found = purge_judge.reasons(home, items, terms)
        if found:
            raise RefusedFault(f"purge refused: {'; '.join(found)}. Nothing was changed.")
        present = begun.present(home, items)
        return {"present": present, **(_shown(present) if options.check else {})}
    removed = purge.purge(home, run, items, terms)
    run.write(phase="done", removed=[*run.state.get("removed", []), *removed])
    if removed:
        home.write_last_change(run.key, time.time())
    return {"changed": bool(removed), "removed": removed}


def _shown(present: list[str]) -> dict[str, Any]:
    return {"changed": bool(present), "diff": [{"before_header": one, "after_header": one, "before": "retired\n", "after": ""} for one in present]}
