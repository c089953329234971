"""A host that reboots is asked each second until it answers, over a connection of its own each time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from tests.unit.roles.loading import action

reboot = action("target_run", "target_run_reboot")


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the action with a connection that counts how often it was closed, and a clock that its own sleep moves."""
    now = [0.0]
    monkeypatch.setattr(reboot.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(reboot.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    made = reboot.ActionModule.__new__(reboot.ActionModule)
    closed: list[float] = []
    made._connection = SimpleNamespace(reset=lambda: closed.append(now[0]))
    return SimpleNamespace(action=made, closed=closed, now=now)


def test_it_is_asked_until_it_answers(asking: Any) -> None:
    answers = iter([AnsibleConnectionFailure("refused"), ValueError("boot time has not changed"), None])

    def ask(**_: Any) -> None:
        answer = next(answers)
        if answer:
            raise answer

    asking.action.do_until_success_or_timeout(ask, 300, "last boot time check", {})
    assert (asking.now, asking.closed) == ([2.0], [0.0, 1.0])


def test_a_host_that_stays_away_is_told_with_the_last_reason(asking: Any) -> None:
    def ask(**_: Any) -> None:
        raise AnsibleConnectionFailure("no route to host")

    with pytest.raises(reboot.TimedOutException, match=r"last boot time check \(timeout=5\): no route to host"):
        asking.action.do_until_success_or_timeout(ask, 5, "last boot time check", {})
    assert asking.now == [5.0]


def test_nothing_is_gathered_from_the_host() -> None:
    assert reboot.ActionModule.get_distribution(None, {}) == {"name": "linux", "version": "", "family": "linux"}
