"""The role docker_data_root on machines with real disks and real data: moved, interrupted anywhere, taken back, and purged; nothing lost."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import ROOT, RUN, Played, play

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]

KEY = RUN.format("docker.data_root", 1)
FOLDER = f"/var/lib/controlplane/{KEY}"
OLD, NEW = "/var/lib/docker", "/mnt/data/docker"
RUNNING = {"mint-modules-minio", "mint-modules-postgres", "mint-modules-redis"}
PACKAGE = ROOT / "roles/target_run/files/controlplane_target"
REQUEST: dict[str, Any] = {
    "moves": [{"kind": "docker", "from": OLD, "to": NEW}],
    "daemon_json": {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}},
    # The stand-in for MinIO ignores SIGTERM, so each stop takes its whole timeout.
    "stop_timeout_s": 1,
    "answer_timeout_s": 120,
}
# Holds whoever calls it while the journal stands at the phase that the test names.
HOLD = """#!/bin/sh
while [ -e /run/hold-phase ] && grep -q "\\"phase\\": \\"$(cat /run/hold-phase)\\"" /var/lib/controlplane/*/state.json; do sleep 0.1; done
exit 0
"""


def wanted(**changes: Any) -> dict[str, Any]:
    """Return the role's variables."""
    return {
        "docker_data_root_run": KEY,
        "docker_data_root_moves": REQUEST["moves"],
        "docker_data_root_daemon_json": REQUEST["daemon_json"],
        "docker_data_root_stop_timeout_s": 1,
        **changes,
    }


class Host:
    """One seeded machine with a mounted data disk, and the tools of a run on it."""

    def __init__(self, machine: LabMachine) -> None:
        self.machine = machine
        uuid = "0e7f64d1-3a8e-4f5c-9a51-7a0c36a86f50"
        machine.sh(
            f"mkfs.ext4 -q -U {uuid} {machine.data_device} && mkdir /mnt/data && chattr +i /mnt/data && udevadm settle"
            f" && echo 'UUID={uuid} /mnt/data ext4 nofail,x-systemd.device-timeout=10s 0 2' >> /etc/fstab"
            " && systemctl daemon-reload && mount /mnt/data"
        )
        self.sentinels = machine.lab.seed(machine.name)
        self.sentinels = self.data()

    def data(self) -> dict[str, Any]:
        """Return what must survive, from the containers themselves."""
        return self.machine.lab.sentinels(self.machine.name, wait_s=60)

    def root(self) -> str:
        return self.machine.sh("docker info -f '{{.DockerRootDir}}'").strip()

    def running(self) -> set[str]:
        return set(self.machine.sh("docker ps --format '{{.Names}}'").split())

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.machine.sh(f"cat {FOLDER}/state.json")))

    def lay_down(self) -> None:
        """Put the package on the machine as target_run does, take the lease, and make phases hold on request."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path in sorted(PACKAGE.glob("*.py")):
                tar.add(path, arcname=f"controlplane_target/{path.name}")
        self.machine.sh(f"mkdir -p {FOLDER}")
        assert self.machine.run(["tar", "-C", FOLDER, "-xf", "-"], stdin=buffer.getvalue()).returncode == 0
        assert self.tool("lease", "take", "--run", KEY, "--holder", "tester@here", "--role", "docker_data_root")[0] == 0
        holder = "/usr/local/sbin/hold"
        assert self.machine.run(["sh", "-c", f"cat > {holder} && chmod 755 {holder}"], stdin=HOLD.encode()).returncode == 0
        for program in ("rsync", "sync"):
            self.machine.sh(
                f"mv /usr/bin/{program} /usr/bin/{program}.real"
                f" && printf '#!/bin/sh\\n{holder}\\nexec /usr/bin/{program}.real \"$@\"\\n' > /usr/bin/{program} && chmod 755 /usr/bin/{program}"
            )
        self.machine.sh(
            "mkdir -p /etc/systemd/system/docker.service.d"
            f" && printf '[Service]\\nExecStartPre={holder}\\nExecStopPost={holder}\\n' > /etc/systemd/system/docker.service.d/hold.conf"
            " && systemctl daemon-reload"
        )

    def tool(self, *words: str, request: bool | dict[str, Any] = False) -> tuple[int, dict[str, Any]]:
        """Run a verb, under the lease where it wants it; return its exit code and answer."""
        changes = "--detach" in words or words[:2] == ("docker-root", "prepare")
        claim = [*self.claim(), "--hold"] if changes else []
        argv = ["python3", "-B", f"{FOLDER}/controlplane_target", *words, *claim]
        done = self.machine.run(argv, stdin=json.dumps(REQUEST if request is True else request).encode() if request else b"")
        return done.returncode, json.loads(done.stdout or "{}")

    def claim(self) -> list[str]:
        held = self.tool("lease", "show")[1]["lease"]
        return ["--holder", held["holder"], "--token", str(held["token"])]

    def release(self) -> None:
        """Give back the lease that `lay_down` took."""
        assert self.tool("lease", "release", "--run", KEY, *self.claim())[1]["released"] is True

    def start(self, verb: str) -> str:
        """Start a verb as its unit; return the unit."""
        code, answer = self.tool("docker-root", verb, "--run", KEY, "--detach", request=True)
        assert code == 0, answer
        return str(answer["unit"])

    def end(self, limit_s: float = 240) -> dict[str, Any]:
        """Wait until the unit ended; return its outcome."""
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            code, answer = self.tool("docker-root", "wait", "--run", KEY, "--limit", "20")
            assert code == 0, answer
            if not answer["working"]:
                return dict(answer["outcome"])
        raise AssertionError(f"still working after {limit_s} s: {self.state()}")

    def hold(self, phase: str) -> None:
        self.machine.sh(f"printf %s {phase} > /run/hold-phase")

    def let_go(self) -> None:
        self.machine.sh("rm -f /run/hold-phase")

    def wait_for_phase(self, *phases: str, limit_s: float = 180) -> str:
        limit = time.monotonic() + limit_s
        while time.monotonic() < limit:
            phase = str(self.state()["phase"])
            if phase in phases:
                return phase
            time.sleep(0.2)
        raise AssertionError(f"no phase {phases} within {limit_s} s: {self.state()}")

    def assert_on_one_place(self, root: str) -> None:
        assert self.root() == root
        assert self.running() == RUNNING
        assert self.data() == self.sentinels
        assert self.machine.sh("ls /etc/systemd/system | grep -c controlplane-settle || true").strip() == "0"


@pytest.fixture
def host(machine: Make) -> Host:
    return Host(machine(services=True))


def assert_refused(played: Played, *words: str) -> None:
    assert played.code != 0, played.text
    for word in (*words, "Nothing was changed."):
        assert word in played.said, played.text
    assert played.changed == 0, played.text


def purge_of(host: Host) -> dict[str, Any]:
    [record] = json.loads(host.machine.sh("cat /var/lib/controlplane/retired.json"))["retired"]
    item = {key: record[key] for key in ("path", "run", "recorded")}
    return {"purge_retired_run": RUN.format("storage.purge", 9), "purge_retired_items": [item], "purge_retired_retention_s": 0}


def test_a_root_is_moved_with_its_data_taken_back_with_newer_data_moved_again_and_the_old_one_purged(host: Host, tmp_path: Path) -> None:
    sh = host.machine.sh
    sh("mkdir -p /etc/docker && printf '{\"max-concurrent-downloads\": 7}' > /etc/docker/daemon.json && systemctl restart docker")
    sh("docker start " + " ".join(sorted(RUNNING)))
    host.sentinels = host.data()
    before = sh("cat /etc/docker/daemon.json; ls -la --time-style=+ /var/lib /mnt/data")

    preview = play(host.machine, "docker_data_root", wanted(), tmp_path, check=True)
    assert preview.code == 0, preview.text
    assert '+  "data-root": "/mnt/data/docker"' in preview.text
    assert sh("cat /etc/docker/daemon.json; ls -la --time-style=+ /var/lib /mnt/data") == before

    first = play(host.machine, "docker_data_root", wanted(), tmp_path)
    assert first.code == 0, first.text
    assert first.changed > 0
    host.assert_on_one_place(NEW)
    settings = json.loads(sh("cat /etc/docker/daemon.json"))
    assert settings == {"max-concurrent-downloads": 7, "data-root": NEW, **REQUEST["daemon_json"]}
    assert set(host.state()["downtime_s"]) == RUNNING
    second = play(host.machine, "docker_data_root", wanted(), tmp_path)
    assert (second.code, second.changed) == (0, 0), second.text

    sh("docker exec mint-modules-redis redis-cli set newer-than-the-move yes")
    host.sentinels = host.data()
    back = {"docker_data_root_rollback_of": KEY, "docker_data_root_run": RUN.format("docker.data_root", 2)}
    undone = play(host.machine, "docker_data_root", wanted(**back), tmp_path, tasks_from="rollback")
    assert undone.code == 0, undone.text
    host.assert_on_one_place(OLD)
    assert sh("cat /etc/docker/daemon.json") == '{"max-concurrent-downloads": 7}'

    again = play(host.machine, "docker_data_root", wanted(), tmp_path)
    assert again.code == 0, again.text
    host.assert_on_one_place(NEW)

    items = purge_of(host)
    folder_time = sh(f"stat -c %y {OLD}/volumes").strip()
    sh(f"touch {OLD}/volumes/someone-wrote-here")
    assert_refused(play(host.machine, "purge_retired", items, tmp_path), "changed since it was retired")
    sh(f"rm {OLD}/volumes/someone-wrote-here")
    sh(f"touch -d '{folder_time}' {OLD}/volumes")
    purged = play(host.machine, "purge_retired", items, tmp_path)
    assert purged.code == 0, purged.text
    assert sh(f"ls -d {OLD} {OLD}/../.controlplane-purging-docker 2>/dev/null || echo gone").strip() == "gone"
    assert json.loads(sh("cat /var/lib/controlplane/retired.json"))["retired"] == []
    twice = play(host.machine, "purge_retired", items, tmp_path)
    assert (twice.code, twice.changed) == (0, 0), twice.text
    host.assert_on_one_place(NEW)
    back["docker_data_root_run"] = RUN.format("docker.data_root", 3)
    assert_refused(play(host.machine, "docker_data_root", wanted(**back), tmp_path, tasks_from="rollback"), f"{OLD} was purged")


# The whole plan is killed at any point in test_whole_move_killed.py, and its machine in test_interruptions.py.
@pytest.mark.long
def test_a_killed_tool_leaves_the_services_on_one_place_and_the_next_run_goes_on(host: Host) -> None:
    host.lay_down()
    host.start("precopy")
    assert host.end()["rc"] == 0
    for phase, root in (("stopped", OLD), ("copied", OLD), ("starting", NEW)):
        host.hold(phase)
        unit = host.start("move")
        host.wait_for_phase(phase)
        host.machine.sh(f"systemctl kill --kill-who=main --signal=KILL {unit}")
        host.let_go()
        outcome = host.end()
        assert f"interrupted while {phase}" in outcome["message"], outcome
        assert host.state()["phase"] == ("reverted" if root == OLD else "done")
        host.assert_on_one_place(root)
    host.start("move")
    outcome = host.end()
    assert (outcome["rc"], outcome["answer"]["changed"]) == (0, False)


@pytest.mark.long
def test_a_cancelled_move_goes_back_by_itself(host: Host) -> None:
    host.lay_down()
    host.hold("stopped")
    unit = host.start("move")
    host.wait_for_phase("stopped")
    host.machine.sh(f"systemctl stop {unit}")
    host.let_go()
    outcome = host.end()
    assert (outcome["rc"], host.state()["phase"]) == (1, "reverted")
    assert outcome["message"] == "cancelled. Went back: the services run on the old place again."
    host.assert_on_one_place(OLD)


@pytest.mark.long
def test_a_play_that_has_waited_long_enough_says_that_the_work_goes_on_and_the_next_one_attaches_to_it(host: Host, tmp_path: Path) -> None:
    host.lay_down()
    host.hold("precopying")
    played = play(host.machine, "docker_data_root", wanted(docker_data_root_wait_s=2), tmp_path)
    unit = host.state()["unit"]
    assert played.code != 0, played.text
    for words in (f"precopy of {KEY} still works after 2 s (phase precopying), and goes on without this play.", f"'systemctl stop {unit}'"):
        assert words in played.said, played.text
    assert host.machine.sh(f"systemctl is-active {unit}").strip() == "active"
    host.let_go()
    again = play(host.machine, "docker_data_root", wanted(), tmp_path)
    assert again.code == 0, again.text
    host.assert_on_one_place(NEW)


@pytest.mark.parametrize(
    ("phase", "root"),
    [pytest.param("stopped", OLD, marks=pytest.mark.long), ("switched", NEW), pytest.param("starting", NEW, marks=pytest.mark.long)],
)
def test_after_a_power_cut_the_machine_brings_its_services_to_one_place_without_a_controller(host: Host, phase: str, root: str) -> None:
    host.lay_down()
    # Between the switch and the start nothing runs that could be held: the journal is put back to the moment before.
    host.hold("starting" if phase == "switched" else phase)
    host.start("move")
    host.wait_for_phase("starting" if phase == "switched" else phase)
    if phase == "switched":
        host.machine.sh(f'sed -i \'s/"phase": "starting"/"phase": "switched"/\' {FOLDER}/state.json && sync')
    host.machine.cut()
    host.machine.up()
    assert host.wait_for_phase("reverted", "done") == ("reverted" if root == OLD else "done")
    host.assert_on_one_place(root)
    host.start("move")
    assert host.end()["rc"] == 0
    host.assert_on_one_place(NEW)


@pytest.mark.parametrize(("phase", "ends", "root"), [("copied", "done", NEW), pytest.param("starting", "undone", OLD, marks=pytest.mark.long)])
def test_a_power_cut_on_the_way_back_ends_on_one_place_as_well(host: Host, phase: str, ends: str, root: str) -> None:
    host.lay_down()
    host.start("move")
    assert host.end()["rc"] == 0
    assert host.tool("docker-root", "prepare", "--run", KEY)[0] == 0
    host.release()
    newer = "docker exec mint-modules-postgres psql -qU postgres -c 'create table newer as select 7 as it'"
    host.machine.sh(newer)
    host.sentinels = host.data()
    host.hold(phase)
    host.machine.sh(f"nohup {FOLDER}/undo > /run/undo.log 2>&1 &")
    host.wait_for_phase(phase)
    host.machine.cut()
    host.machine.up()
    assert host.wait_for_phase("done", "undone") == ends
    host.assert_on_one_place(root)
    asked = "docker exec mint-modules-postgres psql -tAU postgres -c 'select it from newer'"
    assert host.machine.sh(asked).strip() == "7"


def test_services_that_do_not_answer_on_the_new_place_go_back_with_what_they_wrote_there(host: Host) -> None:
    sh = host.machine.sh
    sh("mkdir /run/flag && touch /run/flag/ok")
    sh(
        "docker run -d --name picky -v picky:/data -v /run/flag:/flag:ro --health-cmd 'test -e /flag/ok' --health-interval 1s --health-retries 1"
        " lab/services:1 sh -c 'date >> /data/starts; exec sleep 9999'"
    )
    sh("until [ \"$(docker inspect -f '{{.State.Health.Status}}' picky)\" = healthy ]; do sleep 0.3; done")
    host.lay_down()
    host.hold("starting")
    code, answer = host.tool("docker-root", "move", "--run", KEY, "--detach", request={**REQUEST, "answer_timeout_s": 10})
    assert code == 0, answer
    host.wait_for_phase("starting")
    sh("rm /run/flag/ok")
    host.let_go()
    host.wait_for_phase("stopping")
    sh("touch /run/flag/ok")
    outcome = host.end()
    assert outcome["rc"] == 1
    assert "picky is running (unhealthy), not healthy, 10 s after its start" in outcome["message"]
    assert "Went back: the services run on /var/lib/docker again, with what they wrote meanwhile" in outcome["message"]
    assert host.state()["phase"] == "reverted"
    assert host.root() == OLD
    # Started by hand, on the new place, and on the old one again.
    assert sh(f"wc -l < {OLD}/volumes/picky/_data/starts").strip() == "3"
    assert host.running() == {*RUNNING, "picky"}


@pytest.mark.parametrize(
    "options",
    [{"engine": "20.10"}, pytest.param({"image_store": "containerd"}, marks=pytest.mark.long)],
    ids=["engine-20.10", "containerd-image-store"],
)
def test_other_engines_are_moved_and_taken_back_without_a_controller(machine: Make, options: dict[str, str]) -> None:
    host = Host(machine(services=True, **options))
    moves = [*REQUEST["moves"]]
    if "image_store" in options:
        moves.append({"kind": "containerd", "from": "/var/lib/containerd", "to": "/mnt/data/containerd"})
    host.lay_down()
    configuration = host.machine.sh("cat /etc/docker/daemon.json /etc/containerd/config.toml 2>&1 || true")
    code, answer = host.tool("docker-root", "move", "--run", KEY, "--detach", request={**REQUEST, "moves": moves})
    assert code == 0, answer
    assert host.end()["message"] == ""
    host.assert_on_one_place(NEW)
    assert host.tool("docker-root", "prepare", "--run", KEY)[1] == {"changed": True}
    host.machine.sh("docker exec mint-modules-redis redis-cli set newer-than-the-move yes")
    host.sentinels = host.data()
    host.release()
    host.machine.sh(f"{FOLDER}/undo")
    host.assert_on_one_place(OLD)
    assert host.machine.sh("cat /etc/docker/daemon.json /etc/containerd/config.toml 2>&1 || true") == configuration
    assert host.tool("lease", "show")[1] == {"lease": None}


def test_what_speaks_against_a_move_is_said_at_once_and_nothing_is_changed(host: Host) -> None:
    sh = host.machine.sh
    sh("docker run -d --rm --name fleeting lab/services:1 sleep 9999")
    sh(f"docker run -d --name inside -v {OLD}/volumes:/all lab/services:1 sleep 9999")
    sh("mkdir -p /mnt/data/docker && touch /mnt/data/docker/somebody")
    sh("mkdir -p /etc/docker && printf '{\"graph\": 1}' > /etc/docker/daemon.json")
    host.lay_down()
    before = sh("find /mnt/data /etc/docker -printf '%p %s %T@\\n' | sort; docker ps -q | sort")
    code, answer = host.tool("docker-root", "refuse", "--run", KEY, request=True)
    assert (code, "Rename it to data-root" in answer["message"]) == (4, True), answer
    sh("rm /etc/docker/daemon.json")
    before = sh("find /mnt/data /etc/docker -printf '%p %s %T@\\n' | sort; docker ps -q | sort")
    code, answer = host.tool("docker-root", "refuse", "--run", KEY, request=True)
    assert code == 4
    for reason in (
        "container fleeting runs with --rm, and stopping it would delete it",
        f"container inside writes to {OLD}/volumes by its own path",
        f"{NEW} is not empty, and no run of this program on this host made it",
        "Nothing was changed.",
    ):
        assert reason in answer["message"], answer
    sh("umount /mnt/data")
    assert "its own disk is not mounted" in host.tool("docker-root", "refuse", "--run", KEY, request=True)[1]["message"]
    sh("mount /mnt/data && printf '[Service]\\nEnvironment=DOCKER_OPTS=--log-opt=max-size=1m\\n' > /etc/systemd/system/docker.service.d/x.conf")
    sh("systemctl daemon-reload")
    assert "dockerd is started with --log-opt=max-size=1m" in host.tool("docker-root", "refuse", "--run", KEY, request=True)[1]["message"]
    assert sh("find /mnt/data /etc/docker -printf '%p %s %T@\\n' | sort; docker ps -q | sort") == before
