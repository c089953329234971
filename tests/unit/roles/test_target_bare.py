"""The bare directory beneath a mount: which paths the tool takes, and what it holds against making one immutable."""

from __future__ import annotations

import pytest
from controlplane_target import bare
from controlplane_target.faults import RefusedFault


@pytest.mark.parametrize("path", ["/", "mnt/data", "/mnt/../etc", "/mnt/data/", ""])
@pytest.mark.parametrize("action", ["look", "set", "clear"])
def test_a_path_that_is_no_plain_mountpoint_is_refused_before_anything_is_opened(action: str, path: str) -> None:
    with pytest.raises(RefusedFault, match=r"is no absolute, normalised path below /\. Nothing was changed\."):
        bare.look_or_flag(action, path)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"entries": 0, "sample": [], "immutable": False}, ""),
        ({"entries": 0, "sample": [], "immutable": True}, ""),
        ({"entries": 2, "sample": ["a", "b"], "immutable": True}, "the directory under the mount /mnt/data holds a, b: unmount it"),
        (
            {"entries": 7, "sample": list("abcde"), "immutable": False},
            "the directory under the mount /mnt/data holds a, b, c, d, e and 2 more: unmount",
        ),
        (
            {"entries": 0, "sample": [], "immutable": None},
            "the filesystem that holds the directory under the mount /mnt/data knows no immutable flag",
        ),
    ],
)
def test_a_directory_that_holds_something_or_knows_no_flag_is_objected_to(seen: dict[str, object], told: str) -> None:
    said = bare.objection("/mnt/data", seen)
    assert (said[: len(told)], bool(said)) == (told, bool(told))
