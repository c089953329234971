"""The verbs of `bootstrap`: refuse, prepare, configure, install, switch-on, prove, undo."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from . import bootstrap, configs, packages
from .faults import RefusedFault
from .state import Home


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
        return _shown(options.action, bootstrap.refuse(home, wanted))
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "prepare": lambda: bootstrap.prepare(run, wanted, sys.executable),
        "configure": lambda: bootstrap.configure(run, wanted),
        "install": lambda: packages.install(run, wanted.packages, repair=options.repair),
        "switch-on": lambda: bootstrap.switch_on(run, wanted),
        "prove": lambda: bootstrap.prove(run, wanted),
    }
    return steps[options.action]()


def _shown(action: str, seen: dict[str, Any]) -> dict[str, Any]:
    """Return what a dry run shows of one step."""
    if action == "configure":
        return {"changed": bool(seen["planned"]), "diff": configs.diffs(seen["planned"])}
    names, what = (seen["packages"], "packages") if action == "install" else (seen["units"], "units that are on")
    repairs = ["what dpkg left half done, finished"] if action == "install" and seen["repair"] else []
    shown = {"before_header": what, "after_header": what, "before": "", "after": "".join(f"{line}\n" for line in [*repairs, *names])}
    return {"changed": bool(names or repairs), "diff": [shown] if names or repairs else []}
