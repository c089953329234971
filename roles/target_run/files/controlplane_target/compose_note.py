"""What Compose makes of a stack when a run begins, kept as a digest: what it reads besides the stack's own files it alone knows.

Rules:
- Compared is all that it says, not its hash of one service: that knows nothing of a volume's name, and in some versions nothing of an env_file.
- It is the reading without the run's own change, whether that is written by now or not.
- A reading holds passwords: kept is a digest with a salt that is made anew for each run, where root alone reads it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from . import compose, text_change
from .compose import Stack
from .faults import FailedFault, RefusedFault

_DIGEST = 32
_INSTEAD = (
    "To make {0} anew would bring that into effect as well, so that was not done. Bring it up to its files yourself ({1}), then make a new plan"
)


def noted(stack: Stack, texts: dict[str, str], *, salt: str = "") -> dict[str, str]:
    """Return {salt, digest} of what Compose makes of the stack with these texts in place of its files' own. Raises `RefusedFault`."""
    salt = salt or secrets.token_hex(_DIGEST)
    told = json.dumps(compose.reading_of(stack, texts) if texts else compose.reading(stack), sort_keys=True)
    return {"salt": salt, "digest": hashlib.blake2b(told.encode(), key=bytes.fromhex(salt), digest_size=_DIGEST).hexdigest()}


def without(changes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the texts of those files that hold these changes by now, without them. Raises `RefusedFault`."""
    taken_back = {path: text_change.taken_back(compose.read_text(path), change) for path, change in changes.items()}
    return {path: text for path, text in taken_back.items() if text is not None}


def assert_as_noted(note: dict[str, str] | None, stack: Stack, changes: dict[str, dict[str, Any]]) -> None:
    """Raise `FailedFault` unless Compose makes of the stack, but for these changes, what it made of it when that was noted."""
    if note is None:
        raise FailedFault(
            f"how Compose read {', '.join(stack.files)} when this run began is not on record. {_INSTEAD.format(stack.service, stack.by_hand)}"
        )
    try:
        if noted(stack, without(changes), salt=note["salt"]) == note:
            return
    except RefusedFault as fault:
        raise FailedFault(f"{str(fault).removesuffix(' Nothing was changed.')} {_INSTEAD.format(stack.service, stack.by_hand)}") from fault
    raise FailedFault(
        f"{', '.join(stack.files)} means something else to Compose than when this run began, and not by what stands there itself: a file that is "
        f"included or extended, an env_file or a variable changed. {_INSTEAD.format(stack.service, stack.by_hand)}"
    )
