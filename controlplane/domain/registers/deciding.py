"""Whether a gap is decided: fixed on its evidence, or accepted with a reason.

Rules:
- A gap that was superseded is decided where the one that took its place is, however far that leads.
- One that there is not, and one that leads nowhere, is not.
"""

from __future__ import annotations

from controlplane.domain.registers.values import Registers


def undecided(registers: Registers, gap: str) -> str | None:
    """Return why a gap is not decided, and what to do; None where it is."""
    seen, at = [gap], gap
    while at in registers.gaps and registers.gaps[at].status == "superseded":
        after = registers.gaps[at].superseded_by
        if after is None or after in seen:
            return f"{_said(gap, at)} was superseded and leads to no other gap: name the one that took its place (superseded_by in gaps.yml)"
        seen.append(after)
        at = after
    if at not in registers.gaps:
        return f"there is no {_said(gap, at)} in gaps.yml: file it, or name the right one"
    if registers.gaps[at].status in ("fixed", "accepted"):
        return None
    return f"{_said(gap, at)} is open: close it on its evidence, or accept it with a reason (controlplane gaps close)"


def _said(gap: str, at: str) -> str:
    return gap if at == gap else f"{at}, which took the place of {gap},"
