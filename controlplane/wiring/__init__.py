"""The only place where adapters are constructed; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.wiring.governing import (
    board_governance,
    doctor_ports,
    gate_ports,
    gate_record,
    gate_reports,
    governance,
    mode_ports,
    plain_course,
    proposal_files,
    proven_runs,
    registers,
    sessions,
    site_checks,
    wave_site,
    waves_of,
)
from controlplane.wiring.trail import (
    anchors,
    approvals,
    head_files,
    kept_anchors,
    kept_receipts,
    receipts,
    site_signer,
    waiver_ends,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controlplane.adapters.approvable_files import Approvable
    from controlplane.adapters.clock import SystemClock, SystemEntropy
    from controlplane.adapters.coordination import CoordinationStore
    from controlplane.adapters.evidence import AnsibleEvidence
    from controlplane.adapters.evidence_files import EvidenceFiles
    from controlplane.adapters.lab.lab import Lab
    from controlplane.adapters.new_folder import NewSiteFolder
    from controlplane.adapters.page_files import PageFiles
    from controlplane.adapters.plan_files import JsonPlanFiles
    from controlplane.adapters.service_secrets import Told
    from controlplane.adapters.site_files import SiteFolder
    from controlplane.adapters.verification import TestinfraWitness
    from controlplane.domain.evidence import Evidence, Unreached
    from controlplane.domain.site import SiteContent
    from controlplane.domain.site_view import SiteView
    from controlplane.usecases.apply_plan import ApplyPorts
    from controlplane.usecases.wave_ports import WaveSite

# One door: what is constructed beside this module is asked for here as well. Importing those modules loads no adapter.
__all__ = [
    "anchors",
    "approvals",
    "board_governance",
    "doctor_ports",
    "gate_ports",
    "gate_record",
    "gate_reports",
    "governance",
    "head_files",
    "kept_anchors",
    "kept_receipts",
    "mode_ports",
    "plain_course",
    "proposal_files",
    "proven_runs",
    "receipts",
    "registers",
    "sessions",
    "site_checks",
    "site_signer",
    "waiver_ends",
    "wave_site",
    "waves_of",
]


def lab() -> Lab:
    """Return the lab of machines on this host."""
    from controlplane.adapters.lab import open_lab  # noqa: PLC0415 - a verb that isn't called costs nothing

    return open_lab()


def site(given: str | None) -> SiteFolder:
    """Return the site that was named, that $CONTROLPLANE_SITE names, or the only one under inventory/ here."""
    import os  # noqa: PLC0415 - a verb that isn't called costs nothing
    from pathlib import Path  # noqa: PLC0415

    from controlplane.adapters.site_files import SiteFolder, find_site  # noqa: PLC0415

    return SiteFolder(find_site(given, os.environ, Path.cwd()), ends=waiver_ends)


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


def wave_files_of(view: SiteView) -> Callable[[], WaveSite]:
    """Return what reads the site's waves as its files have them now, for what asks neither their store nor their gates."""

    def read() -> WaveSite:
        from controlplane.usecases.wave_ports import WaveSite  # noqa: PLC0415 - a verb that isn't called costs nothing

        return WaveSite(view=view, governance=governance(view.folder)[0], operator=operator())

    return read


def entropy() -> SystemEntropy:
    """Return the source of what makes run keys differ."""
    from controlplane.adapters.clock import SystemEntropy  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SystemEntropy()


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
    signer = site_signer(folder, content.site)
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


def collect(view: SiteView, hosts: tuple[str, ...]) -> Mapping[str, Evidence | Unreached]:
    """Collect from these hosts."""
    from controlplane.usecases.collect_evidence import collect_site  # noqa: PLC0415 - a verb that isn't called costs nothing

    return collect_site(view, hosts=hosts, evidence=evidence_source(view))


def approvable(path: str) -> Approvable:
    """Return what a file asks to be approved. Raises `InputInvalidError`."""
    from controlplane.adapters.approvable_files import read_approvable  # noqa: PLC0415 - a verb that isn't called costs nothing

    return read_approvable(path)


def write_project(folder: str, project: Mapping[str, bytes]) -> None:
    """Write a rendered project into a new folder."""
    from pathlib import Path  # noqa: PLC0415 - a verb that isn't called costs nothing

    from controlplane.adapters.project_folder import write_project as write  # noqa: PLC0415

    write(Path(folder), project)


def clock() -> SystemClock:
    """Return the controller's clock."""
    from controlplane.adapters.clock import SystemClock  # noqa: PLC0415 - a verb that isn't called costs nothing

    return SystemClock()
