"""What a gate is answered with, and the answers that rest on how checks stand: whether they have earned to be enforced, and who enforced them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from controlplane.domain.gates.promoted import Promoted
from controlplane.domain.gates.promotion import AHEAD, Standing

Answer = tuple[Literal["MET", "DRIFTED", "UNKNOWN"], str]
# What keeps a gate from standing open.
Against = tuple[Literal["DRIFTED", "UNKNOWN"], str]


def first(found: Sequence[Against]) -> Answer:
    """Return MET where nothing was found, else everything, as UNKNOWN where any of it is."""
    if not found:
        return "MET", "holds"
    verdict: Literal["DRIFTED", "UNKNOWN"] = "UNKNOWN" if any(one == "UNKNOWN" for one, _ in found) else "DRIFTED"
    return verdict, "; ".join(reason for _, reason in found)


def promotable(checks: Sequence[str], stood: Sequence[Standing]) -> Answer:
    """Return whether these checks have earned to be enforced, or are and did not fail since; `stood` is how they stand on their hosts."""
    unsaid = _unsaid(checks, stood)
    return unsaid or first([(verdict, f"{one.check} on {one.host}: {reason}") for one in stood for verdict, reason in _held_back(one)])


def enforced_by_approval(checks: Sequence[str], stood: Sequence[Standing], promoted: Mapping[tuple[str, str], Promoted]) -> Answer:
    """Return whether each of these checks is enforced where it stands by a promotion that somebody approved, and by which."""
    unsaid = _unsaid(checks, stood)
    if unsaid is not None:
        return unsaid
    left: list[Against] = [
        ("DRIFTED", f"{one.check} on {one.host}: {why}")
        for one in stood
        if (why := _not_promoted(one, promoted.get((one.check, one.host)))) is not None
    ]
    if left:
        return first(left)
    by = dict.fromkeys(promoted[one.check, one.host] for one in stood)
    return "MET", "; ".join(f"{one.receipt}, approved by {one.approver}" for one in by)


def _unsaid(checks: Sequence[str], stood: Sequence[Standing]) -> Answer | None:
    unsaid = [check for check in checks if all(one.check != check for one in stood)]
    return ("UNKNOWN", f"nothing is on record of {', '.join(unsaid)}") if unsaid else None


def _held_back(one: Standing) -> list[Against]:
    """Return what keeps a check from being enforced on its host, or from staying so; UNKNOWN where its last run could not tell."""
    last = next((run for run in one.runs if run.reason != AHEAD), None)
    if last is None:
        none = "it is enforced, and no recorded run judged it: controlplane gates run"
        return [("UNKNOWN", none)] if one.mode == "enforce" else [("DRIFTED", reason) for reason in one.held_by]
    failed = [f"it is enforced and was {last.verdict} in {last.run}: mend that, or demote it"] if one.proposes == "demote" else []
    return [("UNKNOWN" if last.verdict == "UNKNOWN" else "DRIFTED", reason) for reason in (*failed, *one.held_by)]


def _not_promoted(one: Standing, by: Promoted | None) -> str | None:
    """Return why a check is not enforced by a promotion that somebody approved, None where it is."""
    if by is not None:
        return None if one.mode == "enforce" else f"{by.receipt} enforced it, and gates.yml only reports it"
    if one.mode == "enforce":
        return "gates.yml enforces it, and no receipt here says who approved that: controlplane gates demote, then promote it"
    return "no promotion of it that somebody approved is on record: controlplane gates promote"
