"""How a site stood before a release was begun, and how it stands when that is closed: what runs where, open gaps and loops, its authority status.

Rules:
- Before is what was put on record when the release was begun: a file, by the digest that its receipt holds. Without it, or where it is another, it
  is UNKNOWN: afterwards nobody can tell any more.
- What could not be told is UNKNOWN by name, with why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from controlplane.domain.chain import BEGINNING
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import RunFailedError
from controlplane.domain.examination import Examination
from controlplane.domain.finding import AuditReport
from controlplane.domain.names import AsTuple
from controlplane.domain.receipt import Receipt
from controlplane.domain.registers import Registers
from controlplane.domain.releases.history import Deployed, Deployment
from controlplane.domain.values import Value

ID = BEGINNING
Unknown = Literal["UNKNOWN"]
UNKNOWN: Unknown = "UNKNOWN"
PARTS = ("state", "gaps", "loops", "authority")


class OpenGap(Value):
    """A gap of the site that is open, with its loops."""

    gap: str
    title: str
    loops: Annotated[tuple[str, ...], AsTuple]


class HostState(Value):
    """What stands on one host by the release's receipts (None: nothing), and what fresh evidence says of that."""

    host: str
    manifest: str | None
    verdict: str | None
    reason: str


class State(Value):
    """What runs where. `results` are verdicts by check, host and surface, such as "D235 mint-data docker.data_root"."""

    hosts: Annotated[tuple[HostState, ...], AsTuple]
    results: dict[str, str]


class AuthorityStatus(Value):
    """Whether the site is governed (authority.project.status). `wanting` are the points that fail or are a warning, each with what was told."""

    verdict: Literal["GOVERNED", "DRIFT"]
    wanting: Annotated[tuple[str, ...], AsTuple]


class Stood(Value):
    """How things stood at one time. `why` says of each part that is UNKNOWN why it is."""

    at: str | None
    state: State | Unknown
    gaps: Annotated[tuple[OpenGap, ...] | Unknown, AsTuple]
    loops: Annotated[tuple[str, ...] | Unknown, AsTuple]
    authority: AuthorityStatus | Unknown
    why: dict[str, str] = Field(default={})


def state_of(found: Deployed, report: AuditReport) -> State:
    """Return what runs where, by receipts and by a report on the hosts."""
    said = {one.host: one for one in report.findings if (one.check, one.surface) == ("D249", f"release:{found.stack}")}
    hosts = []
    for one in found.hosts:
        finding = said.get(one.host)
        manifest = one.current.manifest_name if one.current is not None else None
        reason = finding.reason if finding is not None else "nothing stands here by a release"
        hosts.append(HostState(host=one.host, manifest=manifest, verdict=finding.verdict.value if finding is not None else None, reason=reason))
    return State(hosts=tuple(hosts), results={f"{one.check} {one.host} {one.surface}": one.verdict.value for one in report.findings})


def authority_of(found: Examination) -> AuthorityStatus:
    """Return what an examination of the site came to."""
    wanting = tuple(f"{one.name}: {one.level}: {one.told}" for one in found.points if one.level != "pass")
    return AuthorityStatus(verdict=found.verdict, wanting=wanting)


def open_gaps(registers: Registers) -> tuple[OpenGap, ...]:
    """Return the site's open gaps."""
    return tuple(OpenGap(gap=name, title=gap.title, loops=gap.loops) for name, gap in registers.gaps.items() if gap.is_open)


def open_loops(registers: Registers) -> tuple[str, ...]:
    """Return the site's open loops."""
    return tuple(name for name, loop in registers.loops.items() if loop.status == "open")


def attempt_of(key: str) -> str:
    """Return the part of a run's key that no other run has: its time and its number."""
    stamp, _, rest = key.removeprefix("CAP-").partition("__")
    return f"{stamp}-{rest.rpartition('__')[2]}"


def stood_before(chain: Sequence[Receipt], every: Sequence[Deployment], first: Deployment, read: Callable[[str], bytes]) -> Stood:
    """Return what is on record of before `first` was begun, `every` being the deployments on record. `read` gives the file that a receipt names.

    A plan that failed may have been carried out in several runs: each of them counts that was not taken back.
    """
    runs = {one.run for one in every if one.plan == first.plan and one.state != "undone"}
    told = next((one for one in reversed(chain) if one.capability == ID and one.phase == "result" and (one.told or {}).get("run") in runs), None)
    if told is None:
        return _unknown(None, f"it is on no record: when {first.run} was begun, nothing was kept of how things stood")
    file = (told.told or {}).get("file")
    try:
        content = read(str(file))
        if digest_of(json.loads(content)) != told.evidence:
            return _unknown(told.at, f"{file} is not what {told.key} names: restore it from a copy")
        return Stood.model_validate_json(content)
    except RunFailedError:
        return _unknown(told.at, f"{file}, which {told.key} names, can't be read: restore it from a copy")
    except ValueError:
        return _unknown(told.at, f"{file}, which {told.key} names, says it in a form that this version does not read")


def _unknown(at: str | None, why: str) -> Stood:
    return Stood(at=at, state=UNKNOWN, gaps=UNKNOWN, loops=UNKNOWN, authority=UNKNOWN, why=dict.fromkeys(PARTS, why))
