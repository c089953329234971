"""Write property strings as Proxmox VE gives them back, and sizes as it rounds them.

From pve-common's JSONSchema module: the default key's value first, then required keys, then the rest by name; a key alias is written
as MODEL=MAC; sizes in the largest unit that leaves no fraction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from tests.fakes.proxmox.schema import Properties

_UNITS = ("", "K", "M", "G", "T")


def print_properties(properties: Properties, values: Mapping[str, str]) -> str:
    """Return a property string in the server's own order."""
    left = dict(values)
    parts: list[str] = []
    default = next((key for key, told in properties.items() if told.get("default_key")), None)
    combined = next(((told["keyAlias"], told["alias"]) for told in properties.values() if "keyAlias" in told), None)
    if combined and combined[0] in left and combined[1] in left:
        parts.append(f"{left.pop(combined[0])}={left.pop(combined[1])}")
    if default in left:
        parts.append(left.pop(default))
    rest = sorted(left, key=lambda one: (bool(properties[one].get("optional")), one))
    return ",".join([*parts, *(f"{key}={left[key]}" for key in rest)])


def size_text(size: int) -> str:
    """Return bytes as 8G, 2252M or 1025."""
    for unit in _UNITS[:-1]:
        if size % 1024:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}{_UNITS[-1]}"


def size_bytes(text: str) -> int:
    """Return the bytes of a size such as 8G or 2.5T."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:iB)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(Fraction(found[1]) * 1024 ** _UNITS.index(found[2]))
