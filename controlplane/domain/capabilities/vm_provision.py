"""infra.vm.provision: a machine that has its data disk, with its serial number, from birth.

Rules:
- Only what is missing is made: volumes, the machine, its disks. What is there is never replaced, shrunk, re-made or destroyed.
- A machine or volume that is there already and that no run of this program marked as its own half-made work is a refusal, never taken over; a
  machine that is as declared may be given the data disks that it lacks.
- What an interrupted run left half made is finished only where it is what is declared now: a run that made another machine of it could not say so.
- A second machine would take the first one's place in the network: where the hypervisor has none, none is made unless nothing answers there at all.
- The machine's SSH host key is made on the hypervisor's side and known before its first boot.
- What the baseline will bring is fetched from the first boot on, as far as the machine's own sources have it; bootstrap installs it.
"""

from __future__ import annotations

from controlplane.domain.capabilities import half_made, on_proxmox
from controlplane.domain.capabilities.proposal import Capability, Draft, Outlook, Proposal
from controlplane.domain.desired import DesiredHost
from controlplane.domain.evidence import Evidence, Reader, Unobserved
from controlplane.domain.inventory import here_for
from controlplane.domain.machine_shapes import MachineSeen
from controlplane.domain.machine_view import differences, is_missing_disk, missing_disks
from controlplane.domain.machine_volumes import boot_volume, disk_volume
from controlplane.domain.machines import BootDisk, DesiredMachine, Libvirt, Proxmox
from controlplane.domain.plan import Bound, Change, Mend

ID = "infra.vm.provision"
# qcow2 and LVM-thin keep tables of their own beside the data.
_MARGIN = 1.02


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:  # noqa: ARG001 - every capability is asked the same way
    machine = desired.machine
    if machine is None or machine.hypervisor is None or machine.profile.boot is None:
        return Proposal()
    try:
        seen = reader.machine
        if seen["exists"] and seen["made"] is not False:
            return _complete(machine, machine.profile.boot, seen)
        if not seen["exists"] and (told := _taken(machine, reader.evidence)):
            return Proposal(refusals=(told,))
        return _make(machine, machine.profile.boot, seen)
    except Unobserved as doubt:
        return Proposal(refusals=(f"could not be observed: {doubt}",))


def _taken(machine: DesiredMachine, evidence: Evidence) -> str:
    """Return why a machine that its hypervisor does not have may be there all the same, empty where no connection to it came about."""
    name, missing = machine.name, f"{machine.hypervisor_name} has no such machine"
    if evidence.reached:
        told = f"{name} answers, but {missing}: a second one would take its place in the network"
        return f"{told}; name the hypervisor that it runs on, or take the other one away"
    if evidence.unconnected:
        return ""
    said = next((record.error for probe, record in sorted(evidence.probes.items()) if probe != "machine" and record.error), "no reason is known")
    return (
        f"whether {name} is there already can't be told, though {missing}: something may answer in its place ({said}), and a second one would take "
        "that in the network; where it is the machine, pin its key or let this controller log in, and name the hypervisor that it runs on; else take "
        "away what answers, or mend the controller's own network, and plan again"
    )


def _complete(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen) -> Proposal:
    """Add disks that are missing to a machine that is there; everything else that differs is left to a person."""
    missing, where = missing_disks(machine, seen), machine.hypervisor_name
    by_hand = [f"{reason}: change it on {where} yourself" for reason in differences(machine, seen) if not is_missing_disk(reason)]
    if not missing or by_hand:
        return Proposal(refusals=(*by_hand, *_asleep(machine, seen)))
    if isinstance(machine.hypervisor, Proxmox):
        return Proposal(refusals=on_proxmox.missing_disk_refusals(machine, missing))
    refusals = [*_strangers(machine, seen, missing), *_storage_refusals(machine, boot, seen, missing, boot_too=False)]
    if refusals:
        return Proposal(refusals=tuple(refusals))
    return _proposal(machine, boot, seen, tuple(_disk_changes(machine, seen, missing)), missing, boot_too=False)


def _asleep(machine: DesiredMachine, seen: MachineSeen) -> list[str]:
    """Return what a person has to do so that the machine runs, now and after the next boot of its hypervisor."""
    where = machine.hypervisor_name
    told = [] if seen["state"] == "running" else [f"{machine.name} is {seen['state']}: see why, and start it on {where} yourself"]
    return told if seen["autostart"] else [*told, f"{machine.name} is not started at boot: have {where} do that"]


def _strangers(machine: DesiredMachine, seen: MachineSeen, missing: tuple[str, ...]) -> list[str]:
    """Return the volumes that lie where missing disks belong; nothing shows whose they are, nor that no other machine writes to them."""
    places = [(disk_volume(machine, serial), machine.disks[serial].storage) for serial in missing]
    return [
        f"{name} lies in storage {storage} of {machine.hypervisor_name} already, and {machine.name} does not have it: "
        "resume the run that made it, or look at what it holds and move it away"
        for name, storage in places
        if name in _volumes(seen, storage)
    ]


def _make(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen) -> Proposal:
    profile, where = machine.profile, machine.hypervisor_name
    refusals = on_proxmox.refusals(machine, boot) if isinstance(machine.hypervisor, Proxmox) else []
    if seen["other"]:
        refusals.append(f"{seen['other']} is in its place on {where}: nothing is replaced; give this machine another id or name")
    if seen["exists"]:
        refusals += half_made.refusals(machine, boot, seen)
    if boot.image is not None and boot.image not in seen["images"]:
        refusals.append(f"{where} has no image {boot.image} in storage {boot.storage}: put it there, or name another in the profile")
    if boot.template is not None and boot.template not in seen["templates"]:
        refusals.append(f"{where} has no template {boot.template}: make it there, or name another in the profile")
    smallest = seen["images"].get(boot.image or "", 0)
    if boot.size < smallest:
        refusals.append(f"the image {boot.image} holds a disk of {smallest} bytes, the profile's boot disk has {boot.size}: make it larger")
    wanted = profile.network.network or profile.network.bridge
    if wanted is not None and seen["networks"] is not None and wanted not in seen["networks"]:
        refusals.append(
            f"{where} has no {'network' if profile.network.network else 'bridge'} {wanted}: make it there, or name another in the profile"
        )
    missing = tuple(sorted(machine.disks)) if not seen["exists"] else missing_disks(machine, seen)
    boot_too = not any(disk["boot"] for disk in seen["disks"])
    refusals += _storage_refusals(machine, boot, seen, missing, boot_too=boot_too)
    if refusals:
        return Proposal(refusals=tuple(refusals))
    changes = [*_boot_changes(machine, boot, seen, boot_too=boot_too), *_disk_changes(machine, seen, missing)]
    card = (
        f"network {profile.network.network}"
        if profile.network.network
        else f"bridge {profile.network.bridge}"
        if profile.network.bridge
        else "no network"
    )
    made = f"{profile.cores} cores, {profile.memory // 1024**2} MiB, {card}, login {profile.user}" + (", guest agent" if profile.agent else "")
    made += ", started, and at each boot" + _told_of_prefetch(len(_prefetch(machine)))
    # The same record whether it is begun or gone on with: an interrupted run does what is left of its plan.
    changes.append(Change(kind="machine", target=f"{machine.name} on {where}", before=None, after=made))
    if not seen["host_keys"]:
        changes.append(Change(kind="file", target=f"known_hosts: {machine.name}", before=None, after="the host key that it is born with"))
    return _proposal(machine, boot, seen, tuple(changes), missing, boot_too=boot_too)


def _prefetch(machine: DesiredMachine) -> tuple[str, ...]:
    """Return the packages of the baseline that the machine can fetch by itself: those of a repository that the site names come with bootstrap."""
    baseline, docker = machine.profile.baseline, machine.profile.baseline.docker
    later = docker.packages if docker is not None and docker.repository is not None else ()
    return tuple(name for name in baseline.all_packages() if name not in later)


def _told_of_prefetch(count: int) -> str:
    return f"; fetches {count} package{'s' if count > 1 else ''} at its first boot, installs none" if count else ""


def _boot_changes(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen, *, boot_too: bool) -> list[Change]:
    name = boot_volume(machine)
    if not boot_too or name in _volumes(seen, boot.storage):
        return []
    source = f"image {boot.image}" if boot.image else f"template {boot.template}"
    return [_volume(machine, name, "boot disk", boot.storage, f"{boot.size} bytes, a copy of {source}")]


def _volume(machine: DesiredMachine, name: str, disk: str, storage: str, after: str) -> Change:
    """Return the record of a volume that is made; on Proxmox VE its name is given there, and not before."""
    if isinstance(machine.hypervisor, Proxmox):
        named = f"{after}, named {on_proxmox.volume_names(machine)} by Proxmox VE"
        return Change(kind="volume", target=f"{disk} of {machine.name} in {storage}", before=None, after=named)
    return Change(kind="volume", target=f"{name} in {storage}", before=None, after=after)


def _disk_changes(machine: DesiredMachine, seen: MachineSeen, missing: tuple[str, ...]) -> list[Change]:
    changes = []
    for serial in missing:
        disk, name = machine.disks[serial], disk_volume(machine, serial)
        if name not in _volumes(seen, disk.storage):
            changes.append(_volume(machine, name, f"disk {serial}", disk.storage, f"{disk.size} bytes, blank"))
        if seen["exists"] and seen["made"] is not False:
            changes.append(Change(kind="machine", target=f"disk {serial} of {machine.name}", before=None, after=f"attached, serial number {serial}"))
    return changes


def _storage_refusals(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen, missing: tuple[str, ...], *, boot_too: bool) -> list[str]:
    where, told = machine.hypervisor_name, []
    for storage, needed in _needed(machine, boot, seen, missing, boot_too=boot_too).items():
        found = seen["storages"].get(storage)
        if found is None:
            told.append(f"{where} has no storage {storage}: make it there, or name another")
        elif not found["active"]:
            told.append(f"storage {storage} of {where} is not active: start it there")
        elif found["free"] < needed:
            told.append(f"storage {storage} of {where} has {found['free']} bytes free, {needed} are needed")
    mine = {name for found in seen["storages"].values() for name in found["volumes"]}
    if mine and not seen["exists"] and seen["run"] is None:
        told.append(f"{', '.join(sorted(mine))} lie on {where} already and no run here made them: look at what they hold, then move them away")
    return told


def _needed(machine: DesiredMachine, boot: BootDisk, seen: MachineSeen, missing: tuple[str, ...], *, boot_too: bool) -> dict[str, int]:
    """Return the bytes that are still to be taken of each storage that is used."""
    needed: dict[str, int] = {boot.storage: 0}
    if boot_too and boot_volume(machine) not in _volumes(seen, boot.storage):
        needed[boot.storage] = boot.size
    for serial in missing:
        disk = machine.disks[serial]
        made = disk_volume(machine, serial) in _volumes(seen, disk.storage)
        needed[disk.storage] = needed.get(disk.storage, 0) + (0 if made else disk.size)
    return {storage: int(size * _MARGIN) for storage, size in needed.items()}


def _volumes(seen: MachineSeen, storage: str) -> dict[str, int]:
    found = seen["storages"].get(storage)
    return found["volumes"] if found else {}


def _proposal(
    machine: DesiredMachine, boot: BootDisk, seen: MachineSeen, changes: tuple[Change, ...], missing: tuple[str, ...], *, boot_too: bool
) -> Proposal:
    needed = _needed(machine, boot, seen, missing, boot_too=boot_too)
    existing = seen["exists"] and seen["made"] is not False
    draft = Draft(
        mends=(Mend(check="D246", surface="machine"),),
        changes=changes,
        undo="none that destroys: a machine that is half made is finished by a second run; an unwanted one is removed on the hypervisor, by hand",
        bounds=tuple(
            Bound(
                host=machine.name,
                what=f"free bytes on storage {storage} of {machine.hypervisor_name}",
                measure="storage_bytes",
                of=storage,
                at_least=size,
            )
            for storage, size in sorted(needed.items())
            if size
        ),
        variables={
            **_variables(machine, boot),
            "vm_provision_prefetch": [] if existing else list(_prefetch(machine)),
            "vm_provision_existing": existing,
        },
        runs_on=machine.hypervisor.host if isinstance(machine.hypervisor, Libvirt) else here_for(str(machine.hypervisor_name)),
    )
    return Proposal(drafts=(draft,))


def _variables(machine: DesiredMachine, boot: BootDisk) -> dict[str, object]:
    profile, hypervisor = machine.profile, machine.hypervisor
    common: dict[str, object] = {
        "vm_provision_name": machine.name,
        "vm_provision_id": machine.id or 0,
        "vm_provision_cores": profile.cores,
        "vm_provision_memory": profile.memory,
        "vm_provision_boot": {**boot.model_dump(mode="json", exclude_none=True), "volume": boot_volume(machine)},
        "vm_provision_disks": [
            {"serial": serial, "size": disk.size, "storage": disk.storage, "volume": disk_volume(machine, serial)}
            for serial, disk in sorted(machine.disks.items())
        ],
        "vm_provision_network": profile.network.model_dump(mode="json", exclude_none=True),
        "vm_provision_address": {"address": machine.address, "gateway": machine.gateway or "", "nameservers": list(machine.nameservers)},
        "vm_provision_user": profile.user,
        "vm_provision_ssh_keys": list(profile.ssh_keys),
        "vm_provision_agent": profile.agent,
    }
    if isinstance(hypervisor, Proxmox):
        where = {"kind": "proxmox", "api": hypervisor.api, "node": hypervisor.node, "token_id": hypervisor.token.id, "seeds": hypervisor.seeds}
    elif isinstance(hypervisor, Libvirt):
        where = {"kind": "libvirt", "uri": hypervisor.uri, "accelerator": hypervisor.accelerator}
    else:
        raise TypeError("only machines with a hypervisor are provisioned")
    return {**common, "vm_provision_hypervisor": where}


CAPABILITY = Capability(id=ID, role="vm_provision", propose=_propose)
