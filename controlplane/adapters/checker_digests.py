"""Digests of what judges: the program's domain, which is all that decides a check of its own, or the files of the site that decide one of the site's.

Of a check of the site's own these are its file, all that lies in its folder of the site, however deep (`checks/`: helpers that it imports, data that
it compares with, the files of its neighbours), and the modules that lie in the site's folder itself: pytest puts both on Python's path.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import controlplane
from controlplane.domain.gates.values import SiteCheck

# What Python and its tools leave behind by themselves, and make anew from what is counted.
_CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})


class FileDigests:
    """Reads the program's own sources once, and the site's each time: people edit them."""

    def __init__(self, site: Path) -> None:
        self._site = site

    def of(self, check: str, own: Mapping[str, SiteCheck]) -> str:
        """Return the digest of what judges that check; `own` are the site's. A file that is gone judges nothing, and is like no other."""
        if check not in own:
            return self._domain
        path = self._site / own[check].file
        found = hashlib.sha256()
        try:
            _count(found, own[check].file, path)
            for beside in sorted(set(self._beside(path)) - {path}):
                _count(found, os.path.relpath(beside, self._site), beside)
        except OSError as error:
            return f"gone: {error.strerror}"
        return f"sha256:{found.hexdigest()}"

    def _beside(self, path: Path) -> Iterator[Path]:
        """Yield the files that can decide besides the check's own. Of one that lies outside of the site, these are the modules next to it."""
        inside = path.relative_to(self._site).parts if path.is_relative_to(self._site) else ()
        yield from (self._site if inside else path.parent).glob("*.py")
        if len(inside) > 1:
            yield from _below(self._site / inside[0])

    @cached_property
    def _domain(self) -> str:
        root = Path(controlplane.__file__).parent / "domain"
        found = hashlib.sha256()
        for path in sorted(root.rglob("*.py")):
            found.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
        return f"sha256:{found.hexdigest()}"


def _below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder, also behind links to folders, which Python follows; each folder once."""
    seen: set[tuple[int, int]] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if name not in _CACHES)
        yield from (Path(here, name) for name in files)


def _count(found: hashlib._Hash, name: str, path: Path) -> None:
    """Count a file by its name and its content, a link to nowhere and what is no file (a socket) by its name."""
    content = b"absent"
    if path.is_file():
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    elif not path.is_symlink() and not path.exists():
        raise FileNotFoundError(2, "No such file or directory")
    found.update(f"{len(os.fsencode(name))}:".encode() + os.fsencode(name) + content)
