"""Durations as people write them: a positive whole number and a unit, such as 15m, 24h or 7d; seconds once read."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> int:
    """Return the seconds that `text` (such as `90s`, `15m`, `24h`, `7d`) names; ValueError says what to write instead."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})(s|m|h|d)", text, re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is no duration: write a positive whole number and a unit, such as 15m, 24h or 7d")
    return int(found[1]) * _SECONDS[found[2]]


def _duration_given(value: Any, info: ValidationInfo) -> int:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0 and not (info.context or {}).get("from_text"):
        return value
    raise ValueError(f"{value!r} has no unit: write it as 15m, 24h or 7d")


Seconds = Annotated[
    int,
    BeforeValidator(_duration_given),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,5}(s|m|h|d)$", "description": "Duration such as 15m, 24h or 7d"}),
]
