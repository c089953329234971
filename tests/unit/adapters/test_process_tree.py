"""What got away from its parent is found all the same, and ended."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path

from controlplane.adapters.process_tree import ProcessTree, in_session, marked_with

# Starts a grandchild in the same session, or in one of its own, says its id, and ends.
LEAVE = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], start_new_session=sys.argv[1] == 'own', stdout=subprocess.DEVNULL).pid)"


def left_behind(session: str, mark: str) -> tuple[int, int]:
    """Return the ids of a program that has ended and of what it left behind."""
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVE, session],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={"CONTROLPLANE_TEST": mark},
    )
    said, _ = process.communicate(timeout=30)
    return process.pid, int(said)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def test_what_left_its_parent_is_found_by_the_mark_in_its_environment_and_ended() -> None:
    mark = secrets.token_hex(8)
    _, stray = left_behind("own", mark)
    assert [one.pid for one in marked_with(f"CONTROLPLANE_TEST={mark}")] == [stray]
    # A value that only begins so is another one.
    assert marked_with(f"CONTROLPLANE_TEST={mark[:-1]}") == []
    assert ProcessTree([]).end(grace=0)
    assert is_there(stray)
    assert ProcessTree([], strays=lambda: marked_with(f"CONTROLPLANE_TEST={mark}")).end(grace=0)
    assert not is_there(stray)


def test_what_left_its_parent_is_found_by_its_session_and_ended() -> None:
    leader, stray = left_behind("same", secrets.token_hex(8))
    assert [one.pid for one in in_session(leader)] == [stray]
    assert ProcessTree([], strays=lambda: in_session(leader)).end(grace=0)
    assert not is_there(stray)
