"""A process is known by number and start time."""

import os
import subprocess
from pathlib import Path

import pytest

from controlplane.adapters.lab.processes import Process, end, in_namespace


@pytest.fixture
def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"])


def test_a_live_process_is_ended_and_then_is_not_alive(sleeper: "subprocess.Popen[bytes]") -> None:
    process = Process.of(sleeper.pid)
    assert process is not None
    assert process.alive()
    end([process])
    assert not process.alive()
    assert sleeper.wait() == -9


def test_another_process_under_the_same_number_is_left_alone(sleeper: "subprocess.Popen[bytes]") -> None:
    actual = Process.of(sleeper.pid)
    assert actual is not None
    before = Process(pid=actual.pid, started=actual.started - 1)
    assert not before.alive()
    before.kill()
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


def test_a_zombie_is_not_alive(sleeper: "subprocess.Popen[bytes]") -> None:
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert Process.of(sleeper.pid) is None
    sleeper.wait()


def test_a_namespace_that_is_gone_holds_no_process(tmp_path: Path) -> None:
    (tmp_path / "stale").touch()
    assert in_namespace(tmp_path / "stale") == []
    assert in_namespace(tmp_path / "missing") == []
