"""What is seen of hosts, and whether the machine that answers is the right one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.witness import Answer, Question


class EvidenceSource(Protocol):
    """Collects from hosts, one remote execution each."""

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> Mapping[str, Evidence | Unreached]:
        """Return each host's evidence, or the reason why there is none; with `only` no more than these probes of it."""
        ...


class KnownHosts(Protocol):
    """The host keys of machines that were made from here."""

    def pin(self, host: InventoryHost, keys: Sequence[str]) -> str | None:
        """Add the host's public keys; return why that can't be (another one is known already), or None."""
        ...


class Witness(Protocol):
    """A second pair of eyes: asks live machines through another path than the collector."""

    def answer(self, hosts: Sequence[InventoryHost], questions: Sequence[Question]) -> tuple[Answer, ...]:
        """Return an answer to each question; what could not be seen is an answer that says so."""
        ...
