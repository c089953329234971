# ruff: noqa: E501 - messages stand whole, so that a search finds them
from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from controlplane.adapters.strict_yaml import Tagged, _Builder, parse_document, read_document
from controlplane.adapters.text_files import LARGEST_FILE, read_text
from controlplane.domain.errors import InputInvalidError


def faults(text: str, **options: object) -> list[str]:
    return [str(fault) for fault in parse_document(text, "f.yml", **options).faults]  # type: ignore[arg-type] # options by name


def test_scalars_keep_their_text_unless_they_are_plain_ints_or_bools() -> None:
    text = "[22:30, 012, NO, 1.10, 2026-12-31, 0x10, 1e3, True, .inf, 1_000, +5, -7, 0, 15, true, false, '15', \"true\", 99999999999999999999]"
    assert parse_document(text, "f").data == [
        "22:30", "012", "NO", "1.10", "2026-12-31", "0x10", "1e3", "True", ".inf", "1_000", "+5", -7, 0, 15, True, False, "15", "true",
        "99999999999999999999",
    ]  # fmt: skip


def test_keys_are_always_text() -> None:
    assert parse_document("{1: a, true: b, 012: c, NO: d}", "f").data == {"1": "a", "true": "b", "012": "c", "NO": "d"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yml:3: a: is there twice, first on line 1: keep one of them"]),
        ("a: {x: 1, y: {z: 1, z: 2}}\n", ["f.yml:1: a.y.z: is there twice, first on line 1: keep one of them"]),
        ("a:\n  - b: 1\n    b: 2\n", ["f.yml:3: a.0.b: is there twice, first on line 2: keep one of them"]),
        ("a: 1\n'a': 2\n", ["f.yml:2: a: is there twice, first on line 1: keep one of them"]),
        ("a: &x 1\n", ["f.yml:1: a: sets the anchor &x: write values out instead of referring to them"]),
        ("a: *x\n", ["f.yml:1: a: uses the alias *x: write the value out"]),
        ("a: !!str 1\n", ["f.yml:1: a: has the tag tag:yaml.org,2002:str: remove it, plain values are enough"]),
        ("a: !x {b: 1}\n", ["f.yml:1: a: has the tag !x: remove it, plain values are enough"]),
        ("a: !!python/object/apply:os.system [id]\n", ["f.yml:1: a: has the tag tag:yaml.org,2002:python/object/apply:os.system: remove it, plain values are enough"]),
        ("a: !vault x\n", ["f.yml:1: a: has the tag !vault: remove it, plain values are enough"]),
        ("<<: {a: 1}\n", ["f.yml:1: <<: is a merge key: write the keys out"]),
        ("? [a]\n: 1\n", ["f.yml:1: ?: is a list or a mapping used as a key: keys are plain text"]),
        ("---\na: 1\n---\nb: 1\n", ["f.yml:3: starts a second document: keep one document a file"]),
        ("a:\n", ["f.yml:1: a: has no value: write one, or remove the key"]),
        ("a: [~, null]\n", ["f.yml:1: a.0: has no value: write one, or remove the key", "f.yml:1: a.1: has no value: write one, or remove the key"]),
        ("", ["f.yml:1: is empty: write the file, or start from `controlplane init`"]),
        ("# nothing\n", ["f.yml:1: is empty: write the file, or start from `controlplane init`"]),
        ('a: "x\\x07"\n', ["f.yml:1: a: holds a control character or a line break: write it as one plain line"]),
        ('a: "x\\u202ey"\n', ["f.yml:1: a: holds a control character or a line break: write it as one plain line"]),
        ("a: |\n  x\n  y\n", ["f.yml:1: a: holds a control character or a line break: write it as one plain line"]),
        ('"a\\n": 1\n', ["f.yml:1: 'a\\n': is a key with a control character: remove it"]),
        ("a: b\n\nc: \x07\nd: \x1b[0m\n", ["f.yml:3: holds the control character '\\x07': remove it", "f.yml:4: holds the control character '\\x1b': remove it"]),
        ("a: \u202eb\n", ["f.yml:1: holds the control character '\\u202e': remove it"]),
        ("a: b\rc: d\n", ["f.yml:1: holds the control character '\\r': remove it"]),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", ["f.yml:1: declares tags: remove the %TAG line"]),
    ],
)  # fmt: skip
def test_what_yaml_would_guess_is_refused_with_its_line(text: str, said: list[str]) -> None:
    assert faults(text) == said


def test_every_fault_of_a_file_is_listed_at_once() -> None:
    assert faults("a: &x 1\nb: *x\nc: !t 1\nc: 2\n") == [
        "f.yml:1: a: sets the anchor &x: write values out instead of referring to them",
        "f.yml:2: b: uses the alias *x: write the value out",
        "f.yml:3: c: has the tag !t: remove it, plain values are enough",
        "f.yml:4: c: is there twice, first on line 3: keep one of them",
    ]


def test_a_control_character_hides_no_other_fault_and_what_is_read_is_the_file_without_it() -> None:
    text = "# \x07\r\na: b\x1b\nc: &x 1\nc: d\n"
    document = parse_document(text, "f.yml")
    assert [str(fault) for fault in document.faults] == [
        "f.yml:1: holds the control character '\\x07': remove it",
        "f.yml:2: holds the control character '\\x1b': remove it",
        "f.yml:3: c: sets the anchor &x: write values out instead of referring to them",
        "f.yml:4: c: is there twice, first on line 3: keep one of them",
    ]
    assert (document.complete, document.data) == (True, {"a": "b", "c": 1})


@pytest.mark.parametrize("text", ["a: b\x07\n\x85c: &x 1\n", "a: b\rc: &x 1\n", "a: \u2028&x 1\n", "a: \x07[\n", "\x07"])
def test_what_can_not_be_read_without_its_control_characters_has_these_faults_alone(text: str) -> None:
    document = parse_document(text, "f.yml")
    assert {fault.message.partition(" '")[0] for fault in document.faults} == {"holds the control character"}
    assert (document.complete, document.data) == (False, None)


def test_an_inventory_with_a_control_character_is_read_by_nobody() -> None:
    document = parse_document("plugin: x\x07\n", "f.yml", empty_values=True)
    assert (len(document.faults), document.complete, document.data) == (1, False, None)


@pytest.mark.parametrize("text", ["a: [1\n", "a: b: c\n", "\ta: b\n", "a: 'x\n", "a: 1\n b: 2\n", "}\n", "- a\nb: c\n"])
def test_broken_yaml_is_a_fault_with_a_line(text: str) -> None:
    [said] = parse_document(text, "f.yml").faults
    assert said.line > 0
    assert "can't be read as YAML" in said.message


def test_a_duplicate_keeps_the_first_value_and_loses_nothing_else() -> None:
    assert parse_document("a: 1\na: {b: 2}\nc: 3\n? [x]\n: 4\nd: 5\n", "f").data == {"a": 1, "c": 3, "d": 5}


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 5_000])
def test_depth_is_bounded(text: str) -> None:
    [fault] = parse_document(text, "f.yml").faults
    assert "is nested deeper than 32 levels: flatten it" in fault.message


def test_an_alias_bomb_ends_at_its_first_lines() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9))
    document = parse_document(bomb, "f.yml")
    assert len(document.faults) > 9
    assert document.data["j"] == [""] * 9 or document.data["j"] == []


def test_line_of_finds_the_deepest_part_that_exists() -> None:
    document = parse_document("a:\n  - b: 1\n    c: 2\n  - d: 1\n    e: [x,\n   y]\n", "f")
    assert [document.line_of(place) for place in [("a",), ("a", 0), ("a", 0, "c"), ("a", 1), ("a", 1, "e", 1), ("a", 1, "no"), ("no",)]] == [
        1, 2, 3, 4, 6, 4, 1,
    ]  # fmt: skip


def test_inventories_may_have_empty_values_line_breaks_and_vaulted_values() -> None:
    document = parse_document("a:\nb: !vault |\n  x\n  y\nc: |\n  x\n  y\n", "f", empty_values=True, multiline=True, tags=frozenset(["!vault"]))
    assert document.faults == []
    assert document.data == {"a": None, "b": Tagged("!vault"), "c": "x\ny\n"}


def test_the_collector_rests_while_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    works: list[bool] = []
    monkeypatch.setattr(_Builder, "read", lambda _self, _text: works.append(gc.isenabled()))
    parse_document("a: 1", "f")
    assert (works, gc.isenabled()) == ([False], True)


def test_the_collector_works_again_after_a_fault() -> None:
    parse_document("a: [", "f")
    assert gc.isenabled()


def read_fault(path: Path) -> str:
    with pytest.raises(InputInvalidError) as caught:
        read_text(path)
    return str(caught.value).removeprefix(str(path))


def test_what_is_no_readable_text_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"#" * (LARGEST_FILE + 1))
    cases = {"latin": b"a: 1\nb: caf\xe9\n", "bom": b"\xef\xbb\xbfa: 1\n", "utf16": "a: 1\n".encode("utf-16"), "utf16be": b"\xfe\xff\x00a"}
    for name, raw in cases.items():
        (tmp_path / name).write_bytes(raw)
    assert read_fault(tmp_path / "none") == ": does not exist: create it, or name the file that you meant"
    assert read_fault(tmp_path / "folder") == ": is a folder: name a file"
    assert read_fault(tmp_path / "fifo") == ": is no regular file: name a file"
    assert read_fault(tmp_path / "large") == ": is larger than 32 MiB: split the site or remove what does not belong here"
    assert read_fault(tmp_path / "latin") == ":2: is not UTF-8 (byte 0xe9): save it as UTF-8"
    assert (
        read_fault(tmp_path / "bom")
        == ":1: starts with a byte order mark (UTF-8), which other programs read as text: save it as plain UTF-8 without one"
    )
    assert (
        read_fault(tmp_path / "utf16")
        == ":1: starts with a byte order mark (UTF-16), which other programs read as text: save it as plain UTF-8 without one"
    )
    assert (
        read_fault(tmp_path / "utf16be")
        == ":1: starts with a byte order mark (UTF-16), which other programs read as text: save it as plain UTF-8 without one"
    )


def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    file = tmp_path / "closed"
    file.write_text("a: 1")
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    assert read_fault(file) == ": can't be read (Permission denied): check its owner and mode"


def test_an_unreadable_file_is_a_document_with_that_fault(tmp_path: Path) -> None:
    document = read_document(tmp_path / "none")
    assert not document.complete
    assert len(document.faults) == 1
