"""A machine that loses its disk, its filesystem, its room or its power says so, writes nothing where it must not, and comes back whole.

`script/drills` runs them by a seed and keeps a journal; run by themselves they take the first seed and two power cuts.
"""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import pytest

from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.requirements import missing_reason
from controlplane.adapters.lab.vm.hardware import data_file
from tests.lab.operating import Running
from tests.vm.conftest import VirtualMachine
from tests.vm.scenes import MOUNT, Moment, Scene, do_the_main_job, leave_fresh, seed_data

pytestmark = [pytest.mark.vm, pytest.mark.slow]

Drilled = Callable[[], Scene]
# One run of a job goes through so many: what follows a cut, a boot and another look, takes less time than a whole job.
CUTS_A_COURSE = 5
BELOW = "mkdir -p /run/below && mount --bind / /run/below && find /run/below/mnt -mindepth 2 && umount /run/below"


@dataclass(frozen=True)
class Job:
    """What power cuts go through: a plan of these words, applied on a machine at a moment of its own, and what must hold at its end."""

    machine: str
    make: Callable[[VirtualMachine, Path], Scene]
    words: tuple[str, ...]
    assert_done: Callable[[Scene], None]
    fresh: bool = False


JOBS = {
    "move": Job("drill-seeded", seed_data, (), Scene.assert_moved),
    "bootstrap": Job("drill-fresh", leave_fresh, (), Scene.assert_brought_up, fresh=True),
}


@dataclass(frozen=True)
class Cut:
    """One loss of power: after this share of the job, and whether the controller keeps its own."""

    share: float
    machine_alone: bool


def chosen_cuts(job: str, seed: int, points: int) -> list[tuple[Cut, ...]]:
    """Return the power cuts of one job by the seed, in courses: one run of the job goes through those of a course, the earliest first."""
    chance = random.Random(f"{seed} {job}")  # noqa: S311 - it has to say the same again
    # One in each of as many equal parts of the job, so that none of it is left out.
    cuts = [Cut(round((part + chance.random()) / points, 3), chance.random() < 0.5) for part in range(points)]
    courses = ceil(points / CUTS_A_COURSE)
    return [tuple(cuts[first::courses]) for first in range(courses)]


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


def _moment(lab: Lab, name: str, make: Callable[[VirtualMachine, Path], Scene], *, fresh: bool = False) -> Moment:
    if reason := missing_reason(vm=True):
        pytest.skip(f"virtual machines can't run here: {reason}")
    return Moment(lab, name, make, fresh=fresh)


@pytest.fixture
def moved(lab: Lab) -> Drilled:
    """Return the machine as it is after the main job."""
    return _moment(lab, "drill-moved", _moved).scene


def engine_is_up(host: VirtualMachine) -> bool:
    return host.run(["systemctl", "is-active", "docker.service"]).stdout.strip() == "active"


def assert_nothing_below_the_mountpoint(host: VirtualMachine) -> None:
    assert host.sh(BELOW).strip() == ""


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


def assert_way_on(scene: Scene, words: str) -> None:
    """What is printed as the way on says so, and makes no filesystem."""
    said = scene.site.run("plan", "-o", "json")
    assert said.code in (3, 4, 5), said
    assert any(words in refusal["reason"] for refusal in said.json["refusals"]), said.json["refusals"]
    assert "mkfs" not in {change["kind"] for step in said.json["steps"] for change in step["changes"]}, said.json["steps"]


def assert_back(scene: Scene) -> None:
    """The disk is mounted again, the containers run on it, and no byte is lost."""
    host = scene.host
    host.sh(f"udevadm settle && systemctl start {MOUNT} && systemctl start docker.service", timeout=900)
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
    assert reasons(scene, f"mount:{MOUNT}") == [("DRIFTED", f"no disk with serial {serial} is attached")]
    assert_way_on(scene, f"serial {serial} is not there: attach it")
    scene.host.plug()
    assert_back(scene)


def test_a_foreign_disk_in_its_place_is_named_as_such_and_left_as_it_is(moved: Drilled) -> None:
    scene = moved()
    serial = scene.host.serial
    scene.host.down()
    scene.host.up(data_disk="foreign", services=False)
    assert scene.host.serial in scene.host.by_id()
    assert_down_and_nothing_written(scene)
    assert reasons(scene, f"mount:{MOUNT}") == [("DRIFTED", f"no disk with serial {serial} is attached")]
    assert_way_on(scene, f"serial {serial} is not there: attach it")
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
    assert_way_on(scene, "See what is left of it: e2fsck -fn -b 32768 -B 4096 /dev/")
    # As one repairs it: by the copy of the superblock that ext4 keeps at block 32768.
    repaired = host.run(["e2fsck", "-fy", "-b", "32768", "-B", "4096", host.data_device], timeout=900)
    assert repaired.returncode == 1, repaired
    host.sh("udevadm trigger --settle --subsystem-match=block && systemctl daemon-reload", timeout=600)
    assert_back(scene)


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
    host.sh("rm /root/full /root/more")
    assert_back(scene)


def test_disks_that_are_found_in_another_order_change_nothing(moved: Drilled) -> None:
    scene = moved()
    scene.host.down()
    scene.host.up(data_first=True, services=False)
    assert scene.host.by_id()[scene.host.serial] == "/dev/vda"
    assert_back(scene)


def begin(scene: Scene) -> Running:
    return scene.site.start("apply", str(scene.site.file("plan.json")), "-o", "json")


def steps_begun(running: Running) -> list[str]:
    return re.findall(r"^(\S+/\d{3}) ", running.said(), re.MULTILINE)


def ready_to_begin(lab: Lab, job: str) -> Scene:
    """Return the job's machine at its moment, with a plan."""
    scene = _moment(lab, JOBS[job].machine, JOBS[job].make, fresh=JOBS[job].fresh).scene()
    scene.site.plan("plan.json", *JOBS[job].words)
    return scene


def lasting(lab: Lab, job: str) -> float:
    """Return how many seconds the job takes here from its first step to its end: measured once, by a run that nothing cuts off."""
    note = lab.home.path / "drills" / f"{job}-seconds"
    if not note.exists():
        running, zero = begin(ready_to_begin(lab, job)), None
        while running.process.poll() is None:
            zero = time.monotonic() if zero is None and steps_begun(running) else zero
            time.sleep(0.1)
        said = running.end()
        assert said.code == 0, said
        assert zero is not None, said
        note.write_text(f"{time.monotonic() - zero:.1f}")
    return float(note.read_text())


def cut_off(scene: Scene, running: Running, until: float, cut: Cut, begun: dict[str, float]) -> bool:
    """Cut the machine's power at that second of the job; return whether the job had ended before.

    A run that goes on begins anew with the step that was cut: `begun` holds at which second of the job each step began when it was first run.
    """
    zero: float | None = None  # when the job would have begun, had this run done all of it
    while running.process.poll() is None:
        for step in steps_begun(running):
            zero = time.monotonic() - begun.get(step, 0.0) if zero is None else zero
            begun.setdefault(step, time.monotonic() - zero)
        if zero is not None and time.monotonic() - zero >= until:
            break
        time.sleep(0.1)
    ended = running.process.poll() is not None
    if not ended and not cut.machine_alone:
        running.kill()
    scene.host.cut()
    if cut.machine_alone:
        running.end(timeout=900)
    return ended


def assert_left_in_order(scene: Scene, *, ended: bool) -> None:
    """Just after its power came back: it is reached, nothing lies beneath the mountpoint, and the program says which command goes on."""
    assert_nothing_below_the_mountpoint(scene.host)
    rows = scene.site.rows()
    open_runs = [row for row in rows if row["state"] == "open"]
    # Until its intent is on record an apply has changed nothing.
    assert ended or open_runs or not rows
    assert all("controlplane apply with the same plan file" in row["next"] for row in open_runs)


def test_power_cuts_at_any_points_leave_one_place_and_the_same_plan_goes_on_to_its_end(
    lab: Lab, record_property: Callable[[str, object], None], job: str, cuts: tuple[Cut, ...]
) -> None:
    seconds = lasting(lab, job)
    scene = ready_to_begin(lab, job)
    points: list[str] = []
    begun: dict[str, float] = {}
    for cut in cuts:
        ended = cut_off(scene, begin(scene), cut.share * seconds, cut, begun)
        scene.host.up(services=False)
        stood = ", ".join(f"{run.split('__')[1]} {phase}" for run, phase in sorted(scene.target.phases().items()))
        who = "machine" if cut.machine_alone else "machine and controller"
        points.append(f"{cut.share}{' (after its end)' if ended else ''}: {who}; {stood or 'nothing'}")
        record_property("point", " | ".join(points))
        assert_left_in_order(scene, ended=ended)
    result = scene.site.applied()
    assert result["outcome"] == "done"
    JOBS[job].assert_done(scene)
    assert_nothing_below_the_mountpoint(scene.host)
    scene.site.assert_receipts_hold()
    assert {row["state"] for row in scene.site.rows()} == {"done"}
    assert scene.site.applied()["changed"] == []
