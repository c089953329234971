"""Two at one Redis: a run's verb and the host itself, which brings up what a power cut left half made anew."""

from __future__ import annotations

import argparse
import io
import json
import sys
import threading
from pathlib import Path

import pytest
from controlplane_target import redis_down, redis_verbs
from controlplane_target.faults import FailedFault, RefusedFault
from controlplane_target.redis_aof import Request
from controlplane_target.state import Home, Run

ASKED = {"container": "cache", "settings": {"appendonly": "yes"}, "persist": [], "route": "compose", "file": "", "port": 6379}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A host without Docker, on which nothing was done yet, and the request on standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(ASKED)))
    return Home(tmp_path / "home")


def act(home: Home, action: str, *, check: bool = False) -> None:
    redis_verbs.act(home, argparse.Namespace(run="R1", of=None, action=action, check=check))


@pytest.mark.parametrize(("action", "check"), [("refuse", False), ("turn-on", True), ("persist", True)])
def test_who_only_looks_leaves_nothing_on_the_host(home: Home, action: str, check: bool) -> None:
    with pytest.raises((FailedFault, RefusedFault)):
        act(home, action, check=check)
    assert not home.base.exists()


@pytest.mark.parametrize(("action", "check"), [("refuse", False), ("turn-on", True), ("turn-on", False), ("prove", False), ("undo", False)])
def test_what_does_not_end_is_told_and_not_waited_for_for_ever(home: Home, monkeypatch: pytest.MonkeyPatch, action: str, check: bool) -> None:
    monkeypatch.setattr(redis_verbs, "_SETTLING_S", 0.0)
    home.run("R1").write(asked=ASKED)
    with home.lock("redis"), pytest.raises(RefusedFault, match=r"\.redis\.lock: the same work runs already\. Nothing was changed\. Wait for it\.$"):
        act(home, action, check=check)


def test_who_waited_goes_by_what_stands_in_the_journal_then(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    phases: list[str] = []

    def settle(run: Run, _request: Request) -> dict[str, object]:
        phases.append(run.phase)
        return {}

    monkeypatch.setattr(redis_down, "settle", settle)
    home.run("R1").write(asked=ASKED, phase="making-anew")
    waiting = threading.Thread(target=act, args=(home, "settle"))
    began = threading.Event()
    parse = redis_verbs.redis_aof.parse

    def parsed(asked: dict[str, object]) -> Request:
        began.set()
        return parse(asked)

    monkeypatch.setattr(redis_verbs.redis_aof, "parse", parsed)
    with home.lock("redis"):
        waiting.start()
        # Its journal was read by then.
        assert began.wait(20)
        home.run("R1").write(phase="done")
    waiting.join(20)
    assert phases == ["done"]
