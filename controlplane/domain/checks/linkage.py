"""D239: every STOR finding maps to gaps and a loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Unobserved
from controlplane.domain.registers.links import Linkage


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `register:ID` of each STOR finding that the host has; where the site has registers, or where it is asked for by name.

    Description: every STOR finding of the host links to gaps and to a loop that exist, and nothing of that contradicts itself.
    Drift: a dangling link, an orphan, a contradiction.
    Unknown: the site has no registers, or they can't be read.
    Rationale: a finding that nobody tracks is never mended.
    """
    if desired.registered is None or desired.registered.doubt is not None:
        yield Question("register:*", _unread)
        return
    if not desired.registered.rows:
        yield Question("register:*", _none)
    for row in desired.registered.rows:
        yield Question(f"register:{row.id}", partial(_linked, row=row))


def _unread(case: Case) -> Answer:
    held = case.desired.registered
    told = held.doubt if held is not None else "the site has none: registers/gaps.yml, loops.yml and findings.yml"
    raise Unobserved(f"no registers were read: {told}")


def _none(case: Case) -> Answer:
    return met(f"no STOR finding names {case.desired.host}")


def _linked(case: Case, *, row: Linkage) -> Answer:
    del case
    if row.faults:
        return drifted("; ".join(row.faults))
    return met(f"by {', '.join(row.gaps)} in {', '.join(row.loops)}")


CHECK = Check("D239", "linkage of findings", "medium", _questions, by_default=lambda desired: desired.registered is not None)
