"""What people write into registers/gaps.yml, loops.yml and findings.yml, by id.

Links go one way only: a finding names its gaps, a gap its loops. A link that had to be written at both ends would be wrong at one of them.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from controlplane.domain.finding import Severity
from controlplane.domain.names import AsTuple, CheckId, HostName, Line, check_name
from controlplane.domain.values import Value

GAP = r"GAP-[A-Z]{2,12}-[0-9]{1,6}"
LOOP = r"LOOP-[A-Z0-9]+(-[A-Z0-9]+)*"
STOR = r"STOR-[0-9]{3,5}"
WAVE = r"[A-Z][A-Z0-9]{0,15}"
_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"

GapId = Annotated[str, AfterValidator(lambda text: check_name(text, GAP, "gap id such as GAP-OP-932"))]
LoopId = Annotated[str, AfterValidator(lambda text: check_name(text, LOOP, "loop id such as LOOP-STORAGE-AUDIT-20260226"))]
StorId = Annotated[str, AfterValidator(lambda text: check_name(text, STOR, "finding id such as STOR-001"))]
WaveId = Annotated[str, AfterValidator(lambda text: check_name(text, WAVE, "wave id such as W8B"))]
Day = Annotated[str, AfterValidator(lambda text: check_name(text, _DAY, "day such as 2026-02-26"))]


def _lines(value: Any) -> Any:
    """One line stands for a list of that line alone."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


_LINE = {"type": "string", "minLength": 1}
Lines = Annotated[tuple[Line, ...], BeforeValidator(_lines), WithJsonSchema({"anyOf": [_LINE, {"type": "array", "items": _LINE}]})]


class Closed(Value):
    """Who closed an entry, when, and by which evidence."""

    at: Line = Field(description="When, such as 2026-03-01T12:00:00Z")
    by: Line = Field(description="Who, such as ops@controller")
    runs: Annotated[tuple[Line, ...], AsTuple] = Field((), description="Keys of the gate runs whose findings are MET")
    met: Annotated[tuple[Line, ...], AsTuple] = Field((), description="Criteria that no check judges, each with how it was shown")


class Gap(Value):
    """One thing that is missing. `superseded_by` belongs to status superseded, `reason` to accepted, `closed` to fixed and accepted."""

    title: Line = Field(description="One line that says what is missing")
    status: Literal["open", "fixed", "accepted", "superseded"] = Field("open", description="Where it stands")
    loops: Annotated[tuple[LoopId, ...], AsTuple] = Field((), description="Loops in which it is worked on")
    filed: Day | None = Field(None, description="Day on which it was filed")
    criteria: Lines = Field((), description="What has to hold before it is closed, beyond its findings being MET: checks, findings, or words")
    superseded_by: GapId | None = Field(None, description="Gap that took its place")
    reason: Line | None = Field(None, description="Why it is accepted as it is")
    closed: Closed | None = Field(None, description="Who closed it, when, by which runs")

    @property
    def is_open(self) -> bool:
        """Return whether somebody still has to do something about it."""
        return self.status == "open"


class Loop(Value):
    """One line of work. `absorbed_by` belongs to status absorbed."""

    title: Line = Field(description="One line that says what the work is")
    status: Literal["open", "closed", "absorbed"] = Field("open", description="Where it stands")
    opened: Day | None = Field(None, description="Day on which it began")
    text: str | None = Field(None, description="What was done and what is left")
    absorbed_by: LoopId | None = Field(None, description="Loop that took it in")
    closed: Closed | None = Field(None, description="Who closed it, when, by which runs")


class StorFinding(Value):
    """One finding about storage. Without `hosts` it is the whole site's; without `surfaces` all that its checks judge belongs to it."""

    title: Line = Field(description="One line that says what is wrong")
    severity: Severity = Field(description="How much it matters")
    status: Literal["open", "in-progress", "closed"] = Field("open", description="Where it stands")
    waves: Annotated[tuple[WaveId, ...], AsTuple] = Field((), description="Waves that mend it")
    gaps: Annotated[tuple[GapId, ...], AsTuple] = Field((), description="Gaps that stand for it")
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field((), description="Checks that judge it")
    hosts: Annotated[tuple[HostName, ...], AsTuple] = Field((), description="Hosts on which it shows")
    surfaces: Annotated[tuple[Line, ...], AsTuple] = Field((), description="Surfaces that belong to it, such as redis:*")
    root_cause: Line | None = Field(None, description="Cause that several findings share")

    def covers(self, check: str, host: str, surface: str) -> bool:
        """Return whether what a check says of that surface belongs to it."""
        on_host = not self.hosts or host in self.hosts
        return check in self.checks and on_host and (not self.surfaces or any(fnmatchcase(surface, pattern) for pattern in self.surfaces))


class Registers(Value):
    """All three of them, in the order of their files."""

    gaps: dict[GapId, Gap] = Field(default={})
    loops: dict[LoopId, Loop] = Field(default={})
    findings: dict[StorId, StorFinding] = Field(default={})

    def loops_of(self, finding: StorFinding) -> tuple[str, ...]:
        """Return the loops that a finding's gaps lead to, each once."""
        return tuple(dict.fromkeys(loop for gap in finding.gaps if gap in self.gaps for loop in self.gaps[gap].loops))
