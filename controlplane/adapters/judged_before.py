"""What this user's earlier verbs found good of signatures, so that a chain of thousands need not be asked of ssh-keygen each time.

Rules:
- Only what holds is remembered, under the digest of all that decides it: the allowed signers, what was signed, its signature, namespace and time.
  Whatever differs by a bit, is revoked, or was put in, has another digest and is judged.
- It lies in the user's own cache, never in the site: who can write there can also write the program's configuration and ssh's. Where anybody else may
  write it, it is left alone.
- Lost or broken it costs time and nothing else. `receipts verify` does not ask it.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from hashlib import sha256
from pathlib import Path

from pydantic_core import from_json


def cache_folder() -> Path | None:
    """Return the user's own folder for this program's caches, None where they have no home. XDG Base Directory: a relative path is no path."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given.startswith("/"):
        return Path(given, "controlplane")
    home = os.environ.get("HOME", "")
    return Path(home, ".cache", "controlplane") if home.startswith("/") else None


class JudgedBefore:
    """Who signed what, as found before; `by` is the digest of the allowed signers that it was found by. Nothing is kept without a `folder`."""

    def __init__(self, folder: Path | None, by: bytes) -> None:
        self._file = None if folder is None else folder / "signatures" / f"{by.hex()[:32]}.json"
        self._held = self._read()
        self._is_new = False

    def principal(self, key: str) -> str | None:
        """Return who signed it, None where that was not found before."""
        return self._held.get(key)

    def add(self, key: str, principal: str) -> None:
        """Remember that it holds."""
        self._is_new = self._is_new or self._held.get(key) != principal
        self._held[key] = principal

    def keep(self) -> None:
        """Write what was added, whole or not at all. A folder that can't be written is no fault."""
        if self._file is None or not self._is_new:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not _is_own(self._file.parent):
                return
            handle, scratch = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w") as file:
                json.dump(self._held, file)
            Path(scratch).replace(self._file)
            self._is_new = False
        except OSError:
            return

    def _read(self) -> dict[str, str]:
        try:
            if self._file is None or not _is_own(self._file.parent) or not _is_own(self._file):
                return {}
            held = from_json(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return {key: name for key, name in held.items() if isinstance(name, str)} if isinstance(held, dict) else {}


def key_of(content: bytes, signature: bytes, namespace: str, at: str) -> str:
    """Return the digest under which a judgement is remembered; `at` is the time that it is of."""
    parts = (sha256(content).digest(), sha256(signature).digest(), namespace.encode(), at.encode())
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def _is_own(path: Path) -> bool:
    """Say whether it is there and only this user may write it; a link is not followed."""
    try:
        seen = path.lstat()
    except OSError:
        return False
    return seen.st_uid == os.geteuid() and not seen.st_mode & 0o022 and not stat.S_ISLNK(seen.st_mode)
