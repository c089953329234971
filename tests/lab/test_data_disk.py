"""The role data_disk on machines with real disks: what it refuses, that it changes nothing then, and its way back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN, Played, play

pytestmark = pytest.mark.lab

UUID = "6f1c1a52-6a44-4d8c-9a8f-0f4b4b3c2d11"
KEY = RUN.format("storage.data_disk", 1)
FOLDER = f"/var/lib/controlplane/{KEY}"
MOUNT = "/mnt/data"
FIELD = "disks[].loop_file"


def wanted(machine: LabMachine, **changes: Any) -> dict[str, Any]:
    """Return the role's variables for the machine's data disk."""
    return {
        "data_disk_run": KEY,
        "data_disk_identity": {"kind": "loop_file", "value": str(machine.data_file)},
        "data_disk_min_size": 1_000_000_000,
        "data_disk_max_size": 200_000_000_000,
        "data_disk_filesystem": "ext4",
        "data_disk_uuid": UUID,
        "data_disk_mount": MOUNT,
        "data_disk_options": ["noatime"],
        "data_disk_format": True,
        **changes,
    }


def disk_digest(machine: LabMachine) -> str:
    """Return the digest of the data disk's every byte, as the machine reads it."""
    # sha256sum uses no instructions of the processor's own, and takes seven times as long.
    digest = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"
    return machine.sh(f'blockdev --flushbufs {machine.data_device}; python3 -c "{digest}" {machine.data_device}').strip()


def state(machine: LabMachine) -> str:
    """Return all that a refusal must leave alone: mounts, mountpoint and the folders of runs."""
    return machine.sh(
        "findmnt -rno TARGET,SOURCE,OPTIONS | grep -v ' /run\\|/proc\\|/sys' | sort; ls -laR /mnt;"
        " ls /var/lib/controlplane/*/undo 2>/dev/null || true"
    )


def assert_refused(played: Played, *words: str) -> None:
    assert played.code != 0, played.text
    for word in (*words, "Nothing was changed."):
        assert word in played.said, played.text
    assert played.changed == 0, played.text


@contextmanager
def held_open(machine: LabMachine) -> Iterator[None]:
    """Hold the data disk open exclusively, without a mount that shows."""
    script = f"import os, time\nos.open('{machine.data_device}', os.O_RDONLY | os.O_EXCL)\n"
    script += "open('/run/held', 'w').write(str(os.getpid()))\ntime.sleep(120)\n"
    machine.run(["tee", "/run/hold.py"], stdin=script.encode())
    machine.sh("setsid python3 /run/hold.py >/dev/null 2>&1 </dev/null & until test -s /run/held; do sleep 0.1; done")
    yield
    machine.sh("kill $(cat /run/held); while kill -0 $(cat /run/held) 2>/dev/null; do sleep 0.1; done; rm /run/held")


@contextmanager
def clone(machine: LabMachine, folder: Path) -> Iterator[str]:
    """Show the machine a second disk with the same bytes, and take it away again."""
    image = folder / "clone.img"
    subprocess.run(["cp", "--sparse=always", str(machine.data_file), str(image)], check=True)
    device = subprocess.run(["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True).stdout.strip()
    try:
        machine.sh(f"mknod {device} b 7 {device.removeprefix('/dev/loop')}")
        yield device
    finally:
        machine.run(["rm", "-f", device])
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def blank(machine: Callable[..., LabMachine]) -> LabMachine:
    return machine(data_bytes=2**30)


def test_a_blank_disk_becomes_the_planned_filesystem_and_a_second_run_changes_nothing(blank: LabMachine, tmp_path: Path) -> None:
    before = disk_digest(blank)
    preview = play(blank, "data_disk", wanted(blank), tmp_path, check=True)
    assert preview.code == 0, preview.text
    assert f"ext4 {UUID}" in preview.said
    assert disk_digest(blank) == before
    assert blank.run(["test", "-e", MOUNT]).returncode != 0

    first = play(blank, "data_disk", wanted(blank), tmp_path)
    assert first.code == 0, first.text
    assert first.changed > 0
    assert blank.sh(f"findmnt -no UUID,FSTYPE {MOUNT}").split() == [UUID, "ext4"]
    assert "noatime" in blank.sh(f"findmnt -no OPTIONS {MOUNT}")
    assert blank.sh(f"blkid -p -o value -s LABEL {blank.data_device} || true") == ""

    blank.sh(f"echo precious > {MOUNT}/file")
    second = play(blank, "data_disk", wanted(blank), tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text
    # With the disk away nobody can write to the bare folder, not even root.
    blank.sh(f"umount {MOUNT}")
    assert "i" in blank.sh(f"lsattr -d {MOUNT}").split()[0]
    assert blank.run(["touch", f"{MOUNT}/stray"]).returncode != 0
    third = play(blank, "data_disk", wanted(blank), tmp_path)
    assert (third.code, third.changed) == (0, 1), third.text
    assert blank.sh(f"cat {MOUNT}/file") == "precious\n"
    fresh_key = play(blank, "data_disk", wanted(blank, data_disk_run=RUN.format("storage.data_disk", 2)), tmp_path)
    assert (fresh_key.code, fresh_key.changed) == (0, 0), fresh_key.text


def test_options_that_are_not_in_effect_are_put_into_effect_and_taken_back(blank: LabMachine, tmp_path: Path) -> None:
    """The right disk at the right place is not enough: how it is mounted is compared too."""
    blank.sh(f"mkfs.ext4 -q -U {UUID} {blank.data_device} && mkdir {MOUNT} && chattr +i {MOUNT} && mount -o nodev {blank.data_device} {MOUNT}")
    blank.sh(f"echo precious > {MOUNT}/file")

    def options() -> set[str]:
        return set(blank.sh(f"findmnt -no VFS-OPTIONS {MOUNT}").strip().split(","))

    before = options()
    assert "relatime" in before
    both = wanted(blank, data_disk_options=["noatime", "nodev"])
    preview = play(blank, "data_disk", both, tmp_path, check=True)
    assert (preview.code, options()) == (0, before), preview.text

    first = play(blank, "data_disk", both, tmp_path)
    assert first.code == 0, first.text
    assert options() == before - {"relatime"} | {"noatime"}
    second = play(blank, "data_disk", both, tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text

    undone = blank.run([f"{FOLDER}/undo"])
    assert undone.returncode == 0, undone.stderr
    assert "gave /mnt/data its former options" in undone.stderr
    assert options() == before
    assert blank.sh(f"cat {MOUNT}/file") == "precious\n"


def test_xfs_is_made_as_well_as_ext4(blank: LabMachine, tmp_path: Path) -> None:
    played = play(blank, "data_disk", wanted(blank, data_disk_filesystem="xfs"), tmp_path)
    assert played.code == 0, played.text
    assert blank.sh(f"findmnt -no UUID,FSTYPE {MOUNT}").split() == [UUID, "xfs"]
    assert blank.sh(f"xfs_info {MOUNT} | grep -c ftype=1") == "1\n"
    again = play(blank, "data_disk", wanted(blank, data_disk_filesystem="xfs"), tmp_path)
    assert (again.code, again.changed) == (0, 0), again.text


def test_each_refusal_names_the_disk_and_the_field_and_changes_nothing(blank: LabMachine, tmp_path: Path) -> None:
    """Everything that can be refused while the disk stays blank, on one machine."""
    blank.sh(
        "mkdir -p /mnt/full /mnt/other && touch /mnt/full/stray && ln -s /mnt/other /mnt/link"
        " && mount -t tmpfs -o size=1M tmpfs /mnt/other && touch /mnt/afile"
    )
    disk, file, before, seen = blank.data_device, str(blank.data_file), disk_digest(blank), state(blank)
    boot_file = blank.status.boot_file
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"data_disk_identity": {"kind": "serial", "value": "NOSUCH"}}, ("has serial NOSUCH", "disks[].serial")),
        ({"data_disk_identity": {"kind": "wwn", "value": "naa.5000"}}, ("has wwn naa.5000", "disks[].wwn")),
        ({"data_disk_identity": {"kind": "by_id", "value": "virtio-none"}}, ("has by_id virtio-none", "disks[].by_id")),
        ({"data_disk_identity": {"kind": "by_path", "value": "pci-none"}}, ("has by_path pci-none", "disks[].by_path")),
        ({"data_disk_identity": {"kind": "uuid", "value": UUID}}, (f"has uuid {UUID}", "disks[].uuid")),
        ({"data_disk_identity": {"kind": "loop_file", "value": boot_file}}, (boot_file, "lineage of the boot disk", FIELD)),
        ({"data_disk_min_size": 100_000_000_000}, (file, "less than the 100000000000 of min_size", FIELD)),
        ({"data_disk_min_size": 1, "data_disk_max_size": 2}, (file, "more than the 2 of max_size", FIELD)),
        ({"data_disk_format": False}, (file, "does not name it for mkfs", FIELD)),
        ({"data_disk_mount": "/mnt/full"}, (file, "is not empty: stray", FIELD)),
        ({"data_disk_mount": "/mnt/other"}, (file, "/mnt/other is taken by tmpfs", FIELD)),
        ({"data_disk_mount": "/mnt/link"}, (file, "leads elsewhere (/mnt/other)", FIELD)),
        ({"data_disk_mount": "/mnt/afile"}, (file, "is no folder", FIELD)),
    ]
    for changes, words in cases:
        assert_refused(play(blank, "data_disk", wanted(blank, **changes), tmp_path), *words)
    blank.sh(f"blockdev --setro {disk}")
    assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), file, "is read-only", FIELD)
    blank.sh(f"blockdev --setrw {disk}")
    with held_open(blank):
        assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), file, "can't be opened alone: Device or resource busy", FIELD)
    assert disk_digest(blank) == before
    assert state(blank) == seen


@pytest.mark.parametrize(
    ("prepare", "word"),
    [
        ("mkfs.ext4 -q -U 11111111-2222-3333-4444-555555555555 {disk}", "holds ext4 11111111-2222-3333-4444-555555555555"),
        ("mkfs.xfs -q {disk}", "holds xfs"),
        ("mkswap -q {disk}", "holds swap"),
        ("printf 'label: gpt\\n,100M\\n' | sfdisk -q --no-reread --no-tell-kernel {disk}", "partition table gpt"),
        ("printf 'label: dos\\n,100M\\n' | sfdisk -q --no-reread --no-tell-kernel {disk}", "partition table dos"),
        (
            "mkfs.xfs -q -m uuid={uuid} {disk}",
            "holds xfs",
        ),
    ],
)
def test_a_disk_with_any_signature_is_refused_and_keeps_every_byte(blank: LabMachine, tmp_path: Path, prepare: str, word: str) -> None:
    blank.sh(prepare.format(disk=blank.data_device, uuid=UUID))
    before, seen = disk_digest(blank), state(blank)
    assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), str(blank.data_file), word, FIELD)
    assert disk_digest(blank) == before
    assert state(blank) == seen


def test_a_disk_in_use_is_refused_with_the_name_of_its_use(blank: LabMachine, tmp_path: Path) -> None:
    disk, file = blank.data_device, str(blank.data_file)
    blank.sh(f"mkfs.ext4 -q -U {UUID} {disk} && mkdir /srv/there && mount {disk} /srv/there && echo precious > /srv/there/file")
    assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), file, "is mounted at /srv/there, not at /mnt/data", FIELD)
    assert blank.sh("cat /srv/there/file; umount /srv/there") == "precious\n"

    # What lies in the bare folder beneath a mount that is already right would stay hidden.
    blank.sh(f"mkdir /mnt/data && touch /mnt/data/hidden && mount {disk} /mnt/data")
    assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), file, "is not empty: hidden", FIELD)
    blank.sh("umount /mnt/data && rm -r /mnt/data")

    blank.sh(f"wipefs -qa {disk} && mkswap -q {disk} && swapon {disk}")
    try:
        assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), file, f"is swap: {disk}", FIELD)
    finally:
        blank.sh(f"swapoff {disk}")

    blank.sh(f"wipefs -qa {disk} && printf 'label: dos\n,100M\n' | sfdisk -q --no-reread --no-tell-kernel {disk} && partx -a {disk}")
    try:
        assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), file, "has partitions: ", FIELD)
    finally:
        blank.sh(f"partx -d {disk}")


def test_two_disks_that_fit_are_refused_and_so_is_a_clone(blank: LabMachine, tmp_path: Path) -> None:
    assert play(blank, "data_disk", wanted(blank), tmp_path).code == 0
    blank.sh("umount /mnt/data")
    before = disk_digest(blank)
    with clone(blank, tmp_path) as device:
        twice = wanted(blank, data_disk_identity={"kind": "uuid", "value": UUID})
        assert_refused(play(blank, "data_disk", twice, tmp_path), f"uuid {UUID} fits 2 disks", device, "disks[].uuid")
        assert_refused(play(blank, "data_disk", wanted(blank), tmp_path), f"is the UUID of {device} too: a clone", FIELD)
    assert disk_digest(blank) == before
    by_uuid = play(blank, "data_disk", wanted(blank, data_disk_identity={"kind": "uuid", "value": UUID}, data_disk_format=False), tmp_path)
    assert by_uuid.code == 0, by_uuid.text
    assert blank.sh("findmnt -no UUID /mnt/data").strip() == UUID


def test_serial_wwn_and_links_lead_to_the_disk(blank: LabMachine, tmp_path: Path) -> None:
    """Loop devices have none of these, so udev's own record gets them."""
    number = blank.data_device.removeprefix("/dev/loop")
    lines = "E:ID_SERIAL=DATA0001\\nE:ID_WWN=0x5000c500\\nS:disk/by-id/virtio-DATA0001\\nS:disk/by-path/pci-0000:00:05.0\\n"
    blank.sh(f"printf '{lines}' >> /run/udev/data/b7:{number}")
    for kind, value in [
        ("serial", "DATA0001"),
        ("wwn", "naa.5000c500"),
        ("by_id", "virtio-DATA0001"),
        ("by_path", "/dev/disk/by-path/pci-0000:00:05.0"),
    ]:
        found = play(blank, "data_disk", wanted(blank, data_disk_identity={"kind": kind, "value": value}), tmp_path, check=True)
        assert found.code == 0, found.text
        assert f"{blank.data_device}: ext4 {UUID}" in found.said
    blank.sh(f"printf 'E:ID_SERIAL=DATA0001\\n' >> /run/udev/data/b7:{blank.status.boot_device.removeprefix('/dev/loop')}")
    twice = play(blank, "data_disk", wanted(blank, data_disk_identity={"kind": "serial", "value": "DATA0001"}), tmp_path)
    assert_refused(twice, "serial DATA0001 fits 2 disks", "disks[].serial")


@pytest.mark.parametrize("task", ["Record how it was, once", "Make the filesystem on the disk"])
def test_a_run_killed_anywhere_converges_and_can_be_undone(blank: LabMachine, tmp_path: Path, task: str) -> None:
    killed = play(blank, "data_disk", wanted(blank), tmp_path, stop_after=task)
    assert killed.code != 0
    second = play(blank, "data_disk", wanted(blank), tmp_path)
    assert second.code == 0, second.text
    third = play(blank, "data_disk", wanted(blank), tmp_path)
    assert (third.code, third.changed) == (0, 0), third.text
    assert blank.sh(f"findmnt -no UUID {MOUNT}").strip() == UUID
    assert blank.run([f"{FOLDER}/undo"]).returncode == 0
    assert blank.run(["test", "-e", MOUNT]).returncode != 0


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_filesystem_that_a_killed_mkfs_left_is_made_again(blank: LabMachine, tmp_path: Path, filesystem: str) -> None:
    make = {"ext4": f"mkfs.ext4 -q -U {UUID} -L cp-making", "xfs": f"mkfs.xfs -q -m uuid={UUID} -L cp-making"}[filesystem]
    blank.sh(f"{make} {blank.data_device} && dd if=/dev/zero of={blank.data_device} bs=1M seek=1 count=50 conv=notrunc status=none")
    unnamed = wanted(blank, data_disk_filesystem=filesystem, data_disk_format=False)
    assert_refused(play(blank, "data_disk", unnamed, tmp_path), "does not name it for mkfs")
    played = play(blank, "data_disk", wanted(blank, data_disk_filesystem=filesystem), tmp_path)
    assert played.code == 0, played.text
    blank.sh(f"umount {MOUNT}; " + {"ext4": "e2fsck -fn", "xfs": "xfs_repair -n"}[filesystem] + f" {blank.data_device}")


def test_the_way_back_unmounts_names_who_is_in_the_way_and_keeps_the_data(blank: LabMachine, tmp_path: Path) -> None:
    variables = wanted(blank, data_disk_rollback_of=KEY)
    never = play(blank, "data_disk", variables | {"data_disk_rollback_of": RUN.format("storage.data_disk", 9)}, tmp_path, tasks_from="rollback")
    assert_refused(never, "the run never came here")
    assert play(blank, "data_disk", variables, tmp_path).code == 0
    blank.sh(f"echo precious > {MOUNT}/file; sync")
    blank.sh(f"cd {MOUNT} && (setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $! > /run/user.pid)")
    busy = play(blank, "data_disk", variables, tmp_path, tasks_from="rollback")
    assert_refused(busy, f"{MOUNT} is in use by sleep (")
    blank.sh("kill $(cat /run/user.pid)")
    preview = play(blank, "data_disk", variables, tmp_path, tasks_from="rollback", check=True)
    assert "Would have: unmounted /mnt/data" in preview.said
    assert blank.sh(f"findmnt -no UUID {MOUNT}").strip() == UUID
    undone = play(blank, "data_disk", variables, tmp_path, tasks_from="rollback")
    assert undone.code == 0, undone.text
    assert f"all data on it stay on loop_file {blank.data_file}" in undone.said
    assert blank.run(["test", "-e", MOUNT]).returncode != 0
    # Without a controller there is nothing left to do, and the data is where it was.
    again = blank.run([f"{FOLDER}/undo"])
    assert (again.returncode, json.loads(again.stdout)["changed"]) == (0, False)
    assert blank.sh(f"mount {blank.data_device} /media && cat /media/file; umount /media") == "precious\n"
