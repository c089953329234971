"""What a wave file says: goal, scope in order, mutation policy, gates at its beginning and its end, and what it has to leave behind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from controlplane.domain.durations import Seconds
from controlplane.domain.faults import Place
from controlplane.domain.gates.values import PackName
from controlplane.domain.names import AsTuple, CheckId, HostName, Line
from controlplane.domain.registers.values import GapId, WaveId
from controlplane.domain.values import Value
from controlplane.domain.windows import Window

Mutation = Literal["none", "controlled", "governance"]
Output = Literal["preflight", "plan", "receipts", "post", "pack", "gaps", "last-runs", "linkage", "promotion"]


class _OnHosts(Value):
    hosts: Annotated[tuple[HostName, ...], AsTuple] = Field((), description="On these hosts; otherwise on the wave's own and its read-only ones")


class ChecksGate(_OnHosts):
    """These checks pass in their mode on fresh evidence: no UNKNOWN; in report mode every drift belongs to a STOR finding with an open gap."""

    kind: Literal["checks"]
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of the checks")


class MetGate(_OnHosts):
    """What these checks say of these surfaces is MET; with `waived` an explicit exception in the policy will do."""

    kind: Literal["met"]
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of the checks")
    surfaces: Annotated[tuple[Line, ...], AsTuple] = Field((), description="Patterns of surfaces, such as service:*; none means all")
    waived: bool = Field(False, description="Whether a waiver counts")


class ReportedGate(_OnHosts):
    """A recorded run judged these checks, whatever came of it but UNKNOWN."""

    kind: Literal["reported"]
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of the checks")


class StableGate(_OnHosts):
    """The last recorded runs of these checks all passed, so far apart; those from before the wave's own last change don't count."""

    kind: Literal["stable"]
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of the checks")
    runs: int = Field(3, ge=1, le=100, description="How many of them; what follows another too soon is one with it")
    interval: Seconds | None = Field(None, description="How far apart they have to be at least; otherwise as gates.yml says, promotion.interval")


class PackGate(Value):
    """The pack was run after the wave's last change, without UNKNOWN, and passed."""

    kind: Literal["pack"]
    pack: PackName = Field(description="Name of the pack")


class ClosedGate(Value):
    """Another wave is closed."""

    kind: Literal["closed"]
    wave: WaveId = Field(description="Which one")


class LinkedGate(Value):
    """Every rule of the registers holds, and every STOR finding leads to gaps and a loop."""

    kind: Literal["linked"]


class DecidedGate(Value):
    """Each of these gaps is fixed, or accepted with its reason."""

    kind: Literal["decided"]
    gaps: Annotated[tuple[GapId, ...], AsTuple] = Field(min_length=1, description="Which ones")


class PromotableGate(_OnHosts):
    """These checks have earned to be enforced, or are."""

    kind: Literal["promotable"]
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of the checks")


class PromotedGate(_OnHosts):
    """These checks are enforced by a promotion that somebody approved, in this wave or before: its receipt says so."""

    kind: Literal["promoted"]
    checks: Annotated[tuple[CheckId, ...], AsTuple] = Field(min_length=1, description="Ids of the checks")


class WindowGate(Value):
    """It is a maintenance window now."""

    kind: Literal["window"]


class ApprovalGate(Value):
    """The plan is approved as the site asks, or stricter where `by` says so."""

    kind: Literal["approval"]
    by: Literal["self", "other"] | None = Field(None, description="Whose approval, where the site itself would ask for less")


class UndoGate(Value):
    """Every step of the plan says how it is taken back; the roles leave that on the host before they change anything."""

    kind: Literal["undo"]


class FreshBackupGate(Value):
    """The site's proof of a restorable backup (site.yml, backup_gate) is younger than this."""

    kind: Literal["backup"]
    max_age: Seconds = Field(86400, description="How old it may be")


Gate = Annotated[
    ChecksGate
    | MetGate
    | ReportedGate
    | StableGate
    | PackGate
    | ClosedGate
    | LinkedGate
    | DecidedGate
    | PromotableGate
    | PromotedGate
    | WindowGate
    | ApprovalGate
    | UndoGate
    | FreshBackupGate,
    Field(discriminator="kind"),
]
# Those that are asked right before the first change: they hold for a time only. The window is asked again before each step that follows.
AT_RUN = ("window", "approval", "undo", "backup")


class Wave(Value):
    """One wave. Hosts are changed in their order, the first alone (canary), the others `batch` at a time, until `failure_limit` is passed."""

    goal: Line = Field(description="One line that says what it is for")
    mutation: Mutation = Field(description="What it may change: none, controlled (machines, by plans), governance (the site's own files)")
    hosts: Annotated[tuple[HostName, ...], AsTuple] = Field((), description="Hosts that it changes, in this order")
    batch: int = Field(1, ge=1, le=100, description="Hosts between two looks at the failure limit, after the first one")
    failure_limit: int = Field(0, ge=0, description="Hosts that may fail; one more stops the wave")
    read_only: Annotated[tuple[HostName, ...], AsTuple] = Field((), description="Hosts that it looks at and never changes")
    capabilities: Annotated[tuple[Line, ...], AsTuple] = Field((), description="What its plans may use, such as docker.data_root")
    gaps: Annotated[tuple[GapId, ...], AsTuple] = Field((), description="Gaps that it is to close")
    pack: PackName | None = Field(None, description="Pack that is run after each change, and at the end")
    windows: Annotated[tuple[Window, ...], AsTuple] = Field((), description="Its own windows; otherwise those of site.yml")
    entry: Annotated[tuple[Gate, ...], AsTuple] = Field((), description="Gates at its beginning")
    exit: Annotated[tuple[Gate, ...], AsTuple] = Field((), description="Gates at its end")
    outputs: Annotated[tuple[Output, ...], AsTuple] = Field((), description="What its closeout receipt has to hold")

    @property
    def checks(self) -> tuple[str, ...]:
        """Return the checks that its gates name, each once."""
        named = [check for gate in (*self.entry, *self.exit) for check in getattr(gate, "checks", ())]
        return tuple(dict.fromkeys(named))

    @property
    def named_gaps(self) -> tuple[tuple[Place, str], ...]:
        """Return every gap that it is to close, or that a gate of it wants decided, with where the file says so."""
        own: list[tuple[Place, str]] = [(("gaps", number), gap) for number, gap in enumerate(self.gaps)]
        phases = (("entry", self.entry), ("exit", self.exit))
        asked = [(field, at, gate) for field, gates in phases for at, gate in enumerate(gates) if isinstance(gate, DecidedGate)]
        own += [((field, at, "gaps", number), gap) for field, at, gate in asked for number, gap in enumerate(gate.gaps)]
        return tuple(own)

    @property
    def seen(self) -> tuple[str, ...]:
        """Return every host that it looks at."""
        return (*self.hosts, *self.read_only)
