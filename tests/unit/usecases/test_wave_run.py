"""What keeps a wave from running: windows, take-overs, failures, what was taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane import wiring
from controlplane.domain.errors import RefusedError, RunFailedError, UnknownError
from controlplane.domain.plan import Plan
from controlplane.domain.site import BackupGate
from controlplane.domain.windows import Window, open_now
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.refuse_wave_plan import every_attempt, refuse_wave_plan
from controlplane.usecases.run_wave import refuse_outside
from tests.fakes.site import OPERATOR
from tests.fakes.waves import BOB, MOVE, FakeWaveSite

# The fakes begin at 12:00 on a Friday.
NIGHT = (Window(start="22:00", end="23:00"),)


def refusal(act: Any, *given: Any, kind: type[Exception] = RefusedError, **more: Any) -> str:
    with pytest.raises(kind) as refused:
        act(*given, **more)
    return str(refused.value)


def two(**more: Any) -> FakeWaveSite:
    site = FakeWaveSite(hosts=("mint-data", "two"), **more)
    site.wave(hosts=["mint-data", "two"])
    return site


# --- windows


def test_a_waves_window_that_is_over_by_a_hosts_clock_lets_no_run_begin() -> None:
    site = FakeWaveSite({"W1": {**MOVE, "windows": [{"start": "11:00", "end": "13:00"}]}}).led()
    site.host.probes["identity"]["clock_epoch"] += 3600
    told = refusal(site.run)
    assert "refused: no maintenance window is open; the next one is 2026-01-03 11:00 to 2026-01-03 13:00 UTC, by the clock of mint-data" in told
    site.host.probes["identity"]["clock_epoch"] -= 3600
    assert site.run().outcome == "done"


def test_a_window_holds_without_a_gate_that_names_it() -> None:
    site = FakeWaveSite(view={"windows": NIGHT})
    site.led()
    assert "no maintenance window is open; the next one is 2026-01-02 22:00 to 2026-01-02 23:00 UTC" in refusal(site.run)
    assert site.receipts.chain[-1].capability != "plan.apply"
    assert site.next() == "controlplane wave run W1"


def test_a_gate_that_asks_for_a_window_is_shut_where_there_is_none() -> None:
    site = FakeWaveSite()
    site.wave(entry=[{"kind": "window"}])
    site.led()
    assert "it is a maintenance window: neither the wave nor site.yml names a window: name one, or leave this gate out" in refusal(site.run)
    assert site.host.ran == []


def test_the_labs_site_has_a_window_at_any_time_that_lasts_for_hours() -> None:
    view = wiring.site_view("inventory/lab", run_inventory=False)
    for hour in range(24):
        now = datetime(2026, 3, 29, hour, 59, 59, tzinfo=UTC)
        opening = open_now(view.windows, timezone=view.timezone, now=now)
        assert opening is not None
        assert opening.end - now >= timedelta(hours=12)


def test_a_step_that_works_on_another_host_is_in_scope_only_where_the_wave_changes_that_too() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.led()
    made = site.ports.plans.get(site.record().plans[0].plan)

    def on(host: str) -> Plan:
        return made.model_copy(update={"steps": tuple(step.model_copy(update={"runs_on": host}) for step in made.steps[:1])})

    wave = site.governance.waves["W1"]
    assert "mint-data/010 works on two, which the wave does not change" in refusal(refuse_outside, "W1", wave, on("two"), site.site())
    refuse_outside("W1", wave, on("hypervisor.example.org"), site.site())
    refuse_outside("W1", wave.model_copy(update={"hosts": ("mint-data", "two")}), on("two"), site.site())
    site.ports.plans.held[made.plan] = on("two")
    assert "is outside of wave W1" in refusal(site.run)


def test_approved_early_the_facts_are_looked_at_again_when_the_window_opens() -> None:
    site = FakeWaveSite(approval="self", view={"windows": NIGHT})
    site.led()
    assert "not open yet" in refusal(site.run)
    site.clock.time += timedelta(hours=10, minutes=1)
    disk = next(one for one in site.host.probes["block"].values() if one["serial"] == "DATA0001")
    disk["serial"] = "OTHER"
    assert "no longer fits" in refusal(site.run)
    assert (site.host.ran, site.state()) == ([], "planned")
    disk["serial"] = "DATA0001"
    assert site.run().outcome == "done"


def test_an_approval_ends_with_its_window_and_the_next_one_needs_another() -> None:
    site = FakeWaveSite(approval="self", view={"windows": NIGHT})
    site.led()
    site.clock.time += timedelta(days=1, hours=10, minutes=1)
    assert "its approval expired at 2026-01-02T23:00:00Z: approve it again (controlplane wave approve W1)" in refusal(site.run)
    assert site.next() == "controlplane wave approve W1"
    # A clock that is set back makes it no younger: the store has seen the later time.
    site.clock.time -= timedelta(days=1)
    assert "clock is behind what the site has seen" in refusal(site.run)
    assert site.host.ran == []


def test_a_window_that_ends_stops_before_the_next_step_and_the_next_window_goes_on() -> None:
    site = FakeWaveSite(approval="self", view={"windows": (Window(start="12:00", end="12:01"),)})
    site.led()
    site.clock.time += timedelta(seconds=15)

    first = site.run()

    assert (first.outcome, first.exit_code()) == ("interrupted", 130)
    assert "was not begun: no maintenance window is open; the next one is 2026-01-03 12:00 to 2026-01-03 12:01 UTC" in first.messages[0]
    assert first.messages[1].startswith(f"Run {first.run} is open. Go on: controlplane wave run W1; or take it back")
    assert (site.state(), site.next()) == ("running", "controlplane wave run W1")
    ran = len(site.host.ran)
    assert 0 < ran < 3
    assert "no maintenance window is open" in refusal(site.run)
    assert len(site.host.ran) == ran
    site.clock.time += timedelta(days=1)
    site.clock.time = site.clock.time.replace(hour=12, minute=0, second=0)
    second = site.run()
    while second.outcome == "interrupted":
        site.clock.time = (site.clock.time + timedelta(days=1)).replace(hour=12, minute=0, second=0)
        second = site.run()
    assert (second.outcome, second.run) == ("done", first.run)


def test_a_backup_is_asked_for_where_the_site_names_a_proof_and_unproven_is_unknown() -> None:
    site = FakeWaveSite(view={"backup_gate": BackupGate(file="proof", max_age=3600)})
    site.led()
    site.backup.doubt = "proof can't be read"
    assert "UNKNOWN  a restorable backup is proven: max_age 3600: proof can't be read" in refusal(site.run, kind=UnknownError)
    site.backup.doubt, site.backup.age = None, 3601.0
    assert "the proof is 3601 s old, limit 3600 s" in refusal(site.run)
    site.backup.age = 10.0
    assert site.run().outcome == "done"


# --- run, take-over, rollback


def test_who_was_taken_over_begins_no_further_step() -> None:
    site = FakeWaveSite()
    site.led()
    real = site.runner.run

    def stopped_past_its_lease(*args: Any, **more: Any) -> Any:
        ended = real(*args, **more)
        site.runner.run = real  # type: ignore[method-assign]
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
        return ended

    site.runner.run = stopped_past_its_lease  # type: ignore[method-assign]

    old = site.run()

    assert old.outcome == "interrupted"
    assert (
        "mint-data/010 ended and its receipt says how, but what followed it did not: wave W1 is no longer what this process took" in old.messages[0]
    )
    assert "Nothing was changed" not in " ".join(old.messages)
    assert [role for role, _ in site.host.ran] == ["data_disk"]
    # Its pack is not judged for a wave that is somebody else's.
    assert [one.capability for one in site.receipts.chain if one.phase == "result"][-1] == "storage.data_disk"
    assert "held by bob@other" in refusal(site.run)
    new = site.run(by=BOB)
    assert (new.outcome, new.run) == ("done", old.run)
    assert site.said("resume") == ["done"]


def test_a_step_that_fails_because_somebody_took_over_is_left_to_them() -> None:
    site = FakeWaveSite()
    site.led()
    real = site.runner.run
    refused = "run R carries token 3, the host's is 4. Nothing was changed."

    def stopped_past_its_lease(*_args: Any, **_more: Any) -> StepResult:
        site.runner.run = real  # type: ignore[method-assign]
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
        return StepResult(status="failed", message=refused, told={})

    site.runner.run = stopped_past_its_lease  # type: ignore[method-assign]

    old = site.run()

    assert (old.outcome, old.exit_code()) == ("interrupted", 130)
    assert old.messages[0].startswith(
        "mint-data/010 storage.data_disk is no longer led from here: wave W1 is no longer what this process took: bob@other took it at "
    )
    assert f"Here it ended so: {refused[:-1]}; 0 of 3 steps are done." in old.messages[0]
    assert old.messages[1:] == (f"Run {old.run} is no longer led from here. What becomes of it: controlplane wave status W1",)
    assert [one.phase for one in site.receipts.chain if one.step == "mint-data/010"] == ["intent"]
    assert (site.record().carved, site.said("carve")) == ((), [])
    new = site.run(by=BOB)
    assert (new.outcome, new.run) == ("done", old.run)


def test_a_failure_is_on_record_also_where_the_store_cant_say_whose_the_wave_is() -> None:
    site = FakeWaveSite()
    site.led()
    site.host.breaks_after = 1
    real, asked = site.store.find, site.runner.run

    def unknown(_wave: str) -> Any:
        raise UnknownError("the store can't be asked")

    def broken(*args: Any, **more: Any) -> Any:
        site.store.find = unknown  # type: ignore[method-assign]
        return asked(*args, **more)

    site.runner.run = broken  # type: ignore[method-assign]
    with pytest.raises(RunFailedError, match="is failed, as its receipts say"):
        site.run()
    site.store.find = real  # type: ignore[method-assign]
    assert [one.outcome for one in site.receipts.chain if one.step == "mint-data/010"] == [None, "failed"]


def test_a_take_over_at_the_last_step_leaves_what_was_done_to_the_one_who_took_over() -> None:
    site = FakeWaveSite()
    site.led()
    real = site.witness.answer

    def taken_over(*args: Any) -> Any:
        site.witness.answer = real  # type: ignore[method-assign]
        site.clock.time += timedelta(hours=5)
        site.resume(by=BOB)
        return real(*args)

    site.witness.answer = taken_over  # type: ignore[method-assign]
    told = refusal(site.run, kind=RunFailedError)
    assert "is done, as its receipts say, and the wave's record does not know it yet: wave W1 is no longer what this process took" in told
    plays = len(site.runner.plays)
    assert site.run(by=BOB).outcome == "done"
    assert (len(site.runner.plays), site.state()) == (plays, "changed")


def test_a_lease_that_lasts_is_taken_by_nobody_else_and_renewed_by_its_holder() -> None:
    site = FakeWaveSite()
    site.open()
    assert "whose lease lasts until" in refusal(site.resume, by=BOB)
    assert site.said("resume") == ["refused"]
    before = site.store.find("W1")
    site.clock.time += timedelta(hours=3)
    site.resume()
    after = site.store.find("W1")
    assert before is not None
    assert after is not None
    assert (after.expires_at > before.expires_at, after.token > before.token) == (True, True)


def test_a_rollback_shows_in_the_wave_and_a_new_plan_is_next() -> None:
    site = FakeWaveSite()
    site.led()
    run = site.run().run
    site.rollback(str(run))
    assert site.next() == "controlplane wave plan W1"
    assert "no plan that did not run yet" in refusal(site.run)
    assert "Docker's data-root is /var/lib/docker" in refusal(site.close)
    site.plan_wave()
    assert site.record().plans[0].outcome == "rolled-back"
    assert site.run().outcome == "done"
    made = site.close()
    assert [one.outcome for one in made.plans] == ["rolled-back", "done"]
    assert [one.outcome for one in made.actions] == ["done"] * 3 + ["rolled-back"] * 3 + ["done"] * 3


def test_an_interrupted_run_that_was_taken_back_is_not_gone_on_with() -> None:
    site = FakeWaveSite()
    site.led()
    site.runner.ends = [StepResult(status="interrupted", message="", told={})]
    run = site.run().run
    assert "run " + str(run) + " is not closed. Go on: controlplane wave run W1" in refusal(site.plan_wave)
    assert refusal(site.close).startswith(f"wave W1 does not close, it stays open: run {run} is not closed.")
    site.rollback(str(run))
    assert site.next() == "controlplane wave plan W1"
    assert "Make one: controlplane wave plan W1" in refusal(site.run)


def test_a_waves_plan_is_not_applied_beside_it_while_it_goes_on() -> None:
    site = FakeWaveSite()
    site.led()
    [plan] = site.folder.files
    held = site.ports.plans.get(site.record().plans[0].plan)
    assert plan.endswith(f"plan-{held.plan[7:19]}.json")
    assert refusal(beside, site, held).endswith("Run it there: controlplane wave run W1")


def beside(site: FakeWaveSite, plan: Plan, *, known: bool = True) -> None:
    """Ask what plain `apply` asks; `known` is whether the store still knows of the wave."""
    attempts = every_attempt(site.store) if known else ()
    refuse_wave_plan(plan, attempts, approvals=site.approvals, chain=site.receipts.chain, now=site.clock.now())


@pytest.mark.parametrize("approval", ["none", "self"])
def test_what_was_planned_for_a_wave_and_approved_for_it_is_begun_nowhere_else_also_when_it_is_over(approval: str) -> None:
    site = FakeWaveSite(approval=approval)
    site.led()
    plan = site.ports.plans.get(site.record().plans[0].plan)
    site.abort()
    told = refusal(beside, site, plan)
    assert "was made for wave W1, which does not go on with it, and no run of it is open. Nothing was changed." in told
    assert told.endswith("Open the wave anew: controlplane wave open W1; or, beside it, make a plan of its own: controlplane plan --out FILE")
    # An attempt that another one followed; and a store that was lost.
    site.open()
    assert "was made for wave W1" in refusal(beside, site, plan)
    if approval == "self":
        assert "was made for wave W1" in refusal(beside, site, plan, known=False)
    beside(site, site.plan())


def test_a_run_that_an_ended_wave_left_open_is_resumed_beside_it_and_not_begun_again() -> None:
    site = FakeWaveSite(approval="self")
    site.led()
    site.runner.ends = [StepResult(status="interrupted", message="", told={})]
    site.run()
    plan = site.ports.plans.get(site.record().plans[0].plan)
    assert "Run it there: controlplane wave run W1" in refusal(beside, site, plan)
    site.abort()
    beside(site, plan)
    assert site.apply(plan).outcome == "done"
    assert "no run of it is open" in refusal(beside, site, plan)


# --- hosts in order, failures


def test_hosts_go_in_the_waves_order_and_a_failed_canary_leaves_the_others_alone() -> None:
    site = two()
    site.wave(hosts=["two", "mint-data"])
    site.led()
    site.hosts["two"].breaks_after = 1
    result = site.run()
    assert result.outcome == "failed"
    assert [host for host, one in site.hosts.items() if one.ran] == ["two"]
    assert result.messages[-1] == "mint-data was left alone: 1 of 2 hosts failed (two), limit 0"
    [carved] = site.record().carved
    said = next(one for one in site.receipts.chain if one.key == carved.receipt and one.phase == "result")
    assert (carved.host, said.capability, said.host, said.told) == ("two", "wave.carve", "two", {**(said.told or {}), "run": result.run})
    assert site.said("carve") == ["failed"]


def test_past_the_limit_nothing_more_is_planned_and_the_way_out_is_named() -> None:
    site = two()
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    site.run()
    assert refusal(site.plan_wave) == (
        "no host of wave W1 is begun any more: 1 of 2 hosts failed (mint-data), limit 0. Nothing was changed. "
        'Next: controlplane wave abort W1 --reason "..."'
    )
    assert site.next() == (
        'controlplane wave abort W1 --reason "..."    '
        '(1 of 2 hosts failed (mint-data), limit 0; if its exit gates hold all the same: controlplane wave close W1 --attest "...")'
    )
    assert len(site.record().plans) == 1
    site.abort()
    site.hosts["mint-data"].breaks_after = None
    site.led()
    assert site.run().outcome == "done"


def test_a_host_of_the_batch_in_which_another_failed_may_be_planned_again() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two", "three", "four"))
    site.wave(hosts=["mint-data", "two", "three", "four"], batch=2)
    site.led()
    site.hosts["two"].breaks_after = 1
    result = site.run()
    assert [message for message in result.messages if "left alone" in message] == ["four was left alone: 1 of 4 hosts failed (two), limit 0"]
    last = [one.key for one in site.receipts.chain if one.host == "three" and one.plan][-1]
    assert site.rollback(last).outcome == "rolled-back"
    assert {step.host for step in site.plan_wave().steps} == {"three"}
    assert site.run().outcome == "done"


def test_within_the_limit_the_rest_goes_on_and_closes_and_what_was_carved_out_remains() -> None:
    site = two()
    site.wave(failure_limit=1)
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    assert site.run().outcome == "failed"
    assert site.next() == 'controlplane wave plan W1 --capability storage.purge    (or end it: controlplane wave close W1 --attest "...")'
    assert {step.host for step in site.plan_wave("storage.purge").steps} == set()
    made = site.close()
    assert made.outcome == "closed with hosts carved out"
    assert [one.host for one in made.carved] == ["mint-data"]
    assert "mint-data" in {one.host for one in made.remaining}


def test_a_wave_all_of_whose_hosts_were_carved_out_is_aborted_and_not_closed() -> None:
    site = FakeWaveSite()
    site.led()
    site.host.breaks_after = 1
    site.run()
    assert "every host that it was to change was carved out (mint-data). It stays open." in refusal(site.close)
    assert site.next() == 'controlplane wave abort W1 --reason "..."    (every host was carved out)'
    assert "every host of wave W1 was carved out" in refusal(site.plan_wave)


def test_a_host_that_is_carved_out_is_not_begun_again_when_its_run_goes_on() -> None:
    site = two()
    site.wave(failure_limit=1)
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    site.hosts["mint-data"].breaks_after = None
    ran = list(site.hosts["mint-data"].ran)
    result = site.run()
    assert result.outcome == "failed"
    assert site.hosts["mint-data"].ran == ran
    assert any(message.startswith("mint-data was left alone: it was carved out of the wave, CAP-") for message in result.messages)
    assert len(site.record().carved) == 1


def test_a_host_whose_machine_is_gone_is_carved_out_once_its_run_is_abandoned_and_the_rest_goes_on() -> None:
    site = two()
    site.wave(failure_limit=1)
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}
    run = site.record().plans[-1].run
    assert f"A machine is gone for good? controlplane runs abandon {run}" in refusal(site.run, kind=UnknownError)

    abandon_run(str(run), site.view, operator=OPERATOR, reason="it burnt down.", ports=site.ports, progress=lambda _: None)

    assert {step.host for step in site.plan_wave().steps} == {"two"}
    [carved] = site.record().carved
    assert (carved.host, carved.reason.startswith("mint-data/010 storage.data_disk was abandoned: it burnt down. mint-data was")) == (
        "mint-data",
        True,
    )
    assert site.run().outcome == "done"
    assert site.close().outcome == "closed with hosts carved out"


def test_after_a_run_was_abandoned_the_rest_of_the_wave_is_planned_and_done_before_it_closes() -> None:
    site = two()
    site.wave(failure_limit=1, exit=[])
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.run().outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}
    run = str(site.record().plans[-1].run)
    assert refusal(site.plan_wave).endswith(
        f'controlplane rollback {run}. A machine is gone for good? controlplane runs abandon {run} --reason "..."'
    )

    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)

    ends = '    (if that plan is refused: mend what it names, or end this attempt: controlplane wave abort W1 --reason "...")'
    assert site.next() == f"controlplane wave plan W1{ends}"
    assert refusal(site.close) == (
        f"wave W1 does not close: run {run} was abandoned, and on two not all of its steps are done. It stays open. Next: controlplane wave plan W1"
        f"{ends}"
    )
    assert site.state() == "changed"
    site.plan_wave()
    assert site.run().outcome == "done"
    assert site.close().outcome == "closed with hosts carved out"


def test_past_the_limit_a_wave_whose_run_was_abandoned_is_aborted() -> None:
    site = two()
    site.led()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    site.run()
    site.evidence.unreached = {"mint-data": "connection timed out"}
    abandon_run(str(site.record().plans[-1].run), site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)

    assert "no host of wave W1 is begun any more: 1 of 2 hosts failed (mint-data)" in refusal(site.plan_wave)
    assert site.next() == 'controlplane wave abort W1 --reason "..."    (1 of 2 hosts failed (mint-data), limit 0)'


def test_a_host_that_was_lost_when_all_its_steps_were_done_is_carved_out_too() -> None:
    site = two()
    site.wave(failure_limit=1, exit=[])
    site.led()
    real = site.evidence.collect

    def losing(*args: Any, **more: Any) -> Any:
        if site.hosts["two"].ran:
            site.evidence.unreached = {"mint-data": "connection timed out"}
        return real(*args, **more)

    site.evidence.collect = losing  # type: ignore[method-assign]
    assert site.run().outcome == "interrupted"
    run = str(site.record().plans[-1].run)

    abandon_run(run, site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)

    assert site.close().outcome == "closed with hosts carved out"
    [carved] = site.record().carved
    assert carved.reason.startswith("its run was abandoned: it burnt down. mint-data was not reached")
