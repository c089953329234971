"""In which order Docker's units stop and start: on a systemd whose socket starts the daemon again, and whose units take their time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from controlplane_target import systemd, units
from controlplane_target.faults import FailedFault

SOCKET, DOCKER, CONTAINERD = "docker.socket", "docker.service", "containerd.service"


class _Systemd:
    """Docker's units as systemd has them: whoever asks the socket brings the daemon up, and the daemon needs its containerd and its socket."""

    def __init__(self, *up: str, known: Sequence[str] = (SOCKET, DOCKER, CONTAINERD), on_its_way: Sequence[str] = ()) -> None:
        self.up, self.known, self.on_its_way = set(up), set(known), set(on_its_way)
        self.asked: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert argv[0] == "systemctl"
        verb, unit = argv[1], argv[-1]
        if verb == "is-active":
            state = "activating" if unit in self.on_its_way else "active" if unit in self.up else "inactive"
            return self._said(state)
        if verb == "show":
            return self._said("loaded" if unit in self.known else "not-found")
        assert self.known >= {unit}, f"{verb} {unit}"
        self.asked.append((verb, unit))
        getattr(self, f"_{verb.replace('-', '_')}")(unit)
        return self._said("")

    def _stop(self, unit: str) -> None:
        self.up.discard(unit)
        self.on_its_way.discard(unit)
        # Somebody always asks: a cron job, a health check, a person.
        if unit == DOCKER and SOCKET in self.up:
            self.up.add(DOCKER)
        if unit == CONTAINERD and DOCKER in self.up:
            self.up.add(CONTAINERD)

    def _start(self, unit: str) -> None:
        if unit == DOCKER:
            assert self.up >= {SOCKET, CONTAINERD} & self.known, "the daemon would start on its own, before what it needs was told to"
        self.up.add(unit)

    def _reset_failed(self, unit: str) -> None:
        assert ("start", unit) not in self.asked

    @staticmethod
    def _said(out: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, out + "\n", "")


def told(monkeypatch: pytest.MonkeyPatch, host: _Systemd) -> _Systemd:
    monkeypatch.setattr(systemd, "subprocess", SimpleNamespace(run=host.run))
    return host


def test_the_socket_stops_first_then_the_daemon_then_containerd(monkeypatch: pytest.MonkeyPatch) -> None:
    host = told(monkeypatch, _Systemd(SOCKET, DOCKER, CONTAINERD))
    units.stop_units(units.running_units())
    assert host.asked == [("stop", SOCKET), ("stop", DOCKER), ("stop", CONTAINERD)]
    assert host.up == set()


@pytest.mark.parametrize("named", [[], [DOCKER], [CONTAINERD, DOCKER, SOCKET]], ids=["none", "the daemon alone", "the other way round"])
def test_what_runs_stops_whatever_was_noted_and_in_whatever_order(monkeypatch: pytest.MonkeyPatch, named: list[str]) -> None:
    host = told(monkeypatch, _Systemd(SOCKET, CONTAINERD, on_its_way=[DOCKER]))
    units.stop_units(named)
    assert host.asked == [("stop", SOCKET), ("stop", DOCKER), ("stop", CONTAINERD)]
    assert (host.up, host.on_its_way) == (set(), set())


def test_a_unit_that_neither_runs_nor_was_noted_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    host = told(monkeypatch, _Systemd(DOCKER, known=[DOCKER]))
    units.stop_units([DOCKER])
    assert host.asked == [("stop", DOCKER)]


def test_they_start_the_other_way_round_and_an_earlier_burst_of_starts_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    host = told(monkeypatch, _Systemd())
    units.start_units([SOCKET, DOCKER, CONTAINERD])
    assert host.asked == [(verb, unit) for unit in (CONTAINERD, SOCKET, DOCKER) for verb in ("reset-failed", "start")]
    assert host.up == {SOCKET, DOCKER, CONTAINERD}


def test_only_what_ran_before_and_is_still_known_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    host = told(monkeypatch, _Systemd(CONTAINERD, known=[DOCKER, CONTAINERD]))
    units.start_units([SOCKET, DOCKER])
    assert host.asked == [("reset-failed", DOCKER), ("start", DOCKER)]


def test_a_shim_that_stays_is_a_fault_that_names_it_and_one_that_ends_in_time_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "processes_left", lambda: ["containerd-shim-runc-v2 (7)"])
    with pytest.raises(
        FailedFault, match=r"after the stop of docker\.socket, docker\.service, containerd\.service there still run .*shim-runc-v2 \(7\)"
    ):
        units.assert_stopped(limit_s=0.1)
    left = iter([["dockerd (8)"], []])
    monkeypatch.setattr(units, "processes_left", lambda: next(left))
    units.assert_stopped(limit_s=5)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        *[(name, True) for name in ("containerd-shim", "containerd-shim-runc-v2", "dockerd", "docker-proxy", "containerd", "docker-containerd-shim")],
        *[(name, False) for name in ("docker", "containerd-stress", "dockerd-wrapper", "podman")],
    ],
)
def test_what_of_docker_s_may_not_be_left_is_told_by_its_program(name: str, counts: bool) -> None:
    assert bool(units._LEFT_BEHIND.fullmatch(name)) is counts
