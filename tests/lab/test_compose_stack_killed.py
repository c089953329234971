"""The role compose_stack, killed: its unit or the machine, in each phase; the host itself comes to one side, and the same run to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.playing import RUN, Played, play
from tests.lab.till import DIR, ENV, KEY, SECRET, Till

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.long]

NEXT, BACK = RUN.format("release.deploy", 2), RUN.format("release.deploy", 3)
OLD, NEW = {"till": "1 healthy", "till-page-1": "1 healthy"}, {"till": "2 healthy", "till-page-1": "2 healthy"}
# Found before the real one by the tool: it stands still as long as a journal says so.
_GATE = """#!/bin/sh
while [ -e /run/hold ] && grep -qs "\\"phase\\": \\"$(cat /run/hold)\\"" /var/lib/controlplane/*/state.json; do touch /run/held; sleep 0.1; done
exec /usr/bin/docker "$@"
"""


class Scene:
    """A machine that runs release 1, and a play that brings it to release 2, or back."""

    def __init__(self, host: LabMachine, folder: Path, who: str) -> None:
        self.host, self.folder, self.who, self.till = host, folder, who, Till(host, folder)
        assert play(host, "compose_stack", self.till.variables(), folder).code == 0
        self.before = self.files()
        self.images = self.till.build("2")
        host.run(["sh", "-c", "cat > /usr/sbin/docker && chmod 755 /usr/sbin/docker && sync"], stdin=_GATE.encode())

    def files(self) -> list[str]:
        return [line for line in self.till.state().splitlines() if DIR in line]

    def variables(self) -> dict[str, Any]:
        env = ENV.replace(SECRET, f"{SECRET}-2")
        changes = {"images": self.images, "manifest": "sha256:" + "2" * 64, "manifest_name": "v2", "env": env, "run": NEXT}
        return self.till.variables(**changes)

    def killed_in(self, phase: str, variables: Mapping[str, Any], tasks_from: str = "main") -> None:
        """Run the role, and kill the unit or the machine when the journal has come to that phase."""
        self.host.sh(f"rm -f /run/held; printf %s {phase} > /run/hold")
        with ThreadPoolExecutor(1) as pool:
            running: Future[Played] = pool.submit(play, self.host, "compose_stack", variables, self.folder, tasks_from=tasks_from)
            self.host.sh("for try in $(seq 600); do [ ! -e /run/held ] || exit 0; sleep 0.1; done; exit 1")
            if self.who == "machine":
                self.host.cut()
            else:
                self.host.sh("rm /run/hold; systemctl kill --signal=SIGKILL --kill-whom=main 'controlplane-compose-stack-*.service'")
            done = running.result()
        # Where the host itself goes on to the end while the play waits, the play ends well.
        assert (done.code == 0) == (self.who == "unit" and phase != "writing"), done.text
        if self.who == "machine":
            self.host.up()
            self.host.sh("systemctl is-system-running --wait >/dev/null || true; docker info >/dev/null")

    def settled(self, key: str, phase: str) -> None:
        """Wait until the host itself has brought the run to that phase, and left nothing of its own behind."""
        end = time.monotonic() + 120
        while self.till.journal(key)["phase"] != phase:
            assert time.monotonic() < end, self.till.journal(key)
            time.sleep(0.5)
        left = "ls /etc/systemd/system | grep settle || true; ls -A /run/controlplane 2>/dev/null || true"
        while self.host.sh(left):
            assert time.monotonic() < end, self.host.sh(left)
            time.sleep(0.5)


@pytest.mark.parametrize("who", ["unit", "machine"])
def test_whoever_is_killed_the_host_comes_to_one_side_and_the_same_run_to_its_end(
    machine: Callable[..., LabMachine], tmp_path: Path, who: str
) -> None:
    host = machine(services=True)
    scene = Scene(host, tmp_path, who)
    till = scene.till

    # Nothing that runs has changed yet: the files come back.
    scene.killed_in("writing", scene.variables())
    scene.settled(NEXT, "pulled")
    assert (till.runs(), scene.files()) == (OLD, scene.before)

    # From here on something may have: the host goes on.
    scene.killed_in("deploying", scene.variables())
    scene.settled(NEXT, "done")
    assert (till.runs(), scene.files() == scene.before) == (NEW, False)
    assert set(till.journal(NEXT)["downtime_s"]) == {"page", "till"}
    for _ in range(2):
        again = play(host, "compose_stack", scene.variables(), tmp_path)
        assert (again.code, again.changed) == (0, 0), again.text

    back = till.variables(run=BACK, rollback_of=NEXT)
    scene.killed_in("undoing", back, "rollback")
    scene.settled(BACK, "undone")
    assert (till.runs(), scene.files()) == (OLD, scene.before)
    assert till.journal(NEXT)["phase"] == "undone"
    again = play(host, "compose_stack", back, tmp_path, tasks_from="rollback")
    assert (again.code, again.changed, till.runs()) == (0, 0, OLD), again.text


def test_a_play_that_is_gone_leaves_its_unit_to_the_next_one(machine: Callable[..., LabMachine], tmp_path: Path) -> None:
    host = machine(services=True)
    scene = Scene(host, tmp_path, "unit")
    host.sh("printf %s deploying > /run/hold")
    gone = play(host, "compose_stack", scene.variables(), tmp_path, stop_after="Start or attach to deploy")
    assert gone.code != 0
    host.sh("for try in $(seq 100); do [ ! -e /run/held ] || exit 0; sleep 0.1; done; exit 1")
    # Another release is refused as long as this one works.
    other = play(host, "compose_stack", scene.till.variables(run=BACK), tmp_path)
    assert other.code != 0
    assert f"is leased to run {NEXT}" in other.said
    host.sh("rm /run/hold")
    done = play(host, "compose_stack", scene.variables(), tmp_path)
    assert (done.code, scene.till.runs()) == (0, NEW), done.text
    assert host.sh(f"grep -l {KEY} /var/lib/controlplane/{NEXT}/before.json | wc -l") == "1\n"
