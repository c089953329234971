"""D240: the declared filesystem is what is mounted, and what a reboot will mount."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from controlplane.domain.checks.case import Answer, Case, Check, Question, drifted, met
from controlplane.domain.checks.damaged_disk import damage
from controlplane.domain.checks.missing_disk import after_a_missing_disk, way_to_mount
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk, NfsMount, carries
from controlplane.domain.evidence import Unobserved
from controlplane.domain.evidence_shapes.disks import FstabEntry, Mount

# Options that the kernel shows for every filesystem; of others it can't be told from its silence whether they hold.
_SHOWN = frozenset({"noatime", "relatime", "strictatime", "nodiratime", "nodev", "nosuid", "noexec", "sync", "dirsync", "lazytime"})
_NFS = ("nfs", "nfs4")
_ERROR = re.compile(r"^\s+\[E\]\s*(?P<text>.*)$")
_SUMMARY = re.compile(r"(?m)^\d+ parse errors?, \d+ errors?, \d+ warnings?\s*$")


def _questions(desired: DesiredHost, general: bool) -> Iterator[Question]:  # noqa: ARG001 - one signature for all checks
    """Judge `mount:PATH` and `fstab:PATH` of every declared disk and NFS export.

    Description: the very disk that the policy names is mounted, whole and writable, with its filesystem and options; one fstab entry names it by
    UUID, with nofail and a device timeout. NFS exports are mounted from their source, with an entry of their own.
    Drift: nothing or something else mounted, another filesystem or options (high); a missing, doubled, differing or failing entry (high); a disk that
    isn't attached or carries no filesystem (high); systemd not reloaded since the file changed (medium). A missing disk is told with those that are
    attached and that the policy doesn't name, and with the command that mounts it once it is there.
    Unknown: mount table, block devices, signatures or fstab could not be observed; two disks carry the same identity; findmnt's answer can't be read.
    Rationale: "something is mounted there" is also true of the wrong disk, and what is mounted by hand is gone after a reboot.
    """
    for disk in desired.disks:
        yield Question(f"mount:{disk.mount}", partial(_disk_mount, disk=disk))
        yield Question(f"fstab:{disk.mount}", partial(_disk_fstab, disk=disk))
    for export in desired.nfs:
        yield Question(f"mount:{export.mount}", partial(_nfs_mount, export=export))
        yield Question(f"fstab:{export.mount}", partial(_nfs_fstab, export=export))


def find_disk(case: Case, disk: Disk) -> str | None:
    """Return the device number of the declared disk, None if it is not attached. Raises `Unobserved` if two disks fit."""
    block = case.reader.block
    if disk.identity_kind == "uuid":
        found = [number for number, seen in case.reader.signatures.items() if seen["uuid"] == disk.identity]
    else:
        found = [number for number, entry in block.items() if carries(disk, entry)]
    if len(found) > 1:
        raise Unobserved(f"{len(found)} disks carry {disk.label}: {', '.join(case.lineage.names(frozenset(found) & block.keys()))}")
    return found[0] if found else None


def _disk_mount(case: Case, *, disk: Disk) -> Answer:
    device = find_disk(case, disk)
    mount = case.lineage.top_mount(disk.mount)
    signatures = case.reader.signatures
    if device is None:
        return drifted(f"no disk with {disk.label} is attached{after_a_missing_disk(case.desired, disk, case.reader)}", "high")
    if mount is None:
        return drifted(f"nothing is mounted at {disk.mount}{_way_back(case, disk, device)}", "high")
    stack = case.lineage.stack(mount["dev"]) if not mount["dev"].startswith("0:") else frozenset()
    if device not in stack or case.lineage.leaves(mount["dev"]) != case.lineage.leaves(device):
        return drifted(f"{disk.mount} is {mount['source']} ({mount['fstype']}), not the disk with {disk.label}", "high")
    mark = signatures.get(mount["dev"])
    if mark is None or not mark["uuid"]:
        raise Unobserved(f"the UUID of what is mounted at {disk.mount} was not observed")
    problems = _live_problems(disk, mount)
    if mark["type"] != mount["fstype"]:
        problems.append(f"the disk carries {mark['type']} now, mounted is {mount['fstype']}")
    if problems:
        return drifted(f"{disk.mount}: {'; '.join(problems)}", "high")
    return met(f"{disk.mount} is {disk.label}, {mount['fstype']} with UUID {mark['uuid']}")


def _way_back(case: Case, disk: Disk, device: str) -> str:
    """Return why a disk is not mounted that a boot would mount, and the way to that; empty where it carries nothing that /etc/fstab names."""
    mark = case.reader.signatures.get(device)
    if mark is None or not mark["uuid"] or mark["type"] != disk.filesystem:
        return ""
    way = way_to_mount(case.desired, disk.mount, case.reader, uuid=mark["uuid"])
    if way is None:
        return ""
    doubt = ""
    try:
        node = case.reader.block[device]["node"] if device in case.reader.block else None
        if damaged := damage(case.desired, disk, mark["uuid"], node, case.reader):
            return f": {damaged}"
    except Unobserved as unseen:
        # That it is not mounted stands without this, and the way does no more than any boot.
        doubt = f"; whether it is damaged is not known: {unseen}"
    return f", though the disk with {disk.label} is there and /etc/fstab names it{doubt}; on the machine: {way}"


def _live_problems(disk: Disk, mount: Mount) -> list[str]:
    shown = {*mount["options"], *mount["super_options"]}
    problems = []
    if mount["root"] != "/":
        problems.append(f"only the directory {mount['root']} of the disk is mounted")
    if mount["fstype"] != disk.filesystem:
        problems.append(f"the filesystem is {mount['fstype']}, declared is {disk.filesystem}")
    if "ro" in shown:
        problems.append("it is mounted read-only")
    missing = [option for option in disk.options if option in _SHOWN and option not in shown]
    if missing:
        problems.append(f"mounted without {', '.join(missing)}")
    return problems


def _disk_fstab(case: Case, *, disk: Disk) -> Answer:
    device = find_disk(case, disk)
    mount = case.lineage.top_mount(disk.mount)
    signatures = case.reader.signatures
    entries = _entries(case, disk.mount)
    failing = _verify_errors(case, disk.mount)
    if device is None:
        return drifted(f"no disk with {disk.label} is attached", "high")
    on_it = mount["dev"] if mount is not None and not mount["dev"].startswith("0:") and device in case.lineage.stack(mount["dev"]) else device
    mark = signatures.get(on_it)
    if mark is None:
        raise Unobserved(f"the signature of the disk with {disk.label} was not observed")
    if mark["uuid"] is None or mark["type"] != disk.filesystem:
        return drifted(f"the disk with {disk.label} carries no {disk.filesystem} that an entry could name", "high")
    if len(entries) != 1:
        return _not_one(disk.mount, entries)
    entry = entries[0]
    problems = [] if entry["spec"] == f"UUID={mark['uuid']}" else [f"names {entry['spec']}, not UUID={mark['uuid']}"]
    problems += _option_problems(entry, ("nofail", *disk.options))
    if not any(option.startswith("x-systemd.device-timeout=") for option in entry["options"]):
        problems.append("has no x-systemd.device-timeout, so a missing disk holds the boot up for 90 s")
    if entry["vfstype"] not in (disk.filesystem, "auto"):
        problems.append(f"says {entry['vfstype']}, declared is {disk.filesystem}")
    twins = _twins(case, on_it, mark["uuid"])
    problems += [f"its UUID is also carried by {', '.join(case.lineage.names(twins))}"] if twins else []
    return _entry_answer(case, disk.mount, entry, problems, failing)


def _twins(case: Case, device: str, uuid: str) -> frozenset[str]:
    kin = case.lineage.stack(device)
    same = {number for number, seen in case.reader.signatures.items() if seen["uuid"] == uuid and number not in kin}
    return frozenset(number for number in same if device not in case.lineage.stack(number))


def _nfs_mount(case: Case, *, export: NfsMount) -> Answer:
    mount = case.lineage.top_mount(export.mount)
    if mount is None:
        return drifted(f"nothing is mounted at {export.mount}", "high")
    if mount["fstype"] not in _NFS or mount["source"].rstrip("/") != export.source.rstrip("/"):
        return drifted(f"{export.mount} is {mount['source']} ({mount['fstype']}), declared is {export.source}", "high")
    if export.mode not in mount["options"]:
        return drifted(f"{export.mount} is not mounted {export.mode}", "high")
    return met(f"{export.mount} is {export.source}, {export.mode}")


def _nfs_fstab(case: Case, *, export: NfsMount) -> Answer:
    entries = _entries(case, export.mount)
    failing = _verify_errors(case, export.mount)
    if len(entries) != 1:
        return _not_one(export.mount, entries)
    entry = entries[0]
    problems = [] if entry["spec"].rstrip("/") == export.source.rstrip("/") else [f"names {entry['spec']}, not {export.source}"]
    problems += [] if entry["vfstype"] in _NFS else [f"says {entry['vfstype']}, not nfs"]
    problems += _option_problems(entry, ("nofail", *export.options))
    if ("ro" in entry["options"]) != (export.mode == "ro"):
        problems.append(f"doesn't mount it {export.mode}")
    return _entry_answer(case, export.mount, entry, problems, failing)


def _entries(case: Case, mount: str) -> list[FstabEntry]:
    return [entry for entry in case.reader.fstab["entries"] if entry["file"].rstrip("/") == mount]


def _not_one(mount: str, entries: list[FstabEntry]) -> Answer:
    if not entries:
        return drifted(f"/etc/fstab has no entry for {mount}", "high")
    return drifted(f"/etc/fstab has {len(entries)} entries for {mount}, in lines {', '.join(str(entry['line']) for entry in entries)}", "high")


def _option_problems(entry: FstabEntry, wanted: tuple[str, ...]) -> list[str]:
    missing = [option for option in wanted if option not in entry["options"]]
    problems = [f"lacks {', '.join(missing)}"] if missing else []
    return [*problems, "says noauto"] if "noauto" in entry["options"] else problems


def _entry_answer(case: Case, mount: str, entry: FstabEntry, problems: list[str], failing: list[str]) -> Answer:
    problems = problems + [f"findmnt --verify: {error}" for error in failing]
    if problems:
        return drifted(f"/etc/fstab line {entry['line']} for {mount} {'; '.join(problems)}", "high")
    bad = case.reader.fstab["bad_lines"]
    if bad:
        return drifted(f"/etc/fstab has lines that are no entry: {', '.join(map(str, bad))}", "medium")
    if any(unit["properties"].get("Where") == mount and unit["needs_reload"] for unit in case.reader.units.values()):
        return drifted(f"systemd has not been reloaded since /etc/fstab changed, so it may mount the old disk at {mount}", "medium")
    return met(f"line {entry['line']} mounts {entry['spec']} at {mount}")


def _verify_errors(case: Case, mount: str) -> list[str]:
    """Return what `findmnt --verify` calls an error of this mountpoint. Its exit code says nothing by itself, so its text is read."""
    seen = case.reader.fstab
    if not seen["entries"] and not seen["text"].strip():
        return []
    output = seen["verify_output"]
    if "Success, no errors" not in output and not _SUMMARY.search(output):
        raise Unobserved(f"findmnt --verify gave no result (exit code {seen['verify_rc']})")
    errors, at = [], ""
    for line in output.splitlines():
        match = _ERROR.match(line)
        if match and at == mount:
            errors.append(match["text"].strip())
        elif line and not line[0].isspace():
            at = line.strip()
    return errors


CHECK = Check("D240", "mounts and fstab", "high", _questions)
