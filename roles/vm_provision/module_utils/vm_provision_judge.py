"""Say what speaks against making a machine, or against giving it a disk that it lacks. Pure: what was asked for, and what libvirt shows."""

from __future__ import annotations

from ansible.module_utils import vm_provision_birth as birth
from ansible.module_utils.vm_provision_shape import SEED_SERIAL

# qcow2 and LVM-thin keep tables of their own beside the data.
MARGIN_PERCENT = 2


def lacking_disks(want, domain):
    """Return the wanted data disks that the machine does not have now or would not have after its next start."""
    now, kept = ({disk["serial"] for disk in disks} for disks in (domain["disks"], domain["kept"]))
    return [disk for disk in want["disks"] if disk["serial"] not in now & kept]


def is_there(domain):
    """Say whether the machine is there and nobody's half-made work."""
    return domain is not None and domain["made"] is not False


def is_foreign(want, domain):
    """Say whether a machine took the name that the plan did not see there."""
    return domain is not None and domain["made"] is None and not want["existing"]


def is_pending(want, domain):
    """Say whether there is anything to do."""
    return not is_there(domain) or bool(lacking_disks(want, domain))


def left_by(domain):
    """Return the run that left the machine half made, None where it is none or made."""
    return domain["run"] if domain is not None and domain["made"] is False else None


def to_make(want, domain, pools):
    """Return the volumes that are still to be made or made again, as (storage, volume, size)."""
    boot = want["boot"]
    wanted = [] if is_there(domain) else [(boot["storage"], boot["volume"], boot["size"])]
    disks = lacking_disks(want, domain) if is_there(domain) else want["disks"]
    wanted += [(disk["storage"], disk["volume"], disk["size"]) for disk in disks]
    if domain is not None and domain["made"] is False and domain["started"]:
        return []  # it runs, or ran, on what it has
    marks = domain["volumes"] if domain else {}
    return [
        (storage, volume, size)
        for storage, volume, size in wanted
        if marks.get((storage, volume)) != "whole" or volume not in pools.get(storage, {}).get("volumes", {})
    ]


def objections(want, domain, pools, *, networks, source, tools):
    """Return what speaks against it, each with what to do; empty where nothing does.

    `source` is {"size": bytes or None, "why": reason} of the image or template; `networks` are the active networks and the bridges that are there.
    """
    if is_foreign(want, domain):
        return [f"a machine of this name is there already, and no run here made it: give this one another name, or look at what {want['name']} is"]
    if not is_pending(want, domain):
        return []
    told = []
    if not is_there(domain):
        told += _about_the_machine(want, domain, networks, source, tools)
        told += _about_the_half_made(want, domain, pools) if domain is not None else []
    marks = domain["volumes"] if domain else {}
    needed = {}
    for storage, volume, size in to_make(want, domain, pools):
        pool = pools.get(storage)
        if pool is None:
            told.append(f"there is no storage {storage}: make it, or name another in machines.yml")
            continue
        if not pool["active"]:
            told.append(f"storage {storage} is not active: start it")
            continue
        if volume in pool["volumes"] and (storage, volume) not in marks:
            told.append(f"volume {volume} lies in {storage} already and no run here made it: look at what it holds, then move it away")
        needed[storage] = needed.get(storage, 0) + size + size * MARGIN_PERCENT // 100
    for storage, size in sorted(needed.items()):
        if pools[storage]["free"] < size:
            told.append(f"storage {storage} has {pools[storage]['free']} bytes free, {size} are needed: make room, or name another in machines.yml")
    return list(dict.fromkeys(told))


def _about_the_machine(want, domain, networks, source, tools):
    told, hypervisor, card = [], want["hypervisor"], want["network"]
    if hypervisor["kind"] != "libvirt":
        return [f"machines on {hypervisor['kind']} are not made by this role"]
    if domain is None:
        if source["size"] is None:
            told.append(source["why"])
        elif source["size"] > want["boot"]["size"]:
            told.append(
                f"{source['name']} holds a disk of {source['size']} bytes, the boot disk would have {want['boot']['size']}: "
                "make it larger in machines.yml"
            )
    name = card.get("network") or card.get("bridge")
    if name and name not in networks:
        told.append(f"there is no active {'network' if card.get('network') else 'bridge'} {name}: make it, or name another in machines.yml")
    if not name:
        told.append("the profile names neither network nor bridge, so nobody could tell that the machine answers: name one in machines.yml")
    told += [f"the program {tool} is missing here: install it" for tool in tools]
    return told


def _about_the_half_made(want, domain, pools):
    """Return why what a run left half made would not become the machine that is asked for: its definition stays as that run made it."""
    begun, told = f"run {domain['run']} left it half made", []
    if other := birth.objection(want, domain["birth"]):
        told.append(f"{begun}, and {other}: ask for what it began, or take that away by hand")
    kept = {disk["serial"]: disk for disk in domain["kept"] if disk["serial"] not in ("", SEED_SERIAL)}
    for disk in want["disks"]:
        serial, place, found = disk["serial"], f"{disk['storage']}/{disk['volume']}", kept.pop(disk["serial"], None)
        if found is None:
            told.append(f"{begun}, and its definition has no disk {serial}: leave the disk out until the machine is made, it is given it then")
        elif f"{found['pool']}/{found['volume']}" != place:
            told.append(f"{begun}, and its disk {serial} is {found['pool']}/{found['volume']}, not {place}: ask for that, or take the machine away")
    for serial, disk in sorted(kept.items()):
        if disk["pool"] and disk["volume"] not in pools.get(disk["pool"], {}).get("volumes", {}):
            told.append(f"{begun}, and would not start: its disk {serial}, which nobody asks for, lacks its volume {disk['volume']}: ask for it too")
    return told
