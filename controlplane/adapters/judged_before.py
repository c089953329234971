"""What this user's earlier verbs found good of signatures, so that a chain of thousands need not be asked of ssh-keygen each time.

Rules:
- Only what holds is remembered, under the digest of all that decides it: the allowed signers, what was signed, its signature, namespace and time,
  and who judged, this program's rules and the ssh-keygen of this machine. Whatever differs by a bit has another digest and is judged.
- It lies in the user's own cache, never in the site: who can write there can also write what this user's shell runs. Where somebody else may write
  it, or a folder that it lies in, it is left alone.
- Lost or broken it costs time and nothing else. `receipts verify` does not ask it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

from pydantic_core import from_json

# To be raised with every change of what signatures.py lets pass.
_RULES = 1
_KEPT_S = 60 * 24 * 3600


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
        self._folder = None if folder is None else folder / "signatures"
        self._name = f"{sha256(by + _judge()).hexdigest()}.json"
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
        if self._folder is None or not self._is_new:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _opened(self._folder) as folder:
                if folder is not None:
                    _replace(folder, self._name, json.dumps(self._held).encode())
                    self._is_new = False
        except OSError:
            return

    def _read(self) -> dict[str, str]:
        try:
            with nullcontext(None) if self._folder is None else _opened(self._folder) as folder:
                content = None if folder is None else _content(folder, self._name)
            held = {} if content is None else from_json(content)
        except (OSError, ValueError):
            return {}
        return {key: name for key, name in held.items() if isinstance(name, str)} if isinstance(held, dict) else {}


def key_of(content: bytes, signature: bytes, namespace: str, at: str) -> str:
    """Return the digest under which a judgement is remembered; `at` is the time that it is of."""
    parts = (sha256(content).digest(), sha256(signature).digest(), namespace.encode(), at.encode())
    return sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def _judge() -> bytes:
    """Return what tells this program's rules and this machine's ssh-keygen from others'."""
    program = shutil.which("ssh-keygen") or ""
    seen = Path(program).stat() if program else None
    return f"{_RULES} {program} {seen and (seen.st_ino, seen.st_mtime_ns, seen.st_size)}".encode()


@contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Give the folder opened, None where somebody else may write it or the one above."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield handle if _is_own(os.fstat(handle)) and _is_own(os.stat("..", dir_fd=handle)) else None
    finally:
        os.close(handle)


def _content(folder: int, name: str) -> bytes | None:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:
        return file.read() if _is_own(os.fstat(file.fileno())) else None


def _replace(folder: int, name: str, content: bytes) -> None:
    scratch = f".{name}.{os.getpid()}"
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.rename(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(scratch, dir_fd=folder)
        raise
    # What was judged by others, or by another ssh-keygen, and is not asked any more.
    for other in os.listdir(folder):
        if other != name and time.time() - os.stat(other, dir_fd=folder, follow_symlinks=False).st_mtime > _KEPT_S:
            os.unlink(other, dir_fd=folder)


def _is_own(seen: os.stat_result) -> bool:
    """Say whether only this user may write it."""
    return seen.st_uid == os.geteuid() and not seen.st_mode & 0o022
