"""A machine as machines.yml declares it, and what its hypervisor shows of it: evidence without a hypervisor."""

from __future__ import annotations

from typing import Any

from controlplane.domain.evidence import Evidence, ProbeRecord
from controlplane.domain.machine_birth import birth
from controlplane.domain.machines import Baseline, BootDisk, DesiredMachine, DockerPackages, Hook, Libvirt, MachineDisk, Network, Profile
from tests.fakes.evidence_builder import COLLECTED_TEXT, EvidenceBuilder
from tests.fakes.plain import copied

GB, MIB = 1000**3, 1024**2
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq0mE1h0f9vN1n0h1l0m1n0o1p0q1r0s1t0u1v0w1x0 ops"
RUN = "CAP-20260102-100000__infra.vm.provision__R0001"


def declared_machine(**other: Any) -> DesiredMachine:
    """Return `mint-data`'s machine: two cores, 2 GiB, a data disk DATA0001 of 4 GB, on libvirt."""
    plain: dict[str, Any] = {
        "name": "mint-data",
        "hypervisor_name": "kvm1",
        "hypervisor": Libvirt(host="kvm1", accelerator="qemu"),
        "profile": profile(),
        "id": None,
        "address": "dhcp",
        "gateway": None,
        "nameservers": (),
        "disks": {"DATA0001": MachineDisk(size=4 * GB)},
    }
    return DesiredMachine(**(plain | other))


def profile(**other: Any) -> Profile:
    """Return the profile of `declared_machine`."""
    plain: dict[str, Any] = {
        "cores": 2,
        "memory": 2048 * MIB,
        "boot": BootDisk(image="debian-12.qcow2", size=8 * GB),
        "network": Network(network="default"),
        "ssh_keys": (KEY,),
    }
    return Profile(**(plain | other))


def unborn(**other: Any) -> dict[str, Any]:
    """Return what the hypervisor shows before the machine is there."""
    plain: dict[str, Any] = {
        "backend": "libvirt",
        "exists": False,
        "other": None,
        "id": None,
        "run": None,
        "made": None,
        "birth": None,
        "host_keys": [],
        "state": None,
        "autostart": None,
        "cores": None,
        "memory": None,
        "agent": None,
        "disks": [],
        "defined": {},
        "cards": [],
        "storages": {"default": {"active": True, "free": 100 * GB, "total": 200 * GB, "volumes": {}}},
        "images": {"debian-12.qcow2": 2 * GB},
        "templates": {},
        "networks": ["default"],
    }
    return copied(plain | other)


def born(**other: Any) -> dict[str, Any]:
    """Return what the hypervisor shows of the machine as it is declared."""
    made = {
        "exists": True,
        "id": "4dea22b3-1d52-4d0f-9f6a-6c1d5a1d1f11",
        "run": RUN,
        "made": True,
        "birth": birth_of(declared_machine()),
        "host_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHost"],
        "state": "running",
        "autostart": True,
        "cores": 2,
        "memory": 2048 * MIB,
        "agent": True,
        "disks": [
            {"serial": None, "size": 8 * GB, "storage": "default", "source": "mint-data-boot", "boot": True},
            {"serial": "DATA0001", "size": 4 * GB, "storage": "default", "source": "mint-data-DATA0001", "boot": False},
        ],
        "defined": {"DATA0001": "default"},
        "cards": [{"network": "default", "bridge": None, "vlan": None, "mac": "52:54:00:00:00:01"}],
    }
    return unborn(**(made | other))


def birth_of(machine: DesiredMachine) -> str:
    """Return what the hypervisor shows of what a declared machine is born with."""
    assert machine.profile.boot is not None
    return birth(machine, machine.profile.boot)


def seen_from_hypervisor(machine: dict[str, Any]) -> Evidence:
    """Return the evidence of a host that only its hypervisor speaks of, and to which no connection came about."""
    probe = ProbeRecord(status="ok", error=None, seconds=0.1, data=machine)
    return Evidence(host="mint-data", collected_at=COLLECTED_TEXT, asked={}, probes={"machine": probe}, unconnected=True)


def brought_up(**other: Any) -> DesiredMachine:
    """Return a machine that is there already, with everything that a baseline can name; `other` are fields of the baseline."""
    plain: dict[str, Any] = {
        "packages": ("rsync",),
        "docker": DockerPackages(packages=("docker.io",)),
        "backup": Hook(packages=("borgbackup",), unit="borg.timer"),
        "monitoring": Hook(unit="node-exporter.service"),
    }
    baseline = Baseline(**(plain | other))
    where: dict[str, Any] = {"hypervisor_name": None, "hypervisor": None, "disks": {}, "address": "192.0.2.10/24", "gateway": "192.0.2.1"}
    return declared_machine(**where, profile=profile(baseline=baseline))


def unit(**other: Any) -> dict[str, Any]:
    """Return a unit that is enabled and active."""
    plain: dict[str, Any] = {"load_state": "loaded", "active_state": "active", "sub_state": "running", "enabled": "enabled", "fragment": "/lib/x"}
    return plain | {"exec_start": "", "drop_ins": [], "properties": {}, "needs_reload": False} | other


def settle(builder: EvidenceBuilder, machine: DesiredMachine | None = None) -> EvidenceBuilder:
    """Let a host have all of the baseline."""
    baseline = (machine or brought_up()).profile.baseline
    builder.probes["packages"] = {name: {"status": "ii", "version": "1.0"} for name in baseline.all_packages()}
    builder.probes["units"] = {name: unit() for name in baseline.all_units()} | builder.probes["units"]
    builder.probes["network"] = {"addresses": ["192.0.2.10/24"], "gateways": ["192.0.2.1"]}
    return builder
