"""Sizes and percentages as people write them: whole numbers with a unit, never a bare number.

Source: decimal units kB MB GB TB are powers of 1000, binary units KiB MiB GiB TiB powers of 1024.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

UNITS = {
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}
SIZE_PATTERN = r"^[1-9][0-9]{0,11} ?(kB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
PERCENT_PATTERN = r"^([1-9][0-9]?|100)%$"
# What a validation context holds while text of a file is read: a bare number there has no unit and is a fault.
FROM_TEXT = {"from_text": True}

_SIZE = re.compile(r"([1-9][0-9]{0,11}) ?(kB|MB|GB|TB|KiB|MiB|GiB|TiB)", re.ASCII)
_PERCENT = re.compile(r"([1-9][0-9]?|100)%", re.ASCII)
# Beyond this no file system goes, and a number fits in 63 bits everywhere that it is passed on to.
LARGEST = 8 * 1000**6


def parse_size(text: str) -> int:
    """Return the bytes that `text` (such as `15GB` or `512MiB`) names; ValueError says what to write instead."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size: write a positive whole number and a unit, such as 15GB or 512MiB ({_units()})")
    size = int(found[1]) * UNITS[found[2]]
    if size > LARGEST:
        raise ValueError(f"{text!r} is more than any disk holds: write at most 8000000TB")
    return size


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` reads back as exactly `size` bytes; ValueError if no unit divides it."""
    exact = [(size // factor, unit) for unit, factor in UNITS.items() if size > 0 and size % factor == 0]
    if not exact:
        raise ValueError(f"{size} bytes is no whole number of kB or KiB")
    number, unit = min(exact, key=lambda pair: (len(str(pair[0])), len(pair[1])))
    return f"{number}{unit}"


def parse_percent(text: str) -> int:
    """Return 1 to 100 for text such as `80%`; ValueError says what to write instead."""
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no percentage: write a whole number from 1% to 100%, such as 80%")
    return int(found[1])


def _units() -> str:
    return " ".join(UNITS)


def _given(value: Any, info: ValidationInfo, parse: Any, example: str, largest: int) -> int:
    if isinstance(value, str):
        return int(parse(value))
    resolved = isinstance(value, int) and not isinstance(value, bool) and not (info.context or {}).get("from_text")
    if resolved and 0 < value <= largest:
        return int(value)
    raise ValueError(f"{value!r} has no unit: write it as {example}")


def _size_given(value: Any, info: ValidationInfo) -> int:
    return _given(value, info, parse_size, "15GB or 512MiB", LARGEST)


def _percent_given(value: Any, info: ValidationInfo) -> int:
    return _given(value, info, parse_percent, "80%", 100)


# Bytes. Written with a unit in a file, an int once resolved.
Size = Annotated[
    int,
    BeforeValidator(_size_given),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "description": "Size with a unit, such as 15GB or 512MiB"}),
]
# 1 to 100. Written with % in a file, an int once resolved.
Percent = Annotated[
    int,
    BeforeValidator(_percent_given),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "description": "Percentage from 1% to 100%"}),
]
