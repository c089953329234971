"""What the command line on the target takes, verb by verb."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .state import BASE

_NAME = "controlplane_target"
# For each argument argparse asks how wide a page of help would be; told so, it need not ask the terminal, nor import what does.
_PAGE = partial(argparse.HelpFormatter, width=100)
_Own = argparse.ArgumentParser


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser, of that verb alone where it is one: a slow machine feels each. What follows `--` is another program's and never gets here."""
    whole = argparse.ArgumentParser(prog=_NAME, formatter_class=_PAGE)
    whole.add_argument("--base", type=Path, default=BASE, help=argparse.SUPPRESS)
    verbs = whole.add_subparsers(dest="verb", required=True)
    carried = _carried()
    for name in [only] if only in _OWN else _OWN:
        _OWN[str(name)](verbs.add_parser(str(name), parents=[carried], formatter_class=_PAGE))
    return whole


def verb_of(arguments: list[str]) -> str | None:
    """Return the word that stands where a verb does, None where there is none."""
    words = iter(arguments)
    for word in words:
        if word == "--base":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _actions(own: _Own, *choices: str) -> None:
    own.add_argument("action", choices=choices)


def _lease(own: _Own) -> None:
    _actions(own, "take", "hold", "release", "show")
    own.add_argument("--role", default="")
    own.add_argument("--take-over", default="")


def _moving(own: _Own) -> None:
    _actions(own, "refuse", "prepare", "precopy", "move", "settle", "prove", "undo", "wait")
    _unit(own, "configuration", "services", "unit")
    own.add_argument("--overwrite-old-root", action="store_true")


def _stack(own: _Own) -> None:
    _actions(own, "refuse", "prepare", "pull", "deploy", "settle", "prove", "undo", "wait")
    _unit(own, "services", "unit")


def _unit(own: _Own, *stages: str) -> None:
    own.add_argument("--of")
    own.add_argument("--detach", action="store_true")
    own.add_argument("--limit", type=float, default=20)
    own.add_argument("--stage", choices=stages, default="unit")


def _baseline(own: _Own) -> None:
    _actions(own, "refuse", "prepare", "bring", "prove", "undo")
    own.add_argument("--of")
    own.add_argument("--repair", action="store_true")


def _clearing(own: _Own) -> None:
    _actions(own, "refuse", "prepare", "clean", "time", "prove", "undo", "timed")
    own.add_argument("--of")
    own.add_argument("--settings", default="")


def _redis(own: _Own) -> None:
    _actions(own, "refuse", "prepare", "turn-on", "persist", "settle", "prove", "undo")
    own.add_argument("--stage", choices=["services"], default="services")
    own.add_argument("--of")


def _beneath(own: _Own) -> None:
    _actions(own, "look", "set", "clear")
    own.add_argument("path")


_OWN: dict[str, Callable[[_Own], object]] = {
    "lease": _lease,
    "docker-root": _moving,
    "persistent-path": _moving,
    "compose-stack": _stack,
    "purge": lambda own: _actions(own, "refuse", "leave-word", "purge", "prove"),
    "bootstrap": _baseline,
    "tmp": lambda own: _actions(own, "refuse", "leave-word", "remove", "prove"),
    "hygiene": _clearing,
    "redis": _redis,
    "rollback": lambda own: own.add_argument("--of", required=True),
    "undo": lambda own: own.add_argument("--overwrite-old-root", action="store_true"),
    "bare": _beneath,
    "state": lambda _own: None,
    "way-back": lambda _own: None,
    "data-disk": lambda own: _actions(own, "look", "place"),
    "fstab": lambda own: _actions(own, "look", "record", "write", "break-glass"),
}


def _carried() -> argparse.ArgumentParser:
    """Return what each verb is told: its run, the claim that the play got, and how it works: under that, only to show it, or as the last one."""
    carried = argparse.ArgumentParser(add_help=False, formatter_class=_PAGE)
    carried.add_argument("--run")
    carried.add_argument("--holder", default="")
    carried.add_argument("--token", type=int)
    carried.add_argument("--ttl", type=int, default=1800)
    how = carried.add_mutually_exclusive_group()
    how.add_argument("--hold", action="store_true")
    how.add_argument("--check", action="store_true")
    how.add_argument("--release", action="store_true")
    return carried
