"""A pytest plugin: one line per finished drill in a journal, so that a run that was killed goes on with the next drill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

_MOST_WHY = 400


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return its lines; one that a kill cut short tells of a drill that did not end."""
    whole, _, _ = (path.read_text() if path.exists() else "").rpartition("\n")
    return [dict(json.loads(line)) for line in whole.splitlines()]


def last_attempts(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the newest line of each drill, by its name."""
    return {line["drill"]: line for line in lines}


def line_of(seed: int, name: str, phases: Sequence[pytest.TestReport]) -> dict[str, Any]:
    """Return what the journal says of one drill."""
    failed = [phase for phase in phases if phase.failed]
    told = {key: value for phase in phases if phase.when == "teardown" for key, value in phase.user_properties}
    line = {
        "seed": seed,
        "drill": name,
        "point": "",
        **told,
        "outcome": "failed" if failed else "passed",
        "seconds": round(sum(phase.duration for phase in phases)),
    }
    if failed:
        why = next((row[1:].strip() for row in failed[0].longreprtext.splitlines() if row.startswith("E ")), "no reason was given")
        line["why"] = why if len(why) <= _MOST_WHY else f"{why[:_MOST_WHY]}…"
    return line


class Journal:
    """The journal of one seed."""

    def __init__(self, path: Path, seed: int, *, again: bool = False) -> None:
        self._path, self._seed = path, seed
        self._phases: list[pytest.TestReport] = []
        lines = read_journal(path)
        self._done = {name for name, line in last_attempts(lines).items() if line["outcome"] == "passed" or not again}
        path.parent.mkdir(parents=True, exist_ok=True)
        # The next line must not become a part of one that was cut short.
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what is done."""
        config.hook.pytest_deselected(items=[item for item in items if _name(item.nodeid) in self._done])
        items[:] = [item for item in items if _name(item.nodeid) not in self._done]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._phases.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        phases, self._phases = self._phases, []
        # A skipped drill says nothing about the product: the next run tries again. So does one that Ctrl-C ended.
        if any(phase.failed for phase in phases) or [phase.when for phase in phases if phase.passed] == ["setup", "call", "teardown"]:
            with self._path.open("a") as file:
                file.write(json.dumps(line_of(self._seed, _name(nodeid), phases)) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("drills")
    group.addoption("--journal", type=Path, required=True, help="the file")
    group.addoption("--seed", type=int, required=True, help="what chooses the points of power cuts")
    group.addoption("--again", action="store_true", help="run what failed once more")
    group.addoption("--points", type=int, required=True, help="how many power cuts in each job")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Journal(config.getoption("journal"), config.getoption("seed"), again=config.getoption("again")), "journal")


def _name(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].removeprefix("test_")
