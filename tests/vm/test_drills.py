"""A machine that loses its disk, its filesystem, its room or its power says so, writes nothing where it must not, and comes back whole.

`script/drills` runs them by a seed and keeps a journal; run by themselves they take the first seed and two power cuts.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.vm.hardware import data_file
from tests.lab.courses import go_through
from tests.vm.conftest import VirtualMachine
from tests.vm.power_cuts import JOBS, Course, Cut, chosen_cuts, duration_of
from tests.vm.scenes import MOUNT, OLD, Scene, assert_nothing_below_the_mountpoint, do_the_main_job, moment_of, seed_data

pytestmark = [pytest.mark.vm, pytest.mark.slow]

Drilled = Callable[[], Scene]
# What findings print for a person to type on the machine.
PRINTED = re.compile(r"on the machine: (systemctl start [^\s;]+(?: && systemctl start [^\s;]+)*)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each course of power cuts its points by the seed."""
    if "cuts" in metafunc.fixturenames:
        seed, points = (int(metafunc.config.getoption(name, default)) for name, default in (("seed", 1), ("points", 2)))
        courses = [(job, cuts) for job in JOBS for cuts in chosen_cuts(job, seed, points)]
        names = [f"{n:02}-{job}-{'-'.join(str(cut.share) for cut in cuts)}" for n, (job, cuts) in enumerate(courses, 1)]
        metafunc.parametrize(("job", "cuts"), courses, ids=names)


def _moved(host: VirtualMachine, folder: Path) -> Scene:
    scene = seed_data(host, folder)
    do_the_main_job(scene)
    return scene


@pytest.fixture
def moved(lab: Lab) -> Drilled:
    """Return the machine as it is after the main job."""
    return moment_of(lab, "drill-moved", _moved).scene


def engine_is_up(host: VirtualMachine) -> bool:
    return host.run(["systemctl", "is-active", "docker.service"]).stdout.strip() == "active"


def assert_down_and_nothing_written(scene: Scene) -> None:
    """The machine is reached, its engine is down and stays so when it is asked to start, and the bare directory is empty."""
    host = scene.host
    assert host.sh("findmnt -no TARGET --target /mnt/data").strip() == "/"
    assert not engine_is_up(host)
    assert host.run(["systemctl", "start", "docker.service"], timeout=600).returncode != 0
    assert not engine_is_up(host)
    assert_nothing_below_the_mountpoint(host)


def reasons(scene: Scene, surface: str) -> list[tuple[str, str]]:
    """Return what an audit says of one surface: verdicts with their reasons."""
    said = scene.site.audit()
    assert said.code in (0, 3, 5), said
    return [(f["verdict"], f["reason"]) for f in said.json["findings"] if f["surface"] == surface]


def refusal_of(scene: Scene, words: str) -> str:
    """Return why a plan refuses the data disk, which has to say so, and hold that the plan makes no filesystem."""
    said = scene.site.run("plan", "-o", "json")
    assert said.code in (3, 4, 5), said
    assert "mkfs" not in {change["kind"] for step in said.json["steps"] for change in step["changes"]}, said.json["steps"]
    told = [one["reason"] for one in said.json["refusals"] if one["capability"] == "storage.data_disk" and words in one["reason"]]
    assert told, said.json["refusals"]
    return str(told[0])


def ways_back(scene: Scene) -> list[str]:
    """Return the commands that an audit prints to be typed on the machine, each once."""
    said = scene.site.audit()
    assert said.code in (0, 3, 5), said
    return list(dict.fromkeys(way for f in said.json["findings"] if f["verdict"] == "DRIFTED" for way in PRINTED.findall(f["reason"])))


def assert_back(scene: Scene, *ways: str) -> None:
    """What was printed, or where nothing was is printed now, mounts the disk again; the containers run on it, and no byte is lost."""
    host = scene.host
    # What a start or a disk that appears sets going by itself comes to its end first; its exit code tells of units that failed.
    host.run(["sh", "-c", "udevadm settle; systemctl is-system-running --wait"], timeout=900)
    for way in ways or ways_back(scene):
        host.sh(way, timeout=900)
    assert host.serial in host.by_id()
    scene.assert_moved()
    assert_nothing_below_the_mountpoint(host)
    [(verdict, reason)] = reasons(scene, f"mount:{MOUNT}")
    assert verdict == "MET", reason


def test_without_its_data_disk_it_says_which_one_is_missing_and_one_that_appears_late_brings_everything_back(moved: Drilled) -> None:
    scene = moved()
    scene.host.down()
    scene.host.up(data_disk="none", services=False)
    assert len(scene.host.by_id()) == 1
    assert_down_and_nothing_written(scene)
    serial = Path(scene.host.status.boot_device).name.removeprefix("virtio-").replace("BOOT", "DATA")
    [(verdict, reason)] = reasons(scene, f"mount:{MOUNT}")
    [way] = PRINTED.findall(reason)
    assert (verdict, reason) == ("DRIFTED", f"no disk with serial {serial} is attached. Once it is attached, on the machine: {way}")
    assert refusal_of(scene, f"serial {serial} is not there: attach it").endswith(f". Once it is attached, on the machine: {way}")
    scene.host.plug()
    assert_back(scene, way)


def test_a_foreign_disk_in_its_place_is_named_as_such_and_left_as_it_is(moved: Drilled) -> None:
    scene = moved()
    serial = scene.host.serial
    scene.host.down()
    scene.host.up(data_disk="foreign", services=False)
    foreign = scene.host.serial
    assert foreign != serial
    assert foreign in scene.host.by_id()
    assert_down_and_nothing_written(scene)
    stranger = f"Attached and not named in the policy: {Path(scene.host.by_id()[foreign]).name} (serial {foreign}, "
    [(verdict, reason)] = reasons(scene, f"mount:{MOUNT}")
    assert verdict == "DRIFTED"
    for told in (reason, refusal_of(scene, f"serial {serial} is not there: attach it")):
        assert f"serial {serial} is" in told
        assert re.search(
            rf"{re.escape(stranger)}[0-9.]+ GB, ext4 labelled foreign UUID [0-9a-f-]+\)\. Once it is attached, on the machine: ", told
        ), told
    scene.host.down()
    files = scene.host.lab.home.machine(scene.host.name)
    subprocess.run(["qemu-img", "compare", "-q", files.foreign, files.foreign.with_suffix(".qcow2")], check=True)
    scene.host.up(data_disk="own", services=False)
    assert_back(scene)


def test_a_filesystem_that_lost_its_first_mebibyte_is_not_mounted_and_its_repair_loses_nothing(moved: Drilled) -> None:
    scene = moved()
    host = scene.host
    host.down()
    disk = data_file(host.lab.home.machine(host.name), "own")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 0xa5 0 1M", str(disk)], check=True)
    host.up(services=False)
    assert host.serial in host.by_id()
    assert_down_and_nothing_written(scene)
    assert reasons(scene, f"mount:{MOUNT}") == [("DRIFTED", f"nothing is mounted at {MOUNT}")]
    [(verdict, reason)] = reasons(scene, f"fstab:{MOUNT}")
    assert (verdict, reason) == ("DRIFTED", f"the disk with serial {host.serial} carries no ext4 that an entry could name")
    look = re.search(r"See what is left of it: (e2fsck -fn .*?)    \(", refusal_of(scene, "See what is left of it: "))
    assert look is not None
    words = shlex.split(look[1])
    assert Path(words[-1]).name == Path(host.by_id()[host.serial]).name
    # As one repairs it: the same without -n, with yes to each question. It reads the copy of the superblock that ext4 keeps at block 32768.
    repaired = host.run(["-fy" if word == "-fn" else word for word in words], timeout=900)
    assert repaired.returncode == 1, repaired
    host.sh("udevadm trigger --settle --subsystem-match=block && systemctl daemon-reload", timeout=600)
    assert_back(scene)


def test_a_filesystem_that_lost_only_its_group_descriptors_is_called_damaged_and_its_repair_loses_nothing(moved: Drilled) -> None:
    scene = moved()
    host = scene.host
    host.down()
    disk = data_file(host.lab.home.machine(host.name), "own")
    # The superblock before it stays whole: the filesystem is known by its UUID, and a boot tries to mount it.
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 0xa5 4k 4k", str(disk)], check=True)
    host.up(services=False)
    assert host.serial in host.by_id()
    assert_down_and_nothing_written(scene)
    [(verdict, reason)] = reasons(scene, f"mount:{MOUNT}")
    damaged = f"nothing is mounted at {MOUNT}: the filesystem of the disk with serial {host.serial} is damaged, "
    assert (verdict, reason[: len(damaged)]) == ("DRIFTED", damaged)
    assert refusal_of(scene, damaged) == reason
    [way] = PRINTED.findall(reason)
    # As it is, that start is refused too, and leaves what the repair stands on.
    assert host.run(["sh", "-c", way], timeout=900).returncode != 0
    assert_down_and_nothing_written(scene)
    look = re.search(r"See what is left of it: (e2fsck -fn .*?)    \(", reason)
    assert look is not None
    words = shlex.split(look[1])
    assert Path(words[-1]).name == Path(host.by_id()[host.serial]).name
    looked = host.run(words, timeout=900)
    assert looked.returncode not in (0, 1), looked
    assert "Group descriptors look bad" in looked.stdout + looked.stderr, looked
    repaired = host.run(["-fy" if word == "-fn" else word for word in words], timeout=900)
    assert repaired.returncode == 1, repaired
    assert_back(scene, way)


def test_with_a_full_boot_disk_it_is_reached_and_says_so_and_the_data_is_served(moved: Drilled) -> None:
    scene = moved()
    host = scene.host
    host.sh("fallocate -l $(df --output=avail -B1 / | tail -n1) /root/full")
    # What is kept for root goes as well.
    assert "No space left" in host.run(["sh", "-c", "cat /dev/zero > /root/more"], timeout=600).stderr
    host.reboot()
    assert_nothing_below_the_mountpoint(host)
    said = scene.site.audit()
    assert said.code in (3, 5), said
    # What a start clears away, such as a journal, is some mebibytes.
    told = [(f["verdict"], f["reason"]) for f in said.json["findings"] if f["surface"] == "boot.usage"]
    used = [float(seen[1]) for _, reason in told if (seen := re.search(r"^/: (\d+\.\d)% of bytes", reason))]
    assert {verdict for verdict, _ in told} == {"DRIFTED"}, told
    assert min(used, default=0) > 97, told
    # What the move retired is named with what frees it. What no evidence has is found by the command that is printed for that.
    [reason] = [f["reason"] for f in said.json["findings"] if (f["check"], f["surface"]) == ("D234", "boot.usage")]
    assert re.search(rf"retired [^:;]*{OLD}\b[^:;]*: controlplane plan --host {host.name} --capability storage\.purge", reason), reason
    lists = re.search(r"on the machine: (du .*?) lists what is large", reason)
    assert lists is not None, reason
    found = [line.split("\t")[1] for line in host.run(shlex.split(lists[1]), timeout=900).stdout.splitlines()]
    assert "/root/full" in found, found
    host.sh("rm /root/full /root/more")
    assert_back(scene)


def test_disks_that_are_found_in_another_order_change_nothing(moved: Drilled) -> None:
    scene = moved()
    scene.host.down()
    scene.host.up(data_first=True, services=False)
    assert scene.host.by_id()[scene.host.serial] == "/dev/vda"
    assert_back(scene)


def test_power_cuts_at_any_points_leave_one_place_and_the_same_plan_goes_on_to_its_end(
    lab: Lab, record_property: Callable[[str, object], None], job: str, cuts: tuple[Cut, ...]
) -> None:
    course = Course(lab, job, record_property)
    go_through(cuts, duration_of(lab, job), begin=course.begin, strike=course.strike)
    assert course.taken == len(cuts), course.points
    scene = course.scene
    result = scene.site.applied()
    assert result["outcome"] == "done"
    JOBS[job].assert_done(scene)
    assert_nothing_below_the_mountpoint(scene.host)
    scene.site.assert_receipts_hold()
    assert {row["state"] for row in scene.site.rows()} == {"done"}
    assert scene.site.applied()["changed"] == []
