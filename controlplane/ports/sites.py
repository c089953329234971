"""A site as its folder says it, and what was seen of it last time."""

from __future__ import annotations

from typing import Protocol

from controlplane.domain.finding import AuditReport
from controlplane.domain.site import SiteContent


class SessionStore(Protocol):
    """What the last session of an operator saw."""

    @property
    def name(self) -> str:
        """Return where it is kept."""
        ...

    def last(self) -> AuditReport | None:
        """Return it, None where nothing is kept. Raises `RunFailedError` for what can't be read."""
        ...

    def keep(self, report: AuditReport) -> None:
        """Keep what this one saw."""
        ...


class SiteReader(Protocol):
    """A site's folder."""

    def read(self, *, run_inventory: bool) -> SiteContent:
        """Return all that it says; `run_inventory` allows inventory scripts and plugins. Raises `InputInvalidError` with every fault."""
        ...
