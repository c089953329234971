"""One registry of everything that the control plane can do by name: what it is, how safe it is, what it takes, and which verb it is.

Rules:
- What changes machines is only ever previewed by `cap run`: the plan that it writes is approved and applied like any other; a way back, which needs
  no plan, is only rehearsed.
- A stack is staged by the name under which receipts have it, release.deploy.
- A capability runs as the very command line that is shown; there is no second way to the same thing.
"""

from __future__ import annotations

from typing import Literal

from controlplane.domain.capabilities import CAPABILITIES, release_deploy
from controlplane.domain.values import Value

Safety = Literal["read-only", "records", "governance", "mutating", "destructive"]
_SAFETY: dict[Safety, str] = {
    "read-only": "looks and changes nothing",
    "records": "looks, and puts on record what it found",
    "governance": "changes the site's own files",
    "mutating": "changes machines, by an approved plan that can be taken back, or by taking one back",
    "destructive": "deletes what can't be had back, by an approved plan of its own",
}


class Registered(Value):
    """One capability. `verb` is the command line that it runs as, `inputs` what that takes, `receipt` whether it leaves a signed one."""

    name: str
    title: str
    safety: Safety
    approval: Literal["none", "plan"]
    inputs: tuple[str, ...]
    role: str | None
    receipt: bool
    verb: tuple[str, ...]

    @property
    def safety_text(self) -> str:
        """Return in words what its safety class means."""
        return _SAFETY[self.safety]


_TITLES = {
    "infra.vm.provision": "Make a machine that has its data disk from birth",
    "infra.vm.bootstrap": "Bring a machine to its baseline before its first container starts",
    "storage.data_disk": "Find the data disk by its identity, make its filesystem, mount it by UUID",
    "storage.fstab": "Keep mounts over a reboot, and Docker off a bare mountpoint",
    "docker.data_root": "Move Docker's and containerd's root to the data disk",
    "storage.persistent_paths": "Move the data of named containers to the policy's paths",
    "redis.durability": "Turn Redis' append-only file on while it serves, and persist that",
    "storage.write_surfaces": "Give temp and upload paths a governed bind mount",
    "release.deploy": "Bring a compose stack to the images and files of a release",
    "docker.hygiene": "Bring images, build cache and logs to their budgets",
    "storage.tmp_files": "Remove large files of the host's /tmp by name",
    "storage.purge": "Remove retired data by name",
}


_FIRST = {"infra.vm.provision": ("provision",), "infra.vm.bootstrap": ("bootstrap",), "release.deploy": ("release", "stage")}


def _changes() -> list[Registered]:
    found = []
    for capability in CAPABILITIES.values():
        safety: Safety = "destructive" if capability.only_by_name else "mutating"
        first = _FIRST.get(capability.id)
        verb = first or ("plan", "--capability", capability.id)
        inputs: tuple[str, ...] = ("--host HOST", "--out FILE") if first is None else ("HOST", "--out FILE")
        if capability.led_by:
            inputs = ("STACK", "--manifest NAME", "--out FILE")
        found.append(
            Registered(
                name=capability.id,
                title=_TITLES[capability.id],
                safety=safety,
                approval="plan",
                inputs=inputs,
                role=capability.role,
                receipt=True,
                verb=verb,
            )
        )
    return found


def _releases() -> list[Registered]:
    """Return what brings a stack further than to staging, or back; all of it by the role that staged it."""
    role = CAPABILITIES[release_deploy.ID].role
    rows: list[tuple[str, str, Literal["none", "plan"], tuple[str, ...], tuple[str, ...]]] = [
        (
            "release.promote",
            "Bring what staging proved to production, through its gate",
            "plan",
            ("STACK", "--manifest NAME", "--out FILE"),
            ("release", "promote"),
        ),
        (
            "release.rollback",
            "Bring the release before back, proven by digest and behaviour",
            "none",
            ("STACK", "--env ENVIRONMENT", "--to MANIFEST"),
            ("release", "rollback", "--dry-run"),
        ),
    ]
    return [
        Registered(name=name, title=title, safety="mutating", approval=approval, inputs=inputs, role=role, receipt=True, verb=verb)
        for name, title, approval, inputs, verb in rows
    ]


def _looks() -> list[Registered]:
    rows: list[tuple[str, str, Safety, tuple[str, ...], bool, tuple[str, ...]]] = [
        ("session.start", "State, open waves, and what drifted since the last session", "records", ("--host HOST",), True, ("session", "start")),
        ("infra.vm.ready.status", "May this host be called ready?", "records", ("HOST", "--plan FILE"), True, ("ready",)),
        (
            "infra.storage.audit.snapshot",
            "Every STOR finding, its linkage, and what its checks say now",
            "read-only",
            ("--host HOST",),
            False,
            ("snapshot",),
        ),
        ("verify.pack.run", "Judge a pack on fresh evidence", "records", ("PACK", "--host HOST"), True, ("gates", "run")),
        ("release.check", "Contract, compose files and secrets of a stack", "read-only", ("STACK",), False, ("release", "check")),
        ("release.smoke", "Prove a running stack by its behaviour", "records", ("STACK", "--env ENVIRONMENT"), True, ("release", "smoke")),
        ("release.recert", "Certify modules and site by their own commands", "records", ("STACK", "--manifest NAME"), True, ("release", "recert")),
        ("release.status", "What runs where, by which release", "read-only", ("STACK",), False, ("release", "status")),
        ("release.brief", "The runbook of a promotion", "read-only", ("STACK",), False, ("release", "brief")),
        (
            "release.close",
            "Look once more, and leave the closeout receipt of a release",
            "records",
            ("STACK", "--env ENVIRONMENT", "--attest TEXT", "--deferred TEXT"),
            True,
            ("release", "close"),
        ),
        ("gaps.status", "How the gaps stand; fails on an orphan", "read-only", (), False, ("gaps", "status")),
        ("loops.status", "How the loops stand; fails on an orphan", "read-only", (), False, ("loops", "status")),
        ("authority.project.status", "Is this site governed, or does it drift?", "read-only", (), False, ("doctor",)),
    ]
    return [
        Registered(name=name, title=title, safety=safety, approval="none", inputs=inputs, role=None, receipt=receipt, verb=verb)
        for name, title, safety, inputs, receipt, verb in rows
    ]


REGISTRY: dict[str, Registered] = {one.name: one for one in (*_looks(), *_changes(), *_releases())}
