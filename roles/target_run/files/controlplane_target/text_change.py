"""How a text was changed, kept without the text: enough to take the change back byte for byte, and nothing of what stayed.

What stays may be a password; it has no business in a run's folder. Pure.
"""

from __future__ import annotations

import difflib
import hashlib
from typing import Any


def change_of(old: str, new: str) -> dict[str, Any]:
    """Return {before, after: sha256, edits: [[start, end in the new text, what stood there in the old one]]}."""
    head = next((at for at, (one, other) in enumerate(zip(old, new)) if one != other), min(len(old), len(new)))
    most = min(len(old), len(new)) - head
    tail = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    matcher = difflib.SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    edits = [[head + start, head + end, old[head + a : head + b]] for kind, a, b, start, end in matcher.get_opcodes() if kind != "equal"]
    return {"before": digest(old), "after": digest(new), "edits": edits}


def taken_back(new: str, change: dict[str, Any]) -> str | None:
    """Return the old text, None where `new` is not the text that the change led to."""
    if digest(new) != change["after"]:
        return None
    text = new
    for start, end, was in reversed(change["edits"]):
        text = text[:start] + was + text[end:]
    return text if digest(text) == change["before"] else None


def digest(text: str) -> str:
    """Return the sha256 of a text; bytes that are no UTF-8 are held as surrogates."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
