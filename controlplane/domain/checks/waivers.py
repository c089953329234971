"""Waivers: a drift that a person has accepted until a day, and only up to the values that they accepted.

Rules:
- Only DRIFTED can be waived: an UNKNOWN stays UNKNOWN.
- A waiver whose `until` can't be checked does not hold.
- One that was crossed once is over for good: a recorded run says so in its receipt, and later judgements read it there (`waiver_ends`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from controlplane.domain.amounts import show_bytes
from controlplane.domain.checks.budgets import used_of
from controlplane.domain.checks.case import Answer, Case, fill_of
from controlplane.domain.desired import DesiredHost, HostWaiver
from controlplane.domain.evidence import Evidence, Unobserved
from controlplane.domain.finding import Verdict
from controlplane.domain.waiver_ends import WaiverEnd


def waive(case: Case, check: str, surface: str, answer: Answer, *, now: datetime) -> Answer:
    """Return the answer, WAIVED if a waiver in force covers it; a waiver that no longer holds is named in the reason."""
    if answer.verdict is not Verdict.DRIFTED:
        return answer
    void = []
    for waiver in case.desired.waivers:
        if not waiver.covers(check, surface):
            continue
        why = _why_void(case, waiver, now=now)
        if not why:
            until = f"until {waiver.ends_at:%Y-%m-%d %H:%M %Z}".rstrip()
            return answer._replace(verdict=Verdict.WAIVED, reason=f"{answer.reason}; waived by {waiver.approved_by} {until}: {waiver.reason}")
        void.append(why)
    return answer._replace(reason="; ".join([answer.reason, *void])) if void else answer


def _why_void(case: Case, waiver: HostWaiver, *, now: datetime) -> str:
    if not waiver.in_force(now=now):
        return f"its waiver by {waiver.approved_by} ended {waiver.ends_at:%Y-%m-%d %H:%M %Z}".rstrip()
    if waiver.void is not None:
        return f"its waiver by {waiver.approved_by} {waiver.void}"
    crossed, doubts = _compared(case, waiver)
    if crossed:
        return f"its waiver by {waiver.approved_by} is void: {crossed[0]}"
    return f"its waiver by {waiver.approved_by} does not hold: {doubts[0]}" if doubts else ""


def crossings(desired: DesiredHost, evidence: Evidence, *, now: datetime) -> tuple[WaiverEnd, ...]:
    """Return the waivers of a host that this evidence shows to be crossed and that nobody knew to be, also where nothing drifts."""
    case = Case(desired, evidence, general=False)
    return tuple(
        WaiverEnd(host=desired.host, check=one.check, surface=one.surface, waiver=one.digest(desired.host), reason="; ".join(crossed))
        for one in desired.waivers
        if one.void is None and one.in_force(now=now) and (crossed := _compared(case, one)[0])
    )


def _compared(case: Case, waiver: HostWaiver) -> tuple[list[str], list[str]]:
    """Return the limits of a waiver that are crossed, and those that could not be checked, in words."""
    crossed, doubts = [], []
    for key, limit in waiver.until.model_dump(exclude_none=True).items() if waiver.until is not None else ():
        read, show = _OBSERVED[key]
        try:
            value = read(case)
        except Unobserved as doubt:
            doubts.append(f"{key} could not be checked ({doubt})")
            continue
        if value > limit:
            crossed.append(f"{key} is {show(value)}, it was given up to {show(limit)}")
    return crossed, doubts


def _percent(value: float) -> str:
    return f"{value:.1f}%".replace(".0%", "%")


def _disk_used(case: Case) -> float:
    return max((max(fill_of(case.reader.usage, disk.mount)) for disk in case.desired.disks), default=0.0)


def _tmp_file(case: Case) -> int:
    return max((file["size"] for file in case.reader.tmp["files"]), default=0)


def _writable_layer(case: Case) -> int:
    sizes = [container["writable_bytes"] for container in case.containers.values()]
    known = [size for size in sizes if size is not None and size >= 0]
    if len(known) != len(sizes):
        raise Unobserved("the size of a writable layer is not known")
    return max(known, default=0)


_OBSERVED: dict[str, tuple[Callable[[Case], Any], Callable[[Any], str]]] = {
    "root_used": (lambda case: max(fill_of(case.reader.usage, "/")), _percent),
    "disk_used": (_disk_used, _percent),
    "images": (lambda case: used_of(case, "images"), show_bytes),
    "build_cache": (lambda case: used_of(case, "build_cache"), show_bytes),
    "volumes": (lambda case: used_of(case, "volumes"), show_bytes),
    "tmp_file": (_tmp_file, show_bytes),
    "writable_layer": (_writable_layer, show_bytes),
}
