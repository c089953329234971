"""What a baseline asks of systemd, by one call for all units, and in which order one verb brings it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import bootstrap, bootstrap_verbs, packages
from controlplane_target.faults import FailedFault
from controlplane_target.state import Home


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


def _brought(monkeypatch: pytest.MonkeyPatch, home: Path, **ends: Any) -> tuple[list[str], Any]:
    """Let each step of a baseline end as it is said; return the steps that were begun, and what came of them all."""
    begun: list[str] = []

    def step(name: str) -> Any:
        def end(*_: Any, **__: Any) -> dict[str, Any]:
            begun.append(name)
            if isinstance(ends[name], Exception):
                raise ends[name]
            return dict(ends[name])

        return end

    for module, name in ((bootstrap, "configure"), (packages, "install"), (bootstrap, "switch_on")):
        monkeypatch.setattr(module, name, step(name))
    wanted = bootstrap.Wanted(packages=["tini"], units=[], docker={}, mounts=[], files=[])
    try:
        return begun, bootstrap_verbs._brought(Home(home).run("R1"), wanted, repair=False)
    except FailedFault as fault:
        return begun, fault


@pytest.mark.parametrize("changed", ["configure", "install", "switch_on", None])
def test_files_packages_and_units_come_in_this_order_by_one_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str | None) -> None:
    ends = {
        name: {"changed": name == changed, key: [name]} for name, key in (("configure", "written"), ("install", "installed"), ("switch_on", "units"))
    }
    begun, answer = _brought(monkeypatch, tmp_path, **ends)
    assert begun == ["configure", "install", "switch_on"]
    assert answer == {"changed": changed is not None, "written": ["configure"], "installed": ["install"], "units": ["switch_on"]}


def test_no_unit_is_switched_on_where_the_packages_did_not_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = FailedFault("apt-get ended with 100")
    assert _brought(monkeypatch, tmp_path, configure={"changed": True}, install=ended) == (["configure", "install"], ended)
