"""Whether a file is still what a new text for it was made from: an editor that saves, and a git that pulls, ask no lock of ours."""

from __future__ import annotations

import hashlib
from pathlib import Path

from controlplane.domain.errors import RefusedError

ABSENT = "absent"


def digest_of_file(path: Path) -> str:
    """Return the digest of a file's bytes, `absent` where there is none."""
    try:
        return digest_of_bytes(path.read_bytes())
    except FileNotFoundError:
        return ABSENT
    except OSError as error:
        # Whoever reads it as text says why that can't be done.
        return f"unreadable: {error.strerror}"


def digest_of_bytes(content: bytes) -> str:
    """Return the digest of a file's content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def refuse_changed(path: Path, was: str, *, then: str = "") -> None:
    """Raise `RefusedError` where a file is not what it was: its digest, or `absent`. `then` ends what that says."""
    if digest_of_file(path) != was:
        raise RefusedError(f"{path} was changed by another hand meanwhile, and is left as that made it.{then}")
