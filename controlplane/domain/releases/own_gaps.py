"""Which gaps of a release's own loop are open, and why nobody can say.

Rules:
- A release that names no loop has no gaps that anybody could count: that is a doubt, never a none.
- Nor has one whose loop was absorbed: its gaps are in the loop that took it in.
- A closed loop answers: no gap is open in it, else the registers contradict themselves (`registers.rules`).
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from controlplane.domain.registers import Registers


class OwnGaps(NamedTuple):
    """The gaps that are open in a release's loop; `doubt` says why they are not known, None where they are, and `step` what to do then."""

    open: tuple[str, ...] = ()
    doubt: str | None = None
    step: str | None = None


def own_gaps(stack: str, loop: str | None, registers: Registers | None) -> OwnGaps:
    """Return the gaps that are open in the loop of a stack; `registers` None: they could not be read."""
    file = f"releases/{stack}.yml"
    if loop is None:
        step = f"controlplane loops file --title {shlex.quote(f'Release {stack}')}, then write the id that it says as loop: LOOP-… in {file}"
        return OwnGaps(doubt="the release names no loop, so nobody knows which gaps are its own", step=step)
    if registers is None:
        return OwnGaps(doubt="the site's registers could not be read", step="controlplane gaps status")
    told = why_no_loop(loop, registers)
    if told is not None:
        return OwnGaps(doubt=told, step=f"mend loop in {file}")
    return OwnGaps(open=tuple(name for name, gap in registers.gaps.items() if gap.is_open and loop in gap.loops))


def why_no_loop(loop: str, registers: Registers) -> str | None:
    """Return why a release can't have that loop, and what to write, or None."""
    held = registers.loops.get(loop)
    if held is None:
        return f"there is no {loop} in registers/loops.yml: file it, or name the right one"
    if held.status == "absorbed":
        return f"{loop} was absorbed by {held.absorbed_by or 'another one'}, and its gaps with it: name that one"
    return None
