"""The smoke runs on record, and which of them counts for what runs.

Rules:
- A run that ended without saying what its tests came to (it was interrupted, or broke) says nothing either way, and is in the way of nothing.
- What counts is only what came after the release stands: after it was deployed, and after whatever was deployed over it was taken back,
  by the order of the receipts.
- Nothing counts where a deployment was begun and is not done, on any host: nobody can say of that one what a test met there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from controlplane.domain.receipt import Outcome, Receipt
from controlplane.domain.releases.history import Deployed, Deployment
from controlplane.domain.releases.smoke import SmokeReport

ID = "release.smoke"


class Proof(NamedTuple):
    """One smoke run on record."""

    receipt: Receipt
    report: SmokeReport

    @property
    def passed(self) -> bool:
        """Say whether it proves what it met."""
        return self.receipt.outcome == "done" and self.report.passed


def newest_proof(chain: Sequence[Receipt], stack: str, environment: str) -> Proof | None:
    """Return the newest smoke run of a stack in an environment that came to a verdict, whatever that is."""
    for one in reversed(chain):
        if (one.capability, one.step, one.phase) == (ID, f"{stack}/{environment}", "result") and one.told:
            return Proof(one, SmokeReport.model_validate({**one.told, "run": one.key}))
    return None


def first_proof(chain: Sequence[Receipt], stack: str, environment: str, *, since: int, manifest: str) -> Proof | None:
    """Return the first smoke run of a manifest (its digest) after the receipt of number `since` that came to a verdict; None where there is none.

    It is the one that settles a deployment: what a later one meets is what became of it.
    """
    for one in chain:
        if one.seq > since and (one.capability, one.step, one.phase) == (ID, f"{stack}/{environment}", "result") and one.told:
            proof = Proof(one, SmokeReport.model_validate({**one.told, "run": one.key}))
            if proof.report.manifest == manifest:
                return proof
    return None


def proof_since(chain: Sequence[Receipt], found: Deployed) -> Proof | None:
    """Return the newest smoke run of what stands in an environment, of this manifest and since it stands; None where there is none."""
    proof, current = newest_proof(chain, found.stack, found.environment), found.current
    if found.unfinished is not None:
        return None
    if proof is None or current is None or found.since is None or proof.receipt.seq < found.since.seq:
        return None
    return proof if proof.report.manifest == current.manifest else None


def is_unconfirmed(run: str, chain: Sequence[Receipt]) -> bool:
    """Say whether a run is on record as failed, and no closeout of it came since, which asks both witnesses: each host may have ended well."""
    return _ended(run, chain) == "failed"


def unconfirmed(found: Deployed, chain: Sequence[Receipt]) -> Deployment | None:
    """Return what stands on a host by a run that is on record as failed; None where nothing does."""
    return next((one.current for one in found.hosts if one.current is not None and is_unconfirmed(one.current.run, chain)), None)


def is_abandoned(run: str, chain: Sequence[Receipt]) -> bool:
    """Say whether a run was closed before its end, and so before two witnesses judged what it brought, and no closeout of it came since."""
    return _ended(run, chain) == "interrupted"


def _ended(run: str, chain: Sequence[Receipt]) -> Outcome | None:
    """Return how a run ended, None where it did not, or what it brought was closed since."""
    last = next((one for one in reversed(chain) if one.phase == "result" and (one.key == run or _closes(one, run))), None)
    return last.outcome if last is not None and last.key == run else None


def _closes(one: Receipt, run: str) -> bool:
    told = one.told or {}
    # One from before all runs were named has that of the first host alone.
    return (one.capability, one.outcome) == ("release.close", "done") and run in (told.get("run"), *told.get("runs", ()))
