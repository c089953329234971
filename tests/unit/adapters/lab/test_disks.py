"""A loop device is the lab's only by its backing file."""

from pathlib import Path

import pytest

from controlplane.adapters.lab.disks import attached, make_blank, swap_files, swap_on

SWAPS = """\
Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/loop3                                  partition\t4194300\t\t40\t\t-2
/dev/loop3p1                            partition\t4194300\t\t40\t\t-3
/dev/loop33                             partition\t4194300\t\t40\t\t-4
/mnt/loop3                              file\t\t4194300\t\t40\t\t-5
"""


def sysfs(tmp_path: Path, **backing: str) -> Path:
    for name, file in backing.items():
        (tmp_path / name / "loop").mkdir(parents=True)
        (tmp_path / name / "loop/backing_file").write_text(file + "\n")
    (tmp_path / "loop9").mkdir()
    return tmp_path


def test_devices_are_found_below_a_folder_and_others_are_left_out(tmp_path: Path) -> None:
    tree = sysfs(tmp_path, loop0="/lab/machines/a/boot.img", loop1="/lab/machines/ab/boot.img", loop2="/home/a/boot.img")
    assert attached(Path("/lab/machines/a"), sysfs=tree) == {"/dev/loop0": Path("/lab/machines/a/boot.img")}


def test_a_device_is_found_by_its_file_alone(tmp_path: Path) -> None:
    tree = sysfs(tmp_path, loop0="/lab/machines/a/boot.img", loop1="/lab/machines/a/data.img")
    assert list(attached(Path("/lab/machines/a/data.img"), sysfs=tree)) == ["/dev/loop1"]


def test_a_device_over_a_deleted_file_is_still_ours(tmp_path: Path) -> None:
    tree = sysfs(tmp_path, loop0="/lab/machines/a/boot.img (deleted)")
    assert attached(Path("/lab/machines"), sysfs=tree) == {"/dev/loop0": Path("/lab/machines/a/boot.img")}


def test_swap_is_ours_by_the_devices_name_and_a_swap_file_is_not() -> None:
    assert swap_on("/dev/loop3", SWAPS) == ["/dev/loop3", "/dev/loop3p1"]
    assert swap_on("/dev/loop33", SWAPS) == ["/dev/loop33"]
    assert swap_on("/dev/loop4", SWAPS) == []
    assert swap_files(SWAPS) == ["/mnt/loop3"]


def test_a_disk_that_is_there_is_never_made_blank_again(tmp_path: Path) -> None:
    (tmp_path / "data.img").write_bytes(b"data")
    make_blank(tmp_path / "data.img", 1 << 20)
    assert (tmp_path / "data.img").read_bytes() == b"data"


@pytest.mark.parametrize("size", [1 << 20, 1 << 30])
def test_a_blank_disk_is_sparse(tmp_path: Path, size: int) -> None:
    make_blank(tmp_path / "data.img", size)
    state = (tmp_path / "data.img").stat()
    assert (state.st_size, state.st_blocks) == (size, 0)
