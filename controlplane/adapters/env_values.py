"""Keep the values of a site's environment files out of what is said of its releases' files.

Rules:
- Every environment file below releases/ counts, whichever stack it is of and whatever is wrong with it or with the release's own file: each that is
  called .env or .env.SOMETHING, and each that lies beside its contract.
- One that can't be read hides nothing. Nothing is read before there is something to say.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from controlplane.adapters.private_file import MOST_BYTES
from controlplane.domain.releases.hiding import hide, unshown

_CONTRACT = ".example"


class EnvValues:
    """The values below one releases/, as they are when the first text is given."""

    def __init__(self, releases: Path) -> None:
        self._releases = releases

    def cover(self, text: str) -> str:
        """Return a text of a release's files as it may be shown."""
        return hide(text, self._values) if text else text

    @cached_property
    def _values(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for path in _env_files(self._releases):
            found |= dict.fromkeys(unshown(_text(path), _text(path.with_name(f"{path.name}{_CONTRACT}"))))
        return tuple(found)


def _env_files(releases: Path) -> list[Path]:
    found: dict[Path, None] = {}
    for folder, _, names in os.walk(releases):
        for name in names:
            if name.endswith(_CONTRACT) or name == ".env" or name.startswith(".env."):
                found[Path(folder, name.removesuffix(_CONTRACT))] = None
    return list(found)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""
