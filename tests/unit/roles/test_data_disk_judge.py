"""What speaks against a disk is told all at once, and each by a sentence that names the disk and the field to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from controlplane_target import data_disk_judge as judge

UUID = "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11"
FIELD = "policy.yml, hosts.mint-data.disks[].serial"
Scene = tuple[dict[str, Any], dict[str, Any]]
Spoil = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any]


def scene() -> Scene:
    """Return what the plan wants, and a blank disk beside an absent mountpoint."""
    want = {
        "identity": {"kind": "serial", "value": "DATA0001"},
        "min_size": 10,
        "max_size": 100,
        "filesystem": "ext4",
        "uuid": UUID,
        "mount": "/mnt/data",
        "format": True,
        "field": FIELD,
    }
    disk = {
        "node": "/dev/vdb",
        "node_ok": True,
        "number": "252:16",
        "size": 50,
        "read_only": False,
        "carries_root": False,
        "signatures": [],
        "ours": False,
        "unfinished": False,
        "held": "",
        "damage": "",
        "partitions": [],
        "holders": [],
        "mounts": [],
        "swap": [],
    }
    point = {
        "path": "/mnt/data",
        "real": "/mnt/data",
        "mounted": None,
        "missing_options": [],
        "first_missing": "/mnt/data",
        "exists": False,
        "folder": False,
        "entries": [],
        "immutable": False,
    }
    return want, {"candidates": [disk], "twins": [], "mountpoint": point, "lost": []}


def done() -> Scene:
    """Return the same when all is as it is to be."""
    want, seen = scene()
    mount = {"path": "/mnt/data", "dev": "252:16", "root": "/", "source": "/dev/vdb", "fstype": "ext4", "uuid": UUID, "options": ["rw"]}
    seen["candidates"][0] |= {"signatures": [f"ext4 {UUID}"], "ours": True, "mounts": [mount]}
    seen["mountpoint"] |= {"mounted": mount, "exists": True, "folder": True, "immutable": True}
    return want, seen


def test_nothing_speaks_against_a_blank_disk_and_all_of_it_is_lacking() -> None:
    want, seen = scene()
    assert judge.objections(want, seen) == []
    assert judge.lacking(want, seen) == [
        f"serial DATA0001 (/dev/vdb) does not hold ext4 {UUID}, but nothing",
        f"/mnt/data is not the mountpoint of ext4 {UUID}",
        "the bare folder /mnt/data is not immutable",
    ]


def test_nothing_is_lacking_where_all_is_done() -> None:
    want, seen = done()
    assert (judge.objections(want, seen), judge.lacking(want, seen)) == ([], [])


@pytest.mark.parametrize(
    ("spoil", "lack"),
    [
        (lambda _, point: point["mounted"].update(dev="252:32"), "is not the mountpoint"),
        (lambda _, point: point["mounted"].update(root="/folder"), "is not the mountpoint"),
        (lambda _, point: point.update(mounted=None), "is not the mountpoint"),
        (lambda _, point: point.update(missing_options=["noatime"]), "options noatime are not in effect"),
        (lambda _, point: point.update(immutable=False), "is not immutable"),
        (lambda disk, _: disk.update(ours=False), "does not hold"),
    ],
)
def test_each_thing_that_is_lacking_is_named(spoil: Callable[[dict[str, Any], dict[str, Any]], Any], lack: str) -> None:
    want, seen = done()
    spoil(seen["candidates"][0], seen["mountpoint"])
    [said] = judge.lacking(want, seen)
    assert lack in said


MOUNT = {"path": "/srv", "dev": "252:16", "root": "/", "source": "/dev/vdb", "fstype": "ext4", "uuid": UUID}
AGAINST: dict[str, tuple[Spoil, str]] = {
    "sizes in the wrong order": (lambda want, _, __: want.update(min_size=60, max_size=40), "contradict themselves"),
    "a negative size": (lambda want, _, __: want.update(min_size=-1), "contradict themselves"),
    "a UUID that is none": (lambda want, _, __: want.update(uuid="../x"), "contradict themselves"),
    "a mount that is no path": (lambda want, _, __: want.update(mount="data"), "contradict themselves"),
    "no disk": (lambda _, seen, __: seen.update(candidates=[]), "No disk has serial DATA0001"),
    "two disks": (lambda _, seen, disk: seen.update(candidates=[disk, {**disk, "node": "/dev/vdc"}]), "fits 2 disks: /dev/vdb, /dev/vdc"),
    "another node": (lambda _, __, disk: disk.update(node_ok=False), "is kernel device 252:16, but that is no node of it"),
    "the boot disk": (lambda _, __, disk: disk.update(carries_root=True, partitions=["vdb1"]), "in the lineage of the boot disk"),
    "too small": (lambda _, __, disk: disk.update(size=9), "has 9 bytes, less than the 10 of min_size"),
    "too large": (lambda _, __, disk: disk.update(size=101), "has 101 bytes, more than the 100 of max_size"),
    "read-only": (lambda _, __, disk: disk.update(read_only=True), "is read-only"),
    "partitions": (lambda _, __, disk: disk.update(partitions=["vdb1"]), "has partitions: vdb1"),
    "held by a device mapper": (lambda _, __, disk: disk.update(holders=["dm-0"]), "is held by dm-0"),
    "swap": (lambda _, __, disk: disk.update(swap=["/dev/vdb"]), "is swap: /dev/vdb"),
    "mounted elsewhere": (lambda _, __, disk: disk.update(mounts=[MOUNT]), "is mounted at /srv, not at /mnt/data"),
    "open elsewhere": (lambda _, __, disk: disk.update(held="Device or resource busy"), "can't be opened alone: Device or resource busy"),
    "a signature": (lambda _, __, disk: disk.update(signatures=["xfs 1111"]), "holds xfs 1111"),
    "not named for mkfs": (lambda want, _, __: want.update(format=False), "does not name it for mkfs"),
    "a clone": (lambda _, seen, __: seen.update(twins=["/dev/vdc"]), "is the UUID of /dev/vdc too: a clone"),
    "taken": (
        lambda _, seen, __: seen["mountpoint"].update(mounted=MOUNT | {"dev": "0:40"}, exists=True, folder=True),
        "/mnt/data is taken by /dev/vdb",
    ),
    "a link": (lambda _, seen, __: seen["mountpoint"].update(real="/srv", exists=True), "leads elsewhere (/srv)"),
    "a file": (lambda _, seen, __: seen["mountpoint"].update(exists=True, folder=False), "is no folder"),
    "an entry": (lambda _, seen, __: seen["mountpoint"].update(exists=True, folder=True, entries=["stray"]), "is not empty: stray"),
}


@pytest.mark.parametrize("case", AGAINST)
def test_each_refusal_names_the_disk_and_where_the_policy_says_it(case: str) -> None:
    want, seen = scene()
    spoil, words = AGAINST[case]
    spoil(want, seen, seen["candidates"][0])
    [said] = judge.objections(want, seen)
    assert words in said
    assert "serial DATA0001" in said
    assert FIELD in said or "contradict" in said


def test_all_that_speaks_against_a_disk_is_told_at_once() -> None:
    want, seen = scene()
    seen["candidates"][0].update(read_only=True, size=9)
    seen["mountpoint"].update(exists=True, folder=True, entries=["stray"])
    assert [said.partition(". ")[0] for said in judge.objections(want, seen)] == [
        "serial DATA0001 (/dev/vdb) has 9 bytes, less than the 10 of min_size",
        "serial DATA0001 (/dev/vdb) is read-only",
        "The bare folder /mnt/data, the mount of serial DATA0001, is not empty: stray",
    ]


def test_a_killed_mkfs_of_the_same_filesystem_speaks_not_against_it() -> None:
    want, seen = scene()
    seen["candidates"][0].update(signatures=[f"ext4 {UUID}"], unfinished=True)
    assert judge.objections(want, seen) == []


@pytest.mark.parametrize(("filesystem", "look"), [("ext4", "e2fsck -fn -b 32768 -B 4096 /dev/vdb"), ("xfs", "xfs_repair -n /dev/vdb")])
def test_a_disk_that_lost_what_fstab_names_is_not_taken_for_a_blank_one(filesystem: str, look: str) -> None:
    want, seen = scene()
    want["filesystem"], seen["lost"] = filesystem, [f"UUID={UUID}"]
    [told] = judge.objections(want, seen)
    assert told.startswith(f"serial DATA0001 (/dev/vdb) looks blank, but /etc/fstab names UUID={UUID} for /mnt/data")
    assert look in told
    # What a killed run of ours left on it is no blank disk, and goes on.
    seen["candidates"][0] |= {"signatures": [f"{filesystem} {UUID}"], "unfinished": True}
    assert judge.objections(want, seen) == []


def test_a_damaged_filesystem_is_not_mounted_and_a_look_and_a_copy_come_before_its_repair() -> None:
    want, seen = done()
    seen["mountpoint"]["mounted"] = None
    seen["candidates"][0] |= {"mounts": [], "damage": "e2fsck -n ended with 4: Group descriptors look bad"}
    [told] = judge.objections(want, seen)
    assert told == (
        "serial DATA0001 (/dev/vdb) is damaged, and not mounted (e2fsck -n ended with 4: Group descriptors look bad). See what is left of it "
        f"(e2fsck -fn /dev/vdb), copy all of it, then repair it (the same without n), or name another disk in {FIELD}."
    )
