"""What a wave has done so far, as the store keeps it: plain JSON, read back as these values.

States, in their order: `open` (entry gates passed, hosts held), `planned` (a preview is there), `running` (its plan runs, or was interrupted),
`changed` (it ran to its end). A wave that changes no machine stays `open`. `closed` and `aborted` end it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from controlplane.domain.finding import Summary
from controlplane.domain.names import AsTuple
from controlplane.domain.values import Value
from controlplane.domain.windows import Opening

State = Literal["open", "planned", "running", "changed", "closed", "aborted"]
Phase = Literal["entry", "exit"]
# How the outcome of a run begins that is not closed and has gone back in part.
OPEN = "open"
# And of one that was abandoned.
ABANDONED = "interrupted"


class GateJudged(Value):
    """One gate and how it stands. UNKNOWN never opens or closes a wave."""

    phase: Phase
    kind: str
    what: str
    verdict: Literal["MET", "DRIFTED", "UNKNOWN"]
    reason: str


class Looked(Value):
    """One look at every host of a wave: where its evidence lies, by which digests, and what the audit of it counted."""

    at: str
    file: str
    evidence: dict[str, str]
    summary: Summary


class Planned(Value):
    """One change set of a wave. `run` is None until it began, `outcome` until that run ended or the plan had nothing to do, or was refused all.

    `downtime_s` is what each service misses at most, None where that is not known. `opens` and `closes` are the window that it was approved for.
    `asked_by` is how the allowed signers name who made it, None where nobody asks.
    """

    plan: str
    file: str
    made_at: str
    capabilities: Annotated[tuple[str, ...], AsTuple]
    hosts: Annotated[tuple[str, ...], AsTuple]
    steps: int
    downtime_s: dict[str, int | None]
    destructive: Annotated[tuple[str, ...], AsTuple] = ()
    approved: bool = False
    opens: str | None = None
    closes: str | None = None
    run: str | None = None
    outcome: str | None = None
    asked_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Say whether its run began and is not closed."""
        return self.run is not None and (self.outcome is None or self.outcome.startswith(OPEN))

    @property
    def was_abandoned(self) -> bool:
        """Say whether its run was closed before its end, because a machine was gone; a part of it may have gone back since."""
        return self.outcome is not None and self.outcome.startswith(ABANDONED)

    @property
    def waits(self) -> bool:
        """Say whether it has something to do and did not begin."""
        return self.run is None and self.outcome is None


class Carved(Value):
    """A host that failed and was taken out of the wave, with the receipt that says so."""

    host: str
    at: str
    reason: str
    receipt: str


class PackRan(Value):
    """One run of the wave's pack: after which step, or `*` where none was just done; whether every check passed, and whether any was UNKNOWN."""

    run: str
    pack: str = ""
    at: str
    after: str
    passed: bool
    unknown: bool = False
    reason: str


class OpenedBy(Value):
    """What a wave was opened by, as digests: its own file, what it uses of gates.yml and of site.yml, the drift that is expected, and the policy.

    `site` and `expected` are None in records from before they were kept: neither is compared then.
    """

    wave: str
    gates: str
    policy: str
    site: str | None = None
    expected: str | None = None


class WaveRecord(Value):
    """Everything that closing needs. `head` is the commit of the site's files when it was opened."""

    opened_by: str
    attempt: str
    head: str | None
    # Records from before it was kept lack it: then everything on record counts as done since.
    opened_at: str = ""
    # None in those as well: they are led by the files as they are.
    files: OpenedBy | None = None
    # The digests of what governs the site, of a wave that only looks; None of any other, and in those as well.
    governing: dict[str, str] | None = None
    # Every host that it was opened for, also those that it only looks at; None in those as well.
    hosts: Annotated[tuple[str, ...] | None, AsTuple] = None
    entry: Annotated[tuple[GateJudged, ...], AsTuple] = ()
    # As closing asked them last, however that ended.
    exit: Annotated[tuple[GateJudged, ...], AsTuple] = ()
    preflight: Looked | None = None
    plans: Annotated[tuple[Planned, ...], AsTuple] = ()
    carved: Annotated[tuple[Carved, ...], AsTuple] = ()
    packs: Annotated[tuple[PackRan, ...], AsTuple] = ()
    post: Looked | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return self.model_dump(mode="json")

    @property
    def out(self) -> frozenset[str]:
        """Return the hosts that were carved out."""
        return frozenset(one.host for one in self.carved)

    @property
    def last_plan(self) -> Planned | None:
        """Return the newest change set."""
        return self.plans[-1] if self.plans else None

    def holds(self, host: str) -> bool:
        """Say whether the host is still part of the wave; where nobody wrote down its hosts, any may be."""
        return host not in self.out and (self.hosts is None or host in self.hosts)

    def with_plan(self, changed: Planned) -> WaveRecord:
        """Return the record with one change set replaced, by its digest, or added."""
        others = tuple(one for one in self.plans if one.plan != changed.plan)
        return self.model_copy(update={"plans": (*others, changed)})

    def without_carved(self, hosts: tuple[str, ...]) -> tuple[str, ...]:
        """Return the hosts that are still part of the wave."""
        return tuple(host for host in hosts if host not in self.out)


def record_of(data: dict[str, Any]) -> WaveRecord:
    """Return what `plain` gave."""
    return WaveRecord.model_validate(data)


def stamped(opening: Opening | None) -> tuple[str | None, str | None]:
    """Return when a window opens and closes, as text; None, None for any time."""
    if opening is None:
        return None, None
    return opening.start.strftime("%Y-%m-%dT%H:%M:%SZ"), opening.end.strftime("%Y-%m-%dT%H:%M:%SZ")
