"""D237: images, build cache, volumes and the boot filesystem stay within their budgets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

from controlplane.domain.amounts import show_bytes
from controlplane.domain.checks.boot_usage import judge_root
from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.checks.hygiene_timer import RECEIPTS, failed_with, is_in_place, told_of_failure
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.finding import Verdict

Budget = Literal["images", "build_cache", "volumes"]
BUDGETS: tuple[Budget, ...] = ("images", "build_cache", "volumes")


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `boot.usage`, `budget.images`, `budget.build_cache`, `budget.volumes` and, where the policy has `docker.hygiene`, `docker.hygiene_timer`.

    Description: what Docker keeps stays within a size that somebody chose, and `/` below its warning limit.
    Drift: a budget exceeded, or `/` at or over `root_used_warn` (medium); the timer is not there, fails, or was made for
    other limits, or is there against the policy (medium).
    Unknown: Docker could not say its sizes, in bytes and in time; the usage of `/`, or the timer's units, were not observed.
    Rationale: images and build cache are never deleted by themselves; a budget finds them before the disk is full.
    """
    yield Question("boot.usage", _root_warning)
    for budget in BUDGETS:
        yield Question(f"budget.{budget}", partial(_budget, budget=budget))
    if desired.docker.hygiene is not None:
        yield Question("docker.hygiene_timer", _timer)


def _root_warning(case: Case) -> Answer:
    answer = judge_root(case)
    if answer.verdict is not Verdict.DRIFTED:
        return answer
    return answer._replace(severity="medium", reason=f"{answer.reason}; D234 says what is seen on it, and what frees it")


def _timer(case: Case) -> Answer:
    wanted = case.desired.docker.hygiene is not None and case.desired.docker.hygiene.timer is not None
    if is_in_place(case.desired, case.reader):
        return met("the machine clears Docker's store by itself, within these limits" if wanted else "no timer clears Docker's store")
    if not wanted:
        return drifted("a timer clears Docker's store that the policy does not want", "medium")
    told = told_of_failure(case.desired, case.reader)
    if told is not None:
        return drifted(told, "medium")
    failed = failed_with(case.reader)
    last = "" if failed is None else f"; its last run failed ({failed}), the receipts in {RECEIPTS} there say why"
    return drifted(f"the machine does not clear Docker's store by itself, or not within these limits{last}", "medium")


def _budget(case: Case, *, budget: Budget) -> Answer:
    if case.without_docker:
        return met("Docker is not installed")
    used = used_of(case, budget)
    limit = getattr(case.desired.thresholds, budget)
    name = budget.replace("_", " ")
    if used > limit:
        # Volumes are never cleared by anything here.
        clears = case.desired.docker.hygiene is not None and budget != "volumes"
        how = f"; to clear it: controlplane plan --host {case.desired.host} --capability docker.hygiene" if clears else ""
        return drifted(f"{name}: {show_bytes(used)}, budget {show_bytes(limit)}{how}", "medium")
    return met(f"{name}: {show_bytes(used)}, budget {show_bytes(limit)}")


def used_of(case: Case, budget: Budget) -> int:
    """Return what Docker says it uses, in bytes."""
    used = case.reader.docker_usage[budget]
    if used < 0:
        raise Unobserved(f"docker_usage: {budget} is negative ({used})")
    return used


CHECK = Check("D237", "budgets", "medium", _questions)
