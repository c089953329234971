"""Where plans are kept and read, and who works on a host from this controller."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from controlplane.domain.plan import Plan


class RunLocks(Protocol):
    """One run at a time may change a host from here; a killed program's lock is gone with it."""

    @property
    def place(self) -> str:
        """Return a name of where the locks lie: whoever has another one is not kept out by them."""
        ...

    def hold(self, hosts: Sequence[str], *, operator: str) -> AbstractContextManager[None]:
        """Hold the hosts' locks. Raises `RefusedError`, naming host, holder and since when."""
        ...


class PlanArchive(Protocol):
    """The plans that were ever begun, for resuming and rolling back."""

    def keep(self, plan: Plan) -> None:
        """Keep the plan under its digest, durably."""
        ...

    def get(self, digest: str) -> Plan:
        """Return the plan. Raises `RunFailedError` when it is gone."""
        ...


class PlanFiles(Protocol):
    """Plans as files."""

    def read(self, path: str) -> Plan:
        """Return the plan. Raises `InputInvalidError`, also where its digest does not fit its content."""
        ...

    def refuse_unless_writable(self, path: str) -> None:
        """Raise `InputInvalidError` where no plan could be written, before anything is looked at for it."""
        ...

    def write(self, path: str, plan: Plan) -> None:
        """Write the plan atomically."""
        ...
