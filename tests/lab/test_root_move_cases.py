"""Moves of Docker's roots out of the ordinary: live-restore, XFS, both image stores, a root that is the mount, and roots that can't be moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, planned, verdicts
from tests.lab.playing import RUN, play
from tests.lab.test_docker_data_root import FOLDER, KEY, NEW, OLD, REQUEST, Host

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]
ENDS_WHEN_TOLD = "sh -c 'trap \"exit 0\" TERM; sleep 9999 & wait'"
# Each kind of container that a stop and a start may treat differently; what runs are the first two.
CONTAINERS = f"""
run() {{
  docker run -d --name $1 -v $1:/data --restart $2 lab/services:1 {ENDS_WHEN_TOLD} >/dev/null
  docker exec $1 sh -c "echo of $1 > /data/it"
}}
run unless-stopped unless-stopped
run never-again no
run was-stopped unless-stopped
docker stop was-stopped >/dev/null
docker create --name never-started lab/services:1 true >/dev/null
"""
RUNS = {"unless-stopped": "running", "never-again": "running", "was-stopped": "exited", "never-started": "created"}


def shown(machine: LabMachine) -> dict[str, Any]:
    """Return what must be the same before and after: containers by state, images, volumes with what is in them."""
    states = machine.sh("docker ps -a --format '{{.Names}} {{.State}}'").splitlines()
    return {
        "containers": dict(line.split() for line in states),
        "images": machine.sh("docker images --no-trunc -q | sort"),
        "volumes": machine.sh("docker volume ls -q | sort"),
        "data": machine.sh('for volume in $(docker volume ls -q | sort); do cat "$(docker volume inspect -f {{.Mountpoint}} $volume)/it"; done'),
        "layers": machine.sh("docker exec never-again sh -c 'ls -R /etc | sha256sum'"),
    }


def users_of(machine: LabMachine, *roots: str) -> str:
    """Return what processes have open or mounted below these roots, as /proc names it."""
    look = "ls -l /proc/[0-9]*/{fd,cwd,root,exe} 2>/dev/null; cat /proc/[0-9]*/mountinfo /proc/[0-9]*/maps 2>/dev/null"
    return machine.sh(f"{{ {look}; }} | grep -E ' ({'|'.join(roots)})/|=({'|'.join(roots)})/' | grep -v 'grep -' | sort -u || true")


def site_without_services(machine: LabMachine, folder: Path, filesystem: str) -> Operator:
    site = Operator(machine, folder)
    text, _, _ = (site.site / "policy.yml").read_text().replace("filesystem: ext4", f"filesystem: {filesystem}").partition("    services:\n")
    (site.site / "policy.yml").write_text(text)
    return site


def test_live_restore_and_every_restart_policy_survive_the_main_path_to_xfs_with_containerds_images(machine: Make, tmp_path: Path) -> None:
    one = machine(services=True, image_store="containerd")
    settings = json.loads(one.sh("cat /etc/docker/daemon.json 2>/dev/null || echo '{}'"))
    one.run(["sh", "-c", "mkdir -p /etc/docker; cat > /etc/docker/daemon.json"], stdin=json.dumps({**settings, "live-restore": True}).encode())
    one.sh(f"systemctl restart docker\n{CONTAINERS}")
    before = shown(one)
    assert before["containers"] == RUNS
    site = site_without_services(one, tmp_path, "xfs")

    plan = site.plan()
    result = site.applied()
    assert result["changed"] == planned(plan)
    assert verdicts(result["verify"], plan) == {"MET"}
    assert set(result["downtime_s"]) == {"unless-stopped", "never-again"}
    assert Target(one).root() == NEW
    assert one.sh("findmnt -no FSTYPE /mnt/data; docker info -f '{{.LiveRestoreEnabled}}'").split() == ["xfs", "true"]
    assert shown(one) == before
    assert users_of(one, OLD, "/var/lib/containerd") == ""
    assert one.sh("docker run --rm lab/services:1 echo starts") == "starts\n"
    assert site.plan("again.json", code=0)["steps"] == []
    layers_lie_under_containerds_root(one)
    another_image_store_is_taken_back(one, tmp_path, before)


def layers_lie_under_containerds_root(machine: LabMachine) -> None:
    assert "io.containerd.snapshotter" in machine.sh("docker info -f '{{json .DriverStatus}}'")
    sizes = machine.sh("du -xsm /mnt/data/containerd /mnt/data/docker | cut -f 1").split()
    assert int(sizes[0]) > 100 > int(sizes[1])
    assert machine.sh("grep ^root /etc/containerd/config.toml") == 'root = "/mnt/data/containerd"\n'


def another_image_store_is_taken_back(machine: LabMachine, folder: Path, before: dict[str, Any]) -> None:
    """Switching the image store hides images and containers, which the inventory after the start shows."""
    variables = {
        "docker_data_root_run": RUN.format("docker.data_root", 7),
        "docker_data_root_moves": [],
        "docker_data_root_daemon_json": {"features": {"containerd-snapshotter": False}},
        "docker_data_root_stop_timeout_s": 5,
    }
    configuration = machine.sh("sha256sum /etc/docker/daemon.json")
    played = play(machine, "docker_data_root", variables, folder)
    assert played.code != 0, played.text
    assert "Docker shows other things on the new configuration than before" in played.said, played.text
    assert "is gone" in played.said
    assert "Went back" in played.said
    assert machine.sh("sha256sum /etc/docker/daemon.json") == configuration
    assert shown(machine) == before


class Bare(Host):
    """A machine with a mounted data disk and a few small containers, and the tools of a run on it."""

    def __init__(self, machine: LabMachine) -> None:
        self.machine = machine
        machine.sh(f"mkfs.ext4 -q -F {machine.data_device} && mkdir -p /mnt/data && mount {machine.data_device} /mnt/data")
        machine.sh(CONTAINERS)
        self.lay_down()

    def state_of_all(self) -> str:
        places = "/mnt/data /etc/docker /etc/containerd /etc/systemd/system"
        return self.machine.sh(f"find {places} -printf '%p %s %T@\\n' 2>/dev/null | sort; docker ps -aq | sort; systemctl show -p MainPID docker")

    def assert_refused(self, *reasons: str, **changes: Any) -> None:
        before = self.state_of_all()
        code, answer = self.tool("docker-root", "move", "--run", KEY, request={**REQUEST, **changes})
        assert code == 4, answer
        for reason in (*reasons, "Nothing was changed."):
            assert reason in answer["message"], answer
        assert self.state_of_all() == before

    def flags_are_refused(self, unit: str = "/etc/systemd/system/docker.service") -> None:
        sh, program = self.machine.sh, "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"
        drop_in = f"{unit}.d/flag.conf"
        self.a_flag_in_the_unit_is_refused(unit, program)
        for line, told in (
            (f"{program} -g {OLD} --log-opt max-size=1m", "dockerd is started with -g, and data-root"),
            (f'/bin/sh -c "exec {program} --data-root {OLD}"', "docker.service starts /bin/sh, not dockerd itself"),
        ):
            sh(f"printf '[Service]\\nExecStart=\\nExecStart={line}\\n' > {drop_in}; systemctl daemon-reload")
            self.assert_refused(told)
        sh(f"printf '[Service]\\nExecStart=\\nExecStart={program}\\n' > {drop_in}")
        self.assert_refused("docker.service changed since systemd read it: run 'systemctl daemon-reload'")
        sh(f"rm {drop_in}; systemctl daemon-reload")

    def a_flag_in_the_unit_is_refused(self, unit: str, program: str) -> None:
        sh = self.machine.sh
        sh(f"sed 's|^ExecStart=.*|ExecStart={program} --data-root={OLD}|' /lib/systemd/system/docker.service > {unit}; systemctl daemon-reload")
        self.assert_refused(
            f"dockerd is started with --data-root={OLD}, and data-root in /etc/docker/daemon.json as well would keep it from starting"
        )
        sh(f"rm {unit}; systemctl daemon-reload")

    def split_roots_are_refused(self) -> None:
        sh = self.machine.sh
        for folder in ("overlay2", "volumes"):
            sh(f"mkdir /mnt/data/{folder} && mount --bind /mnt/data/{folder} {OLD}/{folder}")
            self.assert_refused(f"{OLD}/{folder} is a ext4 mount below {OLD} that Docker did not make: move it out first")
            sh(f"umount {OLD}/{folder} && rmdir /mnt/data/{folder}")
        sh(f"systemctl stop docker.socket docker && mv {OLD}/volumes /srv/volumes && ln -s /srv/volumes {OLD}/volumes && systemctl start docker")
        self.assert_refused(f"{OLD}/volumes is a symbolic link, which Docker breaks when it removes things below it")
        sh(f"systemctl stop docker.socket docker && rm {OLD}/volumes && mv /srv/volumes {OLD}/volumes && systemctl start docker")
        sh("docker start unless-stopped never-again")


@pytest.mark.long
def test_flags_and_split_roots_are_refused_by_name_and_a_root_may_be_the_mount_itself(machine: Make) -> None:
    host = Bare(machine(services=True))
    host.flags_are_refused()
    host.split_roots_are_refused()

    mount = {"moves": [{"kind": "docker", "from": OLD, "to": "/mnt/data"}]}
    host.machine.sh("touch /mnt/data/of-somebody")
    host.assert_refused("/mnt/data is not empty, and no run of this program on this host made it", **mount)
    host.machine.sh("rm /mnt/data/of-somebody")
    before = shown(host.machine)
    code, answer = host.tool("docker-root", "move", "--run", KEY, request={**REQUEST, **mount})
    assert code == 0, answer
    assert host.root() == "/mnt/data"
    assert shown(host.machine) == before
    assert host.machine.sh("stat -c %F /mnt/data/lost+found") == "directory\n"
    assert host.tool("docker-root", "prove", "--run", KEY, request={**REQUEST, **mount})[0] == 0
    assert users_of(host.machine, OLD) == ""
    assert host.tool("docker-root", "prepare", "--run", KEY)[0] == 0
    host.release()
    host.machine.sh(f"{FOLDER}/undo")
    assert host.root() == OLD
    assert shown(host.machine) == before


@pytest.mark.long
def test_an_engine_that_can_not_validate_is_moved_only_with_a_configuration_that_it_runs_on(machine: Make) -> None:
    host = Bare(machine(services=True, engine="20.10"))
    assert "--validate" not in host.machine.sh("dockerd --help")
    host.a_flag_in_the_unit_is_refused("/etc/systemd/system/docker.service", "/usr/sbin/dockerd -H fd://")
    host.machine.sh("mkdir -p /etc/docker && echo '{\"no-such-key\": 1}' > /etc/docker/daemon.json")
    host.assert_refused("/etc/docker/daemon.json was written after Docker started, and this dockerd can't judge it: restart Docker")
    host.machine.sh("rm /etc/docker/daemon.json")
    assert host.tool("docker-root", "refuse", "--run", KEY, request=True)[0] == 0


def test_what_still_uses_the_old_root_once_docker_is_stopped_ends_the_move_where_it_began(machine: Make) -> None:
    host = Bare(machine(services=True))
    before = shown(host.machine)
    background = "nohup {} > /dev/null 2>&1 & echo $! > /run/user-of-the-root"
    for start, told in (
        (background.format(f"tail -f {OLD}/engine-id"), f"{OLD} is still in use with Docker stopped: "),
        (
            f"cp /bin/sleep /usr/local/bin/containerd-shim-left; {background.format('containerd-shim-left 999')}",
            "there still run containerd-shim-left (",
        ),
    ):
        host.machine.sh(start)
        code, answer = host.tool("docker-root", "move", "--run", KEY, request=REQUEST)
        assert (code, told in answer["message"]) == (1, True), answer
        assert answer["message"].endswith("Went back: the services run on the old place again."), answer
        assert (host.root(), shown(host.machine)) == (OLD, before)
        host.machine.sh("kill $(cat /run/user-of-the-root)")
    assert host.tool("docker-root", "move", "--run", KEY, request=REQUEST)[0] == 0
    assert (host.root(), shown(host.machine)) == (NEW, before)


def test_too_little_room_and_containers_that_can_not_be_stopped_as_they_are_are_refused(machine: Make) -> None:
    host = Bare(machine(services=True))
    sh = host.machine.sh
    sh("docker pause never-again >/dev/null")
    host.assert_refused("container never-again is paused, and can't be stopped and started as it is: unpause it")
    sh("docker unpause never-again >/dev/null")
    sh("fallocate -l $(($(df --output=avail -B1 /mnt/data | tail -n1) - 50000000)) /mnt/data/full")
    host.assert_refused("/mnt/data has ", " bytes free, the move needs ")
    sh(f"umount /mnt/data && mkfs.ext4 -q -F -N 512 {host.machine.data_device} && mount {host.machine.data_device} /mnt/data")
    host.assert_refused("/mnt/data has ", " inodes free, the move needs ")
