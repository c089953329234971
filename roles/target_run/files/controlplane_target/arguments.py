"""What the command line on the target takes, verb by verb."""

from __future__ import annotations

import argparse
from pathlib import Path

from .state import BASE


def parser() -> argparse.ArgumentParser:
    """Return the parser; what follows `--` is another program's and never gets here."""
    whole = argparse.ArgumentParser(prog="controlplane_target")
    whole.add_argument("--base", type=Path, default=BASE, help=argparse.SUPPRESS)
    verbs = whole.add_subparsers(dest="verb", required=True)
    held = verbs.add_parser("lease")
    held.add_argument("action", choices=["take", "hold", "release", "show"])
    held.add_argument("--run")
    held.add_argument("--holder", default="")
    held.add_argument("--token", type=int, default=0)
    held.add_argument("--role", default="")
    held.add_argument("--ttl", type=int, default=1800)
    held.add_argument("--take-over", default="")
    root = verbs.add_parser("docker-root")
    root.add_argument("action", choices=["refuse", "prepare", "precopy", "move", "settle", "prove", "undo", "wait"])
    root.add_argument("--run", required=True)
    root.add_argument("--of")
    root.add_argument("--holder", default="")
    root.add_argument("--token", type=int)
    root.add_argument("--ttl", type=int, default=1800)
    root.add_argument("--detach", action="store_true")
    root.add_argument("--limit", type=float, default=20)
    root.add_argument("--stage", choices=["configuration", "services", "unit"], default="unit")
    root.add_argument("--overwrite-old-root", action="store_true")
    removal = verbs.add_parser("purge")
    removal.add_argument("action", choices=["refuse", "purge", "prove"])
    removal.add_argument("--run", required=True)
    baseline = verbs.add_parser("bootstrap")
    baseline.add_argument("action", choices=["refuse", "prepare", "configure", "install", "switch-on", "prove", "undo"])
    baseline.add_argument("--run", required=True)
    baseline.add_argument("--of")
    baseline.add_argument("--repair", action="store_true")
    undo = verbs.add_parser("undo")
    undo.add_argument("--run", required=True)
    undo.add_argument("--overwrite-old-root", action="store_true")
    beneath = verbs.add_parser("bare")
    beneath.add_argument("action", choices=["look", "set", "clear"])
    beneath.add_argument("path")
    state = verbs.add_parser("state")
    state.add_argument("--run")
    return whole
