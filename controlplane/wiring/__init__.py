"""The only place where adapters are constructed; each is imported when it is asked for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from controlplane.adapters.anchors import AnchorFiles, HeadFiles
    from controlplane.adapters.approvable_files import Approvable
    from controlplane.adapters.approvals import ApprovalFiles
    from controlplane.adapters.clock import SystemClock, SystemEntropy
    from controlplane.adapters.coordination import CoordinationStore
    from controlplane.adapters.evidence import AnsibleEvidence
    from controlplane.adapters.evidence_files import EvidenceFiles
    from controlplane.adapters.gate_reports import GateReportFiles
    from controlplane.adapters.lab.lab import Lab
    from controlplane.adapters.new_folder import NewSiteFolder
    from controlplane.adapters.page_files import PageFiles
    from controlplane.adapters.plan_files import JsonPlanFiles
    from controlplane.adapters.proposal_files import ProposalFiles
    from controlplane.adapters.receipts import ReceiptFiles
    from controlplane.adapters.register_files import RegisterFiles
    from controlplane.adapters.service_secrets import Told
    from controlplane.adapters.session_files import SessionFile
    from controlplane.adapters.signing import SshSigner
    from controlplane.adapters.site_files import SiteFolder
    from controlplane.adapters.verification import TestinfraWitness
    from controlplane.domain.board import BoardGovernance
    from controlplane.domain.coordination import WaveHeld
    from controlplane.domain.evidence import Evidence, Unreached
    from controlplane.domain.governance import Governance
    from controlplane.domain.plan import Plan
    from controlplane.domain.site import Site, SiteContent
    from controlplane.domain.site_view import SiteView
    from controlplane.usecases.apply_plan import ApplyPorts
    from controlplane.usecases.change_modes import ModePorts
    from controlplane.usecases.examine_site import DoctorPorts
    from controlplane.usecases.read_registers import Record
    from controlplane.usecases.run_gates import GatePorts
    from controlplane.usecases.wave_ports import WavePorts, WaveSite


def lab() -> Lab:
    """Return the lab of machines on this host."""
    from controlplane.adapters.lab import open_lab  # noqa: PLC0415 - a verb that isn't called costs nothing

    return open_lab()


def site(given: str | None) -> SiteFolder:
    """Return the site that was named, that $CONTROLPLANE_SITE names, or the only one under inventory/ here."""
    import os  # noqa: PLC0415 - a verb that isn't called costs nothing
    from pathlib import Path  # noqa: PLC0415

    from controlplane.adapters.site_files import SiteFolder, find_site  # noqa: PLC0415

    return SiteFolder(find_site(given, os.environ, Path.cwd()))


def site_view(given: str | None, *, run_inventory: bool = True) -> SiteView:
    """Return what use cases need of a site. Without `run_inventory` one whose inventory is a script or a plugin's is refused."""
    from controlplane.domain.site_view import view_of  # noqa: PLC0415 - a verb that isn't called costs nothing

    return view_of(site(given).read(run_inventory=run_inventory))


def evidence_source(view: SiteView | None = None) -> AnsibleEvidence:
    """Return what collects from hosts; `view` is the site, where there is one."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.clock import SystemClock  # noqa: PLC0415
    from controlplane.adapters.evidence import AnsibleEvidence  # noqa: PLC0415

    if view is None:
        return AnsibleEvidence(SystemClock())
    return AnsibleEvidence(SystemClock(), site=Path(view.folder), routes=view.inventory.hosts)


def witness() -> TestinfraWitness:
    """Return the second witness of a machine without a site; a site's own is among its ports."""
    from controlplane.adapters.verification import TestinfraWitness  # noqa: PLC0415 - a verb that isn't called costs nothing

    return TestinfraWitness()


def evidence_files() -> EvidenceFiles:
    """Return the reader and writer of evidence files."""
    from controlplane.adapters.evidence_files import EvidenceFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return EvidenceFiles()


def new_site(folder: str) -> NewSiteFolder:
    """Return the folder that a new site is written to."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.new_folder import NewSiteFolder  # noqa: PLC0415

    return NewSiteFolder(Path(folder))


def governed_site(given: str | None) -> tuple[SiteView, ApplyPorts]:
    """Return a site and everything that changing its hosts needs. Its inventory's scripts and plugins run."""
    from controlplane.domain.site_view import view_of  # noqa: PLC0415 - a verb that isn't called costs nothing

    content = site(given).read(run_inventory=True)
    view = view_of(content)
    return view, apply_ports(content, view)


def receipts(given: str | None, *, anew: bool = False) -> ReceiptFiles:
    """Return the evidence trail of a site. Of its files site.yml alone is read: a broken policy or inventory is not in the way.

    With `anew` every signature is judged, whatever earlier verbs found.
    """
    from controlplane.adapters.receipts import ReceiptFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return ReceiptFiles(folder.folder / "state" / "receipts", _signer(folder.folder, folder.read_site(), anew=anew))


def kept_receipts(folder: str, signers: str | None) -> ReceiptFiles:
    """Return the receipts in a folder that need not be a site's: with only public keys, and nothing else read."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.receipts import ReceiptFiles  # noqa: PLC0415

    return ReceiptFiles(Path(folder), _checker(signers))


def kept_anchors(heads: tuple[str, ...], signers: str | None) -> AnchorFiles:
    """Return the named heads of a chain that need not be a site's."""
    from controlplane.adapters.anchors import AnchorFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return AnchorFiles(_checker(signers), heads=heads)


def anchors(given: str | None, heads: tuple[str, ...]) -> AnchorFiles:
    """Return what holds a site's chain in its place: its closeouts and the named heads. Of its files site.yml alone is read, and closeouts."""
    from controlplane.adapters.anchors import AnchorFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return AnchorFiles(_signer(folder.folder, folder.read_site(), anew=True), heads=heads, site=folder.folder)


def head_files(given: str | None) -> HeadFiles:
    """Return the writer of a site's heads, with its key."""
    from controlplane.adapters.anchors import HeadFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return HeadFiles(_signer(folder.folder, folder.read_site()))


def entropy() -> SystemEntropy:
    """Return the source of what makes run keys differ."""
    from controlplane.adapters.clock import SystemEntropy  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SystemEntropy()


def approvals(given: str | None) -> ApprovalFiles:
    """Return the approvals of a site. Of its files site.yml alone is read."""
    from controlplane.adapters.approvals import ApprovalFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return ApprovalFiles(folder.folder / "state" / "approvals", _signer(folder.folder, folder.read_site()))


def coordination(given: str | None) -> CoordinationStore:
    """Return the opened store of what a site's controllers share. Of its files site.yml alone is read."""
    from controlplane.adapters.coordination import open_store  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return open_store(folder.read_site().store, folder.folder)


def apply_ports(content: SiteContent, view: SiteView, *, more: Callable[[str], Told] | None = None) -> ApplyPorts:
    """Return everything that changing a site's hosts needs; `more` is what else the roles of a host are told that only the controller knows."""
    import os  # noqa: PLC0415 - a verb that isn't called costs nothing
    from functools import partial  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.approvals import ApprovalFiles  # noqa: PLC0415
    from controlplane.adapters.clock import SystemClock, SystemEntropy  # noqa: PLC0415
    from controlplane.adapters.content import PackagedRoles  # noqa: PLC0415
    from controlplane.adapters.evidence import AnsibleEvidence  # noqa: PLC0415
    from controlplane.adapters.known_hosts import NAME, SiteKnownHosts  # noqa: PLC0415
    from controlplane.adapters.plan_files import PlanFolder  # noqa: PLC0415
    from controlplane.adapters.play_runner import StepRunner  # noqa: PLC0415
    from controlplane.adapters.proxmox_api import environment_here  # noqa: PLC0415
    from controlplane.adapters.receipts import ReceiptFiles  # noqa: PLC0415
    from controlplane.adapters.run_locks import HostLocks  # noqa: PLC0415
    from controlplane.adapters.service_secrets import SiteSecrets  # noqa: PLC0415
    from controlplane.adapters.verification import TestinfraWitness  # noqa: PLC0415
    from controlplane.usecases.apply_plan import ApplyPorts  # noqa: PLC0415

    folder, desired = Path(content.folder), view.desired.by_name()
    signer = _signer(folder, content.site)
    clock = SystemClock()
    return ApplyPorts(
        clock=clock,
        entropy=SystemEntropy(),
        evidence=AnsibleEvidence(clock, site=folder, routes=view.inventory.hosts),
        runner=StepRunner(
            view.inventory.hosts,
            holder=operator(),
            known_hosts=folder / NAME,
            env_here=partial(environment_here, desired, folder),
            told=lambda host: {**SiteSecrets(folder, os.environ).of(desired.get(host)), **(more(host) if more is not None else {})},
        ),
        receipts=ReceiptFiles(folder / "state" / "receipts", signer),
        approvals=ApprovalFiles(folder / "state" / "approvals", signer),
        roles=PackagedRoles(),
        witness=TestinfraWitness(known_hosts=folder / NAME),
        plans=PlanFolder(folder / "state" / "plans"),
        locks=HostLocks(folder / "state" / "locks", clock),
        known_hosts=SiteKnownHosts(folder / NAME),
    )


def _signer(folder: Path, said: Site, *, anew: bool = False) -> SshSigner:
    from controlplane.adapters.signing import SshSigner  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SshSigner(_within(folder, said.signing_key), _within(folder, said.allowed_signers), anew=anew)


def _checker(signers: str | None) -> SshSigner:
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.signing import SshSigner  # noqa: PLC0415

    return SshSigner(None, None if signers is None else Path(signers), anew=True)


def _within(folder: Path, named: str | None) -> Path | None:
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    return None if named is None else folder / Path(named).expanduser()


def plan_files() -> JsonPlanFiles:
    """Return the reader and writer of plan files."""
    from controlplane.adapters.plan_files import JsonPlanFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return JsonPlanFiles()


def page_files() -> PageFiles:
    """Return the writer of pages for people."""
    from controlplane.adapters.page_files import PageFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return PageFiles()


def operator() -> str:
    """Return who runs this, as leases and receipts name them: user@controller."""
    import getpass  # noqa: PLC0415 - a verb that isn't called costs nothing
    import socket  # noqa: PLC0415

    return f"{getpass.getuser()}@{socket.gethostname()}"


def governance(given: str | None) -> tuple[Governance, tuple[str, ...]]:
    """Return what a site says of gates, registers and waves, and the hosts that its policy governs. Inventory scripts and plugins are not run."""
    content = site(given).read(run_inventory=False)
    return content.governance, tuple(sorted(content.policy.hosts))


def registers(given: str | None) -> RegisterFiles:
    """Return the registers of a site, to be edited."""
    from controlplane.adapters.register_files import RegisterFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return RegisterFiles(folder.folder, folder)


def gate_reports(given: str | None) -> GateReportFiles:
    """Return what the site's gate runs found."""
    from controlplane.adapters.gate_reports import GateReportFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    return GateReportFiles(site(given).folder / "state" / "gates")


def gate_record(given: str | None) -> Record:
    """Return what is on record of a site's gate runs, which closings rest on."""
    from controlplane.usecases.read_registers import Record  # noqa: PLC0415 - a verb that isn't called costs nothing

    return Record(reports=gate_reports(given), receipts=receipts(given), clock=clock())


@contextmanager
def gate_ports(view: SiteView) -> Iterator[GatePorts]:
    """Give everything that a run of gates touches; the store is closed afterwards."""
    with coordination(view.folder) as store:
        yield _gate_ports(view, store)


def _gate_ports(view: SiteView, store: CoordinationStore) -> GatePorts:
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.checker_digests import FileDigests  # noqa: PLC0415
    from controlplane.adapters.clock import SystemClock, SystemEntropy  # noqa: PLC0415
    from controlplane.adapters.known_hosts import NAME  # noqa: PLC0415
    from controlplane.adapters.site_checks import PytestSiteChecks  # noqa: PLC0415
    from controlplane.usecases.run_gates import GatePorts  # noqa: PLC0415

    folder = Path(view.folder)
    return GatePorts(
        clock=SystemClock(),
        entropy=SystemEntropy(),
        evidence=evidence_source(view),
        site_checks=PytestSiteChecks(folder, folder / NAME),
        receipts=receipts(view.folder),
        reports=gate_reports(view.folder),
        runs=store,
        checkers=FileDigests(folder),
        time=store,
    )


def board_governance(given: str | None, view: SiteView, hosts: tuple[str, ...]) -> BoardGovernance:
    """Return what a board shows of waves, promotions and registers."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.checker_digests import FileDigests  # noqa: PLC0415
    from controlplane.adapters.plan_files import PlanFolder  # noqa: PLC0415
    from controlplane.usecases.board_governance import governance_of  # noqa: PLC0415

    said, _ = governance(given)
    names = [desired.host for desired, _ in view.chosen(hosts)]
    with coordination(given) as store:
        checkers = FileDigests(Path(view.folder))
        plans = PlanFolder(Path(view.folder) / "state" / "plans")
        return governance_of(
            view, said, hosts=names, waves=store, runs=store, checkers=checkers, clock=clock(), receipts=receipts(given), plans=plans
        )


def sessions(given: str | None) -> SessionFile:
    """Return what the last session saw."""
    from controlplane.adapters.session_files import SessionFile  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SessionFile(site(given).folder / "state" / "session.json")


@contextmanager
def doctor_ports(given: str | None) -> Iterator[tuple[str, DoctorPorts]]:
    """Give what an examination looks at, and the site's name; the store is closed afterwards, if it could be opened."""
    from contextlib import ExitStack  # noqa: PLC0415 - a verb that isn't called costs nothing
    from functools import cache  # noqa: PLC0415

    from controlplane.adapters.git_history import GitHistory  # noqa: PLC0415
    from controlplane.usecases.examine_site import DoctorPorts  # noqa: PLC0415

    folder = site(given)
    history = GitHistory(folder.folder)
    with ExitStack() as opened:

        def store() -> tuple[CoordinationStore, CoordinationStore]:
            held = opened.enter_context(coordination(given))
            return held, held

        yield (
            folder.folder.resolve().name,
            DoctorPorts(
                site=folder.read_site,
                content=cache(lambda: folder.read(run_inventory=False)),
                receipts=cache(lambda: receipts(given)),
                anchors=lambda: anchors(given, ()),
                approvals=lambda: approvals(given),
                store=store,
                history=history,
                upstream=history.upstream,
                clock=clock(),
            ),
        )


@contextmanager
def mode_ports(view: SiteView) -> Iterator[ModePorts]:
    """Give everything that a change of modes touches; the store is closed afterwards."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.checker_digests import FileDigests  # noqa: PLC0415
    from controlplane.adapters.clock import SystemClock, SystemEntropy  # noqa: PLC0415
    from controlplane.adapters.known_hosts import NAME  # noqa: PLC0415
    from controlplane.adapters.mode_file import GatesFile  # noqa: PLC0415
    from controlplane.adapters.site_checks import PytestSiteChecks  # noqa: PLC0415
    from controlplane.usecases.change_modes import ModePorts  # noqa: PLC0415

    folder = Path(view.folder)
    with coordination(view.folder) as store:
        yield ModePorts(
            clock=SystemClock(),
            entropy=SystemEntropy(),
            receipts=receipts(view.folder),
            approvals=approvals(view.folder),
            runs=store,
            checkers=FileDigests(folder),
            site_checks=PytestSiteChecks(folder, folder / NAME),
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

    content = site(given).read(run_inventory=True)
    view, folder = view_of(content), Path(content.folder)
    with coordination(view.folder) as store:
        ports = WavePorts(
            apply=apply_ports(content, view),
            gates=_gate_ports(view, store),
            waves=store,
            folder=WaveFiles(folder),
            history=GitHistory(folder),
            backup=SiteBackupProof(folder, content.site.backup_gate),
        )
        yield WaveSite(view=view, governance=content.governance, operator=operator()), ports


def refuse_wave_plan(view: SiteView, plan: Plan) -> None:
    """Raise `RefusedError` where the plan, or its approval, belongs to a wave. A site without waves has no store to ask."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.usecases.refuse_wave_plan import every_attempt  # noqa: PLC0415
    from controlplane.usecases.refuse_wave_plan import refuse_wave_plan as refuse  # noqa: PLC0415

    chain = [receipt for _, receipt in receipts(view.folder).load()]
    attempts: tuple[WaveHeld, ...] = ()
    if any(Path(view.folder, "waves").glob("*.yml")):
        with coordination(view.folder) as store:
            attempts = every_attempt(store)
    refuse(plan, attempts, approvals=approvals(view.folder), chain=chain, now=clock().now())


def collect(view: SiteView, hosts: tuple[str, ...]) -> Mapping[str, Evidence | Unreached]:
    """Collect from these hosts."""
    from controlplane.usecases.collect_evidence import collect_site  # noqa: PLC0415 - a verb that isn't called costs nothing

    return collect_site(view, hosts=hosts, evidence=evidence_source(view))


def approvable(path: str) -> Approvable:
    """Return what a file asks to be approved. Raises `InputInvalidError`."""
    from controlplane.adapters.approvable_files import read_approvable  # noqa: PLC0415 - a verb that isn't called costs nothing

    return read_approvable(path)


def proposal_files(given: str) -> ProposalFiles:
    """Return the reader and writer of a site's proposed changes of modes, with the operator's key."""
    from controlplane.adapters.proposal_files import ProposalFiles  # noqa: PLC0415 - a verb that isn't called costs nothing

    folder = site(given)
    return ProposalFiles(_signer(folder.folder, folder.read_site()))


def write_project(folder: str, project: Mapping[str, bytes]) -> None:
    """Write a rendered project into a new folder."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.project_folder import write_project as write  # noqa: PLC0415

    write(Path(folder), project)


def clock() -> SystemClock:
    """Return the controller's clock."""
    from controlplane.adapters.clock import SystemClock  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SystemClock()
