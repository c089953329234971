"""All checks, and the judgement of one host by them.

Rules:
- What can't be observed is UNKNOWN: a host that was not reached, evidence that is too old or from the future, a probe that failed.
- Only what a check raises as `Unobserved` becomes UNKNOWN here; anything else is a bug and is not swallowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from controlplane.domain.amounts import show_age
from controlplane.domain.checks import (
    baseline,
    boot_guard,
    boot_usage,
    budgets,
    disk_usage,
    hooks,
    linkage,
    log_rotation,
    machine,
    mounts,
    persistence,
    placement,
    reboot_proof,
    release,
    retired,
    write_surfaces,
)
from controlplane.domain.checks.case import Answer, Case, Check, Named, Question, unknown
from controlplane.domain.checks.waivers import waive
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unobserved, Unreached
from controlplane.domain.finding import Finding

_FAMILIES = (
    boot_usage,
    placement,
    persistence,
    budgets,
    write_surfaces,
    linkage,
    mounts,
    boot_guard,
    reboot_proof,
    log_rotation,
    retired,
    disk_usage,
    machine,
    baseline,
    hooks,
    release,
)
CHECKS: dict[str, Check] = {family.CHECK.id: family.CHECK for family in _FAMILIES}

# Clocks of controllers differ a little; evidence from further ahead was not collected before it is judged.
_AHEAD = timedelta(minutes=5)


def judge_host(
    desired: DesiredHost,
    evidence: Evidence | Unreached,
    *,
    now: datetime,
    max_age: timedelta,
    general: bool = False,
    only: Collection[str] | None = None,
) -> tuple[Finding, ...]:
    """Return the findings of one host, in the order of the checks.

    `only` names the checks to judge, None all that are judged by default; `general` is a target without a policy. `now` and the evidence's
    `collected_at` are compared with `max_age`, and `now` with the last day of waivers.
    """
    checks = [check for check in CHECKS.values() if (check.by_default(desired) if only is None else check.id in only)]
    doubt = doubt_of(evidence, now=now, max_age=max_age)
    if isinstance(evidence, Unreached) or doubt:
        return tuple(_finding(desired, check, question.surface, unknown(doubt)) for check in checks for question in check.questions(desired, general))
    case = Case(desired, evidence, general=general)
    return tuple(
        _finding(desired, check, surface, waive(case, check.id, surface, answer, now=now))
        for check in checks
        for question in check.questions(desired, general)
        for surface, answer in answers(case, question)
    )


def answers(case: Case, question: Question) -> Iterator[Named] | Sequence[Named]:
    """Ask one question; what can't be observed is UNKNOWN."""
    try:
        given = question.ask(case)
    except Unobserved as doubt:
        return [Named(question.surface, unknown(str(doubt)))]
    return [Named(question.surface, given)] if isinstance(given, Answer) else given


def doubt_of(evidence: Evidence | Unreached, *, now: datetime, max_age: timedelta) -> str:
    """Return why nothing is judged on this evidence, empty where it counts."""
    if isinstance(evidence, Unreached):
        return f"the host was not reached: {evidence.reason}"
    try:
        age = now - evidence.taken()
    except (TypeError, ValueError):
        return f"when the evidence was collected can't be read: {evidence.collected_at!r}"
    if age > max_age:
        return f"the evidence is {show_age(age)} old, limit {show_age(max_age)}"
    return f"the evidence is from the future, by {show_age(-age)}" if age < -_AHEAD else ""


def _finding(desired: DesiredHost, check: Check, surface: str, answer: Answer) -> Finding:
    return Finding(
        check=check.id,
        host=desired.host,
        surface=surface,
        verdict=answer.verdict,
        severity=answer.severity or check.severity,
        reason=answer.reason,
    )
