"""What the journal's phases mean, and to which side a crash in each of them is settled. Pure: the whole decision is this table.

forward leg: prepared > precopying > precopied > staging > stopping > stopped > copied > compared > switched > starting > answered > done
going back:  reverting > reverted

Rules:
- Until `compared` is on disk the source alone is the truth: back, and the destination is only a partial copy.
- From `compared` on the destination holds every byte, synced and proven: forward, if it is there; a missing destination before `starting` means back.
- Before `starting`, and as long as it is there, the container that was stopped must not have run since: then the source is the truth again, whatever the
  phase (path_back.py asks that of one service's leg).
- From `starting` on containers may have written to the destination: it alone is the truth, and it is never left without carrying back what is newer.
- `reverting` is on its way back and stays so: no container ran on the destination, or what it wrote was carried back by a leg of its own.
"""

from __future__ import annotations

BEFORE_STOP = ("new", "prepared", "precopying", "precopied", "staging")
SOURCE_IS_TRUTH = ("stopping", "stopped", "copied")
DESTINATION_IS_PROVEN = ("compared", "switched")
DESTINATION_IS_TRUTH = ("starting", "answered")
GOING_BACK = ("reverting",)
# A way back that did not work, with the services where they were.
GIVEN_UP = "given-up"
TERMINAL = ("done", "reverted", "undone", GIVEN_UP)
CRITICAL = (*SOURCE_IS_TRUTH, *DESTINATION_IS_PROVEN, *DESTINATION_IS_TRUTH, *GOING_BACK)
ALL = (*BEFORE_STOP, *CRITICAL, *TERMINAL)


def side(phase: str, *, destination_there: bool) -> str:
    """Return `untouched`, `source`, `destination` or `blocked`: on which side both configurations belong after a crash in `phase`.

    `blocked` means that the truth lies on a destination that is not there: Docker must not start anywhere until it is.
    """
    if phase in SOURCE_IS_TRUTH or phase in GOING_BACK:
        return "source"
    if phase in DESTINATION_IS_PROVEN:
        return "destination" if destination_there else "source"
    if phase in DESTINATION_IS_TRUTH:
        return "destination" if destination_there else "blocked"
    return "untouched"
