"""What the collector looks at on one host beyond what it looks at everywhere: what the desired state names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controlplane.domain.desired import DesiredHost
from controlplane.domain.machine_volumes import boot_volume, disk_volume
from controlplane.domain.machines import DesiredMachine, Libvirt
from controlplane.domain.releases.wanted import ReleaseWanted

HYGIENE_TIMER, HYGIENE_SERVICE = "controlplane-hygiene.timer", "controlplane-hygiene.service"


def what_to_ask(desired: DesiredHost | None) -> dict[str, Any]:
    """Return the collector's parameters: `paths`, `mounts`, `services`, `write_surfaces`, `store` and `limits` (seconds by probe; empty for its own).

    Where a release is to come, its compose project under `releases`. Where the machine is declared,
    also what its baseline names: `packages`, `units`, and whether `network` is asked for.

    No password is part of it; of where one is, what the container itself may have: a variable's name, and the user.
    """
    if desired is None:
        return {"paths": [], "mounts": [], "services": {}, "write_surfaces": [], "store": False, "limits": {}}
    mounts = {disk.mount for disk in desired.disks} | {export.mount for export in desired.nfs}
    places = [service.place for service in desired.services.values()]
    surfaces = [surface.place for surface in desired.write_surfaces]
    roots = [desired.docker.data_root, desired.docker.containerd_root]
    dirs, binds = [stack.dir for stack in desired.stacks], [bind for one in desired.releases for bind in one.bind_sources]
    paths = {path for path in (*mounts, *places, *surfaces, *roots, *dirs, *binds) if path}
    return {
        "paths": sorted(paths),
        "mounts": sorted(mounts),
        "services": {
            name: {
                "kind": service.kind,
                "data": service.data,
                "place": service.place,
                "volume": service.volume,
                "auth": service.auth.model_dump(exclude_none=True, include={"password_env", "user"}) if service.auth else {},
            }
            for name, service in sorted(desired.services.items())
        },
        "write_surfaces": [
            {"container": s.container, "path": s.path, "place": s.place, "limited": s.max_size is not None} for s in desired.write_surfaces
        ],
        "store": desired.docker.hygiene is not None,
        "limits": {},
        **_of_releases(desired.releases),
        **_of_the_baseline(desired.machine, [HYGIENE_TIMER, HYGIENE_SERVICE] if desired.docker.hygiene else []),
    }


def _of_releases(releases: Sequence[ReleaseWanted]) -> dict[str, Any]:
    return {"releases": sorted({one.project for one in releases})} if releases else {}


def _of_the_baseline(machine: DesiredMachine | None, units: list[str]) -> dict[str, Any]:
    if machine is None:
        return {"units": units} if units else {}
    baseline = machine.profile.baseline
    return {
        "packages": list(baseline.all_packages()),
        "units": [*baseline.all_units(), *units],
        "network": machine.address != "dhcp" or bool(machine.gateway or machine.nameservers),
    }


def what_to_ask_of_a_hypervisor(machines: Sequence[DesiredMachine]) -> dict[str, Any]:
    """Return what is asked of one libvirt about the machines that are declared on it: `uri`, and by name what each would be made from."""
    uris = sorted({machine.hypervisor.uri for machine in machines if isinstance(machine.hypervisor, Libvirt)})
    if len(uris) != 1:
        raise ValueError(f"one host runs one libvirt, not {len(uris)}")
    return {"uri": uris[0], "wanted": {machine.name: _wanted(machine) for machine in machines}}


def _wanted(machine: DesiredMachine) -> dict[str, Any]:
    boot, network = machine.profile.boot, machine.profile.network
    storages = {disk.storage for disk in machine.disks.values()} | ({boot.storage} if boot else set())
    return {
        "image": boot.image if boot else None,
        "image_storage": boot.storage if boot else None,
        "templates": [boot.template] if boot and boot.template else [],
        "storages": sorted(storages),
        "volumes": [boot_volume(machine), *(disk_volume(machine, serial) for serial in sorted(machine.disks))],
        "networks": [name for name in (network.network, network.bridge) if name],
    }
