"""Which disks data really lie on, on a machine that has every kind of stack that this kernel makes, and what one dead filesystem costs."""

from __future__ import annotations

import lzma
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.adapters.clock import SystemClock
from controlplane.adapters.evidence import AnsibleEvidence
from controlplane.domain.checks import judge_host
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Evidence
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.policy import Docker
from controlplane.domain.services import FilesService
from tests.lab.conftest import LabMachine
from tests.lab.playing import play
from tests.lab.test_data_disk import UUID, clone, wanted

pytestmark = [pytest.mark.lab, pytest.mark.slow]

# An empty btrfs of 16 MB (mkfs.btrfs --mixed, 6.2) with the subvolume @data: the machine itself has no program that makes one.
BTRFS = Path(__file__).with_name("btrfs-with-subvolume.img.xz")
# Loop devices over files of the machine itself; each detaches itself once it is unmounted, also when the machine ends.
STACKS = """
mknod /dev/loop-control c 10 237
over() {
  until loop=$(losetup -f) && { [ -e $loop ] || mknod $loop b 7 ${loop#/dev/loop}; } && losetup $loop $1; do sleep 0.1; done
  echo $loop > /run/half-made
  [ "${3:-}" ] || mkfs.ext4 -q -F $loop
  mkdir -p $2 && mount ${3:-} $loop $2 && losetup -d $loop && rm /run/half-made
}
mkfs.ext4 -q DATA && mkdir -p /mnt/data /mnt/ram /mnt/over /mnt/split /srv/bare /mnt/bound && mount DATA /mnt/data
mkdir /mnt/data/plain /mnt/data/up /mnt/data/work /mnt/data/low /mnt/data/up2 /mnt/data/work2
mount --bind /srv/bare /mnt/bound
mount -t tmpfs -o size=64M tmpfs /mnt/ram
mount -t overlay -o lowerdir=/mnt/data/low,upperdir=/mnt/data/up,workdir=/mnt/data/work overlay /mnt/over
mount -t overlay -o lowerdir=/srv/bare,upperdir=/mnt/data/up2,workdir=/mnt/data/work2 overlay /mnt/split
truncate -s 64M /srv/file.img /mnt/data/file.img && truncate -s 32M /mnt/ram/file.img
over /srv/file.img /mnt/file
over /mnt/data/file.img /mnt/inner
over /mnt/ram/file.img /mnt/ramfile
over /srv/btrfs.img /mnt/btrfs '-o subvol=@data'
# A partition of the boot disk, where one file of its filesystem lies in one piece.
fallocate -l 64M /srv/part.img && sync
set -- $(filefrag -v /srv/part.img | sed -nE 's/^ +0: +0\\.\\. +[0-9]+: +([0-9]+)\\.\\. +[0-9]+: +([0-9]+):.*/\\1 \\2/p')
[ $2 -ge 8192 ]
addpart BOOT 1 $(($1 * 8)) $(($2 * 8))
name=$(basename BOOT)p1 && mknod /dev/$name b $(tr : ' ' < /sys/class/block/$name/dev)
over /dev/$name /mnt/part
"""
# Devices over the boot disk would keep it after the machine is gone. Other machines' loop devices are in sight here: only our own are named.
UNSTACK = """
systemctl stop docker.socket docker containerd || true
for at in part ramfile btrfs inner file; do umount -l /mnt/$at || true; done
[ ! -e /run/half-made ] || losetup -d $(cat /run/half-made) || true
[ ! -e /sys/class/block/$(basename BOOT)p1 ] || delpart BOOT 1
"""
SHARES = range(8)
# A filesystem whose server never answers: what touches it waits until it is killed.
SILENT = """
import ctypes, os, sys, time
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None).mount(b"silent", b"/mnt/share", sys.argv[1].encode(), 0, options):
    sys.exit("no mount")
open("/run/silent.pid", "w").write(str(os.getpid()))
time.sleep(300)
"""
BOOT, DATA, MEMORY, UNKNOWN = "boot", "data", "memory", "unknown"
# What holds each place, and what has to be said of data that a container keeps there.
PLACES = {
    "/mnt/data/plain": DATA,
    "/mnt/bound/x": BOOT,
    "/mnt/file/x": BOOT,
    "/mnt/part/x": BOOT,
    "/mnt/btrfs/x": BOOT,
    "/mnt/split/x": BOOT,
    "/mnt/inner/x": DATA,
    "/mnt/over/x": DATA,
    "/mnt/ram/x": MEMORY,
    "/mnt/ramfile/x": UNKNOWN,
}


@pytest.fixture
def stacked(machine: Callable[..., LabMachine]) -> Iterator[LabMachine]:
    one = machine(services=True, data_bytes=2**30)
    try:
        one.run(["tee", "/srv/btrfs.img"], stdin=lzma.decompress(BTRFS.read_bytes()))
        one.sh(STACKS.replace("DATA", one.data_device).replace("BOOT", one.status.boot_device))
        yield one
    finally:
        one.sh(UNSTACK.replace("BOOT", one.status.boot_device))


def _desired(machine: LabMachine, **more: object) -> DesiredHost:
    disk = Disk(loop_file=str(machine.data_file), min_size=1, max_size=10**12, mount="/mnt/data")
    return DesiredHost(host=machine.name, tier="data-disk", data="disk", disks=(disk,), **more)  # type: ignore[arg-type]


def _judged(machine: LabMachine, desired: DesiredHost, *checks: str) -> tuple[Evidence, dict[str, tuple[str, str]]]:
    """Collect evidence and return it with {surface: (verdict, reason)} of these checks (D235 and D236)."""
    route = InventoryHost(name=machine.name, variables={"ansible_ssh_common_args": f"-F {machine.ssh_config}"})
    seen = AnsibleEvidence(SystemClock()).collect([route], {machine.name: desired})[machine.name]
    assert isinstance(seen, Evidence), seen
    findings = judge_host(desired, seen, now=SystemClock().now(), max_age=timedelta(hours=1), only=checks or ("D235", "D236"))
    return seen, {one.surface: (str(one.verdict), one.reason) for one in findings}


def _assert_each_place(found: dict[str, tuple[str, str]], boot: str) -> None:
    for number, (place, said) in enumerate(PLACES.items()):
        verdict, reason = found[f"service:keeps-{number}"]
        expected = {DATA: "MET", UNKNOWN: "UNKNOWN"}.get(said, "DRIFTED")
        assert verdict == expected, (place, verdict, reason)
        if said == BOOT:
            assert f"on boot disk {boot}" in reason, (place, reason)
        elif said == MEMORY:
            assert reason == "/data lies in memory", (place, reason)
        elif said == UNKNOWN:
            assert "/mnt/ram/file.img" in reason, (place, reason)


def test_every_stack_is_followed_to_its_disks_and_a_dead_filesystem_costs_its_own_places_only(stacked: LabMachine) -> None:
    places = [*PLACES, *(f"/mnt/share/{number}" for number in SHARES)]
    made = [f"mkdir -p {place}; docker create --name keeps-{number} -v {place}:/data lab/services:1 true" for number, place in enumerate(places)]
    stacked.sh("\n".join(made))
    services = {f"keeps-{number}": FilesService(data="/data", place=place) for number, place in enumerate(places)}
    desired = _desired(stacked, services=services)
    boot = stacked.status.boot_device.removeprefix("/dev/")
    _assert_each_place(_judged(stacked, desired)[1], boot)

    stacked.run(["tee", "/run/silent.py"], stdin=SILENT.encode())
    stacked.sh(
        "[ -e /dev/fuse ] || mknod /dev/fuse c 10 229; rm -f /run/silent.pid;"
        " setsid python3 /run/silent.py fuse >/dev/null 2>&1 </dev/null & until [ -s /run/silent.pid ]; do sleep 0.1; done"
    )
    began = time.monotonic()
    evidence, found = _judged(stacked, desired)
    seconds = time.monotonic() - began
    # Ending who should answer ends the waiting.
    stacked.sh("kill $(cat /run/silent.pid); umount -l /mnt/share")
    assert seconds < 15
    assert {name: probe.status for name, probe in evidence.probes.items() if probe.status != "ok"} == {}
    _assert_each_place(found, boot)
    for number in SHARES:
        assert found[f"service:keeps-{len(PLACES) + number}"] == ("UNKNOWN", f"/mnt/share/{number} was not looked at")

    for place, verdict, said in (
        ("/mnt/part/docker", "DRIFTED", f"lies on boot disk {boot}"),
        ("/mnt/ramfile/docker", "UNKNOWN", "lies on tmpfs, which is on no disk of this host"),
        ("/mnt/inner/docker", "MET", f"lies on {stacked.data_device.removeprefix('/dev/')}"),
    ):
        stacked.sh(f'mkdir -p /etc/docker; echo \'{{"data-root": "{place}"}}\' > /etc/docker/daemon.json')
        stacked.sh("systemctl reset-failed docker; systemctl restart docker")
        _, found = _judged(stacked, _desired(stacked, docker=Docker(data_root=place)))
        assert found["docker.data_root"][0] == verdict, (place, found)
        assert said in found["docker.data_root"][1], (place, found)


def test_two_disks_of_one_uuid_or_one_serial_are_refused_unknown_and_left_to_the_byte(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    one = machine(data_bytes=2**28)
    by_file = wanted(one, data_disk_min_size=1)
    assert play(one, "data_disk", by_file, tmp_path).code == 0
    one.sh("umount /mnt/data")
    with clone(one, tmp_path) as device:
        for node in (device, one.data_device):
            number = node.removeprefix("/dev/loop")
            one.sh(f"printf 'E:ID_SERIAL=TWICE\\nE:ID_SERIAL_SHORT=TWICE\\n' >> /run/udev/data/b7:{number}")
        both = f"blockdev --flushbufs {device} {one.data_device}; sha256sum {device} {one.data_device}"
        before = one.sh(both)
        for identity, words in (
            ({"kind": "uuid", "value": UUID}, (f"uuid {UUID} fits 2 disks", "disks[].uuid")),
            ({"kind": "serial", "value": "TWICE"}, ("serial TWICE fits 2 disks", "disks[].serial")),
        ):
            refused = play(one, "data_disk", {**by_file, "data_disk_identity": identity}, tmp_path)
            assert (refused.code != 0, refused.changed) == (True, 0), refused.text
            for word in (*words, "Nothing was changed."):
                assert word in refused.said, refused.text
        names = ", ".join(sorted(node.removeprefix("/dev/") for node in (device, one.data_device)))
        for identified in (Disk(uuid=UUID, mount="/mnt/data"), Disk(serial="TWICE", min_size=1, max_size=10**12, mount="/mnt/data")):
            _, found = _judged(one, DesiredHost(host=one.name, tier="data-disk", data="disk", disks=(identified,)), "D240")
            for surface in ("mount:/mnt/data", "fstab:/mnt/data"):
                assert found[surface] == ("UNKNOWN", f"2 disks carry {identified.label}: {names}")
        assert one.sh(both) == before
        assert one.run(["findmnt", "/mnt/data"]).returncode != 0
