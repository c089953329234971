"""The verbs of `hygiene`: refuse, prepare, clean, time, prove, undo; `timed` is what the timer calls."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from . import hygiene, hygiene_items, hygiene_timer, way_back
from .docker_engine import Engine
from .faults import FailedFault, RefusedFault
from .state import Home, Run

Answer = dict[str, Any]
_UNDO = """#!/bin/sh
# Put the timer back as it was before run {key}. What that removed of Docker's store stays removed: pull or build it again.
exec {python} -B {folder}/controlplane_target undo --run {key} "$@"
"""
_README = """Run {key}, role docker_hygiene

It removed what state.json lists (key "removed") of Docker's store; that can't be undone: pull or build it again. Where it set up the timer, {folder}/undo puts that
back as it was. The timer's own receipts are in /var/lib/controlplane/hygiene/receipts.
"""


def act(home: Home, options: argparse.Namespace) -> Answer:
    """Carry out one of the verbs."""
    engine = Engine()
    if options.action == "timed":
        try:
            return hygiene.timed(home, hygiene.settings_of(home), engine, time.time())
        except (OSError, ValueError) as fault:
            raise FailedFault(f"the timer could not do its work: {fault}") from fault
    run = home.run(options.run)
    if options.action == "undo":
        of = home.run(options.of or options.run)
        return {"changed": hygiene_timer.undo(home, of)}
    try:
        asked = json.loads(sys.stdin.read())
        items, timer, spare = [dict(item) for item in asked["items"]], dict(asked.get("timer") or {}), dict(asked.get("spare") or {})
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedFault(f"the request of 'hygiene {options.action}' is malformed: {fault}. Nothing was changed.") from fault
    try:
        return _done((home, run, engine), options, items, timer, spare)
    except (OSError, ValueError) as fault:
        raise FailedFault(
            f"Docker does not answer as it should: {fault}. The journal stands at {run.phase}: run this again, it goes on from there"
        ) from fault


def _done(here: tuple[Home, Run, Engine], options: argparse.Namespace, items: list[dict[str, Any]], timer: Answer, spare: Answer) -> Answer:
    home, run, engine = here
    named = (str(timer.get("every")), str(timer.get("digest")), dict(timer.get("settings") or {}))

    def present() -> list[dict[str, Any]]:
        return [one.item for one in hygiene_items.left(engine, items, run, spare)]

    def lacking() -> list[str]:
        return hygiene_timer.lacking(home, *named) if timer else []

    def prepare() -> Answer:
        values = {"key": run.key, "folder": run.folder, "python": sys.executable}
        run.write(role=hygiene.ROLE)
        return {"changed": bool(way_back.leave(run, {}, undo=_UNDO.format(**values), readme=_README.format(**values)))}

    def prove() -> Answer:
        left = present()
        if left or lacking():
            raise FailedFault(
                f"not proven: {', '.join([*(str(item['name']) for item in left), *lacking()][:5])} is still there, or not in place. Run this again."
            )
        hygiene.end_if_cut_off(run, engine)
        return {"changed": False, "told": hygiene.told(run)}

    if options.check:
        shown = present() if options.action == "clean" else []
        gone = [f"{item['kind']} {item['id']} {item['name']}" for item in shown] + (lacking() if options.action == "time" else [])
        return {"changed": bool(gone), "diff": [{"before_header": one, "after_header": one, "before": "there\n", "after": "\n"} for one in gone]}
    verbs: dict[str, Callable[[], Answer]] = {
        "refuse": lambda: {"present": present(), "lacking": lacking()},
        "prepare": prepare,
        "clean": lambda: hygiene.clean(run, engine, items, spare),
        "time": lambda: {"changed": hygiene_timer.install(home, run, *named) if timer else False},
        "prove": prove,
    }
    return verbs[options.action]()
