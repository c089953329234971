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
    carried = _carried()
    held = verbs.add_parser("lease", parents=[carried])
    held.add_argument("action", choices=["take", "hold", "release", "show"])
    held.add_argument("--role", default="")
    held.add_argument("--take-over", default="")
    for name in ("docker-root", "persistent-path"):
        moving = verbs.add_parser(name, parents=[carried])
        moving.add_argument("action", choices=["refuse", "prepare", "precopy", "move", "settle", "prove", "undo", "wait"])
        moving.add_argument("--of")
        moving.add_argument("--detach", action="store_true")
        moving.add_argument("--limit", type=float, default=20)
        moving.add_argument("--stage", choices=["configuration", "services", "unit"], default="unit")
        moving.add_argument("--overwrite-old-root", action="store_true")
    stack = verbs.add_parser("compose-stack", parents=[carried])
    stack.add_argument("action", choices=["refuse", "prepare", "pull", "deploy", "settle", "prove", "undo", "wait"])
    stack.add_argument("--of")
    stack.add_argument("--detach", action="store_true")
    stack.add_argument("--limit", type=float, default=20)
    stack.add_argument("--stage", choices=["services", "unit"], default="unit")
    verbs.add_parser("purge", parents=[carried]).add_argument("action", choices=["refuse", "leave-word", "purge", "prove"])
    baseline = verbs.add_parser("bootstrap", parents=[carried])
    baseline.add_argument("action", choices=["refuse", "prepare", "configure", "install", "switch-on", "prove", "undo"])
    baseline.add_argument("--of")
    baseline.add_argument("--repair", action="store_true")
    verbs.add_parser("tmp", parents=[carried]).add_argument("action", choices=["refuse", "leave-word", "remove", "prove"])
    clearing = verbs.add_parser("hygiene", parents=[carried])
    clearing.add_argument("action", choices=["refuse", "prepare", "clean", "time", "prove", "undo", "timed"])
    clearing.add_argument("--of")
    clearing.add_argument("--settings", default="")
    redis = verbs.add_parser("redis", parents=[carried])
    redis.add_argument("action", choices=["refuse", "prepare", "turn-on", "persist", "settle", "prove", "undo"])
    redis.add_argument("--stage", choices=["services"], default="services")
    redis.add_argument("--of")
    verbs.add_parser("rollback", parents=[carried]).add_argument("--of", required=True)
    undo = verbs.add_parser("undo", parents=[carried])
    undo.add_argument("--overwrite-old-root", action="store_true")
    beneath = verbs.add_parser("bare", parents=[carried])
    beneath.add_argument("action", choices=["look", "set", "clear"])
    beneath.add_argument("path")
    for name in ("state", "way-back"):
        verbs.add_parser(name, parents=[carried])
    verbs.add_parser("data-disk", parents=[carried]).add_argument("action", choices=["look", "make", "mount"])
    verbs.add_parser("fstab", parents=[carried]).add_argument("action", choices=["look", "record", "write", "break-glass"])
    return whole


def _carried() -> argparse.ArgumentParser:
    """Return what each verb is told: its run, the claim that the play got, and whether it changes the host under that or only shows how it would."""
    carried = argparse.ArgumentParser(add_help=False)
    carried.add_argument("--run")
    carried.add_argument("--holder", default="")
    carried.add_argument("--token", type=int)
    carried.add_argument("--ttl", type=int, default=1800)
    how = carried.add_mutually_exclusive_group()
    how.add_argument("--hold", action="store_true")
    how.add_argument("--check", action="store_true")
    return carried
