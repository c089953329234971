"""A large file of a copy is brought up to date in place, and never passes for whole before it is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from controlplane_target import tree_patch
from controlplane_target.tree_compare import clock_ns, compare_trees
from controlplane_target.tree_content import CHUNK
from controlplane_target.tree_copy import copy_tree
from controlplane_target.tree_patch import LARGE, patch

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a copy keeps owners, which needs root"),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed"),
]
SIZE = LARGE + 3 * CHUNK + 17


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Return a source with one large file, and its copy as rsync made it."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    (source / "table").write_bytes(os.urandom(SIZE))
    copy_tree(str(source), str(copy), live=False)
    return source, copy


def change(file: Path, at: int, data: bytes) -> None:
    with file.open("r+b") as held:
        held.seek(at)
        held.write(data)


def patched(trees: tuple[Path, Path], *names: bytes) -> int:
    return patch(str(trees[0]), str(trees[1]), names or (b"table",))


def assert_equal(trees: tuple[Path, Path]) -> None:
    assert (trees[1] / "table").read_bytes() == (trees[0] / "table").read_bytes()
    assert (trees[1] / "table").stat().st_mtime_ns == (trees[0] / "table").stat().st_mtime_ns


@pytest.mark.parametrize("at", [0, CHUNK - 1, LARGE + 5, SIZE - 1])
def test_only_the_chunks_that_differ_are_written(trees: tuple[Path, Path], at: int) -> None:
    change(trees[0] / "table", at, b"x")
    inode = (trees[1] / "table").stat().st_ino
    assert patched(trees) <= CHUNK
    assert_equal(trees)
    assert (trees[1] / "table").stat().st_ino == inode
    assert copy_tree(str(trees[0]), str(trees[1]), live=False).files == 0


def test_one_that_grew_and_one_that_shrank_end_where_their_source_does(trees: tuple[Path, Path]) -> None:
    change(trees[0] / "table", SIZE, b"y" * (2 * CHUNK))
    patched(trees)
    assert_equal(trees)
    os.truncate(trees[0] / "table", LARGE + 1)
    assert patched(trees) <= CHUNK
    assert_equal(trees)


def test_what_size_and_time_call_the_same_is_not_read(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_patch, "read_at", None)
    assert patched(trees) == 0


def test_one_that_is_cut_off_bears_another_time_and_is_copied_anew(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    change(trees[0] / "table", 0, b"x" * SIZE)
    whole = tree_patch._write_at

    def cut(descriptor: int, data: memoryview, at: int) -> None:
        if at > CHUNK:
            raise KeyboardInterrupt
        whole(descriptor, data, at)

    monkeypatch.setattr(tree_patch, "_write_at", cut)
    with pytest.raises(KeyboardInterrupt):
        patched(trees)
    assert (trees[1] / "table").stat().st_mtime_ns != (trees[0] / "table").stat().st_mtime_ns
    copy_tree(str(trees[0]), str(trees[1]), live=False)
    assert_equal(trees)


@pytest.mark.parametrize(("age_s", "granularity_ns"), [(0.0, 1), (0.2, 1_000_000_000)])
def test_nothing_is_written_in_the_tick_that_the_source_bears(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, age_s: float, granularity_ns: int
) -> None:
    change(trees[0] / "table", 0, b"xxxx")
    modified = (time.time_ns() - int(age_s * 1e9)) // granularity_ns * granularity_ns
    os.utime(trees[0] / "table", ns=(modified, modified))
    whole, began = tree_patch._write_at, []

    def noted(descriptor: int, data: memoryview, at: int) -> None:
        began.append(time.time_ns())
        whole(descriptor, data, at)

    monkeypatch.setattr(tree_patch, "_write_at", noted)
    patched(trees)
    assert began[0] - modified >= max(20_000_000, granularity_ns)
    assert_equal(trees)


def test_several_names_holes_and_other_kinds_of_things_are_left_to_rsync(trees: tuple[Path, Path]) -> None:
    source, copy = trees
    before = (copy / "table").read_bytes()
    (copy / "second").hardlink_to(copy / "table")
    change(source / "table", 0, b"xxxx")
    assert patched(trees) == 0
    (copy / "second").unlink()
    os.truncate(source / "table", SIZE * 8)
    assert patched(trees) == 0
    (source / "table").unlink()
    (source / "table").symlink_to("/etc/passwd")
    assert patched(trees, b"table", b"gone") == 0
    assert (copy / "table").read_bytes() == before


def test_a_link_in_the_copy_is_not_followed(trees: tuple[Path, Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (trees[1] / "table").rename(elsewhere)
    (trees[1] / "table").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    change(trees[0] / "table", 0, b"xxxx")
    assert patched(trees) == 0
    assert elsewhere.read_bytes() == before


def test_the_comparison_names_the_large_files_and_finds_a_patch_that_went_wrong(trees: tuple[Path, Path]) -> None:
    (trees[0] / "small").write_bytes(b"x" * 1000)
    copy_tree(str(trees[0]), str(trees[1]), live=False)
    found = compare_trees(str(trees[0]), str(trees[1]), read_since_ns=0, began_ns=clock_ns())
    assert (found.large, found.differences) == ([b"table"], [])

    times = (trees[1] / "table").stat()
    change(trees[1] / "table", LARGE, b"torn")
    os.utime(trees[1] / "table", ns=(times.st_atime_ns, times.st_mtime_ns))
    found = compare_trees(str(trees[0]), str(trees[1]), read_since_ns=0, began_ns=clock_ns())
    assert [(held.path, held.what, held.destination) for held in found.differences] == [(b"table", "content", f"another one from byte {LARGE} on")]
