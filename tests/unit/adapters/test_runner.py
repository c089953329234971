"""Playbooks run with an environment of our own, leave nothing behind, and end whole when they are ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters import runner
from controlplane.adapters.ansible_project import configuration, control_directory, inventory_json
from controlplane.adapters.process_tree import ProcessTree, children_with
from controlplane.adapters.runner import Event, run_playbook
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.inventory import InventoryHost

pytestmark = pytest.mark.slow

CANARY = "c4nary-Zx9"
LOCAL: dict[str, str | int | bool] = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}


def _inventory(*names: str, **variables: Any) -> bytes:
    hosts = [InventoryHost(name=name, variables=LOCAL) for name in names]
    return inventory_json(hosts, variables=dict.fromkeys(names, variables), control_dir=control_directory())


def _play(*tasks: dict[str, Any]) -> dict[str, bytes]:
    return {"play.yml": json.dumps([{"hosts": "all", "gather_facts": False, "tasks": list(tasks)}]).encode()}


def _raw(command: str, **more: Any) -> dict[str, Any]:
    return {"name": "Do it", "ansible.builtin.raw": command, **more}


def test_events_come_as_they_happen_and_failures_are_told_by_host(tmp_path: Path) -> None:
    heard: list[Event] = []
    result = run_playbook(
        _play(_raw("echo told; test {{ inventory_hostname }} = good")),
        playbook="play.yml",
        inventory=_inventory("good", "bad"),
        on_event=heard.append,
        work_dir=tmp_path,
    )
    assert (result.outcome, result.rc, result.unreachable) == ("failed", 2, {})
    assert result.failed == {"bad": "Do it: non-zero return code: told"}
    told = [event["event_data"]["res"]["stdout"] for event in heard if event.get("event") == "runner_on_ok"]
    assert told == ["told\n"]
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_ours_and_secrets_are_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED_FROM_SHELL", "leaked")
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    found: list[str] = []
    read: set[str] = set()
    printed: list[str] = []

    def look(event: Event) -> None:
        # os.walk passes over a folder that is gone by the time it is entered.
        for file in (Path(folder, name) for folder, _, names in os.walk(tmp_path) for name in names):
            # Ansible renames its event files while this looks: one that is gone by now is read under its new name at the next event.
            with contextlib.suppress(FileNotFoundError):
                content = file.read_bytes() if file.is_file() else b""
                read.add(file.name)
                found.extend(str(file) for mark in (CANARY, "leaked") if mark.encode() in content)
        printed.append(str((event.get("event_data") or {}).get("res", {}).get("stdout", "")))

    result = run_playbook(
        _play(_raw('test -n "$SECRET" && env | cut -d= -f1; echo checking=$ANSIBLE_HOST_KEY_CHECKING')),
        playbook="play.yml",
        inventory=_inventory("one"),
        env={"SECRET": CANARY},
        on_event=look,
        work_dir=tmp_path,
    )
    assert result.outcome == "done"
    assert found == []
    assert {"play.yml", "hosts.json", "ansible.cfg"} <= read
    assert "checking=True" in "".join(printed)
    assert "LEAKED_FROM_SHELL" not in "".join(printed)


def test_python_on_a_host_is_the_systems_own_whatever_path_leads_to(tmp_path: Path) -> None:
    (tmp_path / "shims").mkdir()
    for name in ("python", "python3", *(f"python3.{minor}" for minor in range(8, 20))):
        shim = tmp_path / "shims" / name
        shim.write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/asked\nexit 1\n")
        shim.chmod(0o755)
    plain = InventoryHost(name="one", variables={"ansible_connection": "local"})
    result = run_playbook(
        _play({"name": "Do it", "ansible.builtin.command": {"argv": ["true"]}}),
        playbook="play.yml",
        inventory=inventory_json([plain], variables={}, control_dir=control_directory()),
        env={"PATH": f"{tmp_path}/shims:{Path(sys.executable).parent}:{os.environ['PATH']}"},
        work_dir=tmp_path,
    )
    assert (result.outcome, result.failed) == ("done", {})
    assert not (tmp_path / "asked").exists()


def test_what_is_started_leaves_the_callers_input_alone() -> None:
    """As in `while read host; do controlplane …; done < hosts`: who reads along takes the other hosts away."""
    script = f"""
import json, sys
from controlplane.adapters.runner import run_playbook
play = [{{"hosts": "all", "gather_facts": False, "tasks": [{{"ansible.builtin.raw": "cat"}}]}}]
hosts = {{"all": {{"hosts": {{"one": {LOCAL!r}}}}}}}
done = run_playbook({{"play.yml": json.dumps(play).encode()}}, playbook="play.yml", inventory=json.dumps(hosts).encode(), timeout=60)
print(done.outcome, sys.stdin.read().split())
"""
    told = subprocess.run([sys.executable, "-c", script], input="second\nthird\n", capture_output=True, text=True, timeout=120, check=False)
    assert told.stdout.strip().splitlines()[-1] == "done ['second', 'third']", told.stdout + told.stderr


def test_each_run_has_a_private_folder_of_its_own(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def look(_event: Event) -> None:
        seen.extend((path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir())

    for _ in range(2):
        assert run_playbook(_play(_raw("true")), playbook="play.yml", inventory=_inventory("one"), on_event=look, work_dir=tmp_path).rc == 0
    assert {mode for _, mode in seen} == {0o700}
    assert len({name for name, _ in seen}) == 2


def test_a_loop_that_fails_says_which_items_and_why(tmp_path: Path) -> None:
    task = _raw("echo no {{ item }} here; false", loop=["cron", "at"])
    result = run_playbook(_play(task), playbook="play.yml", inventory=_inventory("bad"), work_dir=tmp_path)
    assert result.failed == {"bad": "Do it: cron: non-zero return code: no cron here; at: non-zero return code: no at here"}


def test_only_the_items_of_the_task_that_failed_are_told_and_none_that_is_not_to_be_shown(tmp_path: Path) -> None:
    ignored = _raw("echo no {{ item }} here; false", loop=["cron", "at"]) | {"ignore_errors": True}
    unlike = _raw("echo {{ item }}; [ {{ item }} = at ]", loop=["cron", "at"])
    secret = _raw("echo {{ item }}; false", loop=["sesame"]) | {"no_log": True}
    told = [
        run_playbook(_play(ignored, last), playbook="play.yml", inventory=_inventory("bad"), work_dir=tmp_path).failed for last in (unlike, secret)
    ]
    assert told == [{"bad": "Do it: cron: non-zero return code: cron"}, {"bad": "Do it: Ansible gave no reason"}]


def test_a_playbook_that_can_t_be_read_says_why(tmp_path: Path) -> None:
    result = run_playbook({"play.yml": b"- hosts: [\n"}, playbook="play.yml", inventory=_inventory("one"), work_dir=tmp_path)
    assert result.outcome == "failed"
    assert "play.yml" in result.said


def test_values_with_template_marks_are_refused_before_anything_runs() -> None:
    host = InventoryHost(name="one", variables={"ansible_host": "{{ lookup('pipe', 'touch /tmp/ran') }}"})
    with pytest.raises(InputInvalidError, match="template marks"):
        inventory_json([host], variables={}, control_dir=Path("/run"))


def test_two_ways_to_reach_one_address_never_share_a_connection() -> None:
    routes = [InventoryHost(name="one", variables={"ansible_host": "10.0.0.1", "ansible_ssh_common_args": args}) for args in ("-J a", "-J b")]
    paths = {
        json.loads(inventory_json([route], variables={}, control_dir=Path("/c")))["all"]["hosts"]["one"]["ansible_control_path"] for route in routes
    }
    assert len(paths) == 2


def test_a_file_that_would_leave_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leaves the project folder"):
        run_playbook({"../../x": b""}, playbook="x", inventory=_inventory("one"), work_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def _sleepers(mark: str) -> list[str]:
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
    return [line for line in lines if line.startswith(f"sleep {mark}")]


def test_an_interrupt_ends_everything_before_the_run_returns(tmp_path: Path) -> None:
    mark = f"300.{os.getpid()}"
    started = threading.Event()

    def interrupt() -> None:
        started.wait(30)
        deadline = time.monotonic() + 30
        while not _sleepers(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    result = run_playbook(
        _play(_raw(f"sleep {mark}")),
        playbook="play.yml",
        inventory=_inventory("one", "two"),
        on_event=lambda _event: started.set(),
        work_dir=tmp_path,
    )
    thread.join()
    assert (result.outcome, result.left_running) == ("interrupted", False)
    assert _sleepers(mark) == []
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_check_mode_changes_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    task = {"name": "Make it", "ansible.builtin.file": {"path": str(mark), "state": "touch"}}
    for check in (True, False):
        assert run_playbook(_play(task), playbook="play.yml", inventory=_inventory("one"), check=check).outcome == "done"
        assert mark.exists() is not check


def test_an_interrupt_while_it_gets_ready_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**asked: Any) -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        return configuration(**asked)

    monkeypatch.setattr(runner, "configuration", interrupted)
    events: list[Event] = []
    result = run_playbook(_play(_raw("true")), playbook="play.yml", inventory=_inventory("one"), on_event=events.append, work_dir=tmp_path)
    assert (result.outcome, result.left_running, events) == ("interrupted", False, [])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_takes_too_long_is_ended_and_says_so(tmp_path: Path) -> None:
    mark = f"301.{os.getpid()}"
    result = run_playbook(_play(_raw(f"sleep {mark}")), playbook="play.yml", inventory=_inventory("one"), timeout=3, work_dir=tmp_path)
    assert result.outcome == "timeout"
    assert _sleepers(mark) == []


def test_a_run_of_which_something_is_left_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = ProcessTree.end

    def all_but_one(tree: ProcessTree, *, grace: float) -> bool:
        """As where a process hangs in the kernel and not even SIGKILL ends it."""
        end(tree, grace=grace)
        return False

    monkeypatch.setattr(ProcessTree, "end", all_but_one)
    result = run_playbook(_play(_raw("sleep 304")), playbook="play.yml", inventory=_inventory("one"), timeout=2, work_dir=tmp_path)
    assert (result.outcome, result.left_running) == ("timeout", True)


def test_a_listener_s_bug_ends_the_run_and_is_raised(tmp_path: Path) -> None:
    def bug(_event: Event) -> None:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        run_playbook(_play(_raw("sleep 302")), playbook="play.yml", inventory=_inventory("one"), on_event=bug, work_dir=tmp_path)


def test_a_process_that_ignores_sigterm_and_its_orphans_are_ended() -> None:
    script = "trap '' TERM; setsid sleep 303.1 & setsid sh -c 'sleep 303.2 & sleep 303.3' & wait"
    process = subprocess.Popen(["sh", "-c", script, "a-mark-of-ours"])
    deadline = time.monotonic() + 10
    while len(_sleepers("303")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    roots = children_with("a-mark-of-ours")
    assert [root.pid for root in roots] == [process.pid]
    assert ProcessTree(roots).end(grace=0.3) is True
    assert _sleepers("303") == []
    process.wait()
