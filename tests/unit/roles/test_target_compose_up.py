"""With which words a container is brought up: the named service alone, and no volume is left behind without being asked for."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import controlplane_target
import pytest
from controlplane_target import command, compose, compose_replacing, path_return
from controlplane_target.faults import FailedFault

SOURCES = sorted(Path(str(controlplane_target.__file__)).parent.glob("*.py"))
STACK = compose.Stack("shop", "/opt/shop", "cache", ("/opt/shop/a.yml",), (), "h1")
HEAD = ["docker", "compose", "--project-name", "shop", "--project-directory", "/opt/shop", "--file", "/opt/shop/a.yml"]
# Each answers a question of Compose's, or leaves what a volume holds behind (docker/compose#12363, #7444).
NEVER = {"-y", "--yes", "-V", "--renew-anon-volumes", "-v", "--volumes", "--always-recreate-deps", "--force-recreate", "down", "rm", "prune"}
# Every function of compose.py that brings one up, with what it is told besides.
UPS: dict[str, list[dict[str, Any]]] = {"make_anew": [{"wait_s": 120}], "make_still": [{"fresh": False}, {"fresh": True}]}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return what is run, while no unit is at work."""
    asked: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> command.Said:
        asked.append(list(argv))
        return command.Said(0, "", "")

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(compose, "active", lambda _unit: False)
    monkeypatch.setattr(compose_replacing, "settle", lambda _engine, project, services: asked.append(["settle", project, *services]))
    return asked


def brought_up(ran: list[list[str]], tmp_path: Path, name: str, told: dict[str, Any]) -> list[str]:
    """Return Compose's own words."""
    make: Callable[..., None] = getattr(compose, name)
    make(STACK, stop_s=30, unit="controlplane-x.service", log=tmp_path / "compose.log", **told)
    settled, argv = ran
    # Before: Compose would delete it while it makes another of its name.
    assert settled == ["settle", "shop", "cache"]
    at = argv.index("--")
    assert argv[0] == "systemd-run"
    assert "--wait" in argv[:at]
    assert "--unit=controlplane-x.service" in argv[:at]
    return argv[at + 1 :]


def test_a_running_container_is_made_anew_with_these_words(ran: list[list[str]], tmp_path: Path) -> None:
    words = ["up", "--no-deps", "--no-build", "--pull", "never", "--timeout", "30", "--detach", "--wait", "--wait-timeout", "120", "cache"]
    assert brought_up(ran, tmp_path, "make_anew", {"wait_s": 120}) == [*HEAD, *words]


def test_one_that_shall_stand_still_is_made_anew_with_these_words(ran: list[list[str]], tmp_path: Path) -> None:
    words = ["up", "--no-deps", "--no-build", "--pull", "never", "--timeout", "30", "--no-start", "cache"]
    assert brought_up(ran, tmp_path, "make_still", {"fresh": False}) == [*HEAD, *words]


@pytest.mark.parametrize(("name", "told"), [(name, told) for name, each in UPS.items() for told in each], ids=str)
def test_only_the_named_service_is_brought_up_without_a_yes_and_with_the_volumes_that_it_has(
    ran: list[list[str]], tmp_path: Path, name: str, told: dict[str, Any]
) -> None:
    words = brought_up(ran, tmp_path, name, told)[len(HEAD) :]
    assert words[0] == "up"
    assert {"--no-deps", "--no-build"} <= set(words)
    assert words[words.index("--pull") + 1] == "never"
    # What isn't an option, or an option's value, is a service: one, and the last word.
    values = {words.index(option) + 1 for option in ("--pull", "--timeout", "--wait-timeout") if option in words}
    assert [word for at, word in enumerate(words) if at and at not in values and not word.startswith("-")] == ["cache"]
    assert words[-1] == "cache"
    assert set(words) & NEVER == ({"--renew-anon-volumes"} if told.get("fresh") else set())


def test_what_compose_is_told_by_hand_after_a_failure_is_no_more_than_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run", lambda _argv: command.Said(1, "", "no such image"))
    monkeypatch.setattr(compose, "active", lambda _unit: False)
    monkeypatch.setattr(compose_replacing, "settle", lambda *_: [])
    with pytest.raises(FailedFault) as failed:
        compose.make_anew(STACK, stop_s=30, wait_s=120, unit="x.service", log=tmp_path / "compose.log")
    by_hand = str(failed.value).partition("bring it up by hand: ")[2].partition(";")[0].split()
    assert by_hand == [*HEAD, "up", "--detach", "--no-deps", "cache"]


def test_no_function_that_brings_one_up_is_missing_here() -> None:
    calling = {
        name for name, one in inspect.getmembers(compose, inspect.isfunction) if one.__module__ == compose.__name__ and "_up" in one.__code__.co_names
    }
    assert calling == set(UPS)


@pytest.mark.parametrize(
    ("kinds", "fresh"),
    [(["anonymous"], True), (["bind", "anonymous"], True), (["bind"], False), (["volume"], False), (["layer"], False), ([], False)],
)
def test_volumes_are_new_ones_only_where_data_go_back_to_an_anonymous_one(kinds: list[str], fresh: bool) -> None:
    """They are filled from the places then, and the container's other anonymous ones from what they held."""
    assert path_return.is_fresh([{"source": {"kind": kind}} for kind in kinds]) is fresh


def _said_to_compose() -> dict[str, set[str]]:
    """Return {module: the words of its code that Compose or Docker could take}; prose is told by its spaces."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        texts = {
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        found[path.stem] = {text for text in texts if text and " " not in text}
    return found


def test_nowhere_else_is_there_a_word_that_leaves_data_behind_or_says_yes() -> None:
    said = _said_to_compose()
    words_of = {name: words & {"-y", "--yes", "-V", "--volumes", "--force-recreate", "--always-recreate-deps"} for name, words in said.items()}
    # apt-get's own yes.
    assert {name: words for name, words in words_of.items() if words} == {"packages": {"--yes"}}
    assert {name for name, words in said.items() if "--renew-anon-volumes" in words} == {"compose"}


def test_compose_works_where_it_is_known_to_and_takes_down_only_what_a_first_release_brought() -> None:
    said = _said_to_compose()
    assert {name for name, words in said.items() if "up" in words} == {"compose", "compose_stack", "stack_undo"}
    assert {name for name, words in said.items() if "down" in words} == {"stack_undo"}
