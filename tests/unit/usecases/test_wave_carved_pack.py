"""What a host that was carved out does to its wave: nothing any more, so that the rest can close by the pack and by the other gates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.waves.closeout import actions_of
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.run_gates import run_gates
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite


def two() -> FakeWaveSite:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=[{"kind": "pack", "pack": "mint"}], outputs=["pack"])
    return site.led()


def _passed_on_the_rest(site: FakeWaveSite, made: Any) -> None:
    """Assert that the pack passed, and says without whom: after the last step, and at the closing."""
    last, closing = made.evidence[-2:]
    assert (last.after[:4], last.passed, closing.after, closing.passed) == ("two/", True, "*", True)
    [gate] = [one for one in made.gates if one.kind == "pack"]
    assert (gate.verdict, gate.reason) == ("MET", f"{closing.run}, without mint-data, carved out of the wave")
    assert made.outcome == "closed with hosts carved out"
    ran = next(one for one in site.reports.held if one.run == closing.run)
    assert {one.host for one in ran.findings} == {"two"}


def test_a_host_whose_step_failed_keeps_no_other_from_closing_by_the_pack_and_remains() -> None:
    site = two()
    site.hosts["mint-data"].breaks_after = 1
    assert site.run().outcome == "failed"

    made = site.close()

    _passed_on_the_rest(site, made)
    assert "mint-data" in {one.host for one in made.remaining}


def test_a_host_that_is_gone_keeps_no_other_from_closing_by_the_pack() -> None:
    site = two()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}
    run = str(site.record().plans[-1].run)
    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)
    site.plan_wave()
    assert site.run().outcome == "done"

    _passed_on_the_rest(site, site.close())


def test_a_host_that_is_still_part_of_the_wave_keeps_it_from_closing_by_the_pack() -> None:
    site = two()
    site.hosts["mint-data"].breaks_after = 1
    site.run()
    site.hosts["two"].probes["docker_info"]["root"] = "/var/lib/docker"
    with pytest.raises(RefusedError, match=r"the pack passed after the last change: pack mint: CAP-.*: D235 on two"):
        site.close()


def test_where_every_host_was_carved_out_the_pack_says_how_they_stand_and_looks_at_no_other() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.led()
    site.host.breaks_after = 1
    site.run()
    [before, after] = site.record().packs
    assert (before.after, after.after, after.passed) == ("*", "mint-data/010", False)
    ran = next(one for one in site.reports.held if one.run == after.run)
    assert {one.host for one in ran.findings} == {"mint-data"}


# --- what is done on it afterwards


def stable() -> FakeWaveSite:
    """Return a wave of two hosts that wants two runs in a row, whose first host failed."""
    site = FakeWaveSite(hosts=("mint-data", "two"))
    exit_gates = [{"kind": "stable", "checks": ["D235"], "runs": 2, "interval": 60}, {"kind": "pack", "pack": "mint"}]
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=exit_gates)
    site.led()
    site.hosts["mint-data"].breaks_after = 2
    assert site.run().outcome == "failed"
    return site


def _way_back(site: FakeWaveSite) -> str:
    """Return what the failure names: the step that failed."""
    return next(one.key for one in site.receipts.chain if one.host == "mint-data" and one.outcome == "failed" and one.plan)


def test_the_way_back_of_a_host_that_failed_ends_no_streak_of_the_others() -> None:
    site = stable()
    run_gates(site.view, pack="mint", hosts=("two",), operator=OPERATOR, ports=site.wave_ports.gates)
    site.clock.time += timedelta(minutes=2)
    key = _way_back(site)
    assert site.rollback(key).outcome == "rolled-back"

    made = site.close()

    assert made.outcome == "closed with hosts carved out"
    # It is the wave's own, and listed.
    assert [one.outcome for one in made.actions if one.host == "mint-data"][-1] == "rolled-back"


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before", "meanwhile"])
def test_the_way_back_of_a_host_that_failed_may_be_under_way_while_the_others_are_closed(meanwhile: bool) -> None:
    site = stable()
    key, asked = _way_back(site), site.witness.answer
    run_gates(site.view, pack="mint", hosts=("two",), operator=OPERATOR, ports=site.wave_ports.gates)
    site.clock.time += timedelta(minutes=2)
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]

    def rolls_back(*given: Any) -> Any:
        site.witness.answer = asked  # type: ignore[method-assign]
        told = asked(*given)
        assert site.rollback(key).outcome == "interrupted"
        return told

    if meanwhile:
        site.witness.answer = rolls_back  # type: ignore[method-assign]
    else:
        assert site.rollback(key).outcome == "interrupted"

    assert site.close().outcome == "closed with hosts carved out"
    [still] = open_intents(site.receipts.chain)
    assert (still.host, still.undoes) == ("mint-data", key)


def test_the_way_back_of_a_host_that_failed_leaves_a_closing_behind_which_it_comes_as_it_is() -> None:
    site = stable()
    run_gates(site.view, pack="mint", hosts=("two",), operator=OPERATOR, ports=site.wave_ports.gates)
    site.clock.time += timedelta(minutes=2)
    real = site.store.write

    def killed(*given: Any, **more: Any) -> Any:
        if more.get("ended"):
            raise KeyboardInterrupt
        return real(*given, **more)

    site.store.write = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        site.close()
    site.store.write = real  # type: ignore[method-assign]
    assert site.rollback(_way_back(site)).outcome == "rolled-back"
    assert site.close().outcome == "closed with hosts carved out"
    assert (site.state(), site.said("close")) == ("closed", ["done"])


def test_what_strangers_do_on_a_host_that_was_carved_out_is_no_action_of_the_wave() -> None:
    site = stable()
    carved = next(place for place, one in enumerate(site.receipts.chain) if one.capability == "wave.carve")
    ledger = Ledger(site.receipts, site.clock, run="CAP-9", site="lab", plan="", policy="x", operator="bob@desk")
    for host in ("mint-data", "two"):
        ledger.intend(f"CAP-{host}", host=host, capability="host.reboot", step="reboot")
        ledger.close(f"CAP-{host}", host=host, capability="host.reboot", step="reboot", outcome="done")
    record = site.record()

    def told(chain: list[Receipt]) -> list[str]:
        return [one.receipt for one in actions_of("W1", chain, record, hosts=("mint-data", "two")) if one.capability == "host.reboot"]

    assert told(site.receipts.chain) == ["CAP-two"]
    # Before that it was the wave's; and what these receipts do not hold of a carving stands by its time.
    reboot, chain = site.receipts.chain[-4:-2], site.receipts.chain
    assert told([*chain[:carved], *reboot, *chain[carved:-4]]) == ["CAP-mint-data"]
    assert told([one for one in chain if one.capability != "wave.carve"]) == ["CAP-two"]
