"""A process is known by number and start time."""

import os
import subprocess
import sys
import time
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


def test_a_zombie_whose_other_thread_still_runs_is_alive_until_that_has_ended() -> None:
    # 60 is exit(2) on x86_64: it ends the calling thread alone.
    program = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); ctypes.CDLL(None).syscall(60, 0)"
    child = subprocess.Popen([sys.executable, "-c", program])
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    process = Process.of(child.pid)
    assert process is not None
    end([process])
    assert not process.alive()
    child.wait()


def test_a_namespace_that_is_gone_holds_no_process(tmp_path: Path) -> None:
    (tmp_path / "stale").touch()
    assert in_namespace(tmp_path / "stale") == []
    assert in_namespace(tmp_path / "missing") == []
