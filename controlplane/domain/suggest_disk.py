"""Which disks of a machine could hold its data, and how a draft names them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.evidence_shapes.disks import BlockDevice, Signature
from controlplane.domain.lineage import MEMORY, REMOTE, Lineage
from controlplane.domain.paths import check_place, overlap

GUESSED_MOUNT = "/mnt/data"
SMALLEST = 1000**3
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+#=@-]{0,254}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])
# Mountpoints that hold the system, whatever disk they are on.
_SYSTEM = ("/boot", "/boot/efi", "/home", "/usr", "/var", "/tmp", "/opt", "/srv", "/var/lib", "/root")  # noqa: S108 - compared, not used


def plain(text: str) -> str:
    """Return `text` as a YAML scalar, quoted where YAML could read it as something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


def shown(text: str) -> str:
    """Return `text` fit for a comment of one line."""
    return _CONTROL.sub("?", text)[:200]


def said(text: str) -> str:
    """Return a name from a machine, fit for a comment."""
    return shown(text) or "(empty)"


class DataDisk(NamedTuple):
    """A disk beside the boot disk, its mount (seen or guessed), and why it was chosen."""

    identity: str
    size: int
    filesystem: str
    mount: str
    why: str
    made: bool

    def lines(self) -> Iterator[str]:
        """Yield its entry in a policy."""
        yield f"# {self.why}"
        low, high = self.size * 9 // 10 // SMALLEST, self.size * 11 // 10 // SMALLEST + 1
        sizes = "" if self.made else f"min_size: {max(low, 1)}GB, max_size: {high}GB, "
        yield f"- {{{self.identity}, {sizes}filesystem: {self.filesystem}, mount: {plain(self.mount)}, options: [noatime]}}"


def data_disks(reader: Reader, lineage: Lineage) -> list[DataDisk]:
    """Return mounted data filesystems first, then blank disks; none shares a leaf disk with `/`. Raises `Unobserved`."""
    boot = lineage.boot_disks()
    found = list(_mounted(reader, lineage, boot))
    taken = [disk.mount for disk in found]
    blank = [disk for disk in _blank(reader, lineage, boot) if not any(overlap(GUESSED_MOUNT, mount) for mount in taken)]
    # One blank disk is a guess, a second one would need a second mount that nobody named.
    return [*found, *blank[:1]]


def _mounted(reader: Reader, lineage: Lineage, boot: frozenset[str]) -> Iterator[DataDisk]:
    seen: set[str] = set()
    mounts: list[str] = []
    for mount in sorted(reader.mounts, key=lambda each: each["mount"]):
        at, device = mount["mount"], mount["dev"]
        if mount["fstype"] not in ("ext4", "xfs") or mount["fstype"] in MEMORY | REMOTE or mount["root"] != "/" or at in _SYSTEM or device in seen:
            continue
        entry, signature = reader.block.get(device), reader.signatures.get(device)
        if entry is None or not _may_hold(at, mounts) or lineage.leaves(device) & boot:
            continue
        seen.add(device)
        mounts.append(at)
        named = _identity(entry, signature, made=True)
        if named is not None:
            kind, identity = named
            why = f"{said(entry['name'])} is mounted there already"
            yield DataDisk(identity, entry["size"], mount["fstype"], at, why, made=kind == "uuid")


def _blank(reader: Reader, lineage: Lineage, boot: frozenset[str]) -> Iterator[DataDisk]:
    mounted = {mount["dev"] for mount in reader.mounts}
    for device, entry in sorted(reader.block.items()):
        signature = reader.signatures.get(device)
        used = entry["slaves"] or entry["holders"] or entry["partitions"] or entry["partition_of"] or entry["read_only"] or device in mounted
        if used or signature is None or signature["blkid"] or signature["wipefs"] or entry["size"] < SMALLEST or entry["node"] is None:
            continue
        try:
            if lineage.leaves(device) & boot:
                continue
        except Unobserved:
            continue  # memory, or a device of which nothing shows what it lies on: nobody's first choice of a disk
        named = _identity(entry, signature, made=False)
        if named is not None:
            why = f"{said(entry['name'])} is blank and in nobody's use; that it is meant for data is a guess, and so is the mount"
            yield DataDisk(named[1], entry["size"], "ext4", GUESSED_MOUNT, why, made=False)


def _identity(entry: BlockDevice, signature: Signature | None, *, made: bool) -> tuple[str, str] | None:
    whole = entry["partition_of"] is None and not entry["slaves"]
    by_id = [link.removeprefix("/dev/disk/by-id/") for link in entry["links"] if link.startswith("/dev/disk/by-id/")]
    candidates = [("serial", entry["serial"]), ("wwn", entry["wwn"]), ("by_id", by_id[0] if by_id else None)] if whole else []
    for kind, value in candidates:
        if value and _IDENTITY.fullmatch(value):
            return kind, f"{kind}: {plain(value)}"
    if entry["loop_file"] and _PLAIN.fullmatch(entry["loop_file"]):
        return "loop_file", f"loop_file: {entry['loop_file']}"
    uuid = signature["uuid"] if signature else None
    if made and uuid and re.fullmatch(r"[0-9A-Fa-f][0-9A-Fa-f-]{7,35}", uuid):
        return "uuid", f"uuid: {json.dumps(uuid)}"
    return None


def _may_hold(at: str, mounts: list[str]) -> bool:
    try:
        check_place(at)
    except ValueError:
        return False
    return not any(overlap(at, mount) for mount in mounts)
