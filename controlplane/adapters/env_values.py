"""Keep the values of a site's environment files out of what is said of its releases' files.

Rules:
- Every environment file below releases/ counts, whichever stack it is of and whatever is wrong with it or with the release's own file: each that is
  called .env or .env.SOMETHING, and each that lies beside its contract.
- One that can't be read hides nothing. Nothing is read before there is something to say.
- One in another encoding than UTF-8 is a fault, and hides what is in it nevertheless. A contract in another one is none.
"""

from __future__ import annotations

import codecs
import os
from functools import cached_property
from pathlib import Path

from controlplane.adapters.private_file import MOST_BYTES
from controlplane.domain.releases.hiding import Hiding, unshown

_CONTRACT = ".example"
# The first that fits counts: the mark of UTF-16 begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class EnvValues:
    """The values below one releases/, as they are when the first text is given."""

    def __init__(self, releases: Path) -> None:
        self._releases = releases

    def cover(self, text: str) -> str:
        """Return a text of a release's files as it may be shown."""
        return self._hiding.cover(text) if text else text

    @cached_property
    def _hiding(self) -> Hiding:
        found: dict[str, None] = {}
        for path in _env_files(self._releases):
            found |= dict.fromkeys(unshown(_text(_read(path)), _read(path.with_name(f"{path.name}{_CONTRACT}")).decode(errors="replace")))
        return Hiding(found)


def _env_files(releases: Path) -> list[Path]:
    found: dict[Path, None] = {}
    for folder, _, names in os.walk(releases):
        for name in names:
            if name.endswith(_CONTRACT) or name == ".env" or name.startswith(".env."):
                found[Path(folder, name.removesuffix(_CONTRACT))] = None
    return list(found)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(MOST_BYTES)
    except OSError:
        return b""


def _text(raw: bytes) -> str:
    encoding = next((encoding for mark, encoding in _MARKS if raw.startswith(mark)), "utf-8")
    # What is in UTF-16 without a mark reads as letters with NULs between.
    return raw.decode(encoding, errors="replace").replace("\0", "")
