"""The trees of a move: chattr's flags arrive with the copy or the move fails, and what is mounted below a root stays out of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import root_trees, tree_flags
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault
from controlplane_target.root_trees import Trees
from controlplane_target.state import Home
from controlplane_target.tree_flags import APPEND, IMMUTABLE, NOATIME

from tests.unit.roles.loading import ROOT

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="chattr and mounts need root")
pytestmark = [root_only, pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")]

FLAGS = {"fixed": IMMUTABLE, "log": APPEND, "folder": APPEND, "shut": IMMUTABLE, "shut/inside": IMMUTABLE | NOATIME, "plain": 0}


def chattr(path: Path, flags: int) -> None:
    tree_flags.write(os.fsencode(path), flags)


def flags_in(tree: Path) -> dict[str, int]:
    """Return the flags of each entry that `build` makes."""
    found = {}
    for name in FLAGS:
        descriptor = os.open(tree / name, os.O_RDONLY)
        found[name] = tree_flags.read(descriptor)
        os.close(descriptor)
    return found


def build(tree: Path) -> None:
    """Make a tree whose entries carry flags that stand in the way of every later copy."""
    for name in ("folder", "shut"):
        (tree / name).mkdir(parents=True)
    for name in ("fixed", "log", "folder/inside", "shut/inside", "plain"):
        (tree / name).write_text(name)
    for name, flags in FLAGS.items():
        chattr(tree / name, flags)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    source, copy = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    try:
        chattr(source, IMMUTABLE)
        chattr(source, 0)
    except OSError as fault:
        pytest.skip(f"the filesystem of {tmp_path} knows no flags of chattr: {fault.strerror}")
    build(source)
    run = Home(tmp_path / "state").run("R1")
    run.write(trees=[{"kind": "docker", "from": str(source), "to": str(copy), "read_since_ns": 0, "to_mount": "", "flags_set": False}])
    yield Trees(run, Cancel())
    for tree in (source, copy):
        if tree.is_dir():
            tree_flags.take_off(str(tree))


def sides(trees: Trees) -> tuple[Path, Path]:
    [tree] = trees.held
    return Path(tree["from"]), Path(tree["to"])


def test_immutable_and_append_only_entries_arrive_with_their_flags_which_come_last(trees: Trees) -> None:
    source, copy = sides(trees)
    trees.stage()
    trees.copy_last()
    # Earlier they would stand in the way of the next pass.
    assert set(flags_in(copy).values()) == {0}
    [report] = trees.prove()
    assert (flags_in(source), flags_in(copy)) == (FLAGS, FLAGS)
    assert report["entries"] == 1 + 7
    assert trees.held[0]["flags_set"] is True
    with pytest.raises(PermissionError):
        (copy / "fixed").write_text("other")


@pytest.mark.parametrize("lost", [name for name, flags in FLAGS.items() if flags])
def test_a_flag_that_does_not_stay_on_the_copy_fails_the_move(trees: Trees, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    write = tree_flags.write

    def forgetful(path: bytes, flags: int) -> None:
        """Do what a filesystem does that takes a flag and drops it."""
        if not path.endswith(f"/new/{lost}".encode()):
            write(path, flags)

    monkeypatch.setattr(root_trees.tree_flags, "write", forgetful)
    trees.stage()
    trees.copy_last()
    source, copy = sides(trees)
    with pytest.raises(FailedFault) as failed:
        trees.prove()
    told = f"{lost}: flags is {tree_flags.letters(FLAGS[lost])}, the copy's is -"
    assert str(failed.value) == f"the copy of {source} at {copy} differs in 1 places: {told}"


def test_a_flag_that_the_source_does_not_carry_is_taken_off_the_copy(trees: Trees) -> None:
    source, copy = sides(trees)
    trees.stage()
    chattr(source / "fixed", 0)
    chattr(copy / "plain", IMMUTABLE)
    trees.prove()
    assert flags_in(copy) == flags_in(source) == {**FLAGS, "fixed": 0}


def test_a_later_attempt_takes_the_flags_off_before_it_copies_and_carries_those_over_that_are_there_then(trees: Trees) -> None:
    source, copy = sides(trees)
    trees.stage()
    trees.copy_last()
    trees.prove()
    chattr(source / "shut", 0)
    chattr(source / "fixed", 0)
    (source / "fixed").write_text("newer")
    with (source / "log").open("a") as log:
        log.write(" and more")
    again = Trees(trees.run, Cancel())
    again.stage()
    again.copy_last()
    again.prove()
    assert [(copy / name).read_text() for name in ("fixed", "log")] == ["newer", "log and more"]
    assert flags_in(copy) == flags_in(source) == {**FLAGS, "fixed": 0, "shut": 0}


def test_a_copy_that_is_not_what_was_copied_is_found_before_the_stop_though_size_and_time_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, copy = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    (source / "cold").write_text("as it was")
    run = Home(tmp_path / "state").run("R1")
    run.write(trees=[{"kind": "data", "from": str(source), "to": str(copy), "read_since_ns": 1 << 62, "to_mount": "", "flags_set": False}])
    passes, copied = Trees(run, Cancel()), root_trees.copy_tree

    def decays(*places: str, live: bool, **how: Any) -> Any:
        is_first = not (copy / "cold").exists()
        done, times = copied(*places, live=live, **how), (source / "cold").stat()
        if is_first:
            (copy / "cold").write_text("as it WAS")
            os.utime(copy / "cold", ns=(times.st_atime_ns, times.st_mtime_ns))
        return done

    monkeypatch.setattr(root_trees, "copy_tree", decays)
    passes.stage()
    assert (copy / "cold").read_text() == "as it was"
    passes.copy_last()
    # What was copied once more is read once more.
    [report] = passes.prove()
    assert (report["read"], report["skipped"]) == (1, 0)


def test_what_was_read_before_the_stop_is_not_read_again_because_flags_have_to_come_over(trees: Trees) -> None:
    trees.stage()
    trees.copy_last()
    [report] = trees.prove()
    assert report["read"] == 0
    assert flags_in(sides(trees)[1]) == FLAGS


def test_what_was_written_while_all_was_read_is_copied_before_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, copy = tmp_path / "old", tmp_path / "new"
    source.mkdir()
    (source / "first").write_text("there")
    run = Home(tmp_path / "state").run("R1")
    run.write(trees=[{"kind": "data", "from": str(source), "to": str(copy), "read_since_ns": 0, "to_mount": "", "flags_set": False}])
    compared = root_trees.compare_trees

    def slowly(*places: str, **how: Any) -> Any:
        done = compared(*places, **how)
        (source / "meanwhile").write_text("written")
        return done

    monkeypatch.setattr(root_trees, "compare_trees", slowly)
    Trees(run, Cancel()).stage()
    assert (copy / "meanwhile").read_text() == "written"


# Mounts what it is told, in a namespace that ends with it, and moves `old` to `new` while that is there and after it is gone.
MOVE = """
import json, subprocess, sys
from pathlib import Path
from controlplane_target import root_trees
from controlplane_target.cancel import Cancel
from controlplane_target.faults import FailedFault
from controlplane_target.root_trees import Trees
from controlplane_target.state import Home

folder, mounts = Path(sys.argv[1]), json.loads(sys.argv[2])
for words, place in mounts:
    subprocess.run(["mount", *words, place], check=True)
    Path(place, "inside").write_text("somebody else's")
asked, copy = [], root_trees.copy_tree
def noted(*places, mounts_below=(), **how):
    asked.append(sorted(mounts_below))
    return copy(*places, mounts_below=mounts_below, **how)
root_trees.copy_tree = noted
trees = Trees(Home(folder / "state").run("R1"), Cancel())
seen = lambda: sorted(str(path.relative_to(folder / "new")) for path in (folder / "new").rglob("*") if path.is_file())
trees.stage()
said = {"hidden": asked[0], "with mounts": seen()}
try:
    trees.prove()
except FailedFault as fault:
    said["refused"] = str(fault)
for _, place in mounts:
    subprocess.run(["umount", place], check=True)
trees.copy_last()
trees.prove()
print(json.dumps({**said, "without": seen()}))
"""


def moved(folder: Path, *mounts: tuple[list[str], Path]) -> dict[str, Any]:
    """Return what `MOVE` saw, with each mount made by `mount` and its arguments."""
    if (tried := subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)).returncode != 0:
        pytest.skip(f"no namespace of mounts can be made here: {tried.stderr.strip()}")
    tree = {"kind": "docker", "from": str(folder / "old"), "to": str(folder / "new"), "read_since_ns": 0, "to_mount": "", "flags_set": False}
    Home(folder / "state").run("R1").write(trees=[tree])
    given = json.dumps([(words, str(place)) for words, place in mounts])
    command = ["unshare", "--mount", sys.executable, "-B", "-c", MOVE, str(folder), given]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT / "roles/target_run/files")}
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_what_is_mounted_below_a_root_is_left_out_and_what_lies_beneath_comes_once_it_is_gone(tmp_path: Path) -> None:
    old, elsewhere = tmp_path / "old/volumes", tmp_path / "elsewhere"
    # As a pattern, the name of the first would be that of the second too.
    for folder in (old / "b [1]*?\\x/_data", old / "b 1yyx/_data", old / "other", elsewhere):
        folder.mkdir(parents=True)
        (folder / "beneath").write_text("")
    seen = moved(tmp_path, (["--bind", str(elsewhere)], old / "b [1]*?\\x/_data"), (["-t", "tmpfs", "tmpfs"], old / "other"))
    # rsync sees by itself where another filesystem begins, but not where a folder of the same one is mounted.
    assert seen["hidden"] == ["volumes/b [1]*?\\x/_data"]
    assert seen["with mounts"] == ["volumes/b 1yyx/_data/beneath"]
    assert "volumes/other: filesystem is a mount, the copy's is its own" in seen["refused"]
    assert seen["without"] == ["volumes/b 1yyx/_data/beneath", "volumes/b [1]*?\\x/_data/beneath", "volumes/other/beneath"]


def test_a_filesystem_of_its_own_below_a_root_keeps_the_two_from_being_equal(tmp_path: Path) -> None:
    place = tmp_path / "old/data"
    place.mkdir(parents=True)
    seen = moved(tmp_path, (["-t", "tmpfs", "tmpfs"], place))
    assert seen["refused"] == (
        f"the copy of {tmp_path}/old at {tmp_path}/new differs in 1 places: data: filesystem is a mount, the copy's is its own"
    )
