"""Every verb that the command line takes has a module that carries it out."""

from __future__ import annotations

import argparse
import inspect
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

import pytest
from controlplane_target import verbs
from controlplane_target.arguments import parser, verb_of

from tests.counting import calls
from tests.target_verbs import ASKED_BY_OTHERS, ASKED_BY_ROLES, ASKED_BY_SHARED_WORK

PACKAGE = Path(verbs.__file__).parent


def _taken() -> set[str]:
    [choices] = [action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return set(choices)


def test_the_command_line_and_the_modules_know_the_same_verbs() -> None:
    assert set(verbs._VERBS) == _taken()


def _shape(name: str, whole: argparse.ArgumentParser) -> list[tuple[object, ...]]:
    [own] = [action.choices[name] for action in whole._actions if isinstance(action, argparse._SubParsersAction)]
    assert own.prog == f"controlplane_target {name}"
    return [(action.option_strings, action.dest, action.choices, action.default, action.required) for action in own._actions]


@pytest.mark.parametrize("name", sorted(verbs._VERBS))
def test_a_verb_takes_the_same_by_itself_as_beside_the_others(name: str) -> None:
    assert _shape(name, parser(name)) == _shape(name, parser())


def test_only_the_verb_that_is_asked_for_is_prepared() -> None:
    assert 4 * calls(lambda: parser("fstab")) < calls(parser)


@pytest.mark.parametrize(
    ("arguments", "verb"),
    [
        (["fstab", "look"], "fstab"),
        (["--base", "lease", "fstab", "look"], "fstab"),
        (["--base=/x", "state"], "state"),
        (["--help"], None),
        ([], None),
    ],
)
def test_the_verb_is_the_first_word_of_its_own(arguments: list[str], verb: str | None) -> None:
    assert verb_of(arguments) == verb


def test_every_verb_loads_by_pythons_own_library_alone() -> None:
    each = "; ".join(f"import controlplane_target.{module}" for module in verbs._VERBS.values())
    argv = [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {each}"]
    assert subprocess.run(argv, capture_output=True, text=True, check=False).stderr == ""


def test_what_is_no_verb_is_told_all_that_are(tmp_path: Path) -> None:
    code, said = _call(tmp_path, "reboot", None)
    assert (code, all(repr(name) in said for name in verbs._VERBS)) == (2, True), said


def _imports(*words: str) -> set[str]:
    """Return what Python imported for a verb, as `-X importtime` names it."""
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-X", "importtime", str(PACKAGE), *words, "--run", "R1"]
    told = subprocess.run(argv, input="{}", capture_output=True, text=True, check=False).stderr
    return {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("words", [("lease", "show"), ("bootstrap", "refuse"), ("data-disk", "look"), ("fstab", "look")])
def test_a_verb_imports_no_page_of_help_and_no_way_to_docker(tmp_path: Path, words: tuple[str, str]) -> None:
    imported = _imports("--base", str(tmp_path), *words)
    assert "controlplane_target.verbs" in imported
    # What a page of help is laid out by, and what speaks HTTP.
    assert not imported & {"http.client", "email.parser", "ssl", "controlplane_target.docker_engine"}
    assert words[0] in ("bootstrap", "fstab") or "shutil" not in imported, "these two need it for their own"


def test_the_lease_is_asked_for_without_what_speaks_to_a_network(tmp_path: Path) -> None:
    assert "socket" not in _imports("--base", str(tmp_path), "lease", "show")


@pytest.mark.parametrize("module", verbs._VERBS.values())
def test_each_module_acts_on_a_home_and_what_was_asked(module: str) -> None:
    act = import_module(f"controlplane_target.{module}").act
    assert [parameter.lstrip("_") for parameter in inspect.signature(act).parameters] == ["home", "options"]


SAFE: set[tuple[str, str | None]] = {*ASKED_BY_ROLES, *ASKED_BY_SHARED_WORK, *ASKED_BY_OTHERS}
# What takes the lease or is a part of it, what a boot does without a controller, and `bare`, which only a holder of the lease starts.
SETTLE = {("compose-stack", "settle"), ("docker-root", "settle"), ("persistent-path", "settle"), ("redis", "settle")}
OWN = SETTLE | {("hygiene", "timed"), ("bare", "clear"), ("bare", "set"), ("lease", "hold"), ("lease", "release"), ("lease", "take"), ("undo", None)}


def _all() -> set[tuple[str, str | None]]:
    [choices] = [action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    found: set[tuple[str, str | None]] = set()
    for verb, own in choices.items():
        actions = [action.choices for action in own._actions if action.dest == "action"]
        found |= {(verb, word) for word in actions[0]} if actions else {(verb, None)}
    return found


def test_of_every_verb_it_is_known_whether_it_changes_the_host() -> None:
    assert _all() == verbs._CHANGES | SAFE | OWN
    assert not verbs._CHANGES & (SAFE | OWN)


def _call(home: Path, verb: str, action: str | None, *words: str) -> tuple[int, str]:
    argv = [*([action] if action else []), *(["--of", "R0"] if verb == "rollback" else [])]
    argv += ["--detach"] if verb in ("compose-stack", "docker-root", "persistent-path") and action != "prepare" else []
    return _said(home, "{}", verb, *argv, *words)


def _said(home: Path, asked: str, *words: str) -> tuple[int, str]:
    """Call the tool in this process, which a refusal leaves as it is; return its exit code and what is on standard error."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as told, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(asked))
        try:
            code = verbs.main(["--base", str(home), *words])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
    return code, told.getvalue()


@pytest.mark.parametrize(("verb", "action"), sorted(verbs._CHANGES, key=str))
def test_what_changes_the_host_does_nothing_without_the_lease(tmp_path: Path, verb: str, action: str | None) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert _call(home, verb, action, "--run", "R1") == (
        4,
        f"{' '.join(filter(None, (verb, action)))!r} changes this host, and carries no lease. Nothing was changed.\n",
    )
    code, said = _call(home, verb, action, "--run", "R1", "--holder", "ann@desk", "--token", "3", "--hold")
    assert code == 4
    assert "run R1 holds no lease. Nothing was changed." in said
    assert [path for path in home.iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize(("verb", "action"), sorted(_all() - verbs._SHOWN, key=str))
def test_what_can_not_be_shown_is_not_done_in_a_dry_run(tmp_path: Path, verb: str, action: str | None) -> None:
    home = tmp_path / "home"
    code, said = _call(home, verb, action, "--run", "R1", "--check", *(["/mnt"] if verb == "bare" else []))
    assert (code, "can't be shown, only done. Nothing was changed." in said) == (4, True), said
    assert not home.exists()


@pytest.mark.parametrize("action", ["precopy", "move", "undo"])
def test_long_work_that_is_not_started_as_a_unit_asks_for_its_run_s_lease(tmp_path: Path, action: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code, said = _said(home, "{}", "docker-root", action, "--run", "R1")
    assert (code, "run R1 does not hold this host's lease" in said) == (4, True), said
    assert [path for path in home.iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("verb", ["fstab", "data-disk", "undo"])
def test_a_verb_of_a_run_wants_to_know_which(tmp_path: Path, verb: str) -> None:
    code, said = _call(tmp_path, verb, None if verb == "undo" else "look")
    assert (code, "none is named (--run)" in said) == (4, True)


@pytest.mark.parametrize(
    ("verb", "action"),
    [("way-back", None), ("purge", "refuse"), ("fstab", "look"), ("data-disk", "look"), ("bootstrap", "refuse"), ("docker-root", "refuse")],
)
@pytest.mark.parametrize("text", ["\n", "{}", "[1]", "{"])
def test_a_request_that_is_none_is_refused_in_words(tmp_path: Path, verb: str, action: str | None, text: str) -> None:
    if verb == "docker-root" and text in ("\n", "{}"):
        return  # without a request it goes on with its journal's, and every part of one has a default
    code, said = _said(tmp_path, text, verb, *([action] if action else []), "--run", "R1", *(["--check"] if verb == "way-back" else []))
    assert (code, "Nothing was changed." in said) == (4, True), said


def test_what_a_killed_verb_started_keeps_the_lease_from_being_taken(tmp_path: Path) -> None:
    """The undo of an earlier run works under the lease of this one, which is killed."""
    undo = tmp_path / "R0/undo"
    undo.parent.mkdir()
    undo.write_text(f"#!/bin/sh\ntouch {tmp_path}/works\nsleep 30\n")
    undo.chmod(0o755)
    tool = [sys.executable, "-B", str(PACKAGE), "--base", str(tmp_path)]
    who = ["--run", "R1", "--holder", "ann@desk"]
    subprocess.run([*tool, "lease", "take", *who, "--role", "fstab"], check=True, capture_output=True)
    with subprocess.Popen([*tool, "rollback", "--of", "R0", *who, "--token", "1", "--hold"], stdout=subprocess.PIPE, start_new_session=True) as verb:
        while not (tmp_path / "works").exists():
            time.sleep(0.02)
        os.kill(verb.pid, signal.SIGKILL)
        verb.wait()
        take = [*tool, "lease", "take", "--run", "R2", "--holder", "bob@lap", "--role", "fstab", "--take-over", "R1"]
        try:
            done = subprocess.run(take, capture_output=True, text=True, check=False)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(verb.pid, signal.SIGKILL)
    assert (done.returncode, "a change that began before still works here" in done.stderr) == (4, True)
