"""The comparison of two trees finds every single difference, and skips only what can't have moved."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from controlplane_target import tree_flags
from controlplane_target.tree_compare import Compared, clock_ns, compare_trees
from controlplane_target.tree_copy import copy_again, copy_tree
from controlplane_target.tree_measure import measure

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="device nodes, owners, trusted xattrs and chattr need root")
pytestmark = [root_only, pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")]


def build(tree: Path) -> None:
    """Make a tree with one of everything that Docker's root can hold."""
    (tree / "folder/below").mkdir(parents=True)
    (tree / "file").write_bytes(b"content" * 1000)
    (tree / "folder/below/deep").write_bytes(b"deep")
    (tree / "empty").write_bytes(b"")
    (tree / "link").symlink_to("file")
    os.link(tree / "file", tree / "folder/hard")
    os.mkfifo(tree / "pipe")
    os.mknod(tree / "whiteout", 0o020644, os.makedev(0, 0))
    os.setxattr(tree / "folder", "trusted.overlay.opaque", b"y")
    os.setxattr(tree / "file", "user.note", b"kept")
    with (tree / "sparse").open("wb") as file:
        file.write(b"begin")
        file.truncate(1 << 20)
    subprocess.run(["setfacl", "-m", "u:1234:r", tree / "folder/below/deep"], check=True)


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    build(source)
    copy_tree(str(source), str(copy), live=False)
    yield source, copy
    for tree in (source, copy):
        tree_flags.take_off(str(tree))


def compare(trees: tuple[Path, Path], since: int = 0, proven: set[bytes] | None = None) -> Compared:
    return compare_trees(str(trees[0]), str(trees[1]), read_since_ns=since, began_ns=clock_ns(), proven=proven)


def keep_times(path: Path, change: Callable[[], object]) -> None:
    """Run `change` and give the path and its folder their times back; only ctime tells then."""
    held = [(which, os.lstat(which)) for which in (path.parent, path) if os.path.lexists(which)]
    change()
    for which, info in held:
        if os.path.lexists(which):
            os.utime(which, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def test_a_copy_has_no_difference(trees: tuple[Path, Path]) -> None:
    result = compare(trees)
    assert result.differences == []
    assert result.entries == 11
    assert result.read == 4


def test_owners_are_carried_by_number_whoever_that_is_on_this_host(trees: tuple[Path, Path]) -> None:
    """Images know their users by numbers of their own: postgres is 999 in one and 70 in another, and what one left the other keeps."""
    source, copy = trees
    # The first of them is somebody here, by another name; the place itself is a service's own as well.
    owners = {"": (1, 1), "file": (70, 70), "folder": (999, 999), "folder/below/deep": (70, 999), "link": (4242, 4343)}
    for name, (uid, gid) in owners.items():
        os.chown(source / name, uid, gid, follow_symlinks=False)
    assert {held.what for held in compare(trees).differences} == {"owner"}
    copy_tree(str(source), str(copy), live=False)
    assert compare(trees).differences == []
    assert {name: (seen.st_uid, seen.st_gid) for name in owners for seen in [os.lstat(copy / name)]} == owners


def chattr(path: Path, flags: int) -> None:
    tree_flags.write(os.fsencode(path), flags)


def fill(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data)


def replace(path: Path, make: Callable[[], object]) -> None:
    path.unlink()
    make()


CHANGES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "content of the same size and time": ("file", "content", lambda path: path.write_bytes(b"CONTENT" * 1000)),
    "size": ("folder/below/deep", "size", lambda path: path.write_bytes(b"deeper")),
    "owner": ("empty", "owner", lambda path: os.chown(path, 7, 7)),
    "owner of a link": ("link", "owner", lambda path: os.lchown(path, 7, 7)),
    "mode": ("empty", "mode", lambda path: path.chmod(0o4755)),
    "mode of a folder": ("folder", "mode", lambda path: path.chmod(0o700)),
    "xattr": ("file", "xattr user.note", lambda path: os.setxattr(path, "user.note", b"other")),
    "xattr that is gone": ("folder", "xattr trusted.overlay.opaque", lambda path: os.removexattr(path, "trusted.overlay.opaque")),
    "ACL": ("folder/below/deep", "ACL system.posix_acl_access", lambda path: subprocess.run(["setfacl", "-m", "u:1234:rw", path], check=True)),
    "default ACL": ("folder", "ACL system.posix_acl_default", lambda path: subprocess.run(["setfacl", "-d", "-m", "u:5:r", path], check=True)),
    "immutable": ("empty", "flags", lambda path: chattr(path, tree_flags.IMMUTABLE)),
    "append-only folder": ("folder/below", "flags", lambda path: chattr(path, tree_flags.APPEND)),
    "link target": ("link", "link target", lambda path: replace(path, lambda: path.symlink_to("FILE"))),
    "device number": ("whiteout", "device", lambda path: replace(path, lambda: os.mknod(path, 0o020644, os.makedev(1, 3)))),
    "type": ("pipe", "type", lambda path: replace(path, lambda: path.write_bytes(b""))),
    "missing file": ("empty", "presence", lambda path: path.unlink()),
    "missing folder": ("folder/below", "presence", shutil.rmtree),
    "extra file": ("more", "presence", lambda path: path.write_bytes(b"")),
    "broken hard link": ("folder/hard", "hard link", lambda path: (shutil.copy2(path, f"{path}.new"), Path(f"{path}.new").rename(path))),
    "filled holes": ("sparse", "sparseness", fill),
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_changed_thing_in_the_copy_is_found(trees: tuple[Path, Path], name: str) -> None:
    where, what, change = CHANGES[name]
    path = trees[1] / where
    if what == "flags":
        change(path)
    else:
        keep_times(path, lambda: change(path))
    if name == "broken hard link":
        info = os.lstat(trees[0] / where)
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    found = compare(trees).differences
    assert (where.encode(), what) in {(held.path, held.what) for held in found}, found


def test_a_changed_time_is_found_to_the_nanosecond(trees: tuple[Path, Path]) -> None:
    info = os.lstat(trees[1] / "empty")
    os.utime(trees[1] / "empty", ns=(info.st_atime_ns, info.st_mtime_ns + 1))
    assert [(held.path, held.what) for held in compare(trees).differences] == [(b"empty", "time")]


def test_hard_links_that_the_source_has_not_are_found(trees: tuple[Path, Path]) -> None:
    source, copy = trees
    for tree in trees:
        (tree / "one").write_bytes(b"same")
        (tree / "two").write_bytes(b"same")
    copy_tree(str(source), str(copy), live=False)
    keep_times(copy / "two", lambda: ((copy / "two").unlink(), os.link(copy / "one", copy / "two")))
    info = os.lstat(source / "two")
    os.utime(copy / "one", ns=(info.st_atime_ns, os.lstat(source / "one").st_mtime_ns))
    assert "hard link" in {held.what for held in compare(trees).differences}


def test_content_is_read_where_the_sources_ctime_is_later_than_the_pre_copy(trees: tuple[Path, Path]) -> None:
    source, _ = trees
    time.sleep(0.15)
    since = clock_ns()
    keep_times(source / "file", lambda: (source / "file").write_bytes(b"CONTENT" * 1000))
    result = compare(trees, since=since)
    assert {(held.path, held.what) for held in result.differences} == {(b"file", "content"), (b"folder/hard", "content")}
    assert result.read == 2


def test_content_of_another_time_is_read_however_old(trees: tuple[Path, Path]) -> None:
    os.utime(trees[1] / "folder/below/deep", ns=(0, 0))
    time.sleep(0.15)
    result = compare(trees, since=time.time_ns())
    assert (result.read, [held.what for held in result.differences]) == (1, ["time"])


def test_what_was_proven_is_skipped_until_its_ctime_moves(trees: tuple[Path, Path]) -> None:
    source, copy = trees
    time.sleep(0.15)
    first = compare(trees)
    # Of each entry that it is as it was, and of each file that was read what is in it.
    assert len(first.proven) == first.entries + first.read
    keep_times(source / "file", lambda: (source / "file").write_bytes(b"CONTENT" * 1000))
    keep_times(copy / "empty", lambda: os.setxattr(copy / "empty", "user.new", b"1"))
    second = compare(trees, since=time.time_ns(), proven=first.proven)
    assert [(held.path, held.what) for held in second.differences] == [(b"empty", "xattr user.new")]
    assert second.skipped == second.entries - len(["", "file", "folder/hard", "empty"])
    third = compare(trees, proven=first.proven)
    assert {held.what for held in third.differences} == {"content", "xattr user.new"}


def test_what_changed_in_the_tick_of_the_comparison_is_not_taken_for_proven(trees: tuple[Path, Path]) -> None:
    now = compare_trees(str(trees[0]), str(trees[1]), read_since_ns=0, began_ns=0)
    assert now.differences == []
    assert now.proven == set()


def test_what_can_not_be_read_is_a_difference(trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("controlplane_target.tree_content.os.preadv", broken)
    found = compare(trees).differences
    assert {held.what for held in found} == {"readability"}
    assert len(found) == 4


def test_files_that_rsync_takes_for_equal_are_copied_again_with_their_links(trees: tuple[Path, Path]) -> None:
    source, copy = trees
    keep_times(source / "file", lambda: (source / "file").write_bytes(b"CONTENT" * 1000))
    copy_tree(str(source), str(copy), live=False)
    different = [held.path for held in compare(trees).differences]
    assert sorted(different) == [b"file", b"folder/hard"]
    copy_again(str(source), str(copy), different, live=False)
    # Renaming the new file into place moved its folder's time; a further pass mends that.
    assert {held.what for held in compare(trees).differences} == {"time"}
    copy_tree(str(source), str(copy), live=False)
    assert compare(trees).differences == []


@pytest.mark.parametrize("name", ["#note", ";note", "#folder/note", "./note", "-note", " note", "a\nb"])
def test_a_file_is_copied_again_whatever_its_name_begins_with(trees: tuple[Path, Path], name: str) -> None:
    source, copy = trees
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_bytes(b"once")
    copy_tree(str(source), str(copy), live=False)
    keep_times(source / name, lambda: (source / name).write_bytes(b"then"))
    copy_again(str(source), str(copy), [os.fsencode(os.path.normpath(name))], live=False)
    assert (copy / name).read_bytes() == b"then"


def test_a_folders_time_is_carried_even_within_one_second(trees: tuple[Path, Path]) -> None:
    source, copy = trees
    (source / "folder/below/deep").unlink()
    copy_tree(str(source), str(copy), live=False)
    assert compare(trees).differences == []


def test_flags_of_a_filesystem_that_knows_none_read_as_none() -> None:
    descriptor = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert tree_flags.read(descriptor) == 0
    finally:
        os.close(descriptor)


def test_writing_flags_leaves_the_filesystems_own_alone(tmp_path: Path) -> None:
    def raw() -> int:
        with (tmp_path / "file").open() as file:
            return int(struct.unpack("=l", fcntl.ioctl(file, 0x80086601, b"\0" * 8)[:4])[0])

    (tmp_path / "file").write_bytes(b"")
    before = raw()
    chattr(tmp_path / "file", tree_flags.IMMUTABLE | tree_flags.NODUMP)
    assert raw() == before | tree_flags.IMMUTABLE | tree_flags.NODUMP
    assert tree_flags.take_off(str(tmp_path)) == 1
    assert raw() == before | tree_flags.NODUMP


def test_the_flags_of_a_tree_are_taken_off_however_deep_it_is(tmp_path: Path) -> None:
    top = tmp_path / "d"
    deepest = tmp_path / "/".join("d" * 1500)
    # Neither by makedirs nor by rmtree: those are calls within calls as well.
    subprocess.run(["mkdir", "-p", deepest], check=True)
    try:
        (deepest / "file").write_bytes(b"deep")
        for path, flags in ((deepest / "file", tree_flags.IMMUTABLE), (top, tree_flags.APPEND)):
            chattr(path, flags)
        assert tree_flags.take_off(str(tmp_path)) == 2
        assert tree_flags.take_off(str(tmp_path)) == 0
        assert measure(str(tmp_path))[1] == 1502
    finally:
        for path in (deepest / "file", top):
            chattr(path, 0)
        subprocess.run(["rm", "-rf", top], check=True)
