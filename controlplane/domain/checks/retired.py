"""D244: data that an earlier run retired is purged, not forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from controlplane.domain.amounts import show_age, show_bytes
from controlplane.domain.checks.case import Answer, Case, Check, Named, Question, all_or, drifted, unknown
from controlplane.domain.checks.retired_reach import reach
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.runs import Purging, Retired


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `retired:PATH`, or `retired:*` when nothing is left.

    Description: what a move left behind as its way back is deleted by a purge plan of its own once the move has proven itself.
    Drift: a retired path that still exists (low); one that changed, can't be read or is seen by a container, so that a purge would refuse it,
        or whose purge was begun and not finished (medium).
    Unknown: the program's own state on the host could not be read.
    Rationale: a forgotten old root takes as much of the boot disk as the one that moved: on one machine 34 GB of it.
    """
    yield Question("retired:*", _retired)


def _retired(case: Case) -> Sequence[Named]:
    found = [Named(f"retired:{one['path']}", _judge(case, one)) for one in case.reader.target_state["retired"] if one["exists"] or one["purging"]]
    return all_or("retired:*", found, "nothing that was retired is left")


def _judge_purging(case: Case, one: Retired, purging: Purging) -> Answer:
    size, entries = purging["size"], purging["entries"]
    left = "an unknown rest is left" if size is None else f"{show_bytes(size)} in {entries} entries are left"
    if one["exists"]:
        told = f"{purging['aside']} is there with {one['path']} there as well, so a purge would refuse both: {left}; look at both"
        return drifted(f"{told}, and move the former away or remove it yourself", "medium")
    if purging["run"] is None:
        told = f"{purging['aside']} is there, and no journal on the host says that it is what {one['run']} retired: {left}; look at it"
        return drifted(f"{told}, and move it away or remove it yourself", "medium")
    told = f"its purge was begun by {purging['run']} and not finished: {left} in {purging['aside']}"
    return drifted(f"{told}; to finish it: controlplane plan --host {case.desired.host} --capability storage.purge", "medium")


def _judge(case: Case, one: Retired) -> Answer:
    if one["purging"] is not None:
        return _judge_purging(case, one, one["purging"])
    try:
        at = datetime.fromisoformat(one["retired_at"].replace("Z", "+00:00"))
    except ValueError:
        return unknown(f"when it was retired can't be read: {one['retired_at']!r}")
    age = show_age(case.taken - (at if at.tzinfo else at.replace(tzinfo=UTC)))
    what = f"{show_bytes(one['size'])}, retired {age} ago by {one['run']}, replaced by {one['replaced_by']}"
    if one["unreadable"] is not None:
        return drifted(f"{what}; it can't be read, so a purge would refuse it: {one['unreadable']}", "medium")
    if one["fingerprint"] not in (None, one["recorded"]):
        return drifted(f"{what}; it has changed since, so a purge would refuse it", "medium")
    if against := _against(case, one):
        return drifted(f"{what}; a purge would refuse it: {'; '.join(against)}", "medium")
    compared = "" if one["fingerprint"] else "too large to be compared with what was retired in an audit's time, the purge itself does so first; "
    return drifted(f"{what}; {compared}to purge it: controlplane plan --host {case.desired.host} --capability storage.purge", "low")


def _against(case: Case, one: Retired) -> tuple[str, ...]:
    """Return who is in the way of its purge. Where nobody could look, the purge's own plan says so."""
    try:
        return reach(one, case.reader).against
    except Unobserved:
        return ()


CHECK = Check("D244", "retired data awaiting purge", "low", _questions)
