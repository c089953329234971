"""releases/revoked.txt: contents of the site's history that look like tokens and open nothing any more.

A history keeps what was once committed. Once a token is revoked where it was issued, its line here says so: `BLOB who and when`.
"""

from __future__ import annotations

import re
from pathlib import Path

from controlplane.adapters.text_files import read_text
from controlplane.domain.errors import Fault, InputInvalidError

NAME = "releases/revoked.txt"
_LINE = re.compile(r"(?P<blob>[0-9a-f]{40}(?:[0-9a-f]{24})?)\s+(?P<why>\S.*)", re.ASCII)


def read_revoked(site: Path) -> dict[str, str]:
    """Return who says so, and when, by the id of the content; none where there is no such file. Raises `InputInvalidError`."""
    path = site / NAME
    if not path.exists():
        return {}
    found: dict[str, str] = {}
    faults: list[Fault] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        said = _LINE.fullmatch(line.strip())
        if said is None:
            faults.append(Fault(str(path), number, "", "is no 'BLOB WHO AND WHEN': write the id that the fault names, and who revoked it when"))
        else:
            found[said["blob"]] = said["why"]
    if faults:
        raise InputInvalidError(faults)
    return found
