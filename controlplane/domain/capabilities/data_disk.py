"""storage.data_disk: the disk that the policy names carries a filesystem of known UUID, mounted where the policy says.

Rules:
- A disk is formatted only if exactly one device has its identity, its size lies in the policy's range, it is blank by two
  witnesses, nothing holds it or is mounted from it, and it shares no leaf with the boot disk. Anything else is a refusal.
- A disk that looks blank where /etc/fstab names a filesystem that no device here carries had one, or stands in for the one that had: a refusal.
- The UUID is chosen before the filesystem exists, from machine and identity: the preview names it, and a second try finds it.
- A disk that carries exactly that UUID is ours already: it is mounted, never formatted; one that systemd could not check or mount is a refusal.
"""

from __future__ import annotations

import uuid

from controlplane.domain.capabilities.disk_guards import (
    DiskRefused,
    bare_mountpoint,
    is_blank,
    mounted_disk,
    refuse_damaged,
    refuse_lost_filesystem,
)
from controlplane.domain.capabilities.proposal import Capability, ComingMount, Draft, Outlook, Proposal
from controlplane.domain.checks.missing_disk import after_a_missing_disk
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk, carries
from controlplane.domain.evidence import Reader, Unobserved
from controlplane.domain.lineage import Lineage
from controlplane.domain.plan import Bound, Change, Mend

ID = "storage.data_disk"
_NAMESPACE = uuid.UUID("5e2f6d53-6d0c-5d0a-9a54-1f0a3c1f7c11")
# ext4 keeps 5% for root and spends about 2% on inode tables; xfs spends less. What is left is surely usable.
_USABLE = 0.92


def planned_uuid(machine_id: str, disk: Disk) -> str:
    """Return the UUID that the filesystem on this disk has or gets."""
    if disk.uuid is not None:
        return disk.uuid
    return str(uuid.uuid5(_NAMESPACE, f"{machine_id}/{disk.label}/{disk.mount}"))


def devices_of(disk: Disk, reader: Reader) -> tuple[str, ...]:
    """Return the device numbers of all devices that carry the disk's identity. Raises `Unobserved`."""
    if disk.identity_kind == "uuid":
        return tuple(number for number, seen in reader.signatures.items() if seen["uuid"] == disk.identity)
    return tuple(number for number, device in reader.block.items() if device["partition_of"] is None and carries(disk, device))


def _propose(desired: DesiredHost, reader: Reader, outlook: Outlook) -> Proposal:
    drafts: list[Draft] = []
    refusals: list[str] = []
    mounts, missing = dict(outlook.mounts), dict(outlook.missing)
    for disk in desired.disks:
        try:
            coming, draft = _place(desired, disk, reader)
        except (DiskRefused, Unobserved) as doubt:
            reason = str(doubt) if isinstance(doubt, DiskRefused) else f"{disk.label}: could not be observed: {doubt}"
            refusals.append(reason)
            missing[disk.mount] = reason
            continue
        mounts[disk.mount] = coming
        if draft is not None:
            drafts.append(draft)
    after = Outlook(now=outlook.now, retention=outlook.retention, mounts=mounts, missing=missing)
    return Proposal(drafts=tuple(drafts), refusals=tuple(refusals), outlook=after)


def _place(desired: DesiredHost, disk: Disk, reader: Reader) -> tuple[ComingMount, Draft | None]:
    host = desired.host
    field = f"policy.yml, hosts.{host}.disks"
    numbers = devices_of(disk, reader)
    if not numbers:
        told = after_a_missing_disk(desired, disk, reader)
        raise DiskRefused(f"{disk.label} is not there: attach it, or name the disk that you meant in {field}{told}")
    if len(numbers) > 1:
        raise DiskRefused(f"{disk.label} is there {len(numbers)} times: give each disk an identity of its own")
    number = numbers[0]
    device = reader.block.get(number)
    if device is None:
        raise Unobserved(f"device {number} has no entry in sysfs")
    wanted = planned_uuid(reader.identity["machine_id"], disk)
    live = Lineage(reader).top_mount(disk.mount)
    if live is not None:
        return mounted_disk(disk, number, live, reader), None
    blank = is_blank(disk, number, device, reader, wanted)
    if blank:
        refuse_lost_filesystem(disk, device, reader)
    else:
        refuse_damaged(desired, disk, device, reader, wanted)
    beneath, bare = bare_mountpoint(disk.mount, reader)
    changes = [Change(kind="mkfs", target=disk.label, before="blank", after=f"{disk.filesystem} UUID={wanted}", destructive=True)] if blank else []
    if not beneath["exists"]:
        changes.append(Change(kind="directory", target=disk.mount, before=None, after="root:root 0755"))
    if bare is None or not bare["immutable"]:
        changes.append(Change(kind="attribute", target=disk.mount, before=None, after="immutable while nothing is mounted on it"))
    options = ",".join(disk.options) or "defaults"
    changes.append(Change(kind="mount", target=disk.mount, before=None, after=f"UUID={wanted} {disk.filesystem} {options}"))
    draft = Draft(
        mends=(Mend(check="D240", surface=f"mount:{disk.mount}"),),
        changes=tuple(changes),
        undo=f"unmount {disk.mount} and remove the mountpoint; the filesystem stays, a later plan finds it by its UUID",
        bounds=(Bound(host=host, what=f"size of {disk.label}", measure="disk_bytes", of=disk.label, at_least=disk.min_size or device["size"]),),
        variables={
            "data_disk_identity": {"kind": disk.identity_kind, "value": disk.identity},
            "data_disk_min_size": disk.min_size or 0,
            "data_disk_max_size": disk.max_size or device["size"],
            "data_disk_filesystem": disk.filesystem,
            "data_disk_uuid": wanted,
            "data_disk_mount": disk.mount,
            "data_disk_options": list(disk.options),
            "data_disk_format": blank,
        },
    )
    return ComingMount(uuid=wanted, device=disk.label, bytes_free=int(device["size"] * _USABLE), made_new=blank), draft


CAPABILITY = Capability(id=ID, role="data_disk", propose=_propose)
