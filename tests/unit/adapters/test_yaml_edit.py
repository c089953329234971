"""Records of a YAML file are changed one at a time, and every other byte of it stays."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters import yaml_edit
from controlplane.adapters.strict_yaml import parse_document
from controlplane.adapters.yaml_edit import RecordsText, written
from controlplane.domain.errors import RefusedError
from tests.counting import calls

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


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "gaps:\n  GAP-OP-1:\n    loops:\n      # the big one\n      - LOOP-A  # why\n      - LOOP-B  # and this\n    # below\n    title: x\n",
            ("# and this\n", "# and this\n      - LOOP-C\n      - LOOP-D\n"),
        ),
        ("gaps:\n  GAP-OP-1: {loops: [LOOP-A,  # why\n    LOOP-B], title: x}  # tail\n", ("LOOP-B]", "LOOP-B, LOOP-C, LOOP-D]")),
    ],
)
def test_a_list_that_goes_on_keeps_the_comments_in_it(text: str, wanted: tuple[str, str]) -> None:
    assert edited(text).with_field("GAP-OP-1", "loops", ["LOOP-A", "LOOP-B", "LOOP-C", "LOOP-D"]) == text.replace(*wanted)


def test_a_field_that_is_new_comes_last_in_the_record_and_in_its_style() -> None:
    closed = {"at": "2026-03-01T12:00:00Z", "by": "ops@desk", "runs": ["CAP-1"]}
    block = edited().with_field("GAP-OP-1", "closed", closed)
    assert block == TEXT.replace("# and linked\n", '# and linked\n    closed: {at: "2026-03-01T12:00:00Z", by: ops@desk, runs: [CAP-1]}\n')
    flow = edited().with_field("GAP-OP-2", "status", "fixed")
    assert flow == TEXT.replace("LOOP-B]}", "LOOP-B], status: fixed}")


def test_a_record_that_is_new_comes_last_and_says_what_was_given() -> None:
    text = edited().with_record("GAP-OP-3", {"title": "a # b", "status": "open", "loops": ["LOOP-A"], "filed": "2026-03-01"})
    assert text.startswith(TEXT.removesuffix("  # nothing below\n"))
    assert text.endswith("    filed: 2026-03-01\n  # nothing below\n")
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


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("gaps:\n  GAP-OP-1:\n    title: x\n    status: open\t# since the audit\n", "open\t#", "fixed\t#"),
        ("gaps:\n  GAP-OP-1:\n    status:\topen\n    title: x\t\n", "\topen", "\tfixed"),
        ("gaps:\n  GAP-OP-1: {title: x,\tstatus: open}\n", "open", "fixed"),
        ("gaps:\n  GAP-OP-1: {title: why?, status: open}\n", "open", "fixed"),
        ("gaps: {GAP-OP-1: {title: 'q é 𝒳 why?',\tstatus: open}}\n", "open", "fixed"),
    ],
)
def test_what_the_sites_files_may_say_can_be_changed_too(text: str, before: str, after: str) -> None:
    assert parse_document(text, "x", multiline=True).faults == []
    assert edited(text).with_field("GAP-OP-1", "status", "fixed") == text.replace(before, after)
    assert parse_document(edited(text).with_record("GAP-OP-2", {"title": "y"}), "x").data["gaps"]["GAP-OP-2"] == {"title": "y"}


def test_a_file_whose_parts_can_not_be_told_apart_is_refused_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where PyYAML has no libyaml it reads less.
    monkeypatch.setattr(yaml_edit, "_LOADER", yaml.SafeLoader)
    text = "# What is missing.\ngaps:\n  GAP-OP-1:\n    title: x\n    status: open\t# since the audit\n"
    with pytest.raises(RefusedError) as refused:
        edited(text).with_field("GAP-OP-1", "status", "fixed")
    assert str(refused.value) == (
        "gaps.yml is written in a way in which its records can't be told apart, see line 5. Nothing was changed. Write it there yourself."
    )


@pytest.mark.parametrize(("text", "there"), [("modes:\n  D235: {mint-data: enforce}\t# since May\n", True), ("packs: {}\t\n", False), ("", False)])
def test_a_top_level_key_is_found_in_whatever_the_sites_files_may_say(text: str, there: bool) -> None:
    assert yaml_edit.has_root(text, "modes") is there


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("    # why: ticket 5\n", True),
        ("    # why: ticket 5\n      # and 6\n", True),
        ("\n    # why: ticket 5", True),
        ("  # nothing below\n", False),
        ("# the end\n", False),
        ("other: {}\n    # why: of another\n", False),
    ],
)
def test_a_record_that_is_filed_leaves_their_comments_to_those_before_it(below: str, above: bool) -> None:
    text = f"gaps:\n  GAP-OP-1:\n    title: x\n{below}"
    filed, end = "  GAP-OP-2:\n    title: y", "\n" if text.endswith("\n") else ""
    wanted = f"{text.removesuffix(end)}\n{filed}{end}" if above else text.replace(below, f"{filed}\n{below}")
    assert edited(text).with_record("GAP-OP-2", {"title": "y"}) == wanted


def test_an_id_that_is_taken_is_refused() -> None:
    with pytest.raises(RefusedError, match="has GAP-OP-1 already"):
        edited().with_record("GAP-OP-1", {"title": "x"})


def many(number: int) -> str:
    """Return a register of so many records of five lines each."""
    head = "# What is missing.\ngaps:\n"
    return head + "".join(
        f"  GAP-OP-{one}:  # the {one}th\n    title: Gap {one}\n    status: open\n    loops:\n      - LOOP-A\n" for one in range(1, number + 1)
    )


def test_several_changes_of_one_file_are_made_at_once_and_stay_in_their_order() -> None:
    text = many(3).removesuffix("\n")
    changed = edited(text).changed(
        added=[("GAP-OP-4", {"title": "Gap 4"})],
        fields=[
            ("GAP-OP-3", "status", "fixed"),
            ("GAP-OP-1", "loops", ["LOOP-B"]),
            ("GAP-OP-3", "reason", "x"),
            ("GAP-OP-3", "closed", {"by": "ops"}),
        ],
    )
    wanted = many(3).replace("    loops:\n      - LOOP-A\n  GAP-OP-2", "    loops:\n      [LOOP-B]\n  GAP-OP-2")
    wanted = wanted.replace("title: Gap 3\n    status: open", "title: Gap 3\n    status: fixed")
    assert changed == wanted + "    reason: x\n    closed: {by: ops}\n  GAP-OP-4:\n    title: Gap 4"


@pytest.mark.parametrize(
    "text",
    [
        "gaps: {GAP-OP-1: {title: x}, GAP-OP-2: {title: y}}\nother: z\n",
        "gaps:  # below\n  # { a brace of a comment\n  {GAP-OP-1: {title: x},\n  GAP-OP-2: {title: y}}\n",
        "other: {}\ngaps:\n  # { no brace\n  GAP-OP-1: {title: x}\n  GAP-OP-2:\n    title: |\n      y\n      GAP-OP-1: z\nlast: w\n",
    ],
)
def test_records_are_found_however_their_file_is_written(text: str) -> None:
    was = parse_document(text, "x", multiline=True).data
    changed = parse_document(edited(text).changed(added=[("GAP-OP-3", {"title": "z"})], fields=[("GAP-OP-2", "status", "open")]), "x", multiline=True)
    wanted = {**was["gaps"], "GAP-OP-2": {**was["gaps"]["GAP-OP-2"], "status": "open"}, "GAP-OP-3": {"title": "z"}}
    assert (changed.faults, changed.data) == ([], {**was, "gaps": wanted})


def test_an_edit_costs_little_more_than_reading_the_file_twice() -> None:
    # PyYAML's own parser calls some hundred functions for each line that it composes.
    text = many(400)
    reading = calls(lambda: parse_document(text, "gaps.yml", multiline=True))
    assert calls(lambda: edited(text).with_field("GAP-OP-200", "status", "fixed")) < 2.2 * reading
    assert calls(lambda: edited(text).with_record("GAP-OP-401", {"title": "x"})) < 2.2 * reading


@given(st.text(st.characters(blacklist_categories=("C", "Z"), whitelist_characters=" "), min_size=1).filter(lambda text: text.strip() == text))
def test_any_line_of_text_is_read_as_it_was_written(text: str) -> None:
    assert parse_document(f"a: {written(text)}\n", "x").data == {"a": text}


@given(st.lists(st.text(st.sampled_from("ab:#-[]{},'\"!&*%@` 0123456789"), min_size=1).filter(lambda text: text.strip() == text), max_size=4))
def test_any_list_is_read_as_it_was_written(items: list[Any]) -> None:
    assert parse_document(f"a: {written(items)}\n", "x").data == {"a": items}
