"""What a preflight says: how every entry gate stands, and what else would keep the wave from opening."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from controlplane.usecases.open_wave import preflight
from tests.fakes.waves import BOB, MOVE, FakeWaveSite

NIGHT = (Window(start="22:00", end="23:00"),)
LOOK: dict[str, Any] = {"goal": "look", "mutation": "none", "read_only": ["mint-data"]}


def test_preflight_judges_every_gate_for_anyone_and_keeps_evidence_from_before_the_change_only() -> None:
    site = FakeWaveSite(view={"windows": NIGHT}, approval="self")
    assert site.preflight() == {"window": "DRIFTED", "approval": "DRIFTED", "undo": "DRIFTED"}
    assert site.state() is None
    site.open()
    first = site.record().preflight
    site.plan_wave()
    site.approve()
    assert site.preflight(by=BOB) == {"window": "DRIFTED", "approval": "DRIFTED", "undo": "MET"}
    assert site.record().preflight == first
    site.preflight()
    before = site.record().preflight
    assert before != first
    site.clock.time = site.clock.time.replace(hour=22)
    site.approve()
    site.run()
    site.preflight()
    assert site.record().preflight == before


# What `open` refuses, and under which line the preflight says the same.
def _unreached(site: FakeWaveSite) -> None:
    site.evidence.unreached = {"mint-data": "no route to host"}


def _leased(site: FakeWaveSite) -> None:
    state = site.host.probes["target_state"]
    state["lease"] = {
        "run": "CAP-20260102-110000__docker.data_root__R0001",
        "holder": "bob@desk",
        "token": 1,
        "taken_at": "2026-01-02T11:00:00Z",
        "expires_at": "2126-01-02T11:30:00Z",
    }


def _left_open(site: FakeWaveSite) -> None:
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    site.run()
    site.abort()


def _left_open_where_it_looks(site: FakeWaveSite) -> None:
    _left_open(site)
    site.wave(mutation="governance", hosts=[], capabilities=[], read_only=["mint-data"])


def _beside(site: FakeWaveSite) -> None:
    site.open("W2", by=BOB)


def _lost_git(site: FakeWaveSite) -> None:
    def head() -> str:
        raise UnknownError("the history of inventory/lab is not known: git failed there")

    site.history.head = head  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("harm", "kind", "verdict", "told"),
    [
        (_unreached, "hosts", "UNKNOWN", "1 of 1 hosts could not be observed, limit 0 (mint-data: no route to host)"),
        (_leased, "leases", "DRIFTED", "mint-data is leased to run CAP-20260102-110000__docker.data_root__R0001 by bob@desk"),
        (_left_open, "receipts", "DRIFTED", "an earlier run left receipts unclosed: CAP-"),
        (_left_open_where_it_looks, "receipts", "DRIFTED", "an earlier run left receipts unclosed: CAP-"),
        (_beside, "waves", "DRIFTED", "wave W2 changes machines and is not ended (state open, held by bob@other"),
        (_lost_git, "history", "UNKNOWN", "the history of inventory/lab is not known: git failed there"),
    ],
)
def test_what_keeps_a_wave_from_opening_its_preflight_says_too(harm: Any, kind: str, verdict: str, told: str) -> None:
    site = FakeWaveSite({"W1": MOVE, "W2": MOVE})
    assert site.preflight() == {"undo": "DRIFTED"}
    harm(site)
    lines = {one.kind: one for one in preflight("W1", site.site(), site.wave_ports)}
    assert (lines[kind].verdict, told in lines[kind].reason, "Nothing was changed" in lines[kind].reason) == (verdict, True, False)
    assert {"hosts", "leases", "receipts", "waves", "history"} & lines.keys() == {kind}
    with pytest.raises(UnknownError if verdict == "UNKNOWN" else RefusedError) as refused:
        site.open()
    assert told in str(refused.value)


def test_the_preflight_of_a_wave_that_only_looks_has_nothing_of_changes_in_its_way() -> None:
    for harm, seen in ((_leased, {}), (_beside, {}), (_unreached, {"hosts": "UNKNOWN"}), (_left_open, {"receipts": "DRIFTED"})):
        site = FakeWaveSite({"W0": LOOK, "W1": MOVE, "W2": MOVE})
        harm(site)
        assert site.preflight("W0") == seen


def test_a_run_that_is_open_on_a_host_that_a_wave_of_changes_only_looks_at_keeps_it_from_opening() -> None:
    site = FakeWaveSite({"W1": MOVE, "W2": MOVE | {"hosts": ["two"], "read_only": ["mint-data"]}}, hosts=("mint-data", "two"))
    _left_open(site)
    run = next(one.run for one in site.receipts.chain if one.step == "*" and one.plan)
    assert site.preflight("W2") == {"receipts": "DRIFTED", "undo": "DRIFTED"}
    with pytest.raises(RefusedError) as refused:
        site.open("W2")
    assert f"Nothing was changed. Resume it by 'controlplane apply' with its plan file, or take it back: controlplane rollback {run}" in str(
        refused.value
    )
    assert site.state("W2") is None
    site.rollback(run)
    site.open("W2")


def test_a_waves_own_run_is_not_in_the_way_of_its_own_preflight() -> None:
    site = FakeWaveSite()
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    site.run()
    key = next(one.key for one in site.receipts.chain if one.step == "mint-data/010")
    _leased(site)
    site.host.probes["target_state"]["lease"]["run"] = key
    assert site.preflight().keys() == {"undo"}
