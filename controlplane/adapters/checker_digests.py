"""Digests of what judges: the program's domain, which is all that decides a check of its own, or one file of the site.

With a file of the site go the conftest.py files that pytest loads for it: fixtures decide as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import controlplane
from controlplane.domain.gates.values import SiteCheck


class FileDigests:
    """Reads the sources once."""

    def __init__(self, site: Path) -> None:
        self._site = site

    def of(self, check: str, own: Mapping[str, SiteCheck]) -> str:
        """Return the digest of what judges that check; `own` are the site's. A file that is gone judges nothing, and is like no other."""
        if check not in own:
            return self._domain
        path = self._site / own[check].file
        # From the site's folder down to the file's own; of a file elsewhere only what lies beside it.
        folders = [one for one in path.parents if one == self._site or self._site in one.parents] or [path.parent]
        try:
            found = hashlib.sha256(path.read_bytes())
            for beside in (one / "conftest.py" for one in folders):
                if beside.exists():
                    found.update(b"\0" + beside.read_bytes())
        except OSError as error:
            return f"gone: {error.strerror}"
        return f"sha256:{found.hexdigest()}"

    @cached_property
    def _domain(self) -> str:
        root = Path(controlplane.__file__).parent / "domain"
        found = hashlib.sha256()
        for path in sorted(root.rglob("*.py")):
            found.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
        return f"sha256:{found.hexdigest()}"
