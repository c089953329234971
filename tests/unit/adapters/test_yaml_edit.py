"""Records of a YAML file are changed one at a time, and every other byte of it stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.strict_yaml import parse_document
from controlplane.adapters.yaml_edit import RecordsText, written
from controlplane.domain.errors import RefusedError

TEXT = """\
# What is missing.
gaps:
  GAP-OP-1:            # the first
    title: "one: two"  # quoted by hand
    loops: [LOOP-A]    # and linked

  GAP-OP-2: {title: 'second', loops: [LOOP-A, LOOP-B]}  # in flow
  # nothing below
"""


def edited(text: str = TEXT) -> RecordsText:
    return RecordsText(text, "gaps.yml", "gaps")


def test_a_field_that_is_there_is_replaced_where_it_stands() -> None:
    assert edited().with_field("GAP-OP-1", "loops", ["LOOP-A", "LOOP-C"]) == TEXT.replace("[LOOP-A]    #", "[LOOP-A, LOOP-C]    #")


def test_a_field_that_is_new_comes_last_in_the_record_and_in_its_style() -> None:
    closed = {"at": "2026-03-01T12:00:00Z", "by": "ops@desk", "runs": ["CAP-1"]}
    block = edited().with_field("GAP-OP-1", "closed", closed)
    assert block == TEXT.replace("# and linked\n", '# and linked\n    closed: {at: "2026-03-01T12:00:00Z", by: ops@desk, runs: [CAP-1]}\n')
    flow = edited().with_field("GAP-OP-2", "status", "fixed")
    assert flow == TEXT.replace("LOOP-B]}", "LOOP-B], status: fixed}")


def test_a_record_that_is_new_comes_last_and_says_what_was_given() -> None:
    text = edited().with_record("GAP-OP-3", {"title": "a # b", "status": "open", "loops": ["LOOP-A"], "filed": "2026-03-01"})
    assert text.startswith(TEXT.removesuffix("  # nothing below\n"))
    assert parse_document(text, "x").data["gaps"]["GAP-OP-3"] == {"title": "a # b", "status": "open", "loops": ["LOOP-A"], "filed": "2026-03-01"}


def test_the_first_record_of_an_empty_register_makes_it_a_block() -> None:
    text = RecordsText("# new\ngaps: {}\n", "gaps.yml", "gaps").with_record("GAP-OP-1", {"title": "x"})
    assert text == "# new\ngaps:\n  GAP-OP-1:\n    title: x\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [("loops: {}\n", "has no mapping gaps"), ("gaps: [a]\n", "has no mapping gaps"), ("gaps: {GAP-OP-9: {title: x}}\n", "has no GAP-OP-1")],
)
def test_what_can_not_be_changed_surely_is_refused(text: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        RecordsText(text, "gaps.yml", "gaps").with_field("GAP-OP-1", "status", "fixed")


def test_an_id_that_is_taken_is_refused() -> None:
    with pytest.raises(RefusedError, match="has GAP-OP-1 already"):
        edited().with_record("GAP-OP-1", {"title": "x"})


@given(st.text(st.characters(blacklist_categories=("C", "Z"), whitelist_characters=" "), min_size=1).filter(lambda text: text.strip() == text))
def test_any_line_of_text_is_read_as_it_was_written(text: str) -> None:
    assert parse_document(f"a: {written(text)}\n", "x").data == {"a": text}


@given(st.lists(st.text(st.sampled_from("ab:#-[]{},'\"!&*%@` 0123456789"), min_size=1).filter(lambda text: text.strip() == text), max_size=4))
def test_any_list_is_read_as_it_was_written(items: list[Any]) -> None:
    assert parse_document(f"a: {written(items)}\n", "x").data == {"a": items}
