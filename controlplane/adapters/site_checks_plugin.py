"""Loaded into the pytest that runs a site's checks: gives tests the `host` of each machine, and writes how each test ended.

It works in a process of its own, whose environment names a private folder: `routes.json` says how machines are reached, `outcomes.json` is written.
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
ROUTES, OUTCOMES = "routes.json", "outcomes.json"
_NO_TEXT = "it gave no reason"
# ssh's own exit code.
_NOT_REACHED = 255


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Any:
    """Return testinfra's host, asked over the connection that collects evidence."""
    given = _given()
    known_hosts = given["known_hosts"]
    return connect(InventoryHost.model_validate(given["hosts"][request.param]), Path(known_hosts) if known_hosts else None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes `host` once a machine."""
    if "host" in metafunc.fixturenames:
        names = sorted(_given()["hosts"])
        metafunc.parametrize("host", names, ids=names, scope="module", indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how one phase of one test ended; the worst of its phases is what it comes to."""
    report = yield
    asked = getattr(getattr(item, "callspec", None), "params", {}).get("host")
    # Without a single host pytest puts a mark of its own there, and skips the test.
    machine = asked if isinstance(asked, str) else ""
    name = _named(item, machine)
    kept = _outcomes.setdefault(item.nodeid, {"test": name, "host": machine, "outcome": "none", "reason": ""})
    if report.failed:
        kept |= {"outcome": "failed" if report.when == "call" and _is_said(call) else "error", "reason": _said(call)}
    elif report.skipped:
        kept |= {"outcome": "skipped", "reason": _said(call)}
    elif report.when == "call" and kept["outcome"] == "none":
        kept["outcome"] = "passed"
    return report


def pytest_sessionfinish() -> None:
    """Write how all of them ended."""
    Path(os.environ[FOLDER], OUTCOMES).write_text(json.dumps(list(_outcomes.values())))


_outcomes: dict[str, dict[str, str]] = {}


def _given() -> dict[str, Any]:
    return dict(json.loads(Path(os.environ[FOLDER], ROUTES).read_text()))


def _named(item: pytest.Item, machine: str) -> str:
    """Return the test's name in its file, with the cases that it was given and without the machine."""
    name = ".".join(item.nodeid.split("::")[1:]) or item.name
    cases = getattr(getattr(item, "callspec", None), "id", "")
    if not machine or not name.endswith(f"[{cases}]"):
        return name
    others = f"-{cases}-".replace(f"-{machine}-", "-", 1).strip("-")
    return name.removesuffix(f"[{cases}]") + (f"[{others}]" if others else "")


def _is_said(call: pytest.CallInfo[None]) -> bool:
    """Say whether the test itself said no. Another exception, or a machine that ssh did not reach, is no answer."""
    fault = call.excinfo.value if call.excinfo is not None else None
    return isinstance(fault, AssertionError | pytest.fail.Exception) and getattr(next(iter(fault.args), None), "exit_status", 0) != _NOT_REACHED


def _said(call: pytest.CallInfo[None]) -> str:
    told = str(call.excinfo.value) if call.excinfo is not None else _NO_TEXT
    # What pytest shows of an assertion below its message is for a developer.
    said = told.splitlines()[0] if told.startswith("assert ") else told.partition("\nassert ")[0]
    return " ".join(said.split())[:600] or _NO_TEXT
