"""What the undo of a data disk tells mount, so that the former options are what is in effect again."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.roles.loading import file

undo = file("data_disk", "undo")


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ({"rw", "relatime"}, {"rw", "noatime"}, ["atime", "relatime", "rw"]),
        ({"rw", "noatime"}, {"rw", "relatime"}, ["norelatime", "noatime", "rw"]),
        ({"rw"}, {"rw", "noatime"}, ["atime", "strictatime", "rw"]),
        ({"rw", "relatime"}, {"rw", "relatime", "nodev", "noexec", "sync"}, ["dev", "exec", "async", "relatime", "rw"]),
        ({"ro", "relatime"}, {"rw", "relatime"}, ["relatime", "ro"]),
        ({"rw", "relatime", "nodev"}, {"ro", "relatime"}, ["nodev", "relatime", "rw"]),
    ],
)
def test_what_the_run_added_is_switched_off_and_what_was_there_switched_on(was: set[str], now: set[str], told: list[str]) -> None:
    assert undo.way_back(was, now) == told


def test_only_what_mount_can_give_back_is_compared_and_read_only_wins() -> None:
    assert undo.shown(["ro", "rw", "relatime", "errors=remount-ro", "stripe=4"]) == {"ro", "relatime"}


# Says what it was called with, and does what the real tools do: a lease with a token, and a command that runs under it.
_TOOLS = """
import json, subprocess, sys
words = sys.argv[1:]
open(sys.argv[0] + ".log", "a").write(json.dumps(words) + "\\n")
if words[1] == "take":
    print(json.dumps({"lease": {"token": 5}}))
if words[1] == "hold":
    sys.exit(subprocess.run(words[words.index("--") + 1 :]).returncode)
"""


def test_an_undo_by_hand_works_under_a_lease_of_its_own_and_gives_back_that_one(tmp_path: Path) -> None:
    folder = tmp_path / "RUN"
    (folder / "controlplane_target").mkdir(parents=True)
    (folder / "controlplane_target/__main__.py").write_text(_TOOLS)
    shutil.copy(Path(undo.__file__), folder / "undo")
    record = {
        "mount": str(tmp_path / "nowhere"),
        "uuid": "u",
        "was_mounted": False,
        "was_immutable": False,
        "first_missing": None,
        "identity": "serial x",
    }
    (folder / "data_disk.json").write_text(json.dumps(record))

    done = subprocess.run([sys.executable, str(folder / "undo")], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.startswith("There was nothing left to undo.")) == (0, True), done
    assert json.loads(done.stdout)["changed"] is False
    take, hold, release = (json.loads(line) for line in (folder / "controlplane_target.log").read_text().splitlines())
    who = ["--run", "RUN", "--holder", f"root@{socket.gethostname()} (undo)", "--ttl", "600"]
    assert take == ["lease", "take", *who, "--role", "data_disk"]
    assert hold == ["lease", "hold", *who, "--token", "5", "--", sys.executable, str(folder / "undo"), "--leased"]
    assert release == ["lease", "release", *who, "--token", "5"]
