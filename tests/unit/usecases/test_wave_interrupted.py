"""A wave that is cut at any of its contacts with the world is led to the same end by the same commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.errors import InterruptedRunError, RefusedError
from controlplane.domain.receipt import open_intents
from controlplane.domain.waves.verified import unverified
from controlplane.ports.plays import StepResult
from tests.fakes.waves import FakeWaveSite

VERBS = ("open", "plan_wave", "approve", "run", "close")


class KilledError(BaseException):
    """A SIGKILL: nothing of the program runs on."""


def _site() -> FakeWaveSite:
    """Return one whose wave has two steps; a third would say nothing new and cost half as much again."""
    site = FakeWaveSite(approval="self")
    site.wave(capabilities=["storage.data_disk", "storage.fstab"], exit=[{"kind": "met", "checks": ["D240"]}], outputs=["pack"])
    return site


def _until(site: FakeWaveSite, verb: str) -> None:
    """Bring a new wave to just before this verb."""
    for earlier in VERBS[: VERBS.index(verb)]:
        getattr(site, earlier)()


def _contacts(verb: str) -> int:
    site = _site()
    _until(site, verb)
    site.arm(None)
    getattr(site, verb)()
    return site.world.count


def _cut(act: Callable[[], object], error: type[BaseException]) -> None:
    try:
        act()
    except (error, InterruptedRunError):
        return


def _refusal(act: Callable[[], object]) -> str:
    """Type a verb again, and return what it is refused with, nothing where it is not."""
    try:
        act()
    except RefusedError as refusal:
        return str(refusal)
    return ""


# What a verb says that was cut after its last write: it is done.
DONE = {"open": "is open already", "run": "no plan that did not run yet", "close": "is closed since"}


CASES: list[tuple[str, int, type[BaseException]]] = [(verb, at, KilledError) for verb in VERBS for at in range(1, _contacts(verb) + 1)]
# Ctrl-C is taken by the run itself, which then still has a word to say; every other verb just ends.
CASES += [("run", at, KeyboardInterrupt) for at in range(1, _contacts("run") + 1)]


@pytest.mark.parametrize(("verb", "at", "error"), CASES)
def test_a_verb_cut_at_any_contact_is_made_good_by_itself_and_once_more_changes_nothing(verb: str, at: int, error: type[BaseException]) -> None:
    site = _site()
    _until(site, verb)
    site.arm(at, error)
    _cut(getattr(site, verb), error)
    site.arm(None)

    for again in VERBS[VERBS.index(verb) :]:
        told = _refusal(getattr(site, again))
        assert told == "" or (again == verb and DONE[verb] in told)

    assert site.state() == "closed"
    assert site.next() is None
    assert site.host.formatted == 1
    assert open_intents(site.receipts.chain) == ()
    assert chain_faults(site.receipts.load()) == ()
    assert (site.said("open"), site.said("close")) == (["done"], ["done"])
    results = [one for one in site.receipts.chain if one.phase == "result" and one.plan]
    assert Counter(one.step for one in results) == {"mint-data/010": 1, "mint-data/020": 1, "*": 1}
    assert [(one.run, one.outcome) for one in site.record().plans if one.run] == [(results[0].run, "done")]
    # Wherever it was cut, the pack was run between the steps.
    assert unverified(site.receipts.chain, plans=[one.plan for one in site.record().plans], packs=site.record().packs) == ()
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    for third in ("run", "close", "plan_wave", "approve"):
        with pytest.raises(RefusedError):
            getattr(site, third)()
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)


def _gated() -> FakeWaveSite:
    """Return one whose wave demands the approval that its site does not."""
    site = FakeWaveSite()
    site.wave(capabilities=["storage.data_disk"], exit=[], entry=[{"kind": "approval"}])
    return site


def _gated_contacts() -> int:
    site = _gated()
    site.led()
    site.arm(None)
    site.run()
    return site.world.count


@pytest.mark.parametrize("at", range(1, _gated_contacts() + 1))
def test_a_run_that_is_cut_at_any_contact_needs_no_other_approval_when_its_own_is_over(at: int) -> None:
    site = _gated()
    site.led()
    site.arm(at, KilledError)
    _cut(site.run, KilledError)
    site.arm(None)
    begun = any(one.capability == "plan.apply" for one in site.receipts.chain)
    site.clock.time += timedelta(hours=30)
    told = _refusal(site.run)
    if not begun:
        assert "its approval expired at" in told
        site.approve()
        told = _refusal(site.run)
    assert told == "" or DONE["run"] in told
    whole = [one for one in site.receipts.chain if one.capability == "plan.apply"]
    assert [one.outcome for one in whole] == [None, "done"]
    assert [one.used_by for one in site.approvals.held.values()] == [whole[0].run]
    assert site.close().outcome == "closed"


def _failing() -> FakeWaveSite:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, capabilities=["storage.data_disk"], exit=[])
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    return site


def _failing_contacts() -> int:
    site = _failing()
    site.arm(None)
    site.run()
    return site.world.count


@pytest.mark.parametrize("at", range(1, _failing_contacts() + 1))
def test_a_host_that_failed_is_carved_out_once_wherever_the_run_is_cut(at: int) -> None:
    site = _failing()
    site.arm(at, KilledError)
    _cut(site.run, KilledError)
    site.arm(None)
    failed = [one for one in site.receipts.chain if one.host == "mint-data" and one.outcome == "failed" and one.plan]
    for _ in range(2):
        told = _refusal(site.run)
        assert told == "" or DONE["run"] in told

    assert [one.host for one in site.record().carved] == ["mint-data"]
    assert site.said("carve") == ["failed"]
    assert chain_faults(site.receipts.load()) == ()
    assert open_intents(site.receipts.chain) == ()
    again = [one for one in site.receipts.chain if one.host == "mint-data" and one.outcome == "failed" and one.plan]
    assert len(again) == 1
    assert failed in ([], again)
    assert {one.outcome for one in site.receipts.chain if one.host == "two" and one.phase == "result" and one.plan} == {"done"}
    assert site.close().outcome == "closed with hosts carved out"


def _abort_contacts() -> int:
    site = _site()
    site.open()
    site.arm(None)
    site.abort()
    return site.world.count


@pytest.mark.parametrize("at", range(1, _abort_contacts() + 1))
def test_an_abort_cut_at_any_contact_is_said_once_and_the_wave_opens_again(at: int) -> None:
    site = _site()
    site.open()
    site.arm(at, KilledError)
    with pytest.raises(KilledError):
        site.abort()
    site.arm(None)
    told = _refusal(site.abort)
    assert told == "" or "is aborted since" in told
    assert (site.state(), site.said("abort")) == ("aborted", ["interrupted"])
    assert site.open().attempt != site.store.attempts[0].record["attempt"]


def test_a_wave_whose_plan_this_program_no_longer_carries_out_is_planned_anew_by_its_own_verb() -> None:
    site = _site()
    _until(site, "run")
    anew = "make a new one: controlplane wave plan W1"
    site.roles.content = site.roles.content | {"fstab/tasks/main.yml": b"[] # changed\n"}
    assert _refusal(site.run).lower().endswith(f"nothing was changed. {anew}".lower())
    site.plan_wave()
    site.approve()
    site.host.probes["identity"]["machine_id"] = "m2"
    assert _refusal(site.run).lower().endswith(f"nothing was changed. {anew}".lower())
    site.plan_wave()
    site.approve()
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    run = str(site.run().run)
    site.roles.content = site.roles.content | {"fstab/tasks/main.yml": b"[] # changed again\n"}
    assert _refusal(site.run).endswith(f"or take it back, controlplane rollback {run}, then {anew}")
    assert site.rollback(run).outcome == "rolled-back"
    site.plan_wave()
    site.approve()
    assert site.run().outcome == "done"
    assert site.close().outcome == "closed"
