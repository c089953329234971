"""What the verbs of `data-disk` are asked, as JSON: its shape is judged before anything is looked at."""

from __future__ import annotations

import json
from typing import Any

from .faults import RefusedFault

IDENTITIES = ("serial", "wwn", "by_id", "by_path", "loop_file", "uuid")
FILESYSTEMS = ("ext4", "xfs")

_SHAPES: dict[str, dict[str, type]] = {
    "look": {
        "identity": dict,
        "min_size": int,
        "max_size": int,
        "filesystem": str,
        "uuid": str,
        "mount": str,
        "options": list,
        "format": bool,
        "field": str,
    },
    "place": {
        "make": bool,
        "node": str,
        "number": str,
        "size": int,
        "mount": str,
        "filesystem": str,
        "uuid": str,
        "options": list,
    },
}
_CALLED = {str: "text", int: "a whole number", bool: "true or false", list: "a list of texts", dict: "an object of kind and value"}


def parse(action: str, text: str) -> dict[str, Any]:
    """Return the request of one verb; refuse any other shape, and name at once all that is wrong with it."""
    try:
        asked = json.loads(text)
    except ValueError:
        asked = None
    shape = _SHAPES[action]
    if not isinstance(asked, dict):
        raise RefusedFault(f"data-disk {action} is asked by an object of {', '.join(shape)}. Nothing was changed.")
    ill = [name for name, kind in shape.items() if name in asked and not _is(asked[name], kind)]
    wrong = [
        *(f"{name} is missing" for name in shape if name not in asked),
        *(f"{name} is unknown" for name in sorted(set(asked) - set(shape))),
        *(f"{name} is {asked[name]!r}, but has to be {_CALLED[shape[name]]}" for name in ill),
    ]
    wrong = wrong or _unknown(asked)
    if wrong:
        raise RefusedFault(f"data-disk {action} can't be done as it is asked: {'; '.join(wrong)}. Nothing was changed.")
    return asked


def _is(value: Any, kind: type) -> bool:
    if kind is dict:
        return isinstance(value, dict) and set(value) == {"kind", "value"} and all(isinstance(one, str) for one in value.values())
    if kind is list:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    # True is an int, too.
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _unknown(asked: dict[str, Any]) -> list[str]:
    filesystem, identity = asked["filesystem"], asked.get("identity", {"kind": IDENTITIES[0]})
    return [
        *([] if identity["kind"] in IDENTITIES else [f"the identity {identity['kind']!r} is none of {', '.join(IDENTITIES)}"]),
        *([] if filesystem in FILESYSTEMS else [f"the filesystem {filesystem!r} is none of {', '.join(FILESYSTEMS)}"]),
    ]
