"""One site as its board shows it: what was judged, what lies on which disk, and what is on record.

Rules:
- Nothing here is decided anew: verdicts are those of the findings. A standing says only on which disk something lies and on which it belongs.
- What could not be observed stays visible as such; a host without evidence has a doubt instead of disks.
- Waves, promotions, trends and links are given by whoever keeps them. None given means that there are none, and the page says so; where the files of
  a part can't be read, its doubt says that instead.
"""

from __future__ import annotations

from typing import Literal

from controlplane.domain.finding import AuditReport, Verdict
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.run_list import RunRow
from controlplane.domain.values import Value

# right: on its disk and at its path. no-policy: nothing says where it belongs. retired: an earlier run left it as its way back.
Standing = Literal["right", "wrong-disk", "wrong-path", "no-policy", "retired", "unknown"]


class Resident(Value):
    """Something that lies on a disk. `belongs_on` names where it should be, `belongs_at` the path there, `note` what else is to be said of it."""

    what: str
    path: str | None
    standing: Standing
    belongs_on: str | None = None
    belongs_at: str | None = None
    note: str | None = None


class Awaited(Value):
    """Something that belongs on a disk, at `path`, and lies elsewhere now."""

    what: str
    path: str
    now_on: str


class BoardMount(Value):
    """One filesystem of a disk. Sizes in bytes, fills in percent; `doubt` says why they are None. `also` counts further mounts of it."""

    mount: str
    fstype: str
    through: tuple[str, ...] = ()
    size: int | None = None
    available: int | None = None
    used: float | None = None
    inodes: float | None = None
    warn: int | None = None
    fail: int | None = None
    doubt: str | None = None
    also: int = 0


class BoardDisk(Value):
    """One leaf disk. `declared` is how the policy names it; `found` is False for a declared disk that the host does not show."""

    name: str
    size: int | None
    serial: str | None
    boot: bool
    declared: str | None = None
    found: bool = True
    content: str | None = None
    mounts: tuple[BoardMount, ...] = ()
    residents: tuple[Resident, ...] = ()
    awaited: tuple[Awaited, ...] = ()


class Picture(Value):
    """The disks of one host and what lies on them; `elsewhere` lies in memory, on another machine, or nobody can tell where."""

    disks: tuple[BoardDisk, ...] = ()
    elsewhere: tuple[Resident, ...] = ()
    doubt: str | None = None

    def residents(self) -> tuple[Resident, ...]:
        """Return everything that lies anywhere."""
        return (*(one for disk in self.disks for one in disk.residents), *self.elsewhere)


class BoardHost(Value):
    """One host. `doubt` says why nothing of it counts: not reached, or evidence that is too old, in which case the picture shows how it was."""

    host: str
    tier: str | None
    collected_at: str | None
    doubt: str | None
    picture: Picture


class BoardVerified(Value):
    """The newest result on record that rests on fresh evidence of a host."""

    host: str
    receipt: Receipt | None


class BoardTrail(Value):
    """The end of the chain of receipts, newest first, and whether all of it holds. `unreadable` says why it could not be followed.

    `packs` is the newest result of each pack of checks that was run; what it judged of which host is told over time.
    """

    total: int = 0
    newest: tuple[Receipt, ...] = ()
    faults: tuple[ChainFault, ...] = ()
    has_signers: bool = False
    unreadable: str | None = None
    verified: tuple[BoardVerified, ...] = ()
    packs: tuple[Receipt, ...] = ()
    open_runs: tuple[RunRow, ...] = ()


class BoardGate(Value):
    """One gate of a wave and how it stands."""

    phase: Literal["entry", "exit"]
    what: str
    verdict: Verdict
    reason: str


class BoardWave(Value):
    """One wave. `state` and `mutation` are its own words, `window` when it may change something."""

    id: str
    goal: str
    state: str
    mutation: str
    hosts: tuple[str, ...] = ()
    window: str | None = None
    gates: tuple[BoardGate, ...] = ()


class BoardPromotion(Value):
    """How far one check on one host is from being enforced: `streak` runs that passed of `wanted`, and what else holds it."""

    check: str
    host: str
    mode: Literal["report", "enforce"]
    streak: int
    wanted: int
    held_by: tuple[str, ...] = ()


class BoardPoint(Value):
    """What one earlier run came to."""

    at: str
    verdict: Verdict


class BoardTrend(Value):
    """One check on one host over earlier gate runs, oldest first."""

    check: str
    host: str
    points: tuple[BoardPoint, ...]


class BoardLink(Value):
    """One entry of the findings register and what it links to; `fault` says what is wrong with that."""

    stor: str
    title: str
    gaps: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    fault: str | None = None


class BoardRelease(Value):
    """One stack in one environment: what the receipts say was brought there, and whether that was proven; `doubt` is why nobody can say."""

    stack: str
    goal: str
    environment: str
    hosts: tuple[str, ...]
    manifest: str | None = None
    since: str | None = None
    proof: str | None = None
    proven: bool = False
    doubt: str | None = None


class BoardDoubts(Value):
    """Why nobody can say all of a part: the faults of its files. None for a part that was read."""

    waves: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()


class BoardGovernance(Value):
    """What stands around the judgement; each is empty where the site has none, or `doubts` say why nobody knows."""

    waves: tuple[BoardWave, ...] = ()
    promotions: tuple[BoardPromotion, ...] = ()
    trends: tuple[BoardTrend, ...] = ()
    links: tuple[BoardLink, ...] = ()
    releases: tuple[BoardRelease, ...] = ()
    doubts: BoardDoubts = BoardDoubts()


class Board(Value):
    """All that the page shows."""

    report: AuditReport
    hosts: tuple[BoardHost, ...]
    trail: BoardTrail
    governance: BoardGovernance = BoardGovernance()
