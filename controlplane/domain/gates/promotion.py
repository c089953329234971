"""How a check is earned from report to enforce on one host: which recorded runs count, and why the others don't.

Rules:
- Counted are the newest runs without a gap between them: the first that did not pass ends the streak, and so does the first that was judged by
  another policy, checker or host than is judged now.
- Runs closer together than the site's interval count as one. One that passed and is dated later than now does not count: a clock was wrong. One that
  did not pass ends the streak whatever its date.
- One that passed for another controller, whose receipts are not here, counts for nothing and ends nothing: nobody here can show that it passed.
- The newest that counts may not be older than a week, or than three intervals where that is longer: nobody looked since.
- The linkage of the host's STOR findings has to be complete.
- Computed, never assumed: nothing here changes a mode. Only a person demotes; a failure under enforcement proposes it, and there an expected
  drift is a failure too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from controlplane.domain.coordination import moment_of
from controlplane.domain.coordination_rules import BEHIND
from controlplane.domain.gates.values import Mode, Promotion
from controlplane.domain.values import Value

# How the reason of every run begins that lies before the one that ended the streak.
BEFORE = "before that"
# How old the newest run that counts may be, whatever the interval.
_FRESH = timedelta(days=7)
# The reason of one that passed and is dated later than now.
AHEAD = "is dated later than now, so a clock was wrong"


class Judged(Value):
    """What one recorded run said of one check on one host, and by what it was judged."""

    run: str
    at: str
    verdict: Literal["MET", "DRIFTED", "WAIVED", "UNKNOWN"]
    passed: bool
    reason: str
    policy: str
    checker: str
    host: str
    elsewhere: bool = False

    def says_nothing(self, now: datetime) -> bool:
        """Say whether it is passed over: as one that nobody here can show to have passed, or that passed by a clock that ran ahead."""
        return self.elsewhere or (self.passed and is_ahead(self, now))


class Digests(Value):
    """By what the check is judged now; a run that was judged by another does not speak for it."""

    policy: str
    checker: str
    host: str


class Counted(Value):
    """One run in the table of a promotion: whether it counts, and why not."""

    run: str
    at: str
    counts: bool
    reason: str
    verdict: str


class Standing(Value):
    """How a check stands on a host. `proposes` is what a person may decide now; `held_by` is why nothing is proposed."""

    check: str
    host: str
    mode: Mode
    streak: int
    wanted: int
    runs: tuple[Counted, ...]
    held_by: tuple[str, ...]
    proposes: Literal["promote", "demote"] | None


def standing(
    check: str, host: str, mode: Mode, runs: Sequence[Judged], *, now_by: Digests | None, demanded: Promotion, unlinked: Sequence[str], now: datetime
) -> Standing:
    """Return how a check stands. `runs` are the recorded ones, newest first; `now_by` None where it is not known by what it is judged now.

    `unlinked` says what the registers lack.
    """
    timely = [run for run in runs if not run.says_nothing(now)]
    rows, streak = _counted(runs, now_by, timedelta(seconds=demanded.interval), now)
    held_by: list[str] = []
    if streak < demanded.runs:
        held_by.append(f"{streak} of {demanded.runs} consecutive runs passed")
    held_by += _too_old(rows, demanded, now)
    if now_by is None:
        held_by.append("the host was not observed, so nobody knows whether those runs judged it as it is")
    held_by += [f"linkage: {fault}" for fault in unlinked]
    failed = bool(timely) and (not timely[0].passed or timely[0].verdict == "DRIFTED")
    if mode == "enforce":
        held_by = []
    proposes: Literal["promote", "demote"] | None = None
    if mode == "enforce" and failed:
        proposes = "demote"
    elif mode == "report" and not held_by:
        proposes = "promote"
    return Standing(
        check=check, host=host, mode=mode, streak=streak, wanted=demanded.runs, runs=tuple(rows), held_by=tuple(held_by), proposes=proposes
    )


def _too_old(rows: Sequence[Counted], demanded: Promotion, now: datetime) -> list[str]:
    """Return what to say where the newest run that counts is older than it may be."""
    newest = next((row for row in rows if row.counts), None)
    limit = max(_FRESH, timedelta(seconds=3 * demanded.interval))
    if newest is None or now - moment_of(newest.at) <= limit:
        return []
    return [f"the newest run that counts is of {newest.at}, more than {shown(limit)} ago: controlplane gates run"]


def is_ahead(run: Judged, now: datetime) -> bool:
    """Say whether a run is dated later than now."""
    return moment_of(run.at) > now + BEHIND


def _counted(runs: Sequence[Judged], now_by: Digests | None, interval: timedelta, now: datetime) -> tuple[list[Counted], int]:
    rows: list[Counted] = []
    streak, ended, last = 0, "", None
    first = next((run for run in runs if not run.elsewhere), None)
    by = now_by or (Digests(policy=first.policy, checker=first.checker, host=first.host) if first is not None else None)
    for run in runs:
        at = moment_of(run.at)
        changed = [name for name in ("policy", "checker", "host") if by is not None and getattr(run, name) != getattr(by, name)]
        if run.elsewhere:
            why = run.reason
        elif run.says_nothing(now):
            why = AHEAD
        elif not ended and not run.passed:
            ended = f"{run.run} did not pass"
            why = f"did not pass: {run.reason}"
        elif not ended and changed:
            ended = f"the {' and the '.join(changed)} changed after {run.run}"
            why = f"the {' and the '.join(changed)} changed since"
        elif ended:
            why = f"{BEFORE}, {ended}"
        elif last is not None and last - at < interval:
            why = f"less than {shown(interval)} before the one that counts"
        else:
            streak, last, why = streak + 1, at, ""
        rows.append(Counted(run=run.run, at=run.at, counts=not why, reason=why or "counts", verdict=run.verdict))
    return rows, streak


def shown(interval: timedelta) -> str:
    """Return a duration as people write it, in the largest unit that fits."""
    seconds = int(interval.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
