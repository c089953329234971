"""A wave whose closing is on record and that the store does not call closed yet: a kill or another terminal came between the two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.anchors import AnchorFiles
from controlplane.adapters.signing import SshSigner
from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.run_list import run_rows
from controlplane.ports.plays import StepResult
from controlplane.usecases import run_wave
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.closed_waves import proven_state
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.refuse_wave_plan import every_attempt, refuse_wave_plan
from controlplane.usecases.verify_receipts import anchored
from controlplane.usecases.way_on import way_on
from tests.fakes.site import OPERATOR
from tests.fakes.waves import BOB, FakeWaveSite


class KilledError(BaseException):
    """A SIGKILL: nothing of the program runs on."""


def _refusal(act: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as refused:
        act()
    return str(refused.value)


def _faults(site: FakeWaveSite, folder: Path, *, length: int | None = None) -> list[str]:
    """Return what is wrong with the chain, or with its first receipts, by the closeouts that lie in the site's folder."""
    for name, content in site.folder.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    named = [(one.file_name(), one) for one in site.receipts.chain[:length]]
    _, loose = anchored(named, AnchorFiles(SshSigner(None, None), site=folder))
    return [f"{one.file.rpartition('/')[2]} {one.reason}" for one in loose]


def _second_closing_holds(site: FakeWaveSite, folder: Path) -> None:
    """Assert that both closeouts of an attempt hold the chain, each by its own receipt, and that the second one is missed with its end."""
    assert _faults(site, folder) == []
    first, second = [place for place, one in enumerate(site.receipts.chain) if (one.capability, one.phase) == ("wave.close", "result")]
    [told] = _faults(site, folder, length=first + 1)
    assert told.startswith("closeout-2.json was made when the chain had ")
    assert told.endswith(f" receipts, now it has {first + 1}: its end was cut off")
    for name, place in (("closeout.json", first), ("closeout-2.json", second)):
        path = next(folder.glob(f"state/waves/W1/*/{name}"))
        altered = site.folder.files[str(path.relative_to(folder))].replace(b"seen it", b"seen IT")
        held, site.folder.files = site.folder.files, {**site.folder.files, str(path.relative_to(folder)): altered}
        assert _faults(site, folder) == [f"{name} was altered: {site.receipts.chain[place].key} names another digest"]
        site.folder.files = held


def _closed_on_record_alone(*, resume: bool = False) -> FakeWaveSite:
    """Return a site whose wave was killed between the receipt of its closing and the store."""
    site = FakeWaveSite(approval="self")
    site.led()
    site.run()
    _killed_at(site, site.close, "write wave closed")
    assert (site.state(), site.said("close")) == ("changed", ["done"])
    if resume:
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
    return site


def _killed_at(site: FakeWaveSite, act: Callable[[], object], place: str) -> None:
    """Kill what this does at its first contact of that name."""
    site.arm(None)
    real = site.world.touch

    def touch(at: str) -> None:
        real(at)
        if at == place:
            raise KilledError

    site.world.touch = touch  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        act()
    site.world.touch = real  # type: ignore[method-assign]


@pytest.mark.parametrize("verb", ["plan_wave", "approve", "run", "purge"])
def test_a_wave_that_is_closed_on_record_goes_on_by_no_other_verb(verb: str) -> None:
    site = _closed_on_record_alone()
    key = next(one.key for one in site.receipts.chain if one.capability == "wave.close")
    assert site.next() == 'controlplane wave close W1 --attest "..."'
    before, plays = (site.store.find("W1"), list(site.receipts.chain), dict(site.folder.files)), list(site.runner.plays)
    told = _refusal(partial(site.plan_wave, "storage.purge") if verb == "purge" else getattr(site, verb))
    assert told.endswith(
        f": it was closed by {key}, and the store does not know that yet. Nothing was changed. Bring that to its end: "
        'controlplane wave close W1 --attest "..."'
    )
    assert (site.store.find("W1"), site.receipts.chain, site.folder.files) == before
    assert site.runner.plays == plays
    assert site.close().outcome == "closed"
    assert (site.state(), site.said("close"), open_intents(site.receipts.chain)) == ("closed", ["done"], ())


def test_a_preflight_of_a_wave_that_is_closed_on_record_is_kept_with_none() -> None:
    site = FakeWaveSite()
    site.wave(mutation="none", hosts=[], read_only=["mint-data"], capabilities=[], exit=[])
    site.open()
    _killed_at(site, site.close, "write wave closed")
    before = site.store.find("W1")
    assert site.preflight() == {}
    assert site.store.find("W1") == before
    assert site.close().outcome == "closed"


def test_a_run_of_the_wave_that_has_begun_no_step_keeps_it_from_closing_too() -> None:
    site = FakeWaveSite()
    site.led()
    site.run()
    asked = site.witness.answer

    def meanwhile(*given: Any) -> Any:
        site.witness.answer = asked  # type: ignore[method-assign]
        plan = site.record().plans[-1].plan
        ledger = Ledger(site.receipts, site.clock, run="CAP-9", site="lab", plan=plan, policy="x", operator=OPERATOR)
        ledger.intend("CAP-9", host="*", capability="plan.apply", step="*")
        return asked(*given)

    site.witness.answer = meanwhile  # type: ignore[method-assign]
    assert "CAP-9 (plan.apply on *, ann@desk) began or ended while its hosts were looked at" in _refusal(site.close)
    assert (site.state(), site.said("close")) == ("changed", [])


def test_whoever_takes_over_a_wave_that_is_closed_on_record_closes_it() -> None:
    site = _closed_on_record_alone(resume=True)
    assert site.close(by=BOB).attestation.by == OPERATOR
    assert (site.state(), site.said("close")) == ("closed", ["done"])


def test_a_wave_that_is_closed_on_record_and_can_not_be_closed_any_more_is_aborted() -> None:
    site = _closed_on_record_alone()
    site.folder.files = {name: content for name, content in site.folder.files.items() if "closeout" not in name}
    with pytest.raises(RunFailedError, match=r"closeout.json can't be read"):
        site.close()
    site.abort()
    assert (site.state(), site.next()) == ("aborted", "controlplane wave open W1")


def test_a_rollback_behind_a_closing_makes_it_count_for_nothing(tmp_path: Path) -> None:
    site = _closed_on_record_alone()
    first = dict(site.folder.files)
    site.rollback(str(site.record().plans[-1].run))

    assert site.next() == "controlplane wave plan W1"
    assert "Docker's data-root is /var/lib/docker" in _refusal(site.close)
    assert site.state() == "changed"
    site.plan_wave()
    site.approve()
    assert site.run().outcome == "done"
    made = site.close()

    assert [one.outcome for one in made.plans] == ["rolled-back", "done"]
    assert (site.state(), site.said("close")) == ("closed", ["done", "done"])
    # The receipt of the first one names its files: they are as they were.
    told = [one.told["file"] for one in site.receipts.chain if one.capability == "wave.close" and one.told]
    assert [name.rpartition("/")[2] for name in told] == ["closeout.json", "closeout-2.json"]
    assert first.items() <= site.folder.files.items()
    assert proven_state(site.store.attempts[-1], site.receipts.chain, site.folder.read) == "closed"
    _second_closing_holds(site, tmp_path)


@pytest.mark.parametrize("behind", [False, True], ids=["before the receipt", "behind the receipt"])
def test_a_run_that_begins_while_the_closing_is_signed_keeps_the_wave_open(behind: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site = FakeWaveSite(approval="self")
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    site.plan_wave("storage.purge")
    site.approve()
    real = site.receipts.append

    def meanwhile(receipt: Receipt) -> Receipt:
        if (receipt.capability, receipt.phase) != ("wave.close", "result"):
            return real(receipt)
        site.receipts.append = real  # type: ignore[method-assign]
        made = real(receipt) if behind else None
        # It had asked before the receipt was there.
        monkeypatch.setattr(run_wave, "refuse_closed", lambda *_: None)
        site.runner.ends = [StepResult(status="interrupted", message="", told={})]
        site.run()
        monkeypatch.undo()
        return made or real(receipt)

    site.receipts.append = meanwhile  # type: ignore[method-assign]
    told = _refusal(site.close)
    assert "a run or a rollback of it began or ended while CAP-" in told
    assert (site.state(), site.next()) == ("running", "controlplane wave run W1")
    assert "is not closed. Go on: controlplane wave run W1. A machine" in _refusal(site.close)
    assert site.run().outcome == "done"
    assert [one.capability for one in site.close().actions][-1] == "storage.purge"
    assert (site.state(), open_intents(site.receipts.chain)) == ("closed", ())
    _second_closing_holds(site, tmp_path)


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "closed on record alone"])
def test_a_run_that_asked_before_the_closing_does_not_begin_behind_it(killed: bool) -> None:
    site = FakeWaveSite(approval="self")
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    site.plan_wave("storage.purge")
    site.approve()
    real, plays, approval = site.evidence.collect, list(site.runner.plays), site.approvals.held[site.record().plans[-1].plan]

    def meanwhile(*given: Any, **more: Any) -> Any:
        site.evidence.collect = real  # type: ignore[method-assign]
        _killed_at(site, site.close, "write wave closed") if killed else site.close()
        return real(*given, **more)

    site.evidence.collect = meanwhile  # type: ignore[method-assign]
    told = _refusal(site.run)
    assert ("it was closed by CAP-" if killed else "wave W1 was ended by") in told
    assert "Nothing was changed." in told
    assert (open_intents(site.receipts.chain), site.runner.plays) == ((), plays)
    assert site.approvals.held[approval.plan] == approval
    if killed:
        site.close()
    assert (site.state(), site.said("close")) == ("closed", ["done"])


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_of_an_ended_wave_that_has_begun_a_step_is_resumed_or_taken_back(killed: bool) -> None:
    site = FakeWaveSite().led()
    site.runner.ends = [StepResult(status="unreachable", message="no route", told={})]
    run = str(site.run().run)
    if killed:
        _killed_at(site, site.abort, "wave aborted written")
    site.abort()
    [whole] = [one for one in open_intents(site.receipts.chain) if one.key == run]
    assert whole.key in (site.receipts.chain[-1].told or {})["unclosed"]
    told = f"Resume it by X, or take it back: controlplane rollback {run}"
    assert way_on(whole, site.receipts.chain, resume="by X") == told


def test_a_run_of_an_ended_wave_that_has_begun_no_step_is_closed_and_not_resumed_beside_it() -> None:
    site = FakeWaveSite(approval="self")
    site.led()
    _killed_at(site, site.run, "approval used")
    [run] = [one.run for one in open_intents(site.receipts.chain)]
    plan = site.ports.plans.get(site.record().plans[-1].plan)
    site.abort()

    def beside() -> None:
        refuse_wave_plan(plan, every_attempt(site.store), approvals=site.approvals, chain=site.receipts.chain, now=site.clock.now())

    assert _refusal(beside).endswith(f"its run {run} has begun no step. Nothing was changed. Close that run: controlplane rollback {run}")
    # Whatever else speaks of it names what is not refused, either.
    [row] = [one for one in run_rows(site.receipts.chain) if one.key == run]
    assert row.next.startswith(f"close it: controlplane rollback {run}; its machine is gone for good: controlplane runs abandon {run}")
    [whole] = open_intents(site.receipts.chain)
    told = f"It has begun no step, and its wave has ended. Close it: controlplane rollback {run}"
    assert way_on(whole, site.receipts.chain, resume="by 'controlplane apply' with its plan file") == told
    again = partial(abandon_run, run, site.view, operator=OPERATOR, reason="not needed", ports=site.ports, progress=lambda _: None)
    assert _refusal(again).endswith(f"Its wave has ended, and it has begun no step. Close it: controlplane rollback {run}")
    assert site.rollback(run).outcome == "rolled-back"
    assert (site.host.ran, open_intents(site.receipts.chain)) == ([], ())
