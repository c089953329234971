"""What use cases need from the world; adapters fill these, fakes stand in for them in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Protocol

from controlplane.domain.approval import Approval
from controlplane.domain.chain import Anchor
from controlplane.domain.coordination import GateRun, WaveHeld
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import AuditReport, Finding
from controlplane.domain.gates.proposal import ModeChange
from controlplane.domain.gates.report import GateReport
from controlplane.domain.gates.values import SiteCheck
from controlplane.domain.governance import Governance
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.domain.registers.closing import RunReport
from controlplane.domain.site import SiteContent
from controlplane.domain.values import Value
from controlplane.domain.witness import Answer, Question


class Clock(Protocol):
    """The only source of the present time."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        ...


class Entropy(Protocol):
    """The only source of chance."""

    def four_hex(self) -> str:
        """Return four hex digits."""
        ...


class EvidenceSource(Protocol):
    """Collects from hosts, one remote execution each."""

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> Mapping[str, Evidence | Unreached]:
        """Return each host's evidence, or the reason why there is none; with `only` no more than these probes of it."""
        ...


class StepResult(Value):
    """How one play ended. `message` is what a person needs to know; `told` is what the role itself reported (such as `downtime_s`)."""

    status: Literal["done", "failed", "unreachable", "interrupted"]
    message: str
    told: dict[str, Any]


class PlayRunner(Protocol):
    """Runs one rendered project; cancellation stops what runs before it returns."""

    def run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        """Run `playbook` of `project` on `host`; `progress` hears each task's name."""
        ...

    def dry_run(self, project: Mapping[str, bytes], *, key: str, host: str, playbook: str, progress: Callable[[str], None]) -> StepResult:
        """Do the same in Ansible's check mode: the roles refuse what they would refuse, and nothing is changed."""
        ...


class RoleContent(Protocol):
    """The roles and playbooks that travel with the program."""

    def files(self) -> Mapping[str, bytes]:
        """Return the bytes of every role file by path below `roles/`."""
        ...


class ReceiptStore(Protocol):
    """The chain of receipts in the site's state folder."""

    def load(self) -> tuple[tuple[str, Receipt], ...]:
        """Return (file name, receipt) in order. Raises `RunFailedError` for a file that is no receipt."""
        ...

    def append(self, receipt: Receipt) -> Receipt:
        """Write the receipt durably as the next link and return it with its number, predecessor and time. Raises `RefusedError`, `RunFailedError`."""
        ...

    def signature_faults(self) -> tuple[ChainFault, ...]:
        """Return each receipt whose signature is missing or wrong at its time, where the site has signers, or whose bytes were rewritten."""
        ...

    def examine(self) -> tuple[tuple[tuple[str, Receipt], ...], tuple[ChainFault, ...]]:
        """Return (file name, receipt) in order, and what is wrong with single files; one that is no receipt is among the faults alone."""
        ...

    @property
    def checks_signatures(self) -> bool:
        """Say whether there are signers to check by."""
        ...


class AnchorSource(Protocol):
    """What holds a chain in its place: heads that are kept elsewhere, and closeouts."""

    def read(self) -> tuple[tuple[Anchor, ...], tuple[ChainFault, ...]]:
        """Return the anchors and what is wrong with their files. Raises `InputInvalidError` for a named head that is none."""
        ...


class KnownHosts(Protocol):
    """The host keys of machines that were made from here."""

    def pin(self, host: InventoryHost, keys: Sequence[str]) -> str | None:
        """Add the host's public keys; return why that can't be (another one is known already), or None."""
        ...


class RunLocks(Protocol):
    """One run at a time may change a host from here; a killed program's lock is gone with it."""

    def hold(self, hosts: Sequence[str], *, operator: str) -> AbstractContextManager[None]:
        """Hold the hosts' locks. Raises `RefusedError`, naming host, holder and since when."""
        ...


class ApprovalStore(Protocol):
    """Signed approvals of plans; each is used once."""

    def find(self, plan: str, *, at: datetime) -> Approval | None:
        """Return the approval of that plan whose signature holds at that time, or None. Raises `RefusedError` for a wrong signature."""
        ...

    def add(self, approval: Approval) -> None:
        """Sign and store the approval."""
        ...

    def signs_as(self) -> str | None:
        """Return how the site's allowed signers name the operator's own key, or None."""
        ...

    def use(self, plan: str, run: str) -> None:
        """Mark the approval as used by `run`, once. Raises `RefusedError` when another run was first."""
        ...

    def expire(self, plan: str, *, seen_at: str) -> None:
        """Mark the approval as seen expired: from then on it is, whatever the clock says."""
        ...


class Witness(Protocol):
    """A second pair of eyes: asks live machines through another path than the collector."""

    def answer(self, hosts: Sequence[InventoryHost], questions: Sequence[Question]) -> tuple[Answer, ...]:
        """Return an answer to each question; what could not be seen is an answer that says so."""
        ...


class PlanArchive(Protocol):
    """The plans that were ever begun, for resuming and rolling back."""

    def keep(self, plan: Plan) -> None:
        """Keep the plan under its digest, durably."""
        ...

    def get(self, digest: str) -> Plan:
        """Return the plan. Raises `RunFailedError` when it is gone."""
        ...


class PlanFiles(Protocol):
    """Plans as files."""

    def read(self, path: str) -> Plan:
        """Return the plan. Raises `InputInvalidError`, also where its digest does not fit its content."""
        ...

    def refuse_unless_writable(self, path: str) -> None:
        """Raise `InputInvalidError` where no plan could be written, before anything is looked at for it."""
        ...

    def write(self, path: str, plan: Plan) -> None:
        """Write the plan atomically."""
        ...


class Entry(NamedTuple):
    """One field of one record of a register, and what it is to say."""

    register: str
    record: str
    field: str
    value: Any


class RegisterStore(Protocol):
    """The site's registers, as people keep them in git."""

    def read(self) -> Governance:
        """Return what they say now, with gates and waves, which they name."""
        ...

    def editing(self) -> AbstractContextManager[None]:
        """Hold the registers, so that nobody else of this site edits them meanwhile."""
        ...

    def add(self, register: str, record: str, fields: Mapping[str, Any]) -> str:
        """Write a new record and return its file. Raises `RefusedError`."""
        ...

    def change(self, entries: Sequence[Entry]) -> tuple[str, ...]:
        """Write fields of records and return the files. Raises `RefusedError`."""
        ...


class GateReports(Protocol):
    """What gate runs found, as files of the site: the evidence that gaps are closed on."""

    def keep(self, report: GateReport) -> None:
        """Keep a report under its run's key, durably, once."""
        ...

    def latest(self, limit: int) -> tuple[RunReport, ...]:
        """Return the newest reports, the oldest of them first. Raises `RunFailedError` for a file that is none."""
        ...


class SiteChecks(Protocol):
    """The site's own checks."""

    def run(self, checks: Mapping[str, SiteCheck], hosts: Sequence[InventoryHost]) -> tuple[Finding, ...]:
        """Return what they find, on each of these hosts where a test looks at one; what did not run to its end is UNKNOWN."""
        ...


class CheckerDigests(Protocol):
    """What decides a check: the program's own judgement, or a file of the site."""

    def of(self, check: str, own: Mapping[str, SiteCheck]) -> str:
        """Return the digest of what judges that check; `own` are the site's."""
        ...


class ModeFile(Protocol):
    """The file that says in which mode checks are."""

    @property
    def name(self) -> str:
        """Return its name."""
        ...

    def digest(self) -> str:
        """Return the digest of its text."""
        ...

    def editing(self) -> AbstractContextManager[None]:
        """Hold the lock of the file."""
        ...

    def prepared(self, changes: Sequence[ModeChange]) -> str:
        """Return its text with these modes and every other byte as it is; nothing is written. Raises `RefusedError`."""
        ...

    def write(self, text: str) -> None:
        """Write the whole text, durably."""
        ...


class WaveFolder(Protocol):
    """What a wave leaves behind as files of the site, by wave and attempt."""

    def keep(self, wave: str, attempt: str, name: str, content: bytes) -> str:
        """Write a file durably and return its path."""
        ...

    def keep_evidence(self, wave: str, attempt: str, name: str, seen: Mapping[str, Evidence | Unreached]) -> str:
        """Write evidence durably and return its path."""
        ...

    def read(self, path: str) -> bytes:
        """Return what `keep` wrote at that path. Raises `RunFailedError` where it is gone."""
        ...


class Commit(NamedTuple):
    """One commit of the site's files: its id, its first line, and the files that it changed."""

    id: str
    title: str
    files: tuple[str, ...]


class SiteHistory(Protocol):
    """The version control of the site's files."""

    def head(self) -> str | None:
        """Return the id of the newest commit, None where the site is not under version control."""
        ...

    def since(self, head: str | None) -> tuple[Commit, ...]:
        """Return the commits after `head` that changed files of the site, the oldest first."""
        ...

    def uncommitted(self) -> tuple[str, ...]:
        """Return the files of the site that differ from the newest commit."""
        ...


class BackupProof(Protocol):
    """The site's own proof that a restorable backup is there."""

    def age_s(self) -> float:
        """Return how old it is, in seconds. ValueError says why it is not proven."""
        ...


class SessionStore(Protocol):
    """What the last session of an operator saw."""

    def last(self) -> AuditReport | None:
        """Return it, None for the first."""
        ...

    def keep(self, report: AuditReport) -> None:
        """Keep what this one saw."""
        ...


class SiteReader(Protocol):
    """A site's folder."""

    def read(self, *, run_inventory: bool) -> SiteContent:
        """Return all that it says; `run_inventory` allows inventory scripts and plugins. Raises `InputInvalidError` with every fault."""
        ...


class WaveStore(Protocol):
    """Waves, of which several controllers know. `now` is aware; what writes raises `RefusedError` for a clock that is behind the site's time."""

    def take(
        self,
        wave: str,
        *,
        state: str,
        mutating: bool,
        holder: str,
        record: dict[str, Any],
        now: datetime,
        ttl: timedelta,
        knows: WaveHeld | None = None,
        anew: bool = False,
    ) -> WaveHeld:
        """Open the wave, or take it over from the same holder or where its lease is over, with a new token.

        With `knows`, only if nobody wrote since that reading; with `anew`, only if no attempt goes on. Raises `RefusedError`, naming who holds it,
        or which mutating wave goes on.
        """
        ...

    def find(self, wave: str) -> WaveHeld | None:
        """Return the latest attempt at the wave, ended or not."""
        ...

    def waves(self) -> tuple[WaveHeld, ...]:
        """Return the latest attempt at each wave, the one that was opened first first."""
        ...

    def history(self, wave: str) -> tuple[WaveHeld, ...]:
        """Return every attempt at the wave, the first first."""
        ...

    def renew(self, held: WaveHeld, *, now: datetime, ttl: timedelta) -> WaveHeld:
        """Let the lease last `ttl` from now on. Raises `RefusedError` where another took over, or somebody else wrote."""
        ...

    def write(self, held: WaveHeld, *, state: str, record: dict[str, Any], now: datetime, ended: bool = False) -> WaveHeld:
        """Write state and record; with `ended` the attempt is over and its lease released. Raises `RefusedError` as `renew` does."""
        ...


class GateRunStore(Protocol):
    """How gate runs ended, for streaks."""

    def add_run(self, run: GateRun, *, now: datetime) -> None:
        """Keep the run. Raises `RefusedError` for a key that is there already."""
        ...

    def runs_of(self, check: str, host: str, *, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the runs that judged the check on the host, the newest first, each with that result alone."""
        ...

    def latest_runs(self, pack: str, limit: int = 50) -> tuple[GateRun, ...]:
        """Return the pack's runs, the newest first."""
        ...


class SiteTime(Protocol):
    """The latest time that any controller of the site ever showed."""

    def assert_time(self, now: datetime) -> None:
        """Keep `now` if it is later than all before. Raises `RefusedError` where it is more than five minutes earlier."""
        ...

    def reset_time(self, now: datetime) -> None:
        """Let the site's time be `now`, also if that is earlier, and end all leases: a person decided that a clock had run ahead."""
        ...
