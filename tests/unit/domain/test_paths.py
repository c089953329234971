from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.paths import check_path, check_place, is_below, overlap

part = st.text("abcXYZ019._- +@", min_size=1, max_size=8).filter(lambda text: text not in (".", ".."))
paths = st.lists(part, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))


@given(paths)
def test_every_normalised_absolute_path_is_taken_as_it_is(path: str) -> None:
    assert check_path(path) == path


@given(st.text("/.ab\x00\n", max_size=12))
def test_a_path_that_is_taken_means_what_it_says(text: str) -> None:
    try:
        path = check_path(text)
    except ValueError:
        return
    assert path == text
    assert path == posixpath.normpath(path)
    assert path.startswith("/")
    assert "\n" not in path
    assert "\x00" not in path


@given(paths, paths)
def test_what_lies_below_overlaps_and_never_lies_above(one: str, other: str) -> None:
    assert is_below(one + other, one)
    assert not is_below(one, one + other)
    assert overlap(one, one + other)
    assert overlap(one, one)


def test_a_name_that_starts_alike_is_not_below() -> None:
    assert not is_below("/mnt/data2", "/mnt/data")
    assert not overlap("/mnt/data2", "/mnt/data")
    assert is_below("/mnt", "/")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mnt/data", "is not absolute: write the whole path, from /"),
        ("", "is not absolute"),
        ("~/data", "is not absolute"),
        ("/mnt/../etc", "holds '..': write the path that it leads to"),
        ("/mnt//data", "is not normalised: write it as '/mnt/data'"),
        ("/mnt/data/", "is not normalised: write it as '/mnt/data'"),
        ("/mnt/./data", "is not normalised: write it as '/mnt/data'"),
        ("//mnt", "is not normalised: write it as '/mnt'"),
        ("/mnt/da\nta", "holds a control character"),
        ("/mnt/da\x00ta", "holds a control character"),
        ("/mnt/\u202eatad", "holds a control character"),
        ("/" + "x" * 256, "is too long"),
        ("/" + "/".join(["x" * 200] * 30), "is too long"),
    ],
)
def test_a_path_that_is_not_absolute_and_normalised_is_refused(path: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_path(path)


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/var", "/home", "/root", "/tmp", "/var/lib", "/opt", "/srv"])
def test_a_directory_of_the_system_is_no_place(path: str) -> None:
    with pytest.raises(ValueError, match=f"^{path} (belongs to the system|lies in)"):
        check_place(path)


@pytest.mark.parametrize("tree", ["/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/usr", "/bin", "/lib", "/sbin", "/var/run"])
def test_nothing_is_placed_in_a_tree_of_the_system(tree: str) -> None:
    for path in (tree, f"{tree}/x", f"{tree}/x/y"):
        with pytest.raises(ValueError, match="belongs to the system"):
            check_place(path)


@pytest.mark.parametrize(
    "path", ["/mnt/data", "/mnt", "/srv/data", "/opt/stacks/x", "/var/lib/docker", "/home/ops/x", "/data", "/etcetera", "/mnt/with space", "/tmp/x"]
)
def test_other_directories_are_places(path: str) -> None:
    assert check_place(path) == path


@pytest.mark.parametrize(
    "path", ["/mnt/a:b", "/mnt/$HOME", "/mnt/%h", "/mnt/'x'", '/mnt/"x"', "/mnt/a\\b", "/mnt/{{x}}", "/mnt/a;b", "/mnt/a|b", "/mnt/`x`"]
)
def test_a_place_that_others_read_as_syntax_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="which compose files or systemd read as syntax: rename the directory"):
        check_place(path)
