"""Devices by number: identity, lineage and use, from a sysfs that the test makes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import command
from controlplane_target import data_disk_look as look
from controlplane_target import data_disk_probe as probe
from controlplane_target import data_disk_view as view


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a boot disk of two partitions, LVM on the second, and two data disks."""
    monkeypatch.setattr(probe, "SYS_BLOCK", tmp_path / "class")
    monkeypatch.setattr(probe, "UDEV_DATA", tmp_path / "udev")
    (tmp_path / "udev").mkdir()
    (tmp_path / "class").mkdir()
    for name, number, inside, more in [
        ("sda", "8:0", "", {"size": "4000"}),
        ("sda1", "8:1", "sda", {"partition": "1"}),
        ("sda2", "8:2", "sda", {"partition": "2"}),
        ("dm-0", "253:0", "", {}),
        ("vdb", "254:16", "", {"serial": "DATA0001\n", "size": "8", "ro": "1"}),
        ("nvme0n1", "259:0", "", {"device/serial": "S123   \n", "wwid": "eui.0025\n"}),
    ]:
        folder = tmp_path / "devices" / inside / name
        for file, content in {"dev": number, "size": "2", "ro": "0", **more}.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(content)
        (folder / "slaves").mkdir()
        (folder / "holders").mkdir()
        (tmp_path / "class" / name).symlink_to(folder)
    (tmp_path / "devices/dm-0/slaves/sda2").touch()
    (tmp_path / "devices/sda/sda2/holders/dm-0").touch()
    return tmp_path


def mount(dev: str, path: str, source: str = "x") -> dict[str, Any]:
    return {"dev": dev, "root": "/", "path": path, "fstype": "ext4", "source": source, "options": []}


def with_mounts(monkeypatch: pytest.MonkeyPatch, *found: dict[str, Any]) -> None:
    monkeypatch.setattr(probe, "mounts", lambda: list(found))


def test_a_device_stands_on_its_partition_and_its_slaves(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sysfs
    with_mounts(monkeypatch, mount("253:0", "/"))
    known = probe.devices()
    assert probe.chain("253:0", known) == {"253:0", "8:2", "8:0"}
    assert {number: probe.carries_root(number, known) for number in known} == {
        "8:0": True,
        "8:1": True,
        "8:2": True,
        "253:0": True,
        "254:16": False,
        "259:0": False,
    }


def test_a_loop_device_over_a_device_stands_on_it(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, number, file in [("loop0", "7:0", "/dev/sda1"), ("loop1", "7:1", "/dev/vdb")]:
        folder = sysfs / "class" / name
        for path, content in {"dev": number, "size": "2", "ro": "0", "loop/backing_file": f"{file}\n"}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
    nodes = {"/dev/sda1": "8:1", "/dev/vdb": "254:16"}
    monkeypatch.setattr(probe, "number_of", lambda path: nodes.get(path, ""))
    with_mounts(monkeypatch, mount("253:0", "/"))
    known = probe.devices()
    assert probe.chain("7:0", known) == {"7:0", "8:1", "8:0"}
    assert (probe.carries_root("7:0", known), probe.carries_root("7:1", known)) == (True, False)


def test_a_root_that_lies_on_no_device_is_no_proof_of_anything(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sysfs
    with_mounts(monkeypatch, mount("0:40", "/", "overlay"))
    with pytest.raises(probe.ProbeError, match="it can't be told which disks carry it"):
        probe.carries_root("254:16", probe.devices())


def test_a_device_that_sysfs_does_not_show_is_an_error(sysfs: Path) -> None:
    assert sysfs
    with pytest.raises(probe.ProbeError, match="9:9 is not among the block devices"):
        probe.chain("9:9", probe.devices())


@pytest.mark.parametrize(
    ("kind", "value", "names"),
    [
        ("serial", "DATA0001", ["vdb"]),
        ("serial", "S123", ["nvme0n1"]),
        ("serial", "DATA", []),
        ("wwn", "0x0025", ["nvme0n1"]),
        ("by_id", "virtio-DATA0001", ["vdb"]),
        ("by_path", "/dev/disk/by-path/pci-1", ["vdb"]),
        ("loop_file", "/x.img", []),
    ],
)
def test_an_identity_fits_exactly_or_not_at_all(sysfs: Path, kind: str, value: str, names: list[str]) -> None:
    (sysfs / "udev/b254:16").write_text("S:disk/by-id/virtio-DATA0001\nS:disk/by-path/pci-1\n")
    found = probe.candidates({"kind": kind, "value": value}, probe.devices())
    assert [one["name"] for one in found] == names


def test_two_disks_of_one_serial_are_two_candidates(sysfs: Path) -> None:
    (sysfs / "udev/b259:0").write_text("E:ID_SERIAL_SHORT=DATA0001\n")
    assert len(probe.candidates({"kind": "serial", "value": "DATA0001"}, probe.devices())) == 2


def test_two_filesystems_of_one_uuid_are_two_candidates(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sysfs
    known = {number: one | {"node_ok": True} for number, one in probe.devices().items()}
    monkeypatch.setattr(probe, "signature", lambda node: {"UUID": "u"} if node in ("/dev/vdb", "/dev/sda1") else {})
    found = probe.candidates({"kind": "uuid", "value": "u"}, known)
    assert sorted(one["name"] for one in found) == ["sda1", "vdb"]


def test_partitions_and_holders_and_mounts_of_partitions_are_uses_of_the_disk(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sysfs
    with_mounts(monkeypatch, mount("8:1", "/boot"), mount("254:16", "/srv"))
    known = probe.devices()
    used = probe.users(known["8:0"], known)
    assert (used["partitions"], used["holders"], [one["path"] for one in used["mounts"]]) == (["sda1", "sda2"], ["dm-0"], ["/boot"])


@pytest.mark.parametrize(
    ("code", "out", "wipefs", "words"),
    [
        (2, "", "", []),
        (0, "TYPE=ext4\nUUID=u\nLABEL=x\n", '{"signatures": [{"type": "ext4", "uuid": "u"}]}', ["ext4 u"]),
        (0, "PTTYPE=dos\n", '{"signatures": [{"type": "dos", "uuid": null}]}', ["partition table dos"]),
        (0, "PART_ENTRY_UUID=x\n", "", []),
        (
            8,
            "",
            '{"signatures": [{"type": "ext4", "uuid": "u"}, {"type": "xfs", "uuid": "v"}]}',
            ["ext4 u", "several signatures at once (blkid)", "xfs v"],
        ),
        (2, "", '{"signatures": [{"type": "linux_raid_member", "uuid": "r"}]}', ["linux_raid_member r"]),
    ],
)
def test_either_program_that_sees_a_signature_is_believed(
    monkeypatch: pytest.MonkeyPatch, code: int, out: str, wipefs: str, words: list[str]
) -> None:
    answers = {"blkid": command.Said(code, out, ""), "wipefs": command.Said(0, wipefs, "")}
    monkeypatch.setattr(command, "run", lambda argv: answers[argv[0]])
    assert probe.signatures("/dev/x")[1] == words


@pytest.mark.parametrize("answers", [{"blkid": (4, "", "usage"), "wipefs": (0, "", "")}, {"blkid": (2, "", ""), "wipefs": (1, "", "I/O error")}])
def test_a_program_that_fails_never_means_blank(monkeypatch: pytest.MonkeyPatch, answers: dict[str, tuple[int, str, str]]) -> None:
    monkeypatch.setattr(command, "run", lambda argv: command.Said(*answers[argv[0]]))
    with pytest.raises(probe.ProbeError, match="ended with"):
        probe.signatures("/dev/x")


@pytest.mark.parametrize(
    ("wanted", "effective", "missing"),
    [
        (["noatime"], ["rw", "relatime"], ["noatime"]),
        (["noatime", "nofail", "defaults", "x-systemd.device-timeout=10s"], ["rw", "noatime"], []),
        (["exec"], ["rw", "noexec"], ["exec"]),
        (["exec", "dev", "suid"], ["rw"], []),
        (["ro"], ["rw"], ["ro"]),
        (["commit=30"], ["rw"], []),
    ],
)
def test_options_that_the_kernel_shows_are_compared(wanted: list[str], effective: list[str], missing: list[str]) -> None:
    assert view.missing_options(wanted, effective) == missing


def test_what_fstab_names_for_the_mountpoint_and_no_device_carries_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "fstab"
    table.write_text(
        'UUID="here" / ext4 defaults 0 1\nUUID=gone /mnt/data/ ext4 nofail 0 2\nLABEL=data /srv ext4 nofail 0 2\n# UUID=x /mnt/data ext4\n'
        "/dev/vdb /mnt/more ext4\n"
    )
    monkeypatch.setattr(look, "FSTAB", table)
    marks = [{"UUID": "here", "TYPE": "ext4"}, {}, {"LABEL": "data"}]
    found = {mount: look._lost(mount, marks) for mount in ("/mnt/data", "/", "/srv", "/mnt/more", "/elsewhere")}
    assert {mount: lost for mount, lost in found.items() if lost} == {"/mnt/data": ["UUID=gone"], "/mnt/more": ["/dev/vdb"]}
    table.unlink()
    assert look._lost("/mnt/data", marks) == []


def test_each_device_is_asked_once_for_what_it_carries(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sysfs / "fstab").write_text("UUID=gone /mnt/data ext4 nofail 0 2\n")
    nodes = {f"/dev/{name}": (sysfs / f"class/{name}/dev").read_text() for name in ("sda", "sda1", "sda2", "dm-0", "vdb", "nvme0n1")}
    asked: list[str] = []
    point = {"mounted": None}

    def signature(node: str) -> dict[str, str]:
        asked.append(node)
        return {"UUID": "u"} if node in ("/dev/sda1", "/dev/vdb") else {}

    for module, name, instead in [
        (look, "FSTAB", sysfs / "fstab"),
        (probe, "number_of", lambda node: nodes.get(node, "")),
        (probe, "signature", signature),
        (probe, "signatures", lambda _node: ({}, [])),
        (probe, "held", lambda *_: ""),
        (view, "look", lambda _path: point),
    ]:
        monkeypatch.setattr(module, name, instead)
    with_mounts(monkeypatch, mount("253:0", "/"))
    want = {"identity": {"kind": "serial", "value": "DATA0001"}, "filesystem": "ext4", "uuid": "u", "mount": "/mnt/data", "options": []}
    found = look.seen(want)
    assert (found["twins"], found["lost"], sorted(asked)) == (["/dev/sda1"], ["UUID=gone"], sorted(nodes))


@pytest.mark.skipif(not shutil.which("mkfs.ext4", path=command.ENVIRONMENT["PATH"]), reason="e2fsprogs is not here")
def test_a_filesystem_whose_descriptors_are_damaged_is_told_by_a_look_that_writes_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", disk], check=True, env=command.ENVIRONMENT)
    assert probe.damage(str(disk), "ext4") == ""
    # As a power cut leaves it: what the journal holds is replayed by the mount.
    subprocess.run(["debugfs", "-w", "-R", "feature needs_recovery", disk], check=True, env=command.ENVIRONMENT, capture_output=True)
    assert probe.damage(str(disk), "ext4") == ""
    with disk.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)
    before = disk.stat().st_mtime_ns
    told = probe.damage(str(disk), "ext4")
    assert told.startswith("e2fsck -n ended with ")
    assert "escriptor" in told
    assert disk.stat().st_mtime_ns == before


def test_xfs_is_left_to_its_mount_which_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", lambda _argv: pytest.fail("something was run"))
    assert probe.damage("/dev/vdb", "xfs") == ""


@pytest.mark.parametrize(
    ("marks", "mounted", "held", "looked"),
    [
        (["ext4 u"], [], "", True),
        (["ext4 u"], [mount("254:16", "/mnt/data")], "", False),
        (["ext4 u"], [], "busy", False),
        (["ext4 other"], [], "", False),
        ([], [], "", False),
    ],
)
def test_only_what_is_ours_and_about_to_be_mounted_is_looked_at_for_damage(
    sysfs: Path, monkeypatch: pytest.MonkeyPatch, marks: list[str], mounted: list[dict[str, Any]], held: str, looked: bool
) -> None:
    assert sysfs
    with_mounts(monkeypatch, mount("253:0", "/"), *mounted)
    monkeypatch.setattr(probe, "signatures", lambda _node: ({}, marks))
    monkeypatch.setattr(probe, "held", lambda *_: held)
    monkeypatch.setattr(probe, "damage", lambda node, filesystem: f"{filesystem} on {node}")
    known = probe.devices()
    one = known["254:16"] | {"node_ok": True}
    assert look._described(one, known, "ext4 u")["damage"] == ("ext4 on /dev/vdb" if looked else "")
