"""The name of one attempt: `CAP-YYYYMMDD-HHMMSS__capability__R` and four hex digits, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

PATTERN = re.compile(r"CAP-\d{8}-\d{6}__[a-z][a-z0-9_.]*__R[0-9a-f]{4}")


def make_run_key(capability: str, now: datetime, entropy: str) -> str:
    """Return the key of a run of `capability` begun at `now`; `entropy` is four hex digits."""
    key = f"CAP-{now.astimezone(UTC):%Y%m%d-%H%M%S}__{capability}__R{entropy}"
    if not PATTERN.fullmatch(key):
        raise ValueError(f"not a run key: {key}")
    return key


def begun_at(key: str) -> datetime:
    """Return when the run of a key was begun, by the clock of then. ValueError for a key that names no time."""
    return datetime.strptime(key[4:19], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def is_run_key(text: str) -> bool:
    """Say whether `text` is a run key; it then is safe as one path component."""
    return PATTERN.fullmatch(text) is not None
