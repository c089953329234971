"""What a machine is made of, as text: libvirt's documents and cloud-init's. Pure: the same values give the same text.

Rules:
- What a run made carries marks in the machine's metadata: whose it is, what it is born with, whether it was ever started, and of each volume whether
  it is whole.
- No private key is part of any of these documents but `user_data`.
- What a machine does by itself at its first boot installs nothing: it fetches, and whatever becomes of that, bootstrap does without.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

MACHINE = "https://controlplane.invalid/machine/1"
VOLUMES = "https://controlplane.invalid/volumes/1"
ET.register_namespace("controlplane", MACHINE)
# At most 20 characters, as for every virtio disk; the collector passes over the disk that bears it.
SEED_SERIAL = "controlplane-seed"
SEED_DEVICE = "vdz"
AGENT = "org.qemu.guest_agent.0"
# Ports that are free after birth, so that a disk can be attached while the machine runs.
_SPARE_PORTS = 6
_FILES = ("dir", "fs", "netfs")
# Both are known to roles/target_run/files/controlplane_target/packages.py: it waits for the unit, and reads no lists that were read a moment ago.
PREFETCH_UNIT = "controlplane-prefetch.service"
LISTS_READ = "/run/controlplane-prefetch/lists"
# As the installation asks, so that apt resolves to the same packages. The mark is as old as the moment in which the reading began, and is there only
# where all lists were read. The packages' names are arguments.
_FETCH = f"""mkdir -p -m 700 {LISTS_READ.rpartition("/")[0]} && touch {LISTS_READ}.begun || exit
apt-get --quiet --option=DPkg::Lock::Timeout=300 --option=APT::Update::Error-Mode=any update && mv {LISTS_READ}.begun {LISTS_READ} || exit
exec apt-get --quiet --yes --no-remove --no-install-recommends --option=DPkg::Lock::Timeout=300 --no-upgrade --download-only install -- "$@"
"""


def seed_volume(name):
    """Return the name of the volume that cloud-init reads once."""
    return f"{name}-seed"


def volume_format(pool_kind):
    """Return the format of new volumes in a pool of this kind: only folders keep files that know their own size."""
    return "qcow2" if pool_kind in _FILES else "raw"


def volumes_of(want):
    """Return the volumes of a machine's disks as (storage, volume, size), the boot disk first."""
    boot = want["boot"]
    return [(boot["storage"], boot["volume"], boot["size"]), *((disk["storage"], disk["volume"], disk["size"]) for disk in want["disks"])]


def data_device(number):
    """Return the name in the guest's document of data disk `number` (from 0); the seed's own is never among them."""
    return f"vd{chr(ord('b') + number)}"


def machine_mark(run, *, made, started, host_key, birth):
    """Return the element that says whose machine this is, and by digests what it is born with."""
    mark = ET.Element("machine", {"run": run, "made": "yes" if made else "no", "started": "yes" if started else "no"})
    ET.SubElement(mark, "host_key").text = host_key
    ET.SubElement(mark, "birth").text = birth
    return ET.tostring(mark, encoding="unicode")


def volumes_mark(states):
    """Return the element that says how far each volume is: {(storage, volume): making or whole}."""
    mark = ET.Element("volumes")
    for (storage, volume), state in sorted(states.items()):
        ET.SubElement(mark, "volume", {"storage": storage, "name": volume, "state": state})
    return ET.tostring(mark, encoding="unicode")


def disk_element(storage, volume, kind, device, *, serial="", boot=False, read_only=False):
    """Return one disk of a domain."""
    disk = ET.Element("disk", {"type": "volume", "device": "disk"})
    ET.SubElement(disk, "driver", {"name": "qemu", "type": kind})
    ET.SubElement(disk, "source", {"pool": storage, "volume": volume})
    ET.SubElement(disk, "target", {"dev": device, "bus": "virtio"})
    if read_only:
        ET.SubElement(disk, "readonly")
    if serial:
        ET.SubElement(disk, "serial").text = serial
    if boot:
        ET.SubElement(disk, "boot", {"order": "1"})
    return disk


def domain_xml(want, formats, *, uuid, mac, mark):
    """Return the whole domain, its seed among the disks. `formats` is the format of new volumes by storage."""
    virtual = want["hypervisor"]["accelerator"]
    domain = ET.Element("domain", {"type": virtual})
    ET.SubElement(domain, "name").text = want["name"]
    ET.SubElement(domain, "uuid").text = uuid
    metadata = ET.SubElement(domain, "metadata")
    metadata.append(_in_namespace(mark, MACHINE))
    ET.SubElement(domain, "memory", {"unit": "b"}).text = str(want["memory"])
    ET.SubElement(domain, "vcpu").text = str(want["cores"])
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", {"arch": "x86_64", "machine": "q35"}).text = "hvm"
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    ET.SubElement(domain, "cpu", {"mode": "host-model" if virtual == "kvm" else "maximum"})
    ET.SubElement(domain, "clock", {"offset": "utc"})
    _devices(domain, want, formats, mac)
    return ET.tostring(domain, encoding="unicode")


def _in_namespace(mark, namespace):
    element = ET.fromstring(mark)  # noqa: S314 - made right here
    for each in element.iter():
        each.tag = f"{{{namespace}}}{each.tag}"
    return element


def _devices(domain, want, formats, mac):
    devices, boot, name = ET.SubElement(domain, "devices"), want["boot"], want["name"]
    devices.append(disk_element(boot["storage"], boot["volume"], formats[boot["storage"]], "vda", boot=True))
    for number, disk in enumerate(want["disks"]):
        kind = formats[disk["storage"]]
        devices.append(disk_element(disk["storage"], disk["volume"], kind, data_device(number), serial=disk["serial"]))
    devices.append(disk_element(boot["storage"], seed_volume(name), "raw", SEED_DEVICE, serial=SEED_SERIAL, read_only=True))
    card = want["network"]
    if card.get("network") or card.get("bridge"):
        kind = "network" if card.get("network") else "bridge"
        interface = ET.SubElement(devices, "interface", {"type": kind})
        ET.SubElement(interface, "mac", {"address": mac})
        ET.SubElement(interface, "source", {kind: card[kind]})
        ET.SubElement(interface, "model", {"type": "virtio"})
        if card.get("vlan"):
            ET.SubElement(ET.SubElement(interface, "vlan"), "tag", {"id": str(card["vlan"])})
    ET.SubElement(devices, "console", {"type": "pty"})
    if want["agent"]:
        channel = ET.SubElement(devices, "channel", {"type": "unix"})
        ET.SubElement(channel, "target", {"type": "virtio", "name": AGENT})
    source = ET.SubElement(ET.SubElement(devices, "rng", {"model": "virtio"}), "backend", {"model": "random"})
    source.text = "/dev/urandom"
    ET.SubElement(devices, "controller", {"type": "pci", "index": "0", "model": "pcie-root"})
    # Disks, card, agent, random numbers and memory balloon have a port each.
    for number in range(len(want["disks"]) + 6 + _SPARE_PORTS):
        ET.SubElement(devices, "controller", {"type": "pci", "index": str(number + 1), "model": "pcie-root-port"})


def volume_xml(name, size, kind):
    """Return a volume that root and the hypervisor's user alone can read."""
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", {"unit": "bytes"}).text = str(size)
    target = ET.SubElement(volume, "target")
    ET.SubElement(target, "format", {"type": kind})
    ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = "0600"
    return ET.tostring(volume, encoding="unicode")


def prefetch_command(packages):
    """Return the command that lets a new machine fetch packages beside everything else that it does.

    The unit is up as soon as its program is: one that only is on its way up would be part of the boot, which is over when all has been started.
    """
    unit = ["systemd-run", "--no-block", "--quiet", "--collect", f"--unit={PREFETCH_UNIT}", "--description=Fetch the packages of the baseline"]
    unit += ["--property=Nice=10", "--setenv=DEBIAN_FRONTEND=noninteractive", "--setenv=LC_ALL=C.UTF-8"]
    return [*unit, "--", "/bin/sh", "-c", _FETCH, "sh", *packages]


def user_data(want, private_key, public_key):
    """Return cloud-init's user-data; it holds the private host key, so that the key is known before the first boot."""
    login = {
        "name": want["user"],
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/bash",
        "lock_passwd": True,
        "ssh_authorized_keys": list(want["ssh_keys"]),
    }
    data = {
        "users": [login],
        "disable_root": True,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": private_key, "ed25519_public": public_key},
        # The disk that this comes from is taken away once the machine has answered. A boot that finds none would take the machine for a new one:
        # other host keys, and an address by DHCP. Until the first boot has come to its end what was read is trusted; from then on nothing is asked.
        "write_files": [{"path": "/etc/cloud/cloud.cfg.d/99-controlplane.cfg", "content": "manual_cache_clean: true\n"}],
        # The last one's end is that of them all: what can't be fetched is no fault of the boot.
        "runcmd": [*([prefetch_command(want["prefetch"])] if want["prefetch"] else []), ["touch", "/etc/cloud/cloud-init.disabled"]],
    }
    return "#cloud-config\n" + json.dumps(data, sort_keys=True) + "\n"


def meta_data(name, uuid):
    """Return cloud-init's meta-data."""
    return json.dumps({"instance-id": uuid, "local-hostname": name}) + "\n"


def network_config(address, mac):
    """Return cloud-init's network-config, version 2, for the one card."""
    card = {"match": {"macaddress": mac}, "set-name": "eth0"}
    if address["address"] == "dhcp":
        card["dhcp4"] = True
    else:
        card["addresses"] = [address["address"]]
        if address["gateway"]:
            # Both kinds of renderers know these two keys; `routes` is not known to all.
            card["gateway6" if ":" in address["gateway"] else "gateway4"] = address["gateway"]
        if address["nameservers"]:
            card["nameservers"] = {"addresses": list(address["nameservers"])}
    return json.dumps({"version": 2, "ethernets": {"eth0": card}}) + "\n"


def read_domain(text):
    """Return what a domain's document says of it: uuid, mac, marks, and its disks by serial number, pool and volume."""
    domain = ET.fromstring(text)  # noqa: S314 - libvirt's own document, on the host that runs it
    mark = domain.find(f"./metadata/{{{MACHINE}}}machine")
    volumes = domain.findall(f"./metadata/{{{VOLUMES}}}volumes/{{{VOLUMES}}}volume")
    disks = []
    for disk in domain.findall("./devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        source, target = source if source is not None else {}, target if target is not None else {}
        disks.append(
            {
                "serial": disk.findtext("serial") or "",
                "pool": source.get("pool") or "",
                "volume": source.get("volume") or "",
                "file": source.get("file") or source.get("dev") or "",
                "device": target.get("dev") or "",
            }
        )
    card = domain.find("./devices/interface/mac")
    return {
        "uuid": domain.findtext("uuid") or "",
        "mac": card.get("address", "") if card is not None else "",
        "run": mark.get("run") if mark is not None else None,
        "made": mark.get("made") == "yes" if mark is not None else None,
        "started": mark.get("started") != "no" if mark is not None else True,
        "host_key": (mark.findtext(f"{{{MACHINE}}}host_key") or "") if mark is not None else "",
        "birth": (mark.findtext(f"{{{MACHINE}}}birth") or "") if mark is not None else "",
        "volumes": {(each.get("storage"), each.get("name")): each.get("state") for each in volumes},
        "disks": disks,
    }
