"""What the actions of `fstab` are asked, on standard input as JSON; anything of another shape is refused before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from .faults import RefusedFault
from .fstab_guard import Drop
from .fstab_lines import Entry

Shape = Callable[[str, Any], Any]


class Start(TypedDict):
    """A mount that is to be started."""

    file: str
    unit: str


class Look(NamedTuple):
    """What is to be judged; `field` is where the policy says it, `bare` are mounts beneath which the directory must be immutable."""

    entries: list[Entry]
    guards: list[Drop]
    path: str
    bare: list[str]
    field: str


class Record(NamedTuple):
    """What is to be recorded: `make` are mountpoints that will be made, `writable` mounts beneath which the directory will be made immutable."""

    entries: list[Entry]
    guards: list[Drop]
    path: str
    make: list[str]
    writable: list[str]
    undo: str
    readme: str


class Write(NamedTuple):
    """What is to be carried out; `reload` says that systemd has to read again what an earlier attempt wrote."""

    entries: list[Entry]
    guards: list[Drop]
    path: str
    make: list[str]
    writable: list[str]
    start: list[Start]
    reload: bool


class BreakGlass(NamedTuple):
    """Who takes the guards away, and why."""

    who: str
    why: str


def look(text: str) -> Look:
    """Return the request of `fstab look`. Raises `RefusedFault`."""
    return Look(**_asked("look", text, {**_POLICY, "bare": _texts, "field": _text}, path=_FSTAB))


def record(text: str) -> Record:
    """Return the request of `fstab record`. Raises `RefusedFault`."""
    return Record(**_asked("record", text, {**_POLICY, "make": _texts, "writable": _texts, "undo": _text, "readme": _text}, path=_FSTAB))


def write(text: str) -> Write:
    """Return the request of `fstab write`. Raises `RefusedFault`."""
    return Write(**_asked("write", text, {**_POLICY, "make": _texts, "writable": _texts, "start": _starts, "reload": _flag}, path=_FSTAB))


def break_glass(text: str) -> BreakGlass:
    """Return the request of `fstab break-glass`. Raises `RefusedFault`."""
    return BreakGlass(**_asked("break-glass", text, {"who": _text, "why": _text}))


def _asked(action: str, text: str, shapes: dict[str, Shape], **defaults: Any) -> dict[str, Any]:
    try:
        return _object("it", json.loads(text), shapes, **defaults)
    except ValueError as fault:
        raise RefusedFault(
            f"the request of 'fstab {action}' is malformed: {fault}. Nothing was changed. Mend what the role fstab was given."
        ) from fault


def _object(place: str, held: Any, shapes: dict[str, Shape], **defaults: Any) -> dict[str, Any]:
    """Return an object with exactly these keys, each of its shape. Raises `ValueError`, which names no values: one can be a secret."""
    if not isinstance(held, dict):
        raise ValueError(f"{place} is no object")
    whole = {**defaults, **held}
    odd = [f"lacks {name}" for name in shapes if name not in whole] + [f"has the unknown key {name}" for name in whole if name not in shapes]
    if odd:
        raise ValueError(f"{place} {', '.join(odd)}")
    at = "" if place == "it" else f"{place}."
    return {name: shape(f"{at}{name}", whole[name]) for name, shape in shapes.items()}


def _list(place: str, held: Any, shape: Shape) -> list[Any]:
    if not isinstance(held, list):
        raise ValueError(f"{place} is no list")
    return [shape(f"{place}[{number}]", one) for number, one in enumerate(held)]


def _text(place: str, held: Any) -> str:
    if not isinstance(held, str):
        raise ValueError(f"{place} is no text")
    return held


def _number(place: str, held: Any) -> int:
    # As a template gives it, and YAML that quotes it.
    if isinstance(held, str) and held.isascii() and held.isdigit():
        return int(held)
    if not isinstance(held, int) or isinstance(held, bool):
        raise ValueError(f"{place} is no whole number")
    return held


def _flag(place: str, held: Any) -> bool:
    if not isinstance(held, bool):
        raise ValueError(f"{place} is neither true nor false")
    return held


def _texts(place: str, held: Any) -> list[str]:
    return _list(place, held, _text)


def _entry(place: str, held: Any) -> dict[str, Any]:
    shapes: dict[str, Shape] = {"spec": _text, "file": _text, "vfstype": _text, "options": _texts, "freq": _number, "passno": _number}
    return _object(place, held, shapes, freq=0, passno=0)


def _guard(place: str, held: Any) -> dict[str, Any]:
    return _object(place, held, {"unit": _text, "text": _text, "ahead": _flag}, ahead=False)


def _start(place: str, held: Any) -> dict[str, Any]:
    return _object(place, held, {"file": _text, "unit": _text})


def _entries(place: str, held: Any) -> list[Any]:
    return _list(place, held, _entry)


def _guards(place: str, held: Any) -> list[Any]:
    return _list(place, held, _guard)


def _starts(place: str, held: Any) -> list[Any]:
    return _list(place, held, _start)


_FSTAB = "/etc/fstab"
_POLICY: dict[str, Shape] = {"entries": _entries, "guards": _guards, "path": _text}
