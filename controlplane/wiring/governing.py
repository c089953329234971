"""Where the adapters of governance are constructed: gates, registers, waves, sessions, the course of a plan."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from controlplane import wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from controlplane.adapters.coordination import CoordinationStore
    from controlplane.adapters.gate_reports import GateReportFiles
    from controlplane.adapters.proposal_files import ProposalFiles
    from controlplane.adapters.register_files import RegisterFiles
    from controlplane.adapters.session_files import SessionFile
    from controlplane.adapters.site_checks import PytestSiteChecks
    from controlplane.domain.board import BoardGovernance
    from controlplane.domain.coordination import WaveHeld
    from controlplane.domain.governance import Governance
    from controlplane.domain.plan import Plan
    from controlplane.domain.receipt import Receipt
    from controlplane.domain.site_view import SiteView
    from controlplane.ports.clocks import SiteTime
    from controlplane.ports.waves import WaveStore
    from controlplane.usecases.change_modes import ModePorts
    from controlplane.usecases.examine_site import DoctorPorts
    from controlplane.usecases.govern_apply import PlainCourse
    from controlplane.usecases.proven_runs import ProvenRuns
    from controlplane.usecases.read_registers import Record
    from controlplane.usecases.run_gates import GatePorts
    from controlplane.usecases.wave_ports import WavePorts, WaveSite


def governance(given: str | None) -> tuple[Governance, tuple[str, ...]]:
    """Return what a site says of gates, registers and waves, and the hosts that its policy governs. Inventory scripts and plugins are not run."""
    content = wiring.site(given).read(run_inventory=False)
    return content.governance, tuple(sorted(content.policy.hosts))


def registers(given: str | None) -> RegisterFiles:
    """Return the registers of a site, to be edited."""
    from controlplane.adapters.register_files import RegisterFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = wiring.site(given)
    return RegisterFiles(folder.folder, folder)


def gate_reports(given: str | None) -> GateReportFiles:
    """Return what the site's gate runs found."""
    from controlplane.adapters.gate_reports import GateReportFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return GateReportFiles(wiring.site(given).folder / "state" / "gates")


def proven_runs(folder: str, store: CoordinationStore) -> ProvenRuns:
    """Return the gate runs of the store, as far as the receipts and reports of a site bear them out."""
    from controlplane.usecases.proven_runs import ProvenRuns  # noqa: PLC0415 - a verb that isn't called costs nothing

    return ProvenRuns(store, wiring.gate_reports(folder), wiring.receipts(folder))


def gate_record(given: str | None) -> Record:
    """Return what is on record of a site's gate runs, which closings rest on."""
    from controlplane.usecases.read_registers import Record  # noqa: PLC0415 - a verb that isn't called costs nothing

    return Record(reports=wiring.gate_reports(given), receipts=wiring.receipts(given), clock=wiring.clock())


@contextmanager
def gate_ports(view: SiteView) -> Iterator[GatePorts]:
    """Give everything that a run of gates touches; the store is closed afterwards."""
    with wiring.coordination(view.folder) as store:
        yield _gate_ports(view, store)


def _gate_ports(view: SiteView, store: CoordinationStore) -> GatePorts:
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.checker_digests import FileDigests  # noqa: PLC0415
    from controlplane.adapters.clock import SystemClock, SystemEntropy  # noqa: PLC0415
    from controlplane.usecases.run_gates import GatePorts  # noqa: PLC0415

    folder = Path(view.folder)
    return GatePorts(
        clock=SystemClock(),
        entropy=SystemEntropy(),
        evidence=wiring.evidence_source(view),
        site_checks=site_checks(view),
        receipts=wiring.receipts(view.folder),
        reports=wiring.gate_reports(view.folder),
        runs=wiring.proven_runs(view.folder, store),
        checkers=FileDigests(folder),
        time=store,
    )


def site_checks(view: SiteView) -> PytestSiteChecks:
    """Return what runs the site's own checks."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.known_hosts import NAME  # noqa: PLC0415
    from controlplane.adapters.site_checks import PytestSiteChecks  # noqa: PLC0415

    folder = Path(view.folder)
    return PytestSiteChecks(folder, folder / NAME)


def board_governance(given: str | None, view: SiteView, hosts: tuple[str, ...]) -> BoardGovernance:
    """Return what a board shows of waves, promotions and registers."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.checker_digests import FileDigests  # noqa: PLC0415
    from controlplane.adapters.plan_files import PlanFolder  # noqa: PLC0415
    from controlplane.adapters.wave_folder import WaveFiles  # noqa: PLC0415
    from controlplane.usecases.board_governance import governance_of  # noqa: PLC0415

    said, _ = wiring.governance(given)
    names = [desired.host for desired, _ in view.chosen(hosts)]
    with wiring.coordination(given) as store:
        checkers = FileDigests(Path(view.folder))
        plans = PlanFolder(Path(view.folder) / "state" / "plans")
        runs = wiring.proven_runs(view.folder, store)
        return governance_of(
            view,
            said,
            hosts=names,
            waves=store,
            runs=runs,
            checkers=checkers,
            clock=wiring.clock(),
            receipts=wiring.receipts(given),
            plans=plans,
            folder=WaveFiles(Path(view.folder)),
        )


def sessions(given: str | None) -> SessionFile:
    """Return what the last session saw."""
    from controlplane.adapters.session_files import SessionFile  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SessionFile(wiring.site(given).folder / "state" / "session.json")


@contextmanager
def doctor_ports(given: str | None) -> Iterator[tuple[str, DoctorPorts]]:
    """Give what an examination looks at, and the site's name; the store is closed afterwards, if it could be opened."""
    from contextlib import ExitStack  # noqa: PLC0415 - a verb that isn't called costs nothing
    from functools import cache  # noqa: PLC0415

    from controlplane.adapters.git_history import GitHistory  # noqa: PLC0415
    from controlplane.usecases.examine_site import DoctorPorts  # noqa: PLC0415

    folder = wiring.site(given)
    history = GitHistory(folder.folder)
    with ExitStack() as opened:

        def store() -> tuple[CoordinationStore, CoordinationStore]:
            held = opened.enter_context(wiring.coordination(given))
            return held, held

        yield (
            folder.folder.resolve().name,
            DoctorPorts(
                site=folder.read_site,
                content=cache(lambda: folder.read(run_inventory=False)),
                receipts=cache(lambda: wiring.receipts(given)),
                anchors=lambda: wiring.anchors(given, ()),
                approvals=lambda: wiring.approvals(given),
                store=store,
                history=history,
                upstream=history.upstream,
                clock=wiring.clock(),
            ),
        )


@contextmanager
def mode_ports(view: SiteView) -> Iterator[ModePorts]:
    """Give everything that a change of modes touches; the store is closed afterwards."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.checker_digests import FileDigests  # noqa: PLC0415
    from controlplane.adapters.clock import SystemClock, SystemEntropy  # noqa: PLC0415
    from controlplane.adapters.mode_file import GatesFile  # noqa: PLC0415
    from controlplane.usecases.change_modes import ModePorts  # noqa: PLC0415

    folder = Path(view.folder)
    with wiring.coordination(view.folder) as store:
        yield ModePorts(
            clock=SystemClock(),
            entropy=SystemEntropy(),
            receipts=wiring.receipts(view.folder),
            approvals=wiring.approvals(view.folder),
            runs=wiring.proven_runs(view.folder, store),
            checkers=FileDigests(folder),
            site_checks=site_checks(view),
            file=GatesFile(folder / "gates.yml", folder / "state" / "locks"),
        )


@contextmanager
def wave_site(given: str | None) -> Iterator[tuple[WaveSite, WavePorts]]:
    """Give a site with what it says of waves, and everything that leading one touches; the store is closed afterwards."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.backup_proof import SiteBackupProof  # noqa: PLC0415
    from controlplane.adapters.git_history import GitHistory  # noqa: PLC0415
    from controlplane.adapters.wave_folder import WaveFiles  # noqa: PLC0415
    from controlplane.domain.site_view import view_of  # noqa: PLC0415
    from controlplane.usecases.wave_ports import WavePorts, WaveSite  # noqa: PLC0415

    content = wiring.site(given).read(run_inventory=True)
    view, folder = view_of(content), Path(content.folder)
    with wiring.coordination(view.folder) as store:
        ports = WavePorts(
            apply=wiring.apply_ports(content, view),
            gates=_gate_ports(view, store),
            waves=store,
            folder=WaveFiles(folder),
            history=GitHistory(folder),
            backup=SiteBackupProof(folder, content.site.backup_gate),
        )
        yield WaveSite(view=view, governance=content.governance, operator=wiring.operator()), ports


def wave_attempts(
    view: SiteView, opened: Callable[[], AbstractContextManager[WaveStore]], *, chain: Callable[[], Sequence[Receipt]]
) -> Callable[[], tuple[WaveHeld, ...]]:
    """Return what asks for every attempt at a wave of a site; `opened` gives the store, where there is something to ask it."""
    from functools import cache  # noqa: PLC0415 - a verb that isn't called costs nothing
    from pathlib import Path  # noqa: PLC0415

    from controlplane.adapters.listing import names_in  # noqa: PLC0415
    from controlplane.usecases.refuse_wave_plan import every_attempt  # noqa: PLC0415

    @cache
    def has_waves() -> bool:
        # A site that has no wave and never had one has no store to ask. One that was opened goes on whatever became of its file.
        try:
            if names_in(Path(view.folder, "waves"), "*.yml"):
                return True
        except OSError:
            # Which there are is not known: the store says which were opened.
            return True
        return any(receipt.capability.startswith("wave.") for receipt in chain())

    def attempts() -> tuple[WaveHeld, ...]:
        if not has_waves():
            return ()
        with opened() as store:
            return every_attempt(store)

    return attempts


def waves_of(view: SiteView) -> Callable[[], tuple[WaveHeld, ...]]:
    """Return what asks the store for every attempt at a wave of a site, for what changes hosts beside a plan: a way back, a reboot."""
    from functools import partial  # noqa: PLC0415 - a verb that isn't called costs nothing

    trail = wiring.receipts(view.folder)
    return wave_attempts(view, partial(wiring.coordination, view.folder), chain=lambda: [receipt for _, receipt in trail.load()])


def show_time(view: SiteView, held: Sequence[WaveHeld], opened: Callable[[], AbstractContextManager[SiteTime]], *, now: datetime) -> None:
    """Let the store see the time where one is in use and approvals end by it. Raises `RefusedError` for a clock that was set back."""
    if held and view.approval != "none":
        with opened() as store:
            store.assert_time(now)


def plain_course(view: SiteView, plan: Plan) -> PlainCourse:
    """Return the course of a plan that is applied by itself. Raises `RefusedError` where it belongs to a wave, or none of it may begin now."""
    from functools import partial  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.usecases.govern_apply import PlainCourse  # noqa: PLC0415
    from controlplane.usecases.interrupted_run import open_run  # noqa: PLC0415
    from controlplane.usecases.refuse_wave_plan import refuse_wave_plan  # noqa: PLC0415

    trail = wiring.receipts(view.folder)
    chain = [receipt for _, receipt in trail.load()]
    opened = partial(wiring.coordination, view.folder)
    waves = wave_attempts(view, opened, chain=lambda: chain)
    held = waves()
    refuse_wave_plan(plan, held, approvals=wiring.approvals(view.folder), chain=chain, now=wiring.clock().now())
    show_time(view, held, opened, now=wiring.clock().now())
    course = PlainCourse(view, wiring.clock(), waves)
    course.refuse(plan, open_run(plan, trail))
    return course


def proposal_files(given: str) -> ProposalFiles:
    """Return the reader and writer of a site's proposed changes of modes, with the operator's key."""
    from controlplane.adapters.proposal_files import ProposalFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = wiring.site(given)
    return ProposalFiles(wiring.site_signer(folder.folder, folder.read_site()))
