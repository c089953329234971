"""What a wave does not close on: a run beside it that is open, and, where it only looks, files of the site that changed meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.registers import Registers
from controlplane.domain.waves.record import record_of
from controlplane.ports.plays import StepResult
from controlplane.usecases.record_run import Ledger
from tests.fakes.waves import MOVE, FakeWaveSite

LOOK: dict[str, Any] = {"goal": "look", "mutation": "none", "read_only": ["mint-data"], "gaps": ["GAP-OP-1"]}


def registers(status: str = "open") -> Registers:
    loops = {"LOOP-A": {"title": "a"}}
    return Registers.model_validate({"loops": loops, "gaps": {"GAP-OP-1": {"title": "t", "status": status, "loops": ["LOOP-A"]}}}, strict=False)


def refusal(site: FakeWaveSite, name: str) -> str:
    before = site.record(name)
    with pytest.raises(RefusedError) as refused:
        site.close(name)
    assert (site.state(name), site.record(name), site.said("close")) == ("open", before, [])
    return str(refused.value)


# --- runs beside it


@pytest.mark.parametrize("mutation", ["none", "governance"])
def test_a_wave_that_changes_no_machine_does_not_close_while_a_run_is_open_on_a_host_that_it_looks_at(mutation: str) -> None:
    site = FakeWaveSite({"W0": LOOK | {"mutation": mutation}, "W1": MOVE})
    site.open("W0")
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    run = site.record().plans[-1].run

    told = refusal(site, "W0")

    assert told.startswith("wave W0 does not close, it stays open: an earlier run left receipts unclosed: CAP-")
    assert f"on mint-data since 2026-01-02T12:0{0}" in told
    assert f"Resume it by controlplane wave run W1, or take it back: controlplane rollback {run}. A machine is gone for good?" in told
    assert told.endswith('. Then: controlplane wave close W0 --attest "..."')
    assert site.run().outcome == "done"
    assert site.close("W0").outcome == "closed"


def test_a_wave_of_changes_does_not_close_while_a_run_beside_it_is_open_on_a_host_that_it_only_looks_at() -> None:
    site = FakeWaveSite({"W1": MOVE | {"hosts": ["two"], "read_only": ["mint-data"], "exit": []}}, hosts=("mint-data", "two"))
    site.open()
    key = "CAP-20260102-130000__plan.apply__R0001"
    ledger = Ledger(site.receipts, site.clock, run=key, site="lab", plan="sha256:another", policy="x", operator="bob@desk")
    ledger.intend(key, host="mint-data", capability="storage.fstab", step="mint-data/010")

    told = refusal(site, "W1")

    assert f"an earlier run left receipts unclosed: {key} on mint-data since " in told
    assert "End this attempt, which keeps it off: controlplane wave abort W1 --reason \"...\". Then: Resume it by 'controlplane apply'" in told
    ledger.close(key, host="mint-data", capability="storage.fstab", step="mint-data/010", outcome="done")
    assert site.close().outcome == "closed"


@pytest.mark.parametrize("undoes", [None, "CAP-20260102-120000__release.deploy__R0000"])
def test_a_run_of_a_release_goes_on_by_its_own_verbs(undoes: str | None) -> None:
    site = FakeWaveSite({"W0": LOOK})
    site.open("W0")
    key = "CAP-20260102-130000__release.deploy__R0001"
    ledger = Ledger(site.receipts, site.clock, run=key, site="lab", plan="sha256:another", policy="x", operator="bob@desk")
    ledger.intend(key, host="mint-data", capability="release.deploy", step="mint-data/010", undoes=undoes)

    told = refusal(site, "W0")

    assert f". Go on with it as 'controlplane release status' says. A machine is gone for good? controlplane runs abandon {key}" in told
    assert ("rollback" in told, "apply" in told) == (False, False)


def test_of_a_run_that_deletes_no_way_back_is_named() -> None:
    site = FakeWaveSite({"W0": LOOK, "W1": MOVE})
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    site.open("W0")
    site.plan_wave("storage.purge")
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    run = site.run().run
    abandon = f'A machine is gone for good? controlplane runs abandon {run} --reason "..."'

    assert f". Resume it by controlplane wave run W1. {abandon}. Then: " in refusal(site, "W0")
    for act in (site.close, site.plan_wave):
        with pytest.raises(RefusedError) as refused:
            act()
        assert str(refused.value).endswith(f"run {run} is not closed. Go on: controlplane wave run W1. {abandon}")


def test_the_way_back_of_an_earlier_attempt_needs_no_end_of_this_one() -> None:
    site = FakeWaveSite({"W1": MOVE | {"exit": []}})
    site.led()
    run = str(site.run().run)
    site.abort()
    site.open()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.rollback(run).outcome == "interrupted"
    open_step = next(one for one in site.receipts.chain if one.undoes is not None)

    told = refusal(site, "W1")

    assert told.endswith(
        f". Go on with it: controlplane rollback {open_step.undoes}. A machine is gone for good? controlplane runs abandon {run} "
        '--reason "...". Then: controlplane wave close W1 --attest "..."'
    )
    assert site.rollback(run).outcome == "rolled-back"
    assert site.close().outcome == "closed"


def test_a_run_of_an_earlier_attempt_that_came_from_elsewhere_is_taken_back() -> None:
    site = FakeWaveSite({"W1": MOVE | {"exit": []}})
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    run = str(site.run().run)
    site.abort()
    before, site.receipts.chain = site.receipts.chain, []
    site.open()
    site.receipts.chain = before

    told = refusal(site, "W1")

    assert f". Take it back: controlplane rollback {run}. A machine" in told
    assert "abort" not in told
    assert site.rollback(run).outcome == "rolled-back"
    assert site.close().outcome == "closed"


# --- files that change while it looks


def _promoted(site: FakeWaveSite) -> None:
    gates = site.governance.gates.model_copy(update={"modes": {"D235": {"mint-data": "enforce"}}})
    site.governance = type(site.governance)(gates=gates, registers=site.governance.registers, waves=site.governance.waves)


def _gap_closed(site: FakeWaveSite) -> None:
    site.governance = type(site.governance)(gates=site.governance.gates, registers=registers("fixed"), waves=site.governance.waves)


def _policy(site: FakeWaveSite) -> None:
    site.view = site.view.model_copy(update={"policy_digest": "sha256:other"})


def _other_wave(site: FakeWaveSite) -> None:
    site.wave("W1", goal="another one")


@pytest.mark.parametrize(
    ("change", "told"), [(_promoted, "gates.yml"), (_gap_closed, "registers/"), (_policy, "policy.yml"), (_other_wave, "waves/")]
)
def test_a_wave_that_only_looks_does_not_close_on_files_that_changed_while_it_was_open(change: Any, told: str) -> None:
    site = FakeWaveSite({"W0": LOOK, "W1": MOVE}, registers=registers())
    kept = site.governance, site.view
    site.open("W0")
    change(site)

    assert refusal(site, "W0") == (
        f"wave W0 does not close, it stays open: {told} changed since it was opened, and it only looks (mutation: none). Take that back, and change "
        'it after the wave; or end this attempt (controlplane wave abort W0 --reason "..."), and open the wave anew. '
        "A wave that changes the site's own files says mutation: governance"
    )

    site.governance, site.view = kept
    assert site.close("W0").outcome == "closed"
    # What it showed is acted on afterwards.
    change(site)
    assert site.state("W0") == "closed"


def test_a_wave_of_governance_closes_on_files_that_changed_and_so_does_one_from_before_they_were_kept() -> None:
    site = FakeWaveSite({"W0": LOOK | {"mutation": "governance"}, "W1": MOVE, "W2": LOOK}, registers=registers())
    site.open("W0")
    site.open("W2")
    for held in site.store.attempts:
        older = {name: value for name, value in held.record.items() if name != "governing"}
        assert record_of(older).governing is None
        site.store.attempts = [one.model_copy(update={"record": older}) if one.wave == held.wave == "W2" else one for one in site.store.attempts]
    _promoted(site)
    _gap_closed(site)
    assert site.record("W0").governing is None
    assert (site.close("W0").outcome, site.close("W2").outcome) == ("closed", "closed")
