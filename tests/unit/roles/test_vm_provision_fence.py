"""A module of a role changes the host while the play's lease can't be taken, and not at all without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import lease
from controlplane_target.faults import RefusedFault
from controlplane_target.state import Home

from tests.unit.roles.loading import module_util

fence = module_util("vm_provision", "vm_provision_fence")
PACKAGE = Path(lease.__file__).parent


class _EndedError(Exception):
    """The module ended."""


class _Module:
    def __init__(self, words: list[str]) -> None:
        self.params = {"fence": words}

    def fail_json(self, msg: str) -> None:
        raise _EndedError(msg)


def _never(_unit: str) -> bool:
    return False


def _take(home: Home, run: str, holder: str, now: float, **more: Any) -> dict[str, Any]:
    return lease.take(home, run, holder, role="fstab", ttl_s=600, now=now, host="mint-data", unit_active=_never, **more)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "controlplane")


def _words(home: Home, token: int) -> list[str]:
    tool = [sys.executable, "-B", str(PACKAGE), "--base", str(home.base)]
    return [*tool, "lease", "hold", "--run", "R1", "--holder", "ann@desk", "--token", str(token), "--"]


def test_while_a_module_changes_the_host_nobody_takes_the_lease(home: Home) -> None:
    _take(home, "R1", "ann@desk", 0)
    with fence.held(_Module(_words(home, 1))), pytest.raises(RefusedFault, match="a change that began before still works here"):
        _take(home, "R2", "bob@lap", 0, take_over="R1")
    assert _take(home, "R2", "bob@lap", 0, take_over="R1")["token"] == 2


def test_a_module_that_fails_lets_go(home: Home) -> None:
    _take(home, "R1", "ann@desk", 0)
    with pytest.raises(_EndedError, match="no space"), fence.held(_Module(_words(home, 1))):
        raise _EndedError("no space")
    assert _take(home, "R2", "bob@lap", 0, take_over="R1")["token"] == 2


@pytest.mark.parametrize(
    ("token", "words"),
    [(2, "run R1 carries token 2, the host's is 1. Nothing was changed."), (None, "This play took no lease, so it changes nothing.")],
)
def test_a_module_without_the_lease_changes_nothing(home: Home, token: int | None, words: str) -> None:
    _take(home, "R1", "ann@desk", 0)
    changed = []
    with pytest.raises(_EndedError) as ended, fence.held(_Module(_words(home, token) if token else [])):
        changed.append("something")
    assert words in str(ended.value)
    assert changed == []


def test_what_can_not_be_asked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(_EndedError, match=r"can't open file"), fence.held(_Module([sys.executable, str(tmp_path / "nothing")])):
        pytest.fail("it changed something")
