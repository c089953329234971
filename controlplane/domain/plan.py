"""The preview: ordered steps, each with what it mends, what it changes, how it is undone and what it costs.

Rules:
- A plan is bound to the policy, the inventory, the roles and each host's facts; its digest covers everything below it.
- `apply` makes the plan again from fresh evidence and proceeds only on the same change records, with every bound held.
- What varies by itself (free bytes, inodes) is a `Bound`, never a fact.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from controlplane.domain.digest import digest_of
from controlplane.domain.names import HostName
from controlplane.domain.values import Value

ChangeKind = Literal[
    "machine",
    "volume",
    "package",
    "unit",
    "mkfs",
    "directory",
    "attribute",
    "mount",
    "file",
    "setting",
    "rename",
    "recreate",
    "move",
    "retire",
    "delete",
]


class Change(Value):
    """One thing that will be different afterwards; `destructive` means that bytes which exist now won't."""

    kind: ChangeKind
    target: str
    before: str | None
    after: str | None
    destructive: bool = False


class Mend(Value):
    """A finding that the step promises to be MET on fresh evidence."""

    check: str
    surface: str


class Downtime(Value):
    """Which containers stop, and for how long at most by the sizes that were measured (seconds); None where something was not measured."""

    services: tuple[str, ...]
    estimate_s: int | None


class Step(Value):
    """One capability on one host; `variables` are its role's, data only. `runs_on` is where the role works, if not on the host itself."""

    id: str
    host: HostName
    capability: str
    role: str
    mends: tuple[Mend, ...]
    changes: tuple[Change, ...]
    downtime: Downtime
    undo: str
    variables: dict[str, Any]
    runs_on: HostName | None = None

    @property
    def target(self) -> str:
        """Return the inventory host that the role works on."""
        return self.runs_on or self.host


class Bound(Value):
    """A measurement that must still hold at apply. `measure` says which: free bytes or inodes of a path, the size of a disk, the free bytes of a
    hypervisor's storage, or the size of a container's log."""

    host: str
    what: str
    measure: Literal["free_bytes", "free_inodes", "disk_bytes", "storage_bytes", "log_bytes"]
    of: str
    at_least: int


class Refusal(Value):
    """A capability that would mend a drift but must not run, with the reason and the way out."""

    host: str
    capability: str
    reason: str


class Binds(Value):
    """What the plan was made from; `evidence` is provenance, the rest is compared at apply.

    `fact_parts` are the digests of each host's facts by name, so that a refusal can say which of them changed.
    """

    policy: str
    inventory: str
    roles: str
    facts: dict[str, str]
    evidence: dict[str, str]
    fact_parts: dict[str, dict[str, str]] = Field(default={})


class Plan(Value):
    """The JSON of `plan`."""

    plan: str
    site: str
    made_at: str
    binds: Binds
    bounds: tuple[Bound, ...]
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]

    def body_digest(self) -> str:
        """Return the digest of everything below `plan`."""
        return digest_of(self.model_dump(mode="json", exclude={"plan"}))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts that steps touch, in order of their first step."""
        return tuple(dict.fromkeys(step.host for step in self.steps))

    def change_records(self) -> dict[str, tuple[Change, ...]]:
        """Return the change records by step id."""
        return {step.id: step.changes for step in self.steps}


def seal(*, site: str, made_at: str, binds: Binds, bounds: tuple[Bound, ...], steps: tuple[Step, ...], refusals: tuple[Refusal, ...]) -> Plan:
    """Return the plan with its digest."""
    draft = Plan(plan="", site=site, made_at=made_at, binds=binds, bounds=bounds, steps=steps, refusals=refusals)
    return draft.model_copy(update={"plan": draft.body_digest()})
