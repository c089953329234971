"""Loaded into the pytest that runs files of a site: gives tests the `host` of each machine, and writes what tests there are and how each ended.

It works in a process of its own, whose environment names a private folder: `given.json` says how machines are reached, `outcomes.jsonl` is written,
a line for each test when it is found, begins and ends. So a test that never ended is known as well as one that did.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.verification import connect
from controlplane.domain.inventory import InventoryHost

FOLDER = "CONTROLPLANE_CHECKS"
GIVEN, OUTCOMES = "given.json", "outcomes.jsonl"
_NO_TEXT = "it gave no reason"
# ssh's own exit code.
_NOT_REACHED = 255
# A child that a test forked goes on with the tests as well; what it finds is nobody's answer.
_PROCESS = os.getpid()


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Any:
    """Return testinfra's host, asked over the connection that collects evidence."""
    held = given()
    known_hosts = held["known_hosts"]
    return connect(InventoryHost.model_validate(held["hosts"][request.param]), Path(known_hosts) if known_hosts else None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes `host` once a machine."""
    if "host" in metafunc.fixturenames:
        names = sorted(given()["hosts"])
        metafunc.parametrize("host", names, ids=names, scope="module", indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Write that there is this test, whatever becomes of it."""
    machine = _machine(item)
    _write({"is": "test", "id": item.nodeid, "file": item.nodeid.partition("::")[0], "test": _named(item, machine), "host": machine})


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write which files can't be read, or skip themselves."""
    if not report.passed:
        _write({"is": "broken", "file": report.nodeid, "outcome": "skipped" if report.skipped else "error", "reason": _why_broken(report)})


def pytest_runtest_logstart(nodeid: str) -> None:
    """Write that this test begins."""
    _write({"is": "begun", "id": nodeid})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how one phase of one test ended; the worst of its phases is what it comes to."""
    report = yield
    kept = _outcomes.setdefault(item.nodeid, {"outcome": "none", "reason": "", "fault": "", "phase": "", "reached": True, "seconds": 0.0})
    kept["seconds"] = round(kept["seconds"] + call.duration, 3)
    expected = getattr(report, "wasxfail", None)
    if report.failed:
        said = "failed" if report.when == "call" and _is_said(call) else "error"
        kept |= {"outcome": said, "reason": _said(call, report), "fault": _fault(call), "phase": report.when, "reached": _is_reached(call)}
    elif report.skipped:
        kept |= {"outcome": "skipped", "reason": _said(call, report) if expected is None else f"expected to fail: {expected or _said(call, report)}"}
    elif report.when == "call" and expected is not None:
        kept |= {"outcome": "skipped", "reason": f"expected to fail, and passed: {expected or _NO_TEXT}"}
    elif report.when == "call" and kept["outcome"] == "none":
        kept["outcome"] = "passed"
    return report


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Write how this test ended."""
    if nodeid in _outcomes:
        _write({"is": "ended", "id": nodeid, **_outcomes[nodeid]})


def pytest_sessionfinish() -> None:
    """Write that it came to its end."""
    _write({"is": "end"})


_outcomes: dict[str, dict[str, Any]] = {}


def given() -> dict[str, Any]:
    """Return what this run was given."""
    return dict(json.loads(Path(os.environ[FOLDER], GIVEN).read_text()))


def _write(entry: dict[str, Any]) -> None:
    if os.getpid() == _PROCESS:
        with Path(os.environ[FOLDER], OUTCOMES).open("a") as file:
            file.write(json.dumps(entry) + "\n")


def _machine(item: pytest.Item) -> str:
    asked = getattr(getattr(item, "callspec", None), "params", {}).get("host")
    # Without a single host pytest puts a mark of its own there, and skips the test.
    return asked if isinstance(asked, str) else ""


def _named(item: pytest.Item, machine: str) -> str:
    """Return the test's name in its file, with the cases that it was given and without the machine."""
    name = ".".join(item.nodeid.split("::")[1:]) or item.name
    cases = getattr(getattr(item, "callspec", None), "id", "")
    if not machine or not name.endswith(f"[{cases}]"):
        return name
    others = f"-{cases}-".replace(f"-{machine}-", "-", 1).strip("-")
    return name.removesuffix(f"[{cases}]") + (f"[{others}]" if others else "")


def _exception(call: pytest.CallInfo[None]) -> BaseException | None:
    return call.excinfo.value if call.excinfo is not None else None


def _is_said(call: pytest.CallInfo[None]) -> bool:
    """Say whether the test itself said no. Another exception, or a machine that ssh did not reach, is no answer."""
    return isinstance(_exception(call), AssertionError | pytest.fail.Exception) and _is_reached(call)


def _is_reached(call: pytest.CallInfo[None]) -> bool:
    return getattr(next(iter(getattr(_exception(call), "args", ())), None), "exit_status", 0) != _NOT_REACHED


def _fault(call: pytest.CallInfo[None]) -> str:
    fault = _exception(call)
    return "" if fault is None else type(fault).__name__


def _said(call: pytest.CallInfo[None], report: pytest.TestReport) -> str:
    """Return the message, in all of its lines. What pytest shows of an assertion below it is for a developer."""
    told = str(call.excinfo.value) if call.excinfo is not None else report.longrepr
    if not isinstance(told, str):
        return _NO_TEXT
    said = told.splitlines()[0] if told.startswith("assert ") else told.partition("\nassert ")[0]
    return said if said.strip() else _NO_TEXT


def _why_broken(report: pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    # The exception stands in the lines that begin so; the rest is source and traceback.
    lines = [line[1:].strip() for line in str(report.longrepr).splitlines() if line.startswith("E  ")]
    return next((line for line in reversed(lines) if line), _NO_TEXT)
