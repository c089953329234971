"""What the host keeps of the runs that changed it."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from controlplane.domain.evidence_shapes.closed import closed


@closed
class Purging(TypedDict):
    """What lies under the name by which a purge removes a path: it was begun and not ended. It is the path's own where that is emptied in its place.

    `run` is the purge whose journal on the host knows it for that very tree, None where none does. Entries and bytes are what is left of it,
    None where that was not read in time.
    """

    aside: str
    run: str | None
    entries: int | None
    size: int | None


@closed
class Retired(TypedDict):
    """One path that an earlier run left behind on purpose. `recorded` is its fingerprint of when it was retired, `fingerprint` the one of now.

    Without a fingerprint of now the path is not there, or `unreadable` says why it could not be read, or it was too large to be read in time. What a
    purge began to empty is not there as what was retired. `volume` is whose data it was, or a part of them, `base` the directory that a container
    mounted and of which it was a part or the whole; None where it was no such. Older evidence lacks these two.
    """

    path: str
    run: str
    retired_at: str
    size: int
    entries: int
    exists: bool
    recorded: str
    fingerprint: str | None
    unreadable: str | None
    purging: Purging | None
    replaced_by: str
    volume: NotRequired[str | None]
    base: NotRequired[str | None]


@closed
class StorageChange(TypedDict):
    """The last storage change that this program made on the host: which run, in which boot."""

    run: str
    boot_id: str
    at: str


@closed
class OpenRun(TypedDict):
    """A run that left its state on the target: `phase` is the step that its journal names, `unit` the transient unit, if it still runs.

    `needs` are the trees from and to which it copies; older evidence lacks it.
    """

    run: str
    role: str
    phase: str
    unit: str | None
    unit_active: bool
    needs: NotRequired[list[str]]


@closed
class Lease(TypedDict):
    token: int
    holder: str
    run: str
    taken_at: str
    expires_at: str


@closed
class TargetState(TypedDict):
    """What /var/lib/controlplane on the target says; `copies` are the paths to which a move of a root copied, and on which nothing ever lived."""

    retired: list[Retired]
    copies: list[str]
    last_change: StorageChange | None
    runs: list[OpenRun]
    lease: Lease | None
