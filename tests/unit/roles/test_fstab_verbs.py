"""The verbs of `fstab` on files of this test's own: what they are asked, what they answer, and what lies there afterwards."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import beneath, command, fstab_request, verbs
from controlplane_target import fstab_break_glass as break_glass
from controlplane_target.faults import RefusedFault

from tests.unit.roles.leased import claimed

# An export, because findmnt looks for no disk then.
ENTRY = {"spec": "nas:/tank", "file": "/mnt/data", "vfstype": "nfs", "options": ["ro", "nofail"]}
LINE = "nas:/tank /mnt/data nfs ro,nofail 0 0\n"
LOOK = {"entries": [ENTRY], "guards": [{"unit": "docker.service", "text": "[Unit]\n"}], "bare": ["/mnt/data"], "field": "policy.yml"}


def test_what_a_request_leaves_out_is_as_fstab_has_it() -> None:
    asked = fstab_request.look(json.dumps(LOOK))
    assert asked.entries == [{**ENTRY, "freq": 0, "passno": 0}]
    assert asked.guards == [{"unit": "docker.service", "text": "[Unit]\n", "ahead": False}]
    assert (asked.path, asked.bare, asked.field) == ("/etc/fstab", ["/mnt/data"], "policy.yml")


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ([], "it is no object"),
        ({**LOOK, "more": 1}, "it has the unknown key more"),
        ({"entries": [], "guards": []}, "it lacks bare, lacks field"),
        ({**LOOK, "entries": {}}, "entries is no list"),
        ({**LOOK, "entries": [ENTRY, {**ENTRY, "spec": 7}]}, "entries[1].spec is no text"),
        ({**LOOK, "entries": [{**ENTRY, "options": "ro,nofail"}]}, "entries[0].options is no list"),
        ({**LOOK, "entries": [{**ENTRY, "options": ["ro", None]}]}, "entries[0].options[1] is no text"),
        ({**LOOK, "entries": [{**ENTRY, "freq": True}]}, "entries[0].freq is no whole number"),
        ({**LOOK, "entries": [{**ENTRY, "dump": 0}]}, "entries[0] has the unknown key dump"),
        ({**LOOK, "guards": [{"unit": "docker.service"}]}, "guards[0] lacks text"),
        ({**LOOK, "guards": [{"unit": "docker.service", "text": "", "ahead": "no"}]}, "guards[0].ahead is neither true nor false"),
    ],
)
def test_a_request_of_another_shape_is_refused_by_what_is_wrong(asked: Any, what: str) -> None:
    with pytest.raises(RefusedFault) as refused:
        fstab_request.look(json.dumps(asked))
    assert str(refused.value) == f"the request of 'fstab look' is malformed: {what}. Nothing was changed. Mend what the role fstab was given."


def test_what_is_no_json_is_refused_as_that() -> None:
    for parse, action in ((fstab_request.record, "record"), (fstab_request.write, "write"), (fstab_request.break_glass, "break-glass")):
        with pytest.raises(RefusedFault, match=f"the request of 'fstab {action}' is malformed: Expecting value"):
            parse("")


def test_what_lies_beneath_is_asked_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(command, "run", lambda argv: ran.append(argv) or command.Said(0, "{}", ""))
    beneath.beneath("look", "/mnt/data")
    assert ran == [[sys.executable, "-I", "-S", "-X", "utf8", str(Path(beneath.__file__).parent), "bare", "look", "/mnt/data"]]


def test_the_process_that_asks_beneath_says_no_in_its_own_words() -> None:
    with pytest.raises(OSError, match=r"^'mnt' is no absolute, normalised path below /$"):
        beneath.beneath("look", "mnt")


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return how to ask a verb, whose systemctl only notes how it was called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path / "asked"}\n')
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setitem(command.ENVIRONMENT, "PATH", f"{tmp_path / 'bin'}:{command.ENVIRONMENT['PATH']}")

    def ask(action: str, asked: dict[str, Any], *words: str) -> Any:
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
        carried = [] if action == "look" or "--check" in words else claimed(monkeypatch)
        code = verbs.main(["--base", str(tmp_path / "home"), "fstab", action, "--run", "R1", *words, *carried])
        return code, json.loads(capsys.readouterr().out)

    return ask


def _asked(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {"entries": [ENTRY], "guards": [], "path": str(tmp_path / "fstab"), "make": [], "writable": [], **more}


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the new text is verified as a copy in /run, which is root's")


@needs_root
def test_what_is_on_record_is_written_with_mode_and_owner_kept_and_what_a_killed_run_left_beside_it_is_gone(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text("proc /proc proc defaults 0 0\n")
    fstab.chmod(0o640)
    os.chown(fstab, 0, 7)
    wanted = _asked(tmp_path, start=[{"file": "/mnt/data", "unit": "mnt-data.mount"}], reload=False)
    code, refused = ask("write", wanted)
    assert (code, refused["message"]) == (
        1,
        f"{fstab} was changed by somebody since this run recorded it in {tmp_path / 'home/R1'}. It was left alone. Run this again.",
    )
    assert fstab.read_text() == "proc /proc proc defaults 0 0\n"

    assert ask("record", _asked(tmp_path, undo="#!/bin/sh\n", readme=""))[0] == 0
    assert json.loads((tmp_path / "home/last-change.json").read_text())["run"] == "R1"
    (tmp_path / ".fstab.controlplane-new").write_text("half of i")
    code, answer = ask("write", wanted)
    assert (code, answer["changed"]) == (0, True)
    assert [(one["before_header"], one["after"]) for one in answer["diff"]] == [
        (str(fstab), fstab.read_text()),
        ("/mnt/data", "mounted by mnt-data.mount\n"),
    ]
    assert fstab.read_text() == f"proc /proc proc defaults 0 0\n{LINE}"
    assert (fstab.stat().st_mode & 0o777, fstab.stat().st_gid) == (0o640, 7)
    assert (tmp_path / "asked").read_text() == "daemon-reload\nstart mnt-data.mount\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["asked", "bin", "fstab", "home"]


@needs_root
def test_a_full_disk_leaves_fstab_as_it_was_and_nothing_beside_it(ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fstab").write_text("")
    assert ask("record", _asked(tmp_path, undo="", readme=""))[0] == 0

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, failed = ask("write", _asked(tmp_path, start=[], reload=False))
    assert (code, "No space left on device. Each file is as it was or written whole" in failed["message"]) == (1, True)
    assert (tmp_path / "fstab").read_text() == ""
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bin", "fstab", "home"]


def test_the_glass_is_broken_after_its_receipt_and_a_second_time_for_nothing(
    ask: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(break_glass, "UNITS", tmp_path / "units")
    guard = tmp_path / "units/docker.service.d/50-controlplane-mounts.conf"
    guard.parent.mkdir(parents=True)
    guard.write_text("[Unit]\n")
    who, place = {"who": "ops", "why": "the disk is dead"}, tmp_path / "home/R1/break-glass.json"
    (tmp_path / "home").mkdir()
    assert ask("break-glass", who, "--check") == (0, {"changed": True, "message": f"Guards to remove: {guard}."})
    assert (guard.exists(), place.exists()) == (True, False)
    assert ask("break-glass", who) == (0, {"changed": True, "message": f"Guards removed: {guard}. The receipt is {place}."})
    receipt = json.loads(place.read_text())
    assert (receipt["who"], receipt["why"], receipt["run"]) == ("ops", "the disk is dead", "R1")
    assert receipt["removed"] == [{"path": str(guard), "text": "[Unit]\n"}]
    assert ask("break-glass", who) == (0, {"changed": False, "message": f"Guards removed: none; there were no guards. The receipt is {place}."})
    assert (tmp_path / "asked").read_text() == "daemon-reload\ndaemon-reload\n"
