"""An environment from which all releases were taken back: what was there before the first one, which is there again, and whether that is proven.

Rules:
- It is proven by a smoke run alone, which is on record for no manifest. Where nothing ran before none can be run, and only fresh evidence tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt
from controlplane.domain.releases.before import Was, before, went_back_last
from controlplane.domain.releases.history import Deployed, Deployment
from controlplane.domain.releases.proof import Proof, newest_proof


class Bare(NamedTuple):
    """By host what was taken back last and what was there before its first release, None where no plan tells; `proof` is the newest since."""

    last: Mapping[str, Deployment]
    was: Mapping[str, tuple[Was, ...] | None]
    proof: Proof | None

    @property
    def newest(self) -> Deployment:
        """Return what went back last of all."""
        return max(self.last.values(), key=lambda one: one.undone_seq or 0)

    @property
    def is_proven(self) -> bool:
        """Say whether a smoke run passed by what no release brought."""
        return self.proof is not None and self.proof.passed

    @property
    def doubt(self) -> str | None:
        """Return why what no release brought is not proven; None where it is, and where nothing ran."""
        if self.is_proven or not any(self.was.values()):
            return None
        return "no smoke run met it since" if self.proof is None else f"its smoke run {self.proof.receipt.key} did not pass"


def bare(found: Deployed, chain: Sequence[Receipt], plan_of: Callable[[str], Plan]) -> Bare | None:
    """Return how an environment is from which all was taken back; None where something stands, is open or failed, and where nothing was brought ever.

    Raises what `plan_of` does.
    """
    last = {host.host: one for host in found.hosts if (one := went_back_last(host)) is not None}
    if not last or not all(host.is_bare for host in found.hosts):
        return None
    proof, since = newest_proof(chain, found.stack, found.environment), max(one.undone_seq or 0 for one in last.values())
    met = proof is not None and proof.receipt.seq > since and proof.report.manifest == ""
    return Bare(last, {host: before(one, plan_of) for host, one in last.items()}, proof if met else None)
