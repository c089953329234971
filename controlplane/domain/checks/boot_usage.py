"""D234: how full the boot filesystem is."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.checks.boot_room import room_on_boot
from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, fill_of, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.finding import Verdict


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `boot.usage`.

    Description: the boot filesystem has room, in bytes and in inodes.
    Drift: usage at or over `root_used_warn` (medium) or `root_used_fail` (high); told with what is seen to take the room, and what frees it.
    Unknown: the usage of `/` was not observed, or its numbers make no sense.
    Rationale: a full `/` stops logging, logins and every service at once, and it fills because data lies where it does not belong.
    """
    yield Question("boot.usage", _root)


def _root(case: Case) -> Answer:
    answer = judge_root(case)
    if answer.verdict is not Verdict.DRIFTED:
        return answer
    return answer._replace(reason=f"{answer.reason}. {room_on_boot(case)}")


def judge_root(case: Case) -> Answer:
    """Compare the fuller of bytes and inodes with the two limits."""
    limits = case.desired.thresholds
    fill = fill_of(case.reader.usage, "/")
    worst = max(fill)
    if worst >= limits.root_used_fail:
        return drifted(f"/: {fill}, fail limit {limits.root_used_fail}%", "high")
    if worst >= limits.root_used_warn:
        return drifted(f"/: {fill}, warn limit {limits.root_used_warn}%", "medium")
    return met(f"/: {fill}, warn limit {limits.root_used_warn}%")


CHECK = Check("D234", "boot usage", "high", _questions)
