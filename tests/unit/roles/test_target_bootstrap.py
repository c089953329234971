"""What a baseline asks of systemd: all units by one call, and no word of it taken for another unit's."""

from __future__ import annotations

from typing import Any

import pytest
from controlplane_target import bootstrap
from controlplane_target.faults import FailedFault


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Let systemd know of some units, and return how it was asked."""
    calls: list[tuple[str, ...]] = []
    known = {
        "ssh.service": ("loaded", "enabled", "active"),
        "sshd.service": ("loaded", "enabled", "active"),
        "made.service": ("loaded", "generated", "active"),
        "cron.service": ("loaded", "enabled", "inactive"),
        "docker.socket": ("loaded", "disabled", "active"),
        "x.service": ("masked", "masked", "inactive"),
    }

    def systemctl(*words: str, **_: Any) -> str:
        calls.append(words)
        names = words[words.index("--") + 1 :]
        blocks = [known.get(name, ("not-found", "", "inactive")) for name in names]
        return "\n".join(f"LoadState={load}\nActiveState={active}\nUnitFileState={enabled}\n" for load, enabled, active in blocks)

    monkeypatch.setattr(bootstrap, "systemctl", systemctl)
    return calls


def test_units_are_asked_for_by_one_call_and_each_has_its_own_answer(asked: list[tuple[str, ...]]) -> None:
    names = ["ssh.service", "sshd.service", "made.service", "cron.service", "docker.socket", "gone.service", "x.service", "ssh.service"]
    states = bootstrap.unit_states(names)
    assert len(asked) == 1
    assert list(states) == names[:-1]
    assert states["docker.socket"] == {"load": "loaded", "enabled": "disabled", "active": "active"}
    assert states["gone.service"] == {"load": "not-found", "enabled": "", "active": "inactive"}
    assert bootstrap.asleep(states) == ["cron.service", "docker.socket", "gone.service", "x.service"]


def test_no_unit_is_no_call(asked: list[tuple[str, ...]]) -> None:
    assert (bootstrap.unit_states([]), asked) == ({}, [])


def test_a_systemd_that_does_not_tell_of_each_is_doubt(asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "systemctl", lambda *_: "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n")
    with pytest.raises(FailedFault, match=r"told of 1 units, and 2 were asked for: ssh\.service, cron\.service"):
        bootstrap.unit_states(["ssh.service", "cron.service"])
    assert asked == []
