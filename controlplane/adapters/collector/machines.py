"""Machines as libvirt on this host shows them: asked only where machines of the site run on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .supervise import ProbeError
from .tools import tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

# What a machine that was made from here carries in its metadata.
NAMESPACE = "https://controlplane.invalid/machine/1"
AGENT = "org.qemu.guest_agent.0"
# The disk that cloud-init reads once; it is detached as soon as the machine has answered.
SEED_SERIAL = "controlplane-seed"


def _virsh(uri: str, *argv: str) -> str:
    code, out, err = tool("virsh", "--quiet", "--connect", uri, *argv)
    if code != 0:
        raise ProbeError(f"virsh {argv[0]} ended with {code}: {' '.join(err.split())[:300]}")
    return out


def _names(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _bytes_of(text: str) -> dict[str, int]:
    """Return the fields of pool-info and vol-info that are numbers of bytes."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        number = value.split()[0] if value.split() else ""
        if number.isdigit():
            found[key.strip()] = int(number)
    return found


class _Pools:
    """The storage pools of one libvirt; each is asked once."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.active = set(_names(_virsh(uri, "pool-list", "--name")))
        self.known = set(_names(_virsh(uri, "pool-list", "--all", "--name")))
        self._volumes: dict[str, dict[str, str]] = {}
        for pool in sorted(self.active):
            # What was copied in by hand, and how much is free, show only after a refresh; it changes nothing that is kept. It fails while a copy
            # is being made in the pool, and then libvirt's own book is the best that there is.
            tool("virsh", "--quiet", "--connect", uri, "pool-refresh", pool)

    def volumes(self, pool: str) -> dict[str, str]:
        """Return the path of each volume by name; none of a pool that is not active."""
        if pool not in self.active:
            return {}
        if pool not in self._volumes:
            rows = [line.split(None, 1) for line in _names(_virsh(self.uri, "vol-list", pool))]
            self._volumes[pool] = {row[0]: row[1].strip() for row in rows if len(row) == 2}
        return self._volumes[pool]

    def size(self, pool: str, volume: str) -> int:
        """Return how large the disk in a volume is."""
        told = _bytes_of(_virsh(self.uri, "vol-info", "--bytes", volume, "--pool", pool))
        if "Capacity" not in told:
            raise ProbeError(f"virsh vol-info says no capacity of {volume}")
        return told["Capacity"]

    def seen(self, pool: str, own: list[str]) -> dict[str, Any]:
        """Return one pool with those of the volumes in `own` that lie there."""
        active = pool in self.active
        told = _bytes_of(_virsh(self.uri, "pool-info", "--bytes", pool)) if active else {}
        there = self.volumes(pool)
        volumes = {name: self.size(pool, name) for name in own if name in there}
        return {"active": active, "free": told.get("Available", 0), "total": told.get("Capacity", 0), "volumes": volumes}

    def holding(self, path: str) -> str | None:
        """Return the pool that a file lies in."""
        return next((pool for pool in sorted(self.active) if path in self.volumes(pool).values()), None)


def _places(domain: Element, pools: _Pools) -> Iterator[tuple[Element, str | None, str | None, str | None]]:
    """Yield each disk of the definition but the seed, with the pool and the volume that it lies in, as far as they are known, and its path."""
    for disk in domain.findall("./devices/disk[@device='disk']"):
        source = disk.find("source")
        if source is None or disk.find("target") is None or disk.findtext("serial") == SEED_SERIAL:
            continue
        pool, volume, path = source.get("pool"), source.get("volume"), source.get("file") or source.get("dev")
        if path is not None:
            pool = pools.holding(path)
            volume = next((each for each, where in pools.volumes(pool).items() if where == path), None) if pool else None
        yield disk, pool, volume, path


def _disks(uri: str, name: str, domain: Element, pools: _Pools) -> list[dict[str, Any]]:
    """Return the disks that really exist; a volume that is still to be made is none."""
    found = []
    for disk, pool, volume, path in _places(domain, pools):
        target = disk.find("target")
        device = target.get("dev", "") if target is not None else ""
        if pool is not None and volume is not None:
            if volume not in pools.volumes(pool):
                continue
            size = pools.size(pool, volume)
        else:
            size = _bytes_of(_virsh(uri, "domblkinfo", name, device)).get("Capacity", 0)
        boot = disk.find("boot") is not None or device in ("vda", "sda")
        found.append({"serial": disk.findtext("serial"), "size": size, "storage": pool, "source": volume or path or "", "boot": boot})
    return found


def _defined(domain: Element, pools: _Pools) -> dict[str, str | None]:
    """Return the storage of each disk that the definition gives a serial number, whether its volume is there or not."""
    return {serial: pool for disk, pool, _, _ in _places(domain, pools) if (serial := disk.findtext("serial"))}


def _cards(domain: Element) -> list[dict[str, Any]]:
    found = []
    for card in domain.findall("./devices/interface"):
        source, mac = card.find("source"), card.find("mac")
        tag = card.find("./vlan/tag")
        kind = card.get("type")
        found.append(
            {
                "network": source.get("network") if source is not None and kind == "network" else None,
                "bridge": source.get("bridge") if source is not None and kind == "bridge" else None,
                "vlan": int(tag.get("id", "0")) if tag is not None else None,
                "mac": mac.get("address", "") if mac is not None else "",
            }
        )
    return found


def _memory(domain: Element) -> int | None:
    node = domain.find("memory")
    if node is None or not (node.text or "").isdigit():
        return None
    factor = {"b": 1, "bytes": 1, "KiB": 1024, "k": 1024, "MiB": 1024**2, "M": 1024**2, "GiB": 1024**3, "G": 1024**3}.get(node.get("unit", "KiB"))
    return None if factor is None else int(node.text or 0) * factor


def _domain(uri: str, name: str, pools: _Pools, started: list[str]) -> dict[str, Any]:
    from xml.etree.ElementTree import ParseError, fromstring  # noqa: PLC0415 - only a hypervisor needs it, and every host would import it

    try:
        domain = fromstring(_virsh(uri, "dumpxml", name))  # noqa: S314 - libvirt's own document, on the host that runs it
    except ParseError as error:
        raise ProbeError(f"virsh dumpxml of {name} is no XML: {error}") from None
    mark = domain.find(f"./metadata/{{{NAMESPACE}}}machine")
    cores = domain.findtext("vcpu") or ""
    return {
        "exists": True,
        "id": domain.findtext("uuid"),
        "run": mark.get("run") if mark is not None else None,
        "made": mark.get("made") == "yes" if mark is not None else None,
        "birth": mark.findtext(f"{{{NAMESPACE}}}birth") if mark is not None else None,
        "host_keys": [key.text or "" for key in mark.findall(f"{{{NAMESPACE}}}host_key")] if mark is not None else [],
        "state": _virsh(uri, "domstate", name).strip(),
        "autostart": name in started,
        "cores": int(cores) if cores.isdigit() else None,
        "memory": _memory(domain),
        "agent": any(target.get("name") == AGENT for target in domain.findall("./devices/channel/target")),
        "disks": _disks(uri, name, domain, pools),
        "defined": _defined(domain, pools),
        "cards": _cards(domain),
    }


_UNBORN: dict[str, Any] = {
    "exists": False,
    "id": None,
    "run": None,
    "made": None,
    "birth": None,
    "host_keys": [],
    "state": None,
    "autostart": None,
    "cores": None,
    "memory": None,
}
_NOTHING: dict[str, Any] = {"agent": None, "disks": [], "defined": {}, "cards": []}


def machines(asked: dict[str, Any], _seen: dict[str, Any]) -> dict[str, Any]:
    """Return each machine that was asked for, by name."""
    question = asked["machines"]
    uri = question["uri"]
    there, started = _names(_virsh(uri, "list", "--all", "--name")), _names(_virsh(uri, "list", "--all", "--autostart", "--name"))
    networks = set(_names(_virsh(uri, "net-list", "--name")))
    pools = _Pools(uri)
    found = {}
    for name, wanted in question["wanted"].items():
        domain = _domain(uri, name, pools, started) if name in there else {**_UNBORN, **_NOTHING}
        image, images = wanted["image"], {}
        if image is not None and image in pools.volumes(wanted["image_storage"]):
            images[image] = pools.size(wanted["image_storage"], image)
        found[name] = {
            "backend": "libvirt",
            "other": None,
            **domain,
            "storages": {pool: pools.seen(pool, wanted["volumes"]) for pool in wanted["storages"] if pool in pools.known},
            "images": images,
            "templates": {each: each for each in wanted["templates"] if each in there},
            "networks": sorted(each for each in wanted["networks"] if each in networks or os.path.isdir(f"/sys/class/net/{each}/bridge")),
        }
    return found
