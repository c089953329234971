"""Files in /tmp go by name, only as the plan saw them; a removal that was cut off does the rest, and leaves what may not go any more."""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import purge_users, tmp_files
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.purge_users import Users
from controlplane_target.state import Home, Run

from controlplane.adapters.collector.tmp import mark_of


def used(monkeypatch: pytest.MonkeyPatch, end: str = "") -> None:
    """Let somebody have the paths open that end so, nobody any without."""
    told = ["tail (pid 7) has it open"]
    monkeypatch.setattr(purge_users, "look", lambda path: Users(told if end and path.endswith(end) else [], is_stood_on=False))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    used(monkeypatch)
    monkeypatch.setattr(tmp_files, "_ROOTS", (str(tmp_path),))
    return Home(tmp_path / "home")


def made(home: Home, *names: str) -> list[dict[str, str]]:
    found = []
    for name in names:
        path = home.base.parent / name
        path.write_text(name)
        os.utime(path, (1, 1))
        found.append({"path": str(path), "mark": str(tmp_files.mark_of(str(path)))})
    return found


def act(home: Home, monkeypatch: pytest.MonkeyPatch, action: str, items: list[dict[str, str]]) -> dict[str, Any]:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"items": items})))
    return tmp_files.act(home, argparse.Namespace(run="R1", action=action, check=False))


def there(home: Home) -> list[str]:
    return sorted(path.name for path in home.base.parent.iterdir() if path.is_file())


def run(home: Home) -> Run:
    return home.run("R1")


def test_what_is_named_goes_and_is_on_record(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    items = made(home, "a", "b", "other")[:2]
    assert act(home, monkeypatch, "refuse", items)["present"] == [one["path"] for one in items]
    assert act(home, monkeypatch, "remove", items)["changed"] is True
    assert (there(home), run(home).phase, run(home).state["removed"]) == (["other"], "done", [one["path"] for one in items])
    assert act(home, monkeypatch, "prove", items)["told"] == {"removed": [one["path"] for one in items]}
    assert act(home, monkeypatch, "remove", items)["changed"] is False


def test_one_that_was_written_to_since_refuses_all_as_long_as_nothing_was_removed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    items = made(home, "a", "b")
    (home.base.parent / "b").write_text("new")
    with pytest.raises(RefusedFault, match=r"b is another file by now, or was written to since\. Nothing was changed\. Make a new plan"):
        act(home, monkeypatch, "remove", items)
    assert there(home) == ["a", "b"]


@pytest.mark.parametrize("why", ["is another file by now", "is in use"])
def test_a_removal_that_was_cut_off_does_the_rest_and_leaves_what_may_not_go_any_more(home: Home, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    items = made(home, "a", "b", "c")
    (home.base.parent / "a").unlink()
    run(home).write(role=tmp_files.ROLE, phase="removing", removed=[items[0]["path"]])
    if why == "is in use":
        used(monkeypatch, "b")
    else:
        (home.base.parent / "b").write_text("new")
    assert act(home, monkeypatch, "refuse", items)["present"] == [one["path"] for one in items[1:]]

    with pytest.raises(FailedFault, match=f"b {why}.* so it was left. What was removed is in .*R1/state.json; make a new plan for the rest"):
        act(home, monkeypatch, "remove", items)
    assert (there(home), run(home).state["removed"]) == (["b"], [items[0]["path"], items[2]["path"]])


def test_a_file_that_came_in_the_place_of_one_that_was_removed_is_nobodys_here(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    items = made(home, "a", "b")
    run(home).write(role=tmp_files.ROLE, phase="removing", removed=[items[0]["path"]])
    (home.base.parent / "a").write_text("new")
    act(home, monkeypatch, "remove", items)
    assert (there(home), run(home).phase) == (["a"], "done")


def test_one_that_was_noted_and_not_removed_any_more_when_it_was_killed_is_removed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    items = made(home, "a", "b")
    run(home).write(role=tmp_files.ROLE, phase="removing", removed=[items[0]["path"]])
    act(home, monkeypatch, "remove", items)
    assert (there(home), run(home).state["removed"]) == ([], [one["path"] for one in items])


def test_one_that_can_not_be_removed_is_not_on_record_and_keeps_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    items = made(home, "a", "b")
    unlink = os.unlink

    def refusing(path: str, **more: Any) -> None:
        if path == "a":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, **more)

    monkeypatch.setattr(tmp_files.os, "unlink", refusing)
    with pytest.raises(FailedFault, match=r"a can't be removed: Operation not permitted\. What was removed is in"):
        act(home, monkeypatch, "remove", items)
    assert (there(home), run(home).state["removed"]) == (["a"], [items[1]["path"]])


def test_a_path_anywhere_else_is_refused_also_by_a_run_that_goes_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    [item] = made(home, "a")
    run(home).write(role=tmp_files.ROLE, phase="removing", removed=[])
    with pytest.raises(RefusedFault, match="'/etc/passwd' is no path below"):
        act(home, monkeypatch, "remove", [item, {"path": "/etc/passwd", "mark": "2:3:4"}])
    assert there(home) == ["a"]


_LOOK = purge_users.look


def test_one_that_a_service_has_open_by_another_name_is_in_use_and_one_that_has_only_the_name_of_another_is_not(
    home: Home, monkeypatch: pytest.MonkeyPatch, inside: Callable[..., subprocess.Popen[str]]
) -> None:
    monkeypatch.setattr(purge_users, "look", _LOOK)
    private, tmp = home.base.parent / "systemd-private-1/tmp", home.base.parent / "tmp"
    for folder in (private, tmp):
        folder.mkdir(parents=True)
    # As with PrivateTmp: what it calls tmp is a folder in the host's.
    process = inside(f"echo log > {private}/log; touch -d @1 {private}/log; mount --bind {private} {tmp}", tmp / "log")
    ours, theirs = made(home, "tmp/log", "plain"), {"path": str(private / "log"), "mark": str(tmp_files.mark_of(str(private / "log")))}

    with pytest.raises(RefusedFault, match=rf"{private}/log is in use: \S+ \(pid {process.pid}\) has {tmp}/log open\. Nothing was changed"):
        act(home, monkeypatch, "remove", [theirs, *ours])
    assert act(home, monkeypatch, "remove", ours)["removed"] == [one["path"] for one in ours]
    process.communicate()
    assert act(home, monkeypatch, "refuse", [theirs])["present"] == [theirs["path"]]


def test_a_file_is_the_same_whatever_number_its_disk_has_and_the_collector_says_it_in_the_same_words(tmp_path: Path) -> None:
    file = tmp_path / "left"
    file.write_bytes(b"x")
    here = file.stat()
    elsewhere = os.stat_result((*here[:2], here.st_dev + 1, *here[3:10]), {"st_mtime_ns": here.st_mtime_ns})
    assert mark_of(here) == mark_of(elsewhere) == tmp_files.mark_of(str(file))
