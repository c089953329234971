"""The key with which a site makes digests of its environment files: random, its own, never out of its state folder.

A plain digest of a file with few unknowns tells them to who tries; with the key it tells only whether something changed.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Final

from controlplane.adapters.durable_files import write_durably
from controlplane.adapters.private_file import read_private
from controlplane.domain.errors import InputInvalidError, RunFailedError

NAME: Final = "release-key"
_BYTES: Final = 32


def keyed_digest(state: Path, content: bytes) -> str:
    """Return `hmac-sha256:…` of `content` by the key in a site's state folder, which is made at its first use. Raises `InputInvalidError`."""
    return f"hmac-sha256:{hmac.digest(_key(state / NAME), content, 'sha256').hex()}"


def _key(path: Path) -> bytes:
    if not path.is_symlink() and not path.exists():
        try:
            write_durably(path, os.urandom(_BYTES), exclusive=True)
        except FileExistsError:
            # Another process was first: its key is the site's.
            pass
        except OSError as error:
            raise RunFailedError(f"{path} can't be written ({error.strerror}). Nothing was changed. Mend that, then run this again.") from None
    raw, faults = read_private(path, shown=str(path))
    if faults:
        raise InputInvalidError(faults)
    if raw is None or len(raw) != _BYTES:
        told = f"is no key of this program. Nothing was changed. Remove it: then each environment file counts as changed once. {path}"
        raise RunFailedError(told)
    return raw
