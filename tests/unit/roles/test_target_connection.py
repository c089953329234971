"""What changes the host ends with its connection, together with what it started, and no sooner."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from controlplane_target import connection

FOLDER = str(Path(connection.__file__).parents[1])
WORK = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from controlplane_target.connection import while_read
with while_read(lambda: open(sys.argv[2] + "/renewed", "a").write("x"), 0.05):
    child = subprocess.Popen(["sleep", "30"])
    print(child.pid, flush=True)
    child.wait(float(sys.argv[3]))
print("done", flush=True)
"""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _soon(done: object, *, within_s: float = 5) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if callable(done) and done():
            return True
        time.sleep(0.02)
    return False


def test_whoever_stops_reading_ends_the_work_and_what_it_started(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WORK, FOLDER, str(tmp_path), "30"], stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout is not None
        child = int(work.stdout.readline())
        assert not _gone(child)
        work.stdout.close()
        assert work.wait(10) == -1
        assert _soon(lambda: _gone(child))


def test_as_long_as_somebody_reads_it_works_to_its_end_and_renews(tmp_path: Path) -> None:
    script = WORK.replace('["sleep", "30"]', '["sleep", "0.5"]')
    done = subprocess.run([sys.executable, "-c", script, FOLDER, str(tmp_path), "30"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("done\n")
    assert len((tmp_path / "renewed").read_text()) >= 3


def test_whoever_was_started_to_ignore_a_hangup_ends_all_the_same(tmp_path: Path) -> None:
    argv = ["nohup", sys.executable, "-c", WORK, FOLDER, str(tmp_path), "30"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as work:
        assert work.stdout is not None
        child = int(work.stdout.readline())
        work.stdout.close()
        assert work.wait(10) == -1
        assert _soon(lambda: _gone(child))


def test_a_renewal_that_fails_in_any_way_ends_neither_the_work_nor_the_watch(tmp_path: Path) -> None:
    script = WORK.replace('open(sys.argv[2] + "/renewed", "a").write("x")', '{}["broken"]')
    with subprocess.Popen([sys.executable, "-c", script, FOLDER, str(tmp_path), "30"], stdout=subprocess.PIPE, text=True) as work:
        assert work.stdout is not None
        child = int(work.stdout.readline())
        time.sleep(0.2)
        assert not _gone(child)
        work.stdout.close()
        assert work.wait(10) == -1
        assert _soon(lambda: _gone(child))


def test_at_a_terminal_it_stays_in_the_group_that_ctrl_c_reaches(tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", WORK, FOLDER, str(tmp_path), "30"], stdout=inner, start_new_session=True) as work:
        os.close(inner)
        child = int(os.read(outer, 100))
        assert os.getpgid(child) == os.getpgid(work.pid) == work.pid
        os.killpg(work.pid, 2)
        work.wait(10)
        assert _soon(lambda: _gone(child))
    os.close(outer)


@pytest.mark.parametrize("output", ["file", "null"])
def test_an_output_that_is_no_connection_ends_nothing(tmp_path: Path, output: str) -> None:
    script = WORK.replace('["sleep", "30"]', '["sleep", "0.3"]')
    with Path("/dev/null" if output == "null" else tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", script, FOLDER, str(tmp_path), "30"], stdout=out, check=True)


def test_where_nobody_reads_ctrl_c_reaches_it_as_it_reaches_whoever_started_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WORK, FOLDER, str(tmp_path), "30"]
    with (tmp_path / "out").open("w") as out, subprocess.Popen(argv, stdout=out, stderr=subprocess.DEVNULL, start_new_session=True) as work:
        assert _soon(lambda: bool((tmp_path / "out").read_text().strip()))
        child = int((tmp_path / "out").read_text())
        assert os.getpgid(child) == work.pid
        os.killpg(work.pid, 2)
        work.wait(10)
        assert _soon(lambda: _gone(child))
