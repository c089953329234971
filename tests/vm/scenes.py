"""Virtual machines at the two moments from which they are driven: seeded with data, and with the main job done.

What must survive is a volume of files: what databases do in a move and in a power cut, `tests/lab` shows at a tenth of the time.
A moment is made once, which takes minutes, and kept by the machine's own snapshot: each test starts from it in seconds.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.requirements import missing_reason
from tests.lab.operating import STEPS, Operator, Said, Target, planned, verdicts
from tests.vm.conftest import VirtualMachine

OLD, NEW, MOUNT = "/var/lib/docker", "/mnt/data/docker", "/mnt/data"
# On a busy host an emulated processor takes that much longer than what the program's tests allow elsewhere.
APPLY_S = 1800.0


APP = "app"
BELOW = "mkdir -p /run/below && mount --bind / /run/below && find /run/below/mnt -mindepth 2 && umount /run/below"
# Ends at once when it is asked to.
_FILL = """
docker run -d --name app --restart always --stop-signal KILL -v app:/data --entrypoint sleep lab/services:1 infinity >/dev/null
at=$(docker volume inspect -f '{{.Mountpoint}}' app)
for n in $(seq 200); do head -c $((n * 331)) /dev/urandom > $at/$n; done
ln $at/7 $at/linked && ln -s 8 $at/symbolic && chown 999:999 $at/9 && sync
"""
_TELL = """
for try in $(seq 300); do docker exec app true 2>/dev/null && break; sleep 1; done
docker exec app sh -c 'cd /data && find . -type f -exec sha256sum {} + | sort -k2 && find . -printf "%p %l %m %U %G %n\n" | sort' | sha256sum
docker ps -a --format '{{.Names}} {{.State}}' | sort
"""


class Files(Target):
    """The machine, with the files in its volume as what must survive."""

    def data(self) -> dict[str, Any]:
        """Return a checksum over names, contents, owners and modes as the container sees them, and its state."""
        [summed, *states] = self.machine.sh(_TELL, timeout=900).splitlines()
        return {"files": summed, "containers": dict(line.split() for line in states)}


_MACHINES = """version: 1
profiles:
  fresh:
    baseline:
      packages: [tini]
      time: none
      docker: {packages: [docker.io, docker-cli]}
machines:
  NAME: {profile: fresh}
"""


class Site(Operator):
    """A site that names the data disk by its serial; of a `fresh` machine it also says what its baseline is."""

    def __init__(self, machine: VirtualMachine, folder: Path, *, fresh: bool = False) -> None:
        super().__init__(machine, folder, login="ops")
        policy = self.site / "policy.yml"
        by_serial = policy.read_text().replace(f"loop_file: {machine.data_file}", f"serial: {machine.serial}")
        assert f"serial: {machine.serial}" in by_serial
        # It also takes longer than a disk may by default until udev knows it.
        patient = by_serial.replace("options: [noatime]", "options: [noatime, x-systemd.device-timeout=60s]")
        assert patient != by_serial
        services, _, _ = patient.partition("    services:\n")
        assert services != patient
        policy.write_text(services if fresh else f"{services}    services:\n      {APP}: {{kind: files, data: /data, volume: {APP}}}\n")
        if fresh:
            (self.site / "machines.yml").write_text(_MACHINES.replace("NAME", machine.name))

    def run(self, *words: str, **options: Any) -> Said:
        """Run one verb; what only looked and was left in doubt, as where a probe took too long, looks again."""
        options.setdefault("timeout", APPLY_S)
        for _ in range(2):
            said = super().run(*words, **options)
            if said.code != 5 or words[0] not in ("audit", "plan"):
                return said
        return super().run(*words, **options)

    def audit(self) -> Said:
        return self.run("audit", "-o", "json")


@dataclass
class Scene:
    """One machine at a moment, the site of its operator, and what must survive on it."""

    host: VirtualMachine
    site: Site
    data: dict[str, Any]

    @property
    def target(self) -> Target:
        return Files(self.host)

    def assert_moved(self) -> None:
        self.target.assert_on_one_place(NEW, self.data)

    def assert_brought_up(self) -> None:
        """Docker lives on the data disk and never did elsewhere, nothing is left to bring, and what was there before is as it was."""
        host = self.host
        assert host.sh("docker info -f '{{.DockerRootDir}}'", timeout=600).strip() == NEW
        assert host.sh("find /var/lib/docker /var/lib/containerd -mindepth 1 2>/dev/null | head -3 || true") == ""
        assert host.sh("dpkg --audit; systemctl is-enabled docker.service cron.service").split() == ["enabled", "enabled"]
        assert letters(host) == self.data["letters"]
        assert self.site.plan("again.json", "--capability", "infra.vm.bootstrap", code=0)["steps"] == []


def seed_data(host: VirtualMachine, folder: Path) -> Scene:
    """Fill a fresh machine, with a site of its own."""
    host.sh(_FILL, timeout=900)
    scene = Scene(host, Site(host, folder), Files(host).data())
    assert scene.data["containers"] == {APP: "running"}
    return scene


def letters(host: VirtualMachine) -> str:
    """Return a checksum over what somebody keeps on the boot disk."""
    return host.sh("sha256sum /home/ops/letters").split()[0]


def leave_fresh(host: VirtualMachine, folder: Path) -> Scene:
    """Let a machine without Docker be as its image brings it, but for something that is somebody's."""
    host.sh("head -c 300000 /dev/urandom > /home/ops/letters && sync")
    return Scene(host, Site(host, folder, fresh=True), {"letters": letters(host)})


def do_the_main_job(scene: Scene) -> None:
    """Audit, plan, apply, reboot, verify; all data is on the data disk and equal at the end."""
    host, site = scene.host, scene.site
    boot = host.boot_id()
    assert site.audit().code == 3
    plan = site.plan()
    assert [step["capability"] for step in plan["steps"]] == STEPS
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    scene.assert_moved()
    verified = site.run("verify", "--after-reboot", "-o", "json")
    if verified.code == 5:
        # On a busy host a probe may take too long; a judgement without another reboot is as good.
        verified = site.run("verify", "-o", "json")
    assert verified.json["summary"]["unknown"] == 0, verified
    assert verdicts(verified.json, plan) == {"MET"}
    assert [f["verdict"] for f in verified.json["findings"] if f["surface"] == "reboot.proof"] == ["MET"]
    assert host.boot_id() != boot
    scene.assert_moved()
    site.assert_receipts_hold()


class Moment:
    """A moment of one machine, made by `make` where it isn't kept yet."""

    def __init__(self, lab: Lab, name: str, make: Callable[[VirtualMachine, Path], Scene], *, fresh: bool = False) -> None:
        self.lab, self.name, self._make, self._fresh = lab, name, make, fresh
        self._folder = lab.home.path / "drills" / name

    def scene(self) -> Scene:
        """Return the machine as it was at that moment, with its operator's files as they were."""
        host, now, kept = self._reset(), self._folder / "now", self._folder / "kept"
        note = self._folder / "kept.json"
        mark = host.run(["cat", "/root/kept"]).stdout.strip()
        said = json.loads(note.read_text()) if note.exists() else {}
        shutil.rmtree(now, ignore_errors=True)
        if not mark or said.get("mark") != mark:
            shutil.rmtree(self._folder, ignore_errors=True)
            scene = self._make(host, now)
            mark = str(uuid.uuid4())
            host.sh(f"echo {mark} > /root/kept && sync")
            shutil.copytree(now, kept)
            host.keep()
            note.write_text(json.dumps({"mark": mark, "data": scene.data}))
            return scene
        site = Site(host, now, fresh=self._fresh)
        shutil.rmtree(now)
        shutil.copytree(kept, now)
        return Scene(host, site, said["data"])

    def _reset(self) -> VirtualMachine:
        [status] = self.lab.reset([self.name], vm=True, engine="none" if self._fresh else "26")
        return VirtualMachine(self.lab, status)


def moment_of(lab: Lab, name: str, make: Callable[[VirtualMachine, Path], Scene], *, fresh: bool = False) -> Moment:
    """Return a moment of a machine; skips with the reason where there can be no virtual machines."""
    if reason := missing_reason(vm=True):
        pytest.skip(f"virtual machines can't run here: {reason}")
    return Moment(lab, name, make, fresh=fresh)


def assert_nothing_below_the_mountpoint(host: VirtualMachine) -> None:
    """What lies on the boot disk below where data disks are mounted is looked at through a second mount of `/`."""
    assert host.sh(BELOW).strip() == ""
