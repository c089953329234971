"""What a wave file may say, and in which order its hosts go."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from controlplane.domain.waves.order import batch_of, stop_before
from controlplane.domain.waves.rules import wave_faults
from controlplane.domain.waves.values import Wave

BASE: dict[str, Any] = {
    "goal": "g",
    "mutation": "controlled",
    "hosts": ["a", "b"],
    "read_only": ["c"],
    "capabilities": ["storage.fstab"],
    "pack": "mint",
}


def faults(**changed: Any) -> list[str]:
    data = {name: value for name, value in (BASE | changed).items() if value is not None}
    known = {"hosts": ("a", "b", "c", "d"), "checks": ("D235",), "packs": ("mint", "other"), "capabilities": ("storage.fstab",), "waves": ("W1",)}
    return [f"{'.'.join(map(str, place))}: {reason}" for place, reason in wave_faults(data, **known)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, []),
        ({"hosts": ["a", "x"]}, ["hosts.1: x is no host of policy.yml: name one that it governs"]),
        ({"hosts": ["a", "a"]}, ["hosts.1: a is named twice: once is enough"]),
        ({"read_only": ["a"]}, ["read_only.0: a is among the hosts that it changes: leave it out of one of the two"]),
        ({"capabilities": ["storage.magic"]}, ["capabilities.0: there is no storage.magic; there are storage.fstab"]),
        ({"hosts": []}, ["hosts: is empty, so the wave changes no host: name some, or write mutation: none"]),
        ({"capabilities": []}, ["capabilities: is empty, so the wave may use no capability: name some, or write mutation: none"]),
        (
            {"mutation": "governance", "capabilities": []},
            ["hosts: belongs to mutation: controlled, and this says governance: hosts that are only looked at are read_only"],
        ),
        ({"pack": "none"}, ["pack: there is no pack none in gates.yml: define it there, or name one of mint, other"]),
        (
            {"mutation": "governance", "hosts": [], "read_only": [], "capabilities": []},
            ["pack: is run on the wave's hosts, and it names none: put those that are only looked at under read_only"],
        ),
        ({"entry": [{"kind": "checks", "checks": ["D1"]}]}, ["entry.0.checks.0: D1 is no check"]),
        (
            {"exit": [{"kind": "met", "checks": ["D235"], "hosts": ["d"]}]},
            ["exit.0.hosts.0: d is no host of this wave, so nothing would be judged of it: put it under read_only"],
        ),
        ({"exit": [{"kind": "met", "checks": ["D235"], "hosts": ["x"]}]}, ["exit.0.hosts.0: x is no host of policy.yml"]),
        ({"exit": [{"kind": "pack", "pack": "other"}]}, ["exit.0.pack: other is not the pack that this wave runs: write pack: other"]),
        ({"pack": None, "exit": [{"kind": "pack", "pack": "mint"}]}, ["exit.0.pack: mint is not the pack that this wave runs: write pack: mint"]),
        ({"exit": [{"kind": "pack", "pack": "x"}]}, ["exit.0.pack: there is no pack x in gates.yml"]),
        ({"entry": [{"kind": "closed", "wave": "W9"}]}, ["entry.0.wave: there is no waves/W9.yml"]),
        ({"exit": [{"kind": "window"}]}, ["exit.0.kind: window is asked before changes, so it belongs under entry"]),
    ],
)
def test_a_wave_file_is_told_every_fault(changed: dict[str, Any], told: list[str]) -> None:
    assert faults(**changed) == told


def test_what_is_no_wave_at_all_has_no_further_faults() -> None:
    assert list(wave_faults([], hosts=None, checks=(), packs=(), capabilities=(), waves=())) == []


@pytest.mark.parametrize(
    "wrong", [{"failure_limit": -1}, {"batch": 0}, {"mutation": "all"}, {"entry": [{"kind": "luck"}]}, {"gaps": ["X"]}, {"x": 1}]
)
def test_a_wave_with_a_wrong_field_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Wave.model_validate(BASE | wrong)


def test_the_canary_goes_alone_and_the_others_by_batch() -> None:
    wave = Wave.model_validate(BASE | {"hosts": ["a", "b", "c", "d", "e"], "batch": 2, "read_only": []})
    assert [batch_of(wave, host, wave.hosts) for host in wave.hosts] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("limit", "failed", "told"),
    [
        (0, [], [None] * 5),
        (0, ["a"], [None] + ["1 of 5 hosts failed (a), limit 0"] * 4),
        (0, ["b"], [None, None, None, "1 of 5 hosts failed (b), limit 0", "1 of 5 hosts failed (b), limit 0"]),
        (1, ["a"], [None] * 5),
        (1, ["a", "c"], [None, None, None, "2 of 5 hosts failed (a, c), limit 1", "2 of 5 hosts failed (a, c), limit 1"]),
        (2, ["a", "c"], [None] * 5),
    ],
)
def test_the_limit_is_looked_at_between_two_batches(limit: int, failed: list[str], told: list[str | None]) -> None:
    wave = Wave.model_validate(BASE | {"hosts": ["a", "b", "c", "d", "e"], "batch": 2, "failure_limit": limit, "read_only": []})
    assert [stop_before(wave, host, wave.hosts, failed) for host in wave.hosts] == told
