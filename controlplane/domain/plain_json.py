"""Read JSON that a host wrote, as data that can be digested, written and printed again.

A file name on a host can be any bytes, and reaches us as half a surrogate pair; numbers can be NaN. Neither has a canonical form.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json


class TwinError(ValueError):
    """Say which key of an object is there twice."""


def load_plain(text: str | bytes) -> Any:
    """Return the data; half surrogates become `?`, and of a key that is there twice the last counts.

    Raises ValueError for what is no JSON, NaN and infinities included.
    """
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    try:
        # In half the time, and never another value; but it refuses half surrogates and deep nesting, and names no line.
        return from_json(raw, allow_inf_nan=False)
    except ValueError:
        return _load_with_care(raw)


def load_without_twins(raw: bytes) -> Any:
    """Return the same, in three times the time, but raise TwinError for a key that is there twice."""
    return _load_with_care(raw, without_twins)


def _load_with_care(raw: bytes, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    try:
        data = json.loads(raw, parse_constant=_refuse, object_pairs_hook=hook)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    # Only an escape can bring half a pair in: UTF-8 has none.
    if b"\\ud" not in raw and b"\\uD" not in raw:
        return data
    return json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object, as `object_pairs_hook`. Raises TwinError for a key that is there twice: which of the two counts is the reader's guess."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise TwinError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
