"""Gate runs, the site's own checks, and the modes of all checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from controlplane.domain.coordination import GateRun
from controlplane.domain.finding import Finding
from controlplane.domain.gates.proposal import ModeChange
from controlplane.domain.gates.report import GateReport, ReportHead
from controlplane.domain.gates.run_order import Begun
from controlplane.domain.gates.values import SiteCheck
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.registers.closing import RunReport
from controlplane.ports.new_text import NewText


class GateReports(Protocol):
    """What gate runs found, as files of the site: the evidence that gaps are closed on."""

    def keep(self, report: GateReport) -> None:
        """Keep a report under its run's key, durably, once."""
        ...

    def head_of(self, run: str) -> ReportHead | None:
        """Return the head of that run's report, None where there is none. Raises `RunFailedError` for a file that is no report of it."""
        ...

    def latest(self, limit: int, began: Mapping[str, Begun]) -> tuple[RunReport, ...]:
        """Return the newest reports, the oldest of them first: so many of runs that the chain holds (`began` says where), and so many of others.

        Raises `RunFailedError` for a file that is none.
        """
        ...


class SiteChecks(Protocol):
    """The site's own checks."""

    def run(self, checks: Mapping[str, SiteCheck], hosts: Sequence[InventoryHost]) -> tuple[Finding, ...]:
        """Return what they find, on each of these hosts where a test looks at one; what did not run to its end is UNKNOWN."""
        ...


class CheckerDigests(Protocol):
    """What decides a check: the program's own judgement, or a file of the site."""

    def of(self, check: str, own: Mapping[str, SiteCheck]) -> str:
        """Return the digest of what judges that check; `own` are the site's."""
        ...


class ModeFile(Protocol):
    """The file that says in which mode checks are."""

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    def digest(self, text: str | None = None) -> str:
        """Return the digest of its text, or of one that it could have."""
        ...

    def editing(self) -> AbstractContextManager[None]:
        """Hold the lock of the file."""
        ...

    def prepared(self, changes: Sequence[ModeChange]) -> NewText:
        """Return its text with these modes and every other byte as it is; nothing is written. Raises `RefusedError`."""
        ...

    def write(self, new: NewText) -> None:
        """Write the whole text, durably. Raises `RefusedError` where the file is no longer what it was made from; `RunFailedError`."""
        ...


class GateRunStore(Protocol):
    """How gate runs ended, for streaks."""

    def add_run(self, run: GateRun, *, now: datetime) -> None:
        """Keep the run. Raises `RefusedError` for a key that is there already."""
        ...

    def runs_of(self, check: str, host: str, *, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the runs that judged the check on the host, the newest first, each with that result alone."""
        ...

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the pack's runs, the newest first."""
        ...
