"""The three files of the registers: one key each, with records by id below it."""

from __future__ import annotations

from pydantic import Field

from controlplane.domain.registers.values import Gap, GapId, Loop, LoopId, StorFinding, StorId
from controlplane.domain.values import Value


class GapsFile(Value):
    """All of registers/gaps.yml."""

    gaps: dict[GapId, Gap] = Field(description="Gaps, by id")


class LoopsFile(Value):
    """All of registers/loops.yml."""

    loops: dict[LoopId, Loop] = Field(description="Loops, by id")


class FindingsFile(Value):
    """All of registers/findings.yml."""

    findings: dict[StorId, StorFinding] = Field(description="STOR findings, by id")
