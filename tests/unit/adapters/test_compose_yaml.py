"""Compose files are read by Compose's YAML: anchors are written out, nothing is guessed, and a bomb stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.compose_yaml import MOST_PARTS, parse_compose, read_compose


def data(text: str) -> Any:
    document = parse_compose(text, "c.yml")
    assert [str(fault) for fault in document.faults] == []
    return document.data


def faults(text: str) -> list[str]:
    document = parse_compose(text, "c.yml")
    assert not document.complete
    return [str(fault) for fault in document.faults]


def test_plain_values_are_what_yaml_1_2_makes_of_them() -> None:
    text = "[no, yes, on, 22:30, 012, 1.10, true, False, 7, -7, '7', \"true\", ~, null, 2026-01-01, 0x10, =]"
    assert data(text) == ["no", "yes", "on", "22:30", "012", "1.10", True, False, 7, -7, "7", "true", None, None, "2026-01-01", "0x10", "="]
    assert data("a: |\n  true\nb: >\n  null\nc:\n") == {"a": "true\n", "b": "null\n", "c": None}


def test_keys_are_text() -> None:
    assert data("{1: a, true: b, no: c}") == {"1": "a", "true": "b", "no": "c"}


def test_what_an_alias_stands_for_is_written_out_and_the_nearer_key_wins() -> None:
    text = "x: &x {a: 1, b: [2]}\ny: &y {a: 3, c: 4}\nm: {<<: [*x, *y], b: 5}\nn: *x\n"
    assert data(text) == {"x": {"a": 1, "b": [2]}, "y": {"a": 3, "c": 4}, "m": {"b": 5, "a": 1, "c": 4}, "n": {"a": 1, "b": [2]}}


def test_each_part_has_the_line_in_which_it_is_written() -> None:
    document = parse_compose("x: &x\n  a: 1\nm:\n  <<: *x\n  b:\n    - 1\n    - 2\n", "c.yml")
    assert [document.line_of(place) for place in (("x", "a"), ("m",), ("m", "a"), ("m", "b"), ("m", "b", 1), ("m", "zz"))] == [2, 3, 2, 5, 7, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: !reset []\n", "c.yml:1: has the tag !reset, and what it makes of this is not judged"),
        ("a: 1\nb: !override [x]\n", "c.yml:2: has the tag !override"),
        ("a: !!str true\n", "c.yml:1: has the tag tag:yaml.org,2002:str"),
        ("a: !!python/object/apply:os.system [x]\n", "c.yml:1: has the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: {b: 1}\nc:\n  d: 1\n  d: 2\n", "c.yml:4: c.d: is there twice, first on line 3"),
        ("a: &a {b: *a}\n", "c.yml: has an alias that stands for itself"),
        ("a: &a {<<: *a}\n", "c.yml: has an alias that stands for itself"),
        ("a: 1\n---\nb: 2\n", "c.yml:2: can't be read as YAML: expected a single document"),
        ("a: [1\n", "c.yml:2: can't be read as YAML"),
        ("a: *b\n", "c.yml:1: can't be read as YAML: found undefined alias"),
        ("? [a]\n: 1\n", "c.yml:1: has a list or a mapping as a key"),
        ("<<: [1]\n", "c.yml:1: <<: merges something that is no mapping"),
        ("", "c.yml: is empty: write the services"),
        ("a: 1\x07\n", "c.yml:1: holds the control character"),
        ("[" * 40 + "]" * 40, "c.yml: is nested deeper than 32 levels"),
        ("[" * 100_000, "c.yml: is nested deeper than 32 levels"),
    ],
)
def test_what_may_mean_two_things_is_refused(text: str, told: str) -> None:
    assert any(fault.startswith(told) for fault in faults(text)), faults(text)


def test_two_merges_in_one_mapping_are_refused() -> None:
    assert faults("x: &x {c: 1}\ny: &y {d: 1}\na:\n  <<: *x\n  <<: *y\n") == ["c.yml:5: a.<<: is there twice: merge a list of anchors instead"]


def test_an_alias_bomb_is_refused_before_it_fills_the_memory() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"] + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert faults("\n".join(lines)) == [f"c.yml: stands for more than {MOST_PARTS} parts once its aliases are written out: use fewer of them"]


def test_a_file_that_is_not_there_or_too_large_is_told(tmp_path: Path) -> None:
    assert "none.yml: does not exist: create it" in str(read_compose(tmp_path / "none.yml").faults[0])
    (tmp_path / "big.yml").write_text("a: " + "x" * (1 << 20))
    assert "is larger than 1 MiB" in str(read_compose(tmp_path / "big.yml").faults[0])
