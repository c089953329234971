"""D239: every STOR finding maps to gaps and a loop."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.checks.case import Answer, Case, Check, Question
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `register:*`; only when it is asked for by name.

    Description: every STOR finding of the site links to gaps and to a loop that exist.
    Drift: a dangling link or an orphan; none is found as long as registers are not read.
    Unknown: the site has no registers that could be read.
    Rationale: a finding that nobody tracks is never mended.
    """
    yield Question("register:*", _registers)


def _registers(case: Case) -> Answer:  # noqa: ARG001 - one signature for all questions
    raise Unobserved("no registers were read: registers/gaps.yml, loops.yml and findings.yml of the site")


CHECK = Check("D239", "linkage of findings", "medium", _questions, by_default=False)
