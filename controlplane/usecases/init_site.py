"""Write a new site folder that validates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from controlplane.domain.site_template import site_template


class NewFolder(Protocol):
    """A folder that does not hold a site yet."""

    @property
    def name(self) -> str:
        """Return the folder's own name."""
        ...

    def fill(self, files: Mapping[str, str]) -> tuple[str, ...]:
        """Write the files and return their paths; RefusedError if one is there already, and then nothing is written."""
        ...


def init_site(folder: NewFolder) -> tuple[str, ...]:
    """Return the paths of the files that were written."""
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.name.lower()).strip("-_")
    return folder.fill(site_template(name or "site"))
