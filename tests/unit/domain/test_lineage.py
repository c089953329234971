"""Which disks a path lies on, over every kind of stack that a host can show."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Evidence, ProbeRecord, Reader, Unobserved
from controlplane.domain.lineage import Lineage, boot_disks, lies_on_boot


def disk(name: str, **other: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": name, "size": 8_000_000_000, "read_only": False, "slaves": [], "holders": [], "partition_of": None}
    plain |= {"partitions": [], "loop_file": None, "dm_name": None, "dm_uuid": None, "serial": None, "wwn": None, "links": [], "node": f"/dev/{name}"}
    return plain | other


def mount(at: str, dev: str, fstype: str = "ext4", source: str = "none", **other: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": hash((at, dev, fstype)) & 0xFFFF, "parent": 1, "dev": dev, "root": "/", "mount": at}
    return plain | {"options": ["rw"], "fstype": fstype, "source": source, "super_options": ["rw"]} | other


def place(at: str, dev: str, **other: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"exists": True, "real": at, "nearest": at, "dev": dev, "mount": at, "kind": "dir", "uid": 0, "gid": 0, "mode": 0o755}
    plain["empty"] = None
    return plain | other


def host(**probes: Any) -> Reader:
    records = {name: ProbeRecord(status="ok", seconds=0.0, data=data) for name, data in probes.items()}
    return Reader(Evidence(host="h", collected_at="2026-01-01T00:00:00Z", asked={}, probes=records))


BOOT = disk("vda")
TWO_DISKS = {"254:0": BOOT, "254:16": disk("vdb")}
ROOT = mount("/", "254:0", source="/dev/vda")


def test_a_path_on_the_root_filesystem_lies_on_boot() -> None:
    reader = host(block=TWO_DISKS, mounts=[ROOT], paths={"/var/lib/docker": place("/var/lib/docker", "254:0", mount="/")})
    assert boot_disks(reader) == {"254:0"}
    assert lies_on_boot(reader, "/var/lib/docker")


def test_a_path_on_another_disk_does_not_lie_on_boot() -> None:
    reader = host(block=TWO_DISKS, mounts=[ROOT, mount("/mnt/data", "254:16")], paths={"/mnt/data": place("/mnt/data", "254:16")})
    assert not lies_on_boot(reader, "/mnt/data")


def test_two_partitions_of_one_disk_are_one_disk() -> None:
    block = {"8:0": disk("sda", partitions=["8:1", "8:2"]), "8:1": disk("sda1", partition_of="8:0"), "8:2": disk("sda2", partition_of="8:0")}
    reader = host(block=block, mounts=[mount("/", "8:1"), mount("/mnt/data", "8:2")], paths={"/mnt/data": place("/mnt/data", "8:2")})
    assert lies_on_boot(reader, "/mnt/data")


def test_lvm_over_luks_over_raid_is_followed_to_every_disk() -> None:
    block = {
        "8:0": disk("sda"),
        "8:16": disk("sdb"),
        "8:32": disk("sdc"),
        "9:0": disk("md0", slaves=["8:16", "8:32"]),
        "253:0": disk("dm-0", slaves=["9:0"], dm_name="luks", dm_uuid="CRYPT-LUKS2-x"),
        "253:1": disk("dm-1", slaves=["253:0"], dm_name="vg-data", dm_uuid="LVM-x"),
    }
    reader = host(block=block, mounts=[mount("/", "8:0"), mount("/d", "253:1")], paths={"/d": place("/d", "253:1")})
    assert Lineage(reader).of_path("/d").disks == {"8:16", "8:32"}
    assert Lineage(reader).names(Lineage(reader).of_path("/d").disks) == ["sdb", "sdc"]
    assert not lies_on_boot(reader, "/d")


def test_a_volume_that_spans_the_boot_disk_lies_on_boot() -> None:
    block = {"8:0": disk("sda"), "8:16": disk("sdb"), "253:0": disk("dm-0", slaves=["8:16", "8:0"], dm_name="vg-data")}
    reader = host(block=block, mounts=[mount("/", "8:0"), mount("/d", "253:0")], paths={"/d": place("/d", "253:0")})
    assert lies_on_boot(reader, "/d")


def test_a_bind_mount_of_a_boot_folder_lies_on_boot() -> None:
    bind = mount("/mnt/data", "254:0", source="/dev/vda", root="/srv/data")
    reader = host(block=TWO_DISKS, mounts=[ROOT, bind], paths={"/mnt/data": place("/mnt/data", "254:0")})
    assert lies_on_boot(reader, "/mnt/data")


def test_a_loop_device_with_a_file_on_boot_lies_on_boot() -> None:
    block = TWO_DISKS | {"7:0": disk("loop0", loop_file="/var/disk.img")}
    paths = {"/d": place("/d", "7:0"), "/var/disk.img": place("/var/disk.img", "254:0", mount="/", kind="file")}
    assert lies_on_boot(host(block=block, mounts=[ROOT, mount("/d", "7:0")], paths=paths), "/d")


def test_a_loop_device_whose_file_is_out_of_sight_is_a_disk_of_its_own() -> None:
    block = {"7:0": disk("loop0", loop_file="/lab/boot.img"), "7:1": disk("loop1", loop_file="/lab/data.img")}
    gone = place("/lab", "7:0", exists=False, nearest="/", mount="/", kind="absent")
    paths = {"/d": place("/d", "7:1"), "/lab/boot.img": gone, "/lab/data.img": gone}
    reader = host(block=block, mounts=[mount("/", "7:0"), mount("/d", "7:1")], paths=paths)
    assert Lineage(reader).of_path("/d").disks == {"7:1"}
    assert not lies_on_boot(reader, "/d")


def test_a_loop_device_over_a_device_lies_where_that_device_lies() -> None:
    block = {"8:0": disk("sda", partitions=["8:1"]), "8:1": disk("sda1", partition_of="8:0", links=["/dev/disk/by-partuuid/p"]), "8:16": disk("sdb")}
    block |= {f"7:{n}": disk(f"loop{n}", loop_file=file) for n, file in enumerate(["/dev/sda1", "/dev/disk/by-partuuid/p", "/dev/sdb"])}
    in_memory = {entry["loop_file"]: place(entry["loop_file"], "0:5", mount="/dev", kind="other") for entry in block.values() if entry["loop_file"]}
    mounts = [mount("/", "8:1"), mount("/dev", "0:5", "devtmpfs"), *(mount(f"/d{n}", f"7:{n}") for n in range(3))]
    reader = host(block=block, mounts=mounts, paths=in_memory | {f"/d{n}": place(f"/d{n}", f"7:{n}") for n in range(3)})
    assert [lies_on_boot(reader, f"/d{n}") for n in range(3)] == [True, True, False]
    assert Lineage(reader).of_path("/d2").disks == {"8:16"}


def test_btrfs_is_resolved_by_its_source_and_all_its_members() -> None:
    block = TWO_DISKS | {"254:32": disk("vdc")}
    sign = {"uuid": "B", "type": "btrfs", "label": None, "blkid": {}, "wipefs": []}
    sub = mount("/d", "0:44", "btrfs", "/dev/vdb", root="/@data")
    reader = host(block=block, mounts=[ROOT, sub], signatures={"254:16": sign, "254:32": sign}, paths={"/d": place("/d", "0:51")})
    assert Lineage(reader).of_path("/d").disks == {"254:16", "254:32"}


def test_tmpfs_is_memory_and_nfs_is_remote_and_neither_is_boot() -> None:
    mounts = [ROOT, mount("/t", "0:30", "tmpfs", "tmpfs"), mount("/n", "0:31", "nfs4", "nas:/x")]
    reader = host(block=TWO_DISKS, mounts=mounts, paths={"/t": place("/t", "0:30"), "/n": place("/n", "0:31")})
    assert Lineage(reader).of_path("/t").kind == "memory"
    assert Lineage(reader).of_path("/n").kind == "remote"
    assert not lies_on_boot(reader, "/t")


def test_an_overlay_lies_where_its_named_directories_lie() -> None:
    over = mount("/o", "0:40", "overlay", "overlay", super_options=["rw", "lowerdir=/lower", "upperdir=/d/up", "workdir=/d/w"])
    paths = {"/o": place("/o", "0:40"), "/lower": place("/lower", "254:0", mount="/"), "/d/up": place("/d/up", "254:16", mount="/d")}
    reader = host(block=TWO_DISKS, mounts=[ROOT, mount("/d", "254:16"), over], paths=paths)
    assert Lineage(reader).of_path("/o").disks == {"254:0", "254:16"}


def test_an_overlay_whose_lower_directories_are_options_of_their_own_lies_on_all_of_them() -> None:
    over = mount("/o", "0:40", "overlay", "overlay", super_options=["rw", "lowerdir+=/d/a", "lowerdir+=/lower", "upperdir=/d/up", "workdir=/d/w"])
    paths = {"/o": place("/o", "0:40"), "/lower": place("/lower", "254:0", mount="/")}
    paths |= {at: place(at, "254:16", mount="/d") for at in ("/d/a", "/d/up")}
    reader = host(block=TWO_DISKS, mounts=[ROOT, mount("/d", "254:16"), over], paths=paths)
    assert Lineage(reader).of_path("/o").disks == {"254:0", "254:16"}


def test_the_uppermost_of_stacked_mounts_counts() -> None:
    under = mount("/d", "254:16", id=50, parent=20)
    cover = mount("/d", "254:0", id=51, parent=50)
    paths = {"/d": place("/d", "254:0")}
    assert lies_on_boot(host(block=TWO_DISKS, mounts=[ROOT, under, cover], paths=paths), "/d")
    assert lies_on_boot(host(block=TWO_DISKS, mounts=[ROOT, cover, under], paths=paths), "/d")


DATA = mount("/d", "254:16")
UNRESOLVED: list[tuple[str, dict[str, Any], str]] = [
    ("an empty device", {"paths": {"/d": place("/d", "")}}, "/d: the host named no device for it"),
    ("a path that was not looked at", {"paths": {}}, "/d was not looked at"),
    (
        "a device that contradicts its mount",
        {"paths": {"/d": place("/d", "254:0")}},
        "/d is on device 254:0, but /d is device 254:16",
    ),
    (
        "a mountpoint that is not in the table",
        {"paths": {"/d": place("/d", "254:16", mount="/gone")}},
        "/d: its mountpoint /gone is not in the mount table",
    ),
    ("a device that sysfs does not show", {"block": {"254:0": BOOT}}, "device 254:16 is not among the host's block devices"),
    (
        "device-mapper without slaves",
        {"block": {"254:0": BOOT, "254:16": disk("dm-3", dm_name="vg-x")}},
        "dm-3 (254:16) is a stacked device and the host showed nothing under it",
    ),
    (
        "a slave that is missing",
        {"block": {"254:0": BOOT, "254:16": disk("dm-3", dm_name="vg-x", slaves=["8:64"])}},
        "device 8:64 is not among the host's block devices",
    ),
    ("a cycle", {"block": {"254:0": BOOT, "254:16": disk("dm-3", slaves=["254:16"])}}, "device 254:16 stands on itself"),
    (
        "a deleted loop file",
        {"block": {"254:0": BOOT, "254:16": disk("loop0", loop_file="/x.img (deleted)")}},
        "loop device 254:16 has a backing file that can't be followed (/x.img (deleted))",
    ),
    (
        "a loop file that nobody looked at",
        {"block": {"254:0": BOOT, "254:16": disk("loop0", loop_file="/x.img")}},
        "/x.img, the backing file of loop device 254:16, was not looked at",
    ),
    (
        "a loop file in memory",
        {
            "block": {"254:0": BOOT, "254:16": disk("loop0", loop_file="/t/x.img")},
            "mounts": [ROOT, DATA, mount("/t", "0:30", "tmpfs")],
            "paths": {"/d": place("/d", "254:16"), "/t/x.img": place("/t/x.img", "0:30", mount="/t", kind="file")},
        },
        "/t/x.img, the backing file of loop device 254:16, lies on tmpfs, which is on no disk of this host",
    ),
    (
        "a loop file on another machine",
        {
            "block": {"254:0": BOOT, "254:16": disk("loop0", loop_file="/n/x.img")},
            "mounts": [ROOT, DATA, mount("/n", "0:31", "nfs4", "nas:/x")],
            "paths": {"/d": place("/d", "254:16"), "/n/x.img": place("/n/x.img", "0:31", mount="/n", kind="file")},
        },
        "/n/x.img, the backing file of loop device 254:16, lies on nfs4, which is on no disk of this host",
    ),
    ("zfs", {"mounts": [ROOT, mount("/d", "0:50", "zfs", "tank/d")]}, "/d is zfs, whose disks can't be told"),
    (
        "btrfs of an unknown source",
        {"mounts": [ROOT, mount("/d", "0:50", "btrfs", "/dev/nope")], "signatures": {}},
        "/d: btrfs source /dev/nope is no known block device",
    ),
    (
        "btrfs without a signature",
        {"mounts": [ROOT, mount("/d", "0:50", "btrfs", "/dev/vdb")], "signatures": {}},
        "/d: the signature of /dev/vdb is not known, so neither are the filesystem's other devices",
    ),
    ("an overlay that names nothing", {"mounts": [ROOT, mount("/d", "0:50", "overlay")]}, "/d is an overlay that doesn't name its directories"),
    (
        "an overlay whose layer has a colon in its name",
        {"mounts": [ROOT, mount("/d", "0:50", "overlay", super_options=["lowerdir=/x\\:y:/z"])]},
        "/d is an overlay that doesn't name its directories",
    ),
    (
        "an overlay whose layer is not there by its name any more",
        {
            "mounts": [ROOT, mount("/d", "0:50", "overlay", super_options=["lowerdir=/low", "upperdir=/up"])],
            "paths": {
                "/d": place("/d", "0:50"),
                "/low": place("/low", "254:0", mount="/"),
                "/up": place("/up", "254:0", exists=False, nearest="/", mount="/", kind="absent"),
            },
        },
        "/d is an overlay over /up, which is not there by that name",
    ),
    ("a root in memory", {"mounts": [mount("/", "0:1", "tmpfs"), DATA]}, "/ is tmpfs, which lies on no disk of this host"),
    ("no root at all", {"mounts": [DATA]}, "nothing is mounted at /"),
]


@pytest.mark.parametrize(("change", "reason"), [case[1:] for case in UNRESOLVED], ids=[case[0] for case in UNRESOLVED])
def test_what_cannot_be_followed_is_unobserved(change: dict[str, Any], reason: str) -> None:
    probes: dict[str, Any] = {"block": TWO_DISKS, "mounts": [ROOT, DATA], "paths": {"/d": place("/d", "254:16")}} | change
    with pytest.raises(Unobserved) as doubt:
        lies_on_boot(host(**probes), "/d")
    assert str(doubt.value) == reason


VOUCH = ": if it is a disk of its own, name it in the policy by serial, wwn, by_id or by_path"
STACKED = "is a stacked device and the host showed nothing under it"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zd0", "is a ZFS volume, whose disks can't be told"),
        ("drbd0", STACKED),
        ("bcache0", STACKED),
        ("md127", STACKED),
        ("md_d0", STACKED),
        ("ublkb0", "is served by a program of this host, whose disks can't be told"),
        ("loop3", "is a loop device that showed no backing file"),
        ("zram0", "keeps its content in memory"),
        ("ram0", "keeps its content in memory"),
        ("nbd0", "is a network block device, and nothing shows what serves it" + VOUCH),
        ("rbd0", "is a network block device, and nothing shows what serves it" + VOUCH),
        ("etherd!e0.0", "is a network block device, and nothing shows what serves it" + VOUCH),
        ("sdb1", "is of no kind that is known to be a disk" + VOUCH),
        ("pmem0", "is of no kind that is known to be a disk" + VOUCH),
        ("newdisk7", "is of no kind that is known to be a disk" + VOUCH),
        ("", "is of no kind that is known to be a disk" + VOUCH),
    ],
)
def test_a_device_that_is_not_known_to_be_a_disk_is_no_leaf(name: str, reason: str) -> None:
    block = {"254:0": BOOT, "254:16": disk(name), "254:17": disk(f"{name}p1", partition_of="254:16")}
    for number in ("254:16", "254:17"):
        reader = host(block=block, mounts=[ROOT, mount("/d", number)], paths={"/d": place("/d", number)})
        with pytest.raises(Unobserved) as doubt:
            lies_on_boot(reader, "/d")
        assert str(doubt.value) == f"{name} (254:16) {reason}"
    reader = host(block=block, mounts=[mount("/", "254:16")], paths={})
    with pytest.raises(Unobserved, match="254:16"):
        boot_disks(reader)


@pytest.mark.parametrize(
    "name", ["sda", "sdaa", "hda", "vdb", "xvda", "nvme0n1", "nvme10n12", "mmcblk0", "mmcblk0boot0", "dasda", "cciss!c0d0", "sr0", "vdiska"]
)
def test_a_disk_by_its_driver_s_name_is_a_leaf(name: str) -> None:
    reader = host(block={"254:0": BOOT, "9:9": disk(name)}, mounts=[ROOT, mount("/d", "9:9")], paths={"/d": place("/d", "9:9")})
    assert Lineage(reader).of_path("/d").disks == {"9:9"}


@pytest.mark.parametrize("name", ["drbd0", "bcache0"])
def test_what_a_replicated_or_cached_device_stands_on_is_followed(name: str) -> None:
    block = TWO_DISKS | {"147:0": disk(name, slaves=["254:0"])}
    assert lies_on_boot(host(block=block, mounts=[ROOT, mount("/d", "147:0")], paths={"/d": place("/d", "147:0")}), "/d")


VOUCHED = [
    (Disk(by_id="rbd-pool-image", mount="/d"), True),
    (Disk(by_path="net-1", mount="/d"), True),
    (Disk(serial="S1", mount="/d"), True),
    (Disk(wwn="0x5", mount="/d"), True),
    (Disk(uuid="11111111-1111-4111-8111-111111111111", mount="/d"), False),
    (Disk(serial="OTHER", mount="/d"), False),
]


@pytest.mark.parametrize(("declared", "vouches"), VOUCHED, ids=[one.label for one, _ in VOUCHED])
@pytest.mark.parametrize(("name", "may"), [("rbd0", True), ("nbd0", True), ("newdisk7", True), ("drbd0", False), ("zd0", False), ("zram0", False)])
def test_the_policy_vouches_for_a_device_of_no_known_kind_but_not_for_what_stands_on_this_host(
    name: str, may: bool, declared: Disk, vouches: bool
) -> None:
    links = ["/dev/disk/by-id/rbd-pool-image", "/dev/disk/by-path/net-1"]
    block = {"254:0": BOOT, "43:0": disk(name, serial="S1", wwn="0x5", links=links)}
    sign: dict[str, Any] = {"uuid": "11111111-1111-4111-8111-111111111111", "type": "ext4", "label": None, "blkid": {}, "wipefs": []}
    lineage = Lineage(host(block=block, mounts=[ROOT], signatures={"43:0": sign}), (declared,))
    if may and vouches:
        assert lineage.leaves("43:0") == {"43:0"}
    else:
        with pytest.raises(Unobserved, match=rf"{name} \(43:0\)"):
            lineage.leaves("43:0")


@st.composite
def stacks(draw: st.DrawFn) -> tuple[dict[str, dict[str, Any]], dict[str, set[str]]]:
    """Draw block devices in layers, and beside them the leaves of each, kept by construction."""
    count = draw(st.integers(1, 4))
    block = {f"8:{16 * n}": disk(f"sd{'abcd'[n]}") for n in range(count)}
    leaves = {number: {number} for number in block}
    for n in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(["partition", "dm", "md", "loop"]))
        below = draw(st.lists(st.sampled_from(sorted(block)), min_size=1, max_size=3, unique=True))
        number = f"{200 + n}:0"
        if kind == "partition":
            block[number], leaves[number] = disk(f"p{n}", partition_of=below[0]), leaves[below[0]]
        elif kind == "loop":
            block[number], leaves[number] = disk(f"loop{n}", loop_file=f"/out/{n}"), {number}
        else:
            name = f"dm-{n}" if kind == "dm" else f"md{n}"
            block[number] = disk(name, slaves=below, dm_name="x" if kind == "dm" else None)
            leaves[number] = set().union(*(leaves[one] for one in below))
    return block, leaves


def _reader(block: dict[str, dict[str, Any]], root: str, data: str) -> Reader:
    gone = {entry["loop_file"]: place("x", "", exists=False, kind="absent") for entry in block.values() if entry["loop_file"]}
    return host(block=block, mounts=[mount("/", root), mount("/d", data)], paths=gone | {"/d": place("/d", data)})


@given(stacks(), st.data())
def test_leaves_are_those_that_the_stack_was_built_from(stack: tuple[dict[str, dict[str, Any]], dict[str, set[str]]], data: st.DataObject) -> None:
    block, leaves = stack
    root, other = (data.draw(st.sampled_from(sorted(block))) for _ in range(2))
    reader = _reader(block, root, other)
    assert Lineage(reader).of_path("/d").disks == leaves[other]
    assert lies_on_boot(reader, "/d") == bool(leaves[root] & leaves[other])


@given(stacks(), st.data())
def test_with_any_device_gone_the_answer_is_the_same_or_unobserved(
    stack: tuple[dict[str, dict[str, Any]], dict[str, set[str]]], data: st.DataObject
) -> None:
    block, leaves = stack
    root, other, lost = (data.draw(st.sampled_from(sorted(block))) for _ in range(3))
    reader = _reader({number: entry for number, entry in block.items() if number != lost}, root, other)
    try:
        answer = lies_on_boot(reader, "/d")
    except Unobserved:
        return
    assert answer == bool(leaves[root] & leaves[other])
