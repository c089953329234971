"""Know a file's text by its digest, and show what changes in it."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path


def digest(text: bytes) -> str:
    """Return a text's digest."""
    return "sha256:" + hashlib.sha256(text).hexdigest()


def readable(text: bytes) -> str:
    """Return a text for people and JSON, whatever its bytes are."""
    return text.decode("utf-8", "replace")


def difference(before: bytes, after: bytes, name: str, other: str) -> str:
    """Return a unified diff."""
    texts = [readable(text).splitlines(keepends=True) for text in (before, after)]
    return "".join(difflib.unified_diff(*texts, fromfile=name, tofile=other))


def diff(path: Path, before: bytes, after: bytes) -> dict:
    """Return what `--diff` shows."""
    return {"before": readable(before), "after": readable(after), "before_header": str(path), "after_header": str(path)}
