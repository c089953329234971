"""The verbs of `bootstrap`: refuse, prepare, bring, prove, undo."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from . import bootstrap, configs, packages
from .faults import RefusedFault
from .state import Home, Run


def act(home: Home, options: argparse.Namespace) -> dict[str, Any]:
    """Carry out one of the verbs."""
    run = home.run(options.run)
    if options.action == "undo":
        return bootstrap.undo(home.run(options.of or options.run))
    try:
        wanted = bootstrap.parse(json.loads(sys.stdin.read()))
    except (ValueError, TypeError) as fault:
        raise RefusedFault(f"the request of 'bootstrap {options.action}' is malformed: {fault}. Nothing was changed.") from fault
    if options.action == "refuse":
        return bootstrap.refuse(home, wanted)
    if options.check:
        return _shown(bootstrap.refuse(home, wanted))
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "prepare": lambda: bootstrap.prepare(run, wanted, sys.executable),
        "bring": lambda: _brought(run, wanted, repair=options.repair),
        "prove": lambda: bootstrap.prove(run, wanted),
    }
    return steps[options.action]()


def _brought(run: Run, wanted: bootstrap.Wanted, *, repair: bool) -> dict[str, Any]:
    """Write the files, install, switch on, in this order: Docker's very first start reads its file. One call, for nobody decides in between."""
    steps = [bootstrap.configure(run, wanted), packages.install(run, wanted.packages, repair=repair), bootstrap.switch_on(run, wanted)]
    return {name: told for step in steps for name, told in step.items()} | {"changed": any(step["changed"] for step in steps)}


def _shown(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what a dry run shows: each file, then the packages, then the units."""
    repairs = ["what dpkg left half done, finished"] if seen["repair"] else []
    listed = (("packages", [*repairs, *seen["packages"]]), ("units that are on", seen["units"]))
    diffs = configs.diffs(seen["planned"]) + [
        {"before_header": what, "after_header": what, "before": "", "after": "".join(f"{line}\n" for line in lines)}
        for what, lines in listed
        if lines
    ]
    return {"changed": bool(diffs), "diff": diffs}
