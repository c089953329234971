"""One of several changes of a file is taken back exactly, and only where noted changes lead to the text of now."""

from __future__ import annotations

from pathlib import Path

import pytest
from controlplane_target import text_history
from controlplane_target.state import Home
from controlplane_target.text_change import change_of

FILE = "/opt/compose.yml"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def changed(home: Home, old: str, new: str) -> dict[str, object]:
    change = change_of(old, new)
    text_history.note(home, FILE, change)
    return change


def test_the_first_of_two_changes_is_taken_back_and_the_second_stays(home: Home) -> None:
    first = changed(home, "a: 1\nb: 2\nc: 3\n", "a: one\nb: 2\nc: 3\n")
    second = changed(home, "a: one\nb: 2\nc: 3\n", "a: one\nb: 2\nc: three\nd: 4\n")
    now = "a: one\nb: 2\nc: three\nd: 4\n"
    without_first = text_history.without(home, FILE, now, first)
    assert without_first == "a: 1\nb: 2\nc: three\nd: 4\n"
    text_history.note(home, FILE, text_history.undoing(now, without_first))
    assert text_history.without(home, FILE, without_first, second) == "a: 1\nb: 2\nc: 3\n"


def test_a_later_change_before_it_in_the_file_moves_its_place(home: Home) -> None:
    first = changed(home, "a\nb\n", "a\nb!\n")
    changed(home, "a\nb!\n", "long first line\na\nb!\n")
    assert text_history.without(home, FILE, "long first line\na\nb!\n", first) == "long first line\na\nb\n"


def test_a_change_of_the_same_place_is_not_taken_apart(home: Home) -> None:
    first = changed(home, "x: 1\n", "x: 22\n")
    changed(home, "x: 22\n", "x: 2333\n")
    assert text_history.without(home, FILE, "x: 2333\n", first) is None


def test_what_somebody_else_wrote_is_never_guessed_at(home: Home) -> None:
    first = changed(home, "a\nb\n", "a\nc\n")
    assert text_history.without(home, FILE, "a\nc\nmine\n", first) is None


def test_a_text_without_the_change_comes_back_as_it_is(home: Home) -> None:
    first = change_of("a\n", "b\n")
    assert text_history.without(home, FILE, "a\n", first) == "a\n"
    assert text_history.without(home, FILE, "b\n", first) == "a\n"


def test_no_text_that_stayed_is_kept(home: Home) -> None:
    changed(home, "password: s3cret\nx: 1\n", "password: s3cret\nx: 2\n")
    [file] = (home.base / "text-changes").iterdir()
    assert "s3cret" not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
