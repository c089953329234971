"""Fixtures of the tests that run on lab machines: each test gets fresh machines, and none outlives it."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.lab import open_lab
from controlplane.adapters.lab.home import of_live_test
from controlplane.adapters.lab.lab import Lab, MachineStatus
from controlplane.adapters.lab.requirements import missing_reason
from tests.unit.adapters.coordination.cluster import Cluster
from tests.unit.adapters.coordination.cluster import missing_reason as no_server

_NUMBERS = itertools.count(1)
# Begun first, so that none of them is what all others wait for at the end.
_LONGEST = (
    "test_releases.py",
    "test_whole_move.py",
    "test_example_site.py",
    "test_redis_aof_killed.py",
    "test_docker_data_root.py",
    "test_path_killed.py",
    "test_whole_move_killed.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files that take longest begin first; a file's own tests keep their order."""
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))


class LabMachine:
    """One started machine; `data_file` is what a policy's `loop_file` names."""

    def __init__(self, lab: Lab, status: MachineStatus) -> None:
        self.lab = lab
        self.status = status
        self.name = status.name

    @property
    def data_file(self) -> Path:
        return Path(self.status.data_file)

    @property
    def data_device(self) -> str:
        return self.status.data_device

    @property
    def ssh_config(self) -> Path:
        return self.lab.ssh_config

    def run(self, argv: Sequence[str], *, stdin: bytes | Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a program as root over ssh; the caller judges its exit code."""
        return self.lab.run(self.name, argv, stdin=stdin, timeout=timeout)

    def sh(self, script: str, *, timeout: float = 300) -> str:
        """Run a shell script that has to succeed, and return its output."""
        done = self.run(["bash", "-euo", "pipefail", "-c", script], timeout=timeout)
        assert done.returncode == 0, f"{self.name}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def reboot(self) -> None:
        self.status = self.lab.reboot(self.name)

    def cut(self) -> None:
        """Cut the power; `up` starts it again."""
        self.lab.cut(self.name)

    def up(self, **options: Any) -> None:
        """Start it again on the disks that it has; `data_disk` is "own", "none" or "foreign"."""
        [self.status] = self.lab.up([self.name], **options)

    def down(self) -> None:
        self.lab.down([self.name])


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, cleaned of machines of test runs that were killed; skips with its reason where it can't run."""
    if reason := missing_reason():
        pytest.skip(f"the lab can't run here: {reason}")
    opened = open_lab()
    stale = [name for name in opened.known() if re.fullmatch(r"t-\d+-\d+", name) and not of_live_test(name)]
    if stale:
        opened.down(stale, destroy=True)
    return opened


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """A PostgreSQL server, for stores that several controllers share; skips with its reason where there can't be one."""
    if reason := no_server():
        pytest.skip(reason)
    started = Cluster()
    yield started
    started.stop()


@pytest.fixture
def machine(lab: Lab) -> Iterator[Callable[..., LabMachine]]:
    """Make fresh started machines: `machine()`, `machine(data_disk=False, engine="20.10", services=True)`; options as `Lab.up`."""
    names: list[str] = []

    def make(name: str = "", *, data_disk: bool | str = True, services: bool = False, **options: Any) -> LabMachine:
        chosen = name or f"t-{os.getpid()}-{next(_NUMBERS)}"
        names.append(chosen)
        disk = {True: "own", False: "none"}.get(data_disk, data_disk) if isinstance(data_disk, bool) else data_disk
        [status] = lab.reset([chosen], data_disk=disk, services=services, **options)
        return LabMachine(lab, status)

    yield make
    if names:
        lab.down(names, destroy=True)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Any]:
    """A real registry for the time of the test (see `tests.releases.registry`); skips with its reason where there can be none."""
    from tests.releases.registry import Registry, missing

    if reason := missing():
        pytest.skip(reason)
    with Registry(tmp_path / "registry") as started:
        yield started
