"""What the undo of a data disk tells mount, so that the former options are what is in effect again."""

from __future__ import annotations

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
