"""What the verbs of data-disk are asked is judged first, a dry run only shows, and a refusal says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command, data_disk_look, data_disk_make, data_disk_mount, data_disk_place, data_disk_request
from controlplane_target import data_disk_probe as probe
from controlplane_target import data_disk_view as view
from controlplane_target.faults import FailedFault, RefusedFault

UUID = "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11"
LOOK: dict[str, Any] = {
    "identity": {"kind": "serial", "value": "DATA0001"},
    "min_size": 10,
    "max_size": 100,
    "filesystem": "ext4",
    "uuid": UUID,
    "mount": "/mnt/data",
    "options": ["noatime"],
    "format": True,
    "field": "policy.yml, hosts.mint-data.disks[].serial",
}
PLACE: dict[str, Any] = {
    "make": True,
    "node": "/dev/vdb",
    "number": "254:16",
    "size": 4096,
    "mount": "/mnt/data",
    "filesystem": "ext4",
    "uuid": UUID,
    "options": ["noatime"],
}
Ran = list[list[str]]


@pytest.mark.parametrize(("action", "asked"), [("look", LOOK), ("place", PLACE), ("place", PLACE | {"make": False})])
def test_a_sound_request_comes_as_it_went(action: str, asked: dict[str, Any]) -> None:
    assert data_disk_request.parse(action, json.dumps(asked)) == asked


@pytest.mark.parametrize(
    ("action", "asked", "words"),
    [
        ("look", LOOK | {"identity": {"kind": "sd", "value": "b"}}, "the identity 'sd' is none of serial, wwn, by_id, by_path, loop_file, uuid"),
        ("look", LOOK | {"identity": {"kind": "serial"}}, "identity is {'kind': 'serial'}, but has to be an object of kind and value"),
        ("look", LOOK | {"filesystem": "btrfs"}, "the filesystem 'btrfs' is none of ext4, xfs"),
        ("look", LOOK | {"min_size": "10"}, "min_size is '10', but has to be a whole number"),
        ("look", LOOK | {"max_size": True}, "max_size is True, but has to be a whole number"),
        ("look", LOOK | {"format": 1}, "format is 1, but has to be true or false"),
        ("look", LOOK | {"options": "noatime"}, "options is 'noatime', but has to be a list of texts"),
        ("place", PLACE | {"filesystem": "vfat"}, "the filesystem 'vfat' is none of ext4, xfs"),
        ("place", PLACE | {"make": "yes"}, "make is 'yes', but has to be true or false"),
        ("place", PLACE | {"force": True}, "force is unknown"),
        ("place", {name: PLACE[name] for name in list(PLACE)[4:]}, "make is missing; node is missing; number is missing; size is missing"),
        ("place", PLACE | {"options": [1]}, "options is [1], but has to be a list of texts"),
    ],
)
def test_any_other_request_is_refused_by_what_is_wrong_with_it(action: str, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(RefusedFault) as refused:
        data_disk_request.parse(action, json.dumps(asked))
    assert str(refused.value) == f"data-disk {action} can't be done as it is asked: {words}. Nothing was changed."


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(RefusedFault, match="data-disk place is asked by an object of make, node, number, size, mount, filesystem, uuid, options"):
        data_disk_request.parse("place", text)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A blank disk that nobody uses, beside the one that carries `/`."""
    kind = {"node_ok": True, "read_only": False, "partition_of": "", "slaves": [], "holders": [], "loop_file": "", "wwns": [], "links": []}
    blank = {**kind, "number": "254:16", "name": "vdb", "node": "/dev/vdb", "size": 4096, "serials": ["DATA0001"]}
    boot = {**kind, "number": "8:0", "name": "sda", "node": "/dev/sda", "size": 8192, "serials": []}
    root = {"dev": "8:0", "root": "/", "path": "/", "fstype": "ext4", "source": "/dev/sda", "options": []}
    monkeypatch.setattr(probe, "devices", lambda: {"254:16": blank, "8:0": boot})
    monkeypatch.setattr(probe, "mounts", lambda: [root])
    monkeypatch.setattr(probe, "held", lambda _node, _number: "")
    return blank


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """What was run; blkid sees nothing on any disk, and neither does wipefs."""
    found: Ran = []

    def run(argv: list[str]) -> command.Said:
        found.append(argv)
        return command.Said(2 if argv[0] == "blkid" else 0, "", "")

    monkeypatch.setattr(command, "run", run)
    return found


def only_looked(ran: Ran) -> bool:
    return {argv[0] for argv in ran} <= {"blkid", "wipefs"}


def test_a_dry_run_shows_the_filesystem_and_makes_none(disk: dict[str, Any], ran: Ran) -> None:
    assert disk
    shown = {"before_header": "/dev/vdb", "after_header": "/dev/vdb", "before": "/dev/vdb: blank\n", "after": f"/dev/vdb: ext4 {UUID}\n"}
    assert data_disk_make.make(PLACE, check=True) == {"changed": True, "diff": [shown]}
    assert only_looked(ran)


def holds_xfs(argv: list[str]) -> command.Said:
    return command.Said(0, "TYPE=xfs\nUUID=v\n" if argv[0] == "blkid" else "", "")


def is_missing(argv: list[str]) -> command.Said:
    raise FailedFault(f"{argv[0]} can't be run: No such file or directory")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("changes", "run", "words"),
    [
        ({"size": 8192}, None, "/dev/vdb has 8192 bytes now, 4096 when it was judged"),
        ({"read_only": True}, None, "/dev/vdb is read-only"),
        ({"node_ok": False}, None, "/dev/vdb is not device 254:16 any more"),
        ({"slaves": ["8:0"]}, None, "/dev/vdb shares a disk with /"),
        ({"holders": ["dm-0"]}, None, "/dev/vdb has holders dm-0"),
        ({}, holds_xfs, "/dev/vdb holds xfs v"),
        ({}, is_missing, "blkid can't be run: No such file or directory"),
        ({"slaves": ["9:9"]}, None, "device 9:9 is not among the block devices of this host"),
    ],
)
def test_a_disk_that_is_not_the_blank_one_that_was_judged_is_refused(
    disk: dict[str, Any],
    ran: Ran,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    run: Callable[[list[str]], command.Said] | None,
    words: str,
    check: bool,
) -> None:
    disk.update(changes)
    if run:
        monkeypatch.setattr(command, "run", run)
    with pytest.raises(RefusedFault) as refused:
        data_disk_make.make(PLACE, check=check)
    assert str(refused.value) == f"{words}. Nothing was changed on the disk."
    assert only_looked(ran)


def test_a_blank_disk_and_an_absent_mountpoint_are_looked_at(disk: dict[str, Any], ran: Ran, tmp_path: Path) -> None:
    at = str(tmp_path / "data")
    answer = data_disk_look.look(LOOK | {"max_size": 4096, "mount": at})
    assert (answer["objections"], answer["mounted"], answer["disk"]["node"]) == ([], False, disk["node"])
    assert answer["lacking"][0] == f"serial DATA0001 (/dev/vdb) does not hold ext4 {UUID}, but nothing"
    assert (answer["mountpoint"]["first_missing"], answer["mountpoint"]["mounted"]) == (at, None)
    assert only_looked(ran)


def test_what_speaks_against_a_disk_is_an_answer_and_no_fault(disk: dict[str, Any], ran: Ran, tmp_path: Path) -> None:
    disk.update(read_only=True)
    answer = data_disk_look.look(LOOK | {"max_size": 4096, "mount": str(tmp_path / "data")})
    assert answer["objections"] == [f"serial DATA0001 (/dev/vdb) is read-only. Make it writable, or name another disk in {LOOK['field']}."]
    assert set(answer) == {"objections", "mountpoint"}
    assert only_looked(ran)


def test_what_can_not_be_seen_is_refused_with_the_identity(disk: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk
    monkeypatch.setattr(command, "run", lambda _argv: command.Said(4, "", "usage\n"))
    with pytest.raises(RefusedFault) as refused:
        data_disk_look.look(LOOK)
    assert str(refused.value) == "serial DATA0001: blkid -p /dev/vdb ended with 4: usage. This task only looks; nothing was changed by it."


def point(**changes: Any) -> dict[str, Any]:
    return {"exists": False, "folder": False, "entries": [], "immutable": False, "mounted": None, **changes}


def test_a_dry_run_shows_the_mount_and_mounts_nothing(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "look", lambda _path: point())
    answer = data_disk_mount.mount(PLACE, check=True)
    assert (answer["changed"], answer["diff"][0]["before"]) == (True, "/mnt/data: absent\n")
    assert answer["diff"][0]["after"] == f"/mnt/data: folder, immutable\nmount -t ext4 -o noatime UUID={UUID} /mnt/data\n"
    assert ran == []


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (point(exists=True), "/mnt/data is not an empty folder: no folder at all"),
        (point(exists=True, folder=True, entries=["stray"]), "/mnt/data is not an empty folder: stray"),
        (
            point(exists=True, folder=True, mounted={"uuid": "", "root": "/", "source": "tmpfs", "fstype": "tmpfs", "options": []}),
            "/mnt/data is taken by tmpfs (tmpfs, UUID none)",
        ),
    ],
)
def test_a_mountpoint_that_is_not_free_is_refused(ran: Ran, monkeypatch: pytest.MonkeyPatch, seen: dict[str, Any], words: str) -> None:
    monkeypatch.setattr(view, "look", lambda _path: seen)
    with pytest.raises(RefusedFault) as refused:
        data_disk_mount.mount(PLACE, check=False)
    assert str(refused.value) == f"{words}. Nothing was changed there."
    assert ran == []


def fails_to_mount(monkeypatch: pytest.MonkeyPatch, filesystem: str, **changes: Any) -> str:
    """Return what is said of a mount that the kernel refuses."""
    monkeypatch.setattr(view, "look", lambda _path: point(exists=True, folder=True, immutable=True, **changes))
    monkeypatch.setattr(command, "run", lambda _argv: command.Said(32, "", "mount: Structure needs cleaning.\n"))
    with pytest.raises(FailedFault) as failed:
        data_disk_mount.mount(PLACE | {"filesystem": filesystem}, check=False)
    return str(failed.value)


@pytest.mark.parametrize(("filesystem", "look"), [("ext4", "e2fsck -fn"), ("xfs", "xfs_repair -n")])
def test_a_mount_that_fails_says_how_to_look_at_the_disk_and_not_that_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, filesystem: str, look: str
) -> None:
    assert fails_to_mount(monkeypatch, filesystem) == (
        f"mount -t {filesystem} -o noatime UUID={UUID} /mnt/data ended with 32: mount: Structure needs cleaning. Nothing is mounted at /mnt/data. "
        f"See whether the filesystem is damaged: {look} /dev/vdb    (changes nothing). Where it is, copy the whole disk before you repair it "
        "(the same without n); then run this again."
    )


def test_a_remount_that_fails_says_that_the_mount_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = {"uuid": UUID, "root": "/", "source": "/dev/vdb", "options": ["rw"]}
    assert fails_to_mount(monkeypatch, "ext4", mounted=mounted) == (
        "mount -o remount,noatime /mnt/data ended with 32: mount: Structure needs cleaning. It is mounted at /mnt/data as it was; mend that, and run "
        "this again."
    )


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to a disk and a mountpoint that take it all."""
    done: list[str] = []
    monkeypatch.setattr(data_disk_make, "_refuse_unless_blank", lambda _want: False)
    monkeypatch.setattr(data_disk_make, "_make", lambda _want, **_: done.append("make"))
    monkeypatch.setattr(data_disk_mount, "_change", lambda _want, _seen, argv: done.append(argv[0]))
    monkeypatch.setattr(view, "look", lambda _path: point())
    return done


@pytest.mark.parametrize(("make", "did"), [(True, ["make", "mount"]), (False, ["mount"])])
def test_one_call_makes_the_filesystem_that_is_asked_for_and_mounts_it(placed: list[str], ran: Ran, make: bool, did: list[str]) -> None:
    answer = data_disk_place.place(PLACE | {"make": make}, check=False)
    assert (placed, answer["changed"], len(answer["diff"])) == (did, True, len(did))
    assert not make or ran == [["udevadm", "settle", "--timeout=10"]]


def test_one_call_shows_the_filesystem_and_the_mount_each_by_itself_and_does_neither(placed: list[str], ran: Ran) -> None:
    answer = data_disk_place.place(PLACE, check=True)
    assert [one["after_header"] for one in answer["diff"]] == ["/dev/vdb", "/mnt/data"]
    assert (placed, ran) == ([], [])


def test_a_mountpoint_that_is_not_free_is_refused_before_the_disk_is_written(placed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "look", lambda _path: point(exists=True, folder=True, entries=["stray"]))
    with pytest.raises(RefusedFault, match=r"not an empty folder: stray\. Nothing was changed there"):
        data_disk_place.place(PLACE, check=False)
    assert placed == []


def test_once_the_disk_was_written_a_mountpoint_that_was_taken_is_a_failure_and_no_refusal(
    placed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([point(), point(exists=True, folder=True, entries=["stray"])])
    monkeypatch.setattr(view, "look", lambda _path: next(seen))
    with pytest.raises(FailedFault, match="The disk and its filesystem are whole; mend that, and run this again"):
        data_disk_place.place(PLACE, check=False)
    assert placed == ["make"]
