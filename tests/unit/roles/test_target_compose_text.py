"""A compose file changes in one value; every other byte of it stays, and what can't be changed surely is refused."""

from __future__ import annotations

import difflib
import json

import pytest
from controlplane_target.compose_text import ComposeText
from controlplane_target.faults import RefusedFault

TEXT = """# the shop
name: shop
services:
  plain:   # no command yet
    image: redis:7 # pinned

    # what it keeps
    volumes: [data:/data]
  words:
    image: "redis"
    command:
      - redis-server   # the server
      - "--save"
      - 60 1   # often

  flow: {image: x, command: ["a", 'b',]}
  text:
    command: redis-server --save "60 1" ${MORE}
    image: x
  folded:
    command: >
      redis-server
      --port 1
  anchored: &anchored
    image: x
    command: &command [a]
  alias: *anchored
  merged:
    <<: *anchored
  value:
    command: *command
"""


def changed(service: str, command: str | list[str], text: str = TEXT) -> list[str]:
    """Return the lines that differ, as a diff has them; the result reads as the command."""
    new = ComposeText(text, "compose.yml").with_command(service, command)
    assert ComposeText(new, "compose.yml").command(service) == command
    lines = difflib.ndiff(text.splitlines(), new.splitlines())
    return [line for line in lines if line[0] in "+-"]


def test_a_command_that_is_not_there_stands_below_the_image() -> None:
    assert changed("plain", ["a", "b c"]) == ['+     command: ["a", "b c"]']
    assert ComposeText(TEXT, "f").command("plain") is None


def test_a_list_keeps_the_spelling_of_its_words_and_their_comments() -> None:
    assert changed("words", ["redis-server", "--save", "60 1", "--appendonly", "yes"]) == ['+       - "--appendonly"', '+       - "yes"']
    assert changed("words", ["redis-server", "--save", "1 1"]) == ["-       - 60 1   # often", '+       - "1 1"   # often']
    assert '+       ["a"]   # often' in changed("words", ["a"])


def test_a_list_on_one_line_and_a_text_stay_what_they_are() -> None:
    assert changed("flow", ["a", "b", "c"]) == ["-   flow: {image: x, command: [\"a\", 'b',]}", '+   flow: {image: x, command: ["a", \'b\', "c",]}']
    assert changed("text", 'redis-server "x" ${MORE}')[1] == '+     command: "redis-server \\"x\\" ${MORE}"'
    assert '+     command: "one line"' in changed("folded", "one line")


def test_what_a_service_only_inherits_is_written_for_it_alone() -> None:
    assert ComposeText(TEXT, "f").command("merged") is None
    assert changed("merged", ["b"]) == ['+     command: ["b"]']


def test_a_command_that_is_there_and_empty_gets_its_value() -> None:
    assert ComposeText("services:\n  a:\n    command:\n    image: x\n", "f").with_command("a", "b") == (
        'services:\n  a:\n    command: "b"\n    image: x\n'
    )


def test_json_and_a_file_without_a_last_newline_and_of_windows_are_changed_as_well() -> None:
    text = json.dumps({"services": {"a": {"image": "x", "command": ["a"]}, "b": {"image": "y"}}}, indent=2)
    for service, command in (("a", ["a", "b"]), ("b", ["c"])):
        new = ComposeText(text, "f").with_command(service, command)
        assert json.loads(new)["services"][service]["command"] == command
    assert ComposeText("services:\n  a:\n    image: x", "f").with_command("a", ["b"]) == 'services:\n  a:\n    image: x\n    command: ["b"]\n'
    assert ComposeText("services:\r\n  a:\r\n    image: x\r\n", "f").with_command("a", "b") == (
        'services:\r\n  a:\r\n    image: x\r\n    command: "b"\r\n'
    )


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("anchored", "f:24: services.anchored is shared by an anchor: write it out"),
        ("alias", "f:27: services.alias is shared by an anchor: write it out"),
        ("value", "f:31: services.value.command is shared by an anchor: write it out for this service"),
    ],
)
def test_what_is_shared_by_an_anchor_is_refused_with_its_line(service: str, reason: str) -> None:
    with pytest.raises(RefusedFault) as refused:
        ComposeText(TEXT, "f").command(service)
    assert str(refused.value) == f"{reason}. Nothing was changed."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("services: [", "f is no YAML that could be changed"),
        ("- a\n", "f: the file is no mapping"),
        ("services: {a: {image: x}, a: {image: y}}", "f:1: services has a twice"),
        ("services: {a: {image: x, image: y}}", "f:1: services.a has image twice"),
        ("services: {a: {command: {b: c}}}", "services.a.command is neither text nor a list of words"),
        ("services: {a: [b]}", "services.a is no mapping"),
        ("a: 1\n---\nb: 2\n", "f is no YAML that could be changed"),
    ],
)
def test_what_is_no_compose_file_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RefusedFault, match="Nothing was changed") as refused:
        ComposeText(text, "f").command("a")
    assert reason in str(refused.value)


def test_a_service_that_the_file_does_not_define_is_told_and_gets_nothing() -> None:
    text = ComposeText(TEXT, "f")
    assert (text.has_service("plain"), text.has_service("other")) == (True, False)
    with pytest.raises(RefusedFault, match="f defines no service other"):
        text.with_command("other", "a")
