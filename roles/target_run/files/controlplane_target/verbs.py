"""The command line on the target: parse, call one verb, print one line of JSON, give the exit code.

Rules:
- Requests come as JSON on standard input, never as arguments.
- With `--hold` a verb changes the host: it works under the lease of its claim. With `--check` it only tells what it would do.
- With `--release` a verb that only looks is a play's last one: once it has found nothing amiss, the lease of its claim is given back.
- Each family of verbs has a module of its own, and only that is imported: a slow machine feels every import.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from importlib import import_module

from .arguments import parser, verb_of
from .faults import RefusedFault, TargetFault
from .state import Home

_VERBS = {
    "lease": "lease_verbs",
    "docker-root": "root_verbs",
    "purge": "purge_verbs",
    "bootstrap": "bootstrap_verbs",
    "bare": "bare",
    "rollback": "rollback",
    "undo": "undo_verb",
    "state": "state_verb",
    "way-back": "way_back",
    "data-disk": "data_disk_verbs",
    "fstab": "fstab_verbs",
    "redis": "redis_verbs",
    "persistent-path": "path_verbs",
    "compose-stack": "stack_verbs",
    "hygiene": "hygiene_verbs",
    "tmp": "tmp_files",
}


# What changes the host, each as (verb, its action). Those that can't tell beforehand what they would do know no `--check`.
_SHOWN = {
    ("bootstrap", "bring"),
    ("compose-stack", "deploy"),
    ("compose-stack", "undo"),
    ("data-disk", "place"),
    ("docker-root", "move"),
    ("fstab", "break-glass"),
    ("fstab", "record"),
    ("fstab", "write"),
    ("hygiene", "clean"),
    ("hygiene", "time"),
    ("persistent-path", "move"),
    ("purge", "purge"),
    ("redis", "persist"),
    ("tmp", "remove"),
    ("redis", "turn-on"),
    ("rollback", None),
    ("way-back", None),
}
_CHANGES = _SHOWN | {
    ("bootstrap", "prepare"),
    ("bootstrap", "undo"),
    ("compose-stack", "prepare"),
    ("compose-stack", "pull"),
    ("docker-root", "prepare"),
    ("docker-root", "precopy"),
    ("docker-root", "undo"),
    ("hygiene", "prepare"),
    ("hygiene", "undo"),
    ("persistent-path", "prepare"),
    ("persistent-path", "precopy"),
    ("persistent-path", "undo"),
    ("purge", "leave-word"),
    ("redis", "prepare"),
    ("redis", "undo"),
    ("tmp", "leave-word"),
}


# What verbs that only look call what is not as it shall be, where that fails no verb: the play judges it, and may go on under its lease.
_AMISS = ("objections", "lacking")


def main(arguments: list[str]) -> int:
    """Run one verb; return its exit code."""
    # argparse takes `--` for its own, and what follows belongs to another program.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser(verb_of(arguments[:end])).parse_args(arguments[:end])
    options.command = arguments[end + 1 :]
    try:
        answer = _answer(Home(options.base), options)
    except TargetFault as fault:
        _print({"message": str(fault)})
        print(fault, file=sys.stderr)
        return fault.code
    if isinstance(answer, int):
        return answer
    _print(answer)
    return 0


def _answer(home: Home, options: argparse.Namespace) -> dict[str, object] | int:
    _refuse_unless_safe(options)
    verb = import_module(f"{__package__}.{_VERBS[options.verb]}")
    held = import_module(f"{__package__}.lease_verbs").held(home, options) if options.hold else nullcontext()
    with held:
        answer: dict[str, object] | int = verb.act(home, options)
    if options.release and not isinstance(answer, int) and not any(answer.get(name) for name in _AMISS):
        answer["released"] = import_module(f"{__package__}.lease_verbs").give_back(home, options)
    return answer


def _refuse_unless_safe(options: argparse.Namespace) -> None:
    """Refuse what would change the host without the lease, and a preview of what has none."""
    asked = (options.verb, getattr(options, "action", None))
    named = " ".join(filter(None, asked))
    if options.check and asked not in _SHOWN:
        raise RefusedFault(f"{named!r} can't be shown, only done. Nothing was changed.")
    if options.release and asked in _CHANGES:
        raise RefusedFault(f"{named!r} changes this host, and gives no lease back. Nothing was changed.")
    # A unit belongs to whoever holds the lease of its run, and asks for that by itself.
    is_unit = options.verb in ("compose-stack", "docker-root", "persistent-path") and options.action != "prepare" and not options.detach
    if asked in _CHANGES and not options.hold and not options.check and not is_unit:
        raise RefusedFault(f"{named!r} changes this host, and carries no lease. Nothing was changed.")
    if options.run is None and asked not in {("hygiene", "timed"), ("lease", "show"), ("state", None)} and options.verb != "bare":
        raise RefusedFault(f"{named!r} belongs to a run, and none is named (--run). Nothing was changed.")


def _print(answer: dict[str, object]) -> None:
    # ASCII: a name on this host can be any bytes, and some characters of Unicode end a line for some readers.
    print(json.dumps(answer, sort_keys=True))
