"""Canonical JSON and the digests over it (UTF-8, sorted keys, no spaces)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Made once, and without a look-out for circles: what is digested came from JSON or from models, and a circle would end in a RecursionError.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False)


def canonical_json(data: Any) -> bytes:
    """Return the one byte form of `data`; NaN and infinities are refused, they have no JSON form."""
    return _CANONICAL.encode(data).encode()


def digest_of_bytes(content: bytes) -> str:
    """Return `sha256:<hex>` of a file's content, as `sha256sum` has it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_of(data: Any) -> str:
    """Return `sha256:<hex>` of the canonical JSON of `data`."""
    return f"sha256:{hashlib.sha256(canonical_json(data)).hexdigest()}"
