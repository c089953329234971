"""What keeps a plan that is applied by itself off: a window that is shut, and a wave that has its host."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.coordination import WaveHeld
from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.plan import Plan
from controlplane.domain.run_result import RunResult
from controlplane.domain.windows import Window
from controlplane.ports.plays import StepResult
from controlplane.usecases.apply_plan import apply_plan
from controlplane.usecases.govern_apply import PlainCourse
from controlplane.usecases.interrupted_run import open_run
from controlplane.usecases.refuse_wave_plan import every_attempt
from tests.fakes.site import OPERATOR, FakeSite
from tests.fakes.waves import MOVE, FakeWaveSite

LOOK = {"goal": "look", "mutation": "none", "read_only": ["mint-data"]}
# The fakes begin at 12:00 on a Friday.
NIGHT = (Window(start="22:00", end="23:00"),)


def course_of(site: FakeWaveSite) -> PlainCourse:
    return PlainCourse(site.view, site.clock, lambda: every_attempt(site.store))


def applied(site: FakeWaveSite, plan: Plan) -> RunResult:
    """Apply a plan as `controlplane apply` does."""
    course = course_of(site)
    course.refuse(plan, open_run(plan, site.receipts))
    return apply_plan(plan, site.view, operator=OPERATOR, ports=site.ports, progress=lambda _: None, course=course)


def refusal(site: FakeWaveSite, plan: Plan) -> str:
    """Return why the plan is refused; nothing was changed and nothing put on record."""
    before = (list(site.receipts.chain), list(site.host.ran))
    with pytest.raises(RefusedError) as refused:
        applied(site, plan)
    assert (site.receipts.chain, site.host.ran) == before
    return str(refused.value)


def after_first_step(site: FakeSite, act: Any) -> None:
    """Do something once, while the first step that comes runs."""
    real = site.runner.run

    def run(*args: Any, **more: Any) -> StepResult:
        site.runner.run = real  # type: ignore[method-assign]
        act()
        return real(*args, **more)

    site.runner.run = run  # type: ignore[method-assign]


def test_a_host_of_a_wave_that_changes_machines_is_left_to_it_until_it_has_ended() -> None:
    site = FakeWaveSite()
    plan = site.plan()
    site.open()
    assert refusal(site, plan) == (
        f"plan {plan.plan[:19]} refused: mint-data belongs to wave W1, which changes machines and is not ended (state open, held by ann@desk). "
        "Nothing was changed. Plan it there: controlplane wave plan W1; or wait for its end: controlplane wave status W1."
    )
    # A lease that is over ends no wave.
    site.clock.time += timedelta(hours=5)
    plan = site.plan()
    assert "belongs to wave W1" in refusal(site, plan)
    site.abort()
    assert applied(site, plan).outcome == "done"


def test_a_host_that_a_wave_only_looks_at_is_left_as_it_is_and_others_are_free() -> None:
    site = FakeWaveSite({"W1": {**MOVE, "hosts": ["two"], "read_only": ["mint-data"]}}, hosts=("mint-data", "two", "three"))
    site.open()
    plan = site.plan()
    alone = {name: plan.model_copy(update={"steps": tuple(s for s in plan.steps if s.host == name)}) for name in site.hosts}
    course = course_of(site)
    for name in ("mint-data", "two"):
        with pytest.raises(RefusedError, match=f"{name} belongs to wave W1"):
            course.refuse(alone[name], None)
    with pytest.raises(RefusedError, match="mint-data, two belong to wave W1"):
        course.refuse(plan, None)
    course.refuse(alone["three"], None)
    # What works from another host changes that one.
    steps = tuple(step.model_copy(update={"runs_on": "two"}) for step in alone["three"].steps)
    with pytest.raises(RefusedError, match="two belongs to wave W1"):
        course.refuse(plan.model_copy(update={"steps": steps}), None)


def test_a_wave_that_changes_no_machine_keeps_nobody_off() -> None:
    site = FakeWaveSite({"W0": LOOK})
    site.open("W0")
    assert applied(site, site.plan()).outcome == "done"


def test_a_host_that_was_carved_out_belongs_to_its_wave_no_more() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1)
    site.led()
    site.hosts["mint-data"].breaks_after = 1
    site.run()
    assert site.record().out == {"mint-data"}
    course, held = course_of(site), site.plan()
    course.refuse(held.model_copy(update={"steps": tuple(s for s in held.steps if s.host == "mint-data")}), None)


def test_of_a_wave_whose_hosts_nobody_wrote_down_any_host_may_be_one() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.open()
    held = site.store.find("W1")
    assert held is not None
    old = {name: value for name, value in held.record.items() if name != "hosts"}
    site.store.attempts = [WaveHeld(**held.model_dump() | {"record": old})]
    with pytest.raises(RefusedError, match="mint-data, two belong to wave W1"):
        course_of(site).refuse(site.plan(), None)


def test_a_wave_that_was_opened_meanwhile_stops_the_run_before_its_next_step() -> None:
    site = FakeWaveSite()
    plan = site.plan()
    real = site.receipts.append

    def append(receipt: Any) -> Any:
        site.receipts.append = real  # type: ignore[method-assign]
        # The wave had looked for open receipts before this one was there.
        site.store.take("W1", state="open", mutating=True, holder="bob@other", record=record, now=site.clock.now(), ttl=timedelta(hours=1))
        return real(receipt)

    site.open()
    record = site.store.attempts[-1].record
    site.abort()
    site.receipts.append = append  # type: ignore[method-assign]
    result = applied(site, plan)
    assert (result.outcome, site.host.ran) == ("interrupted", [])
    assert (
        "was not begun: mint-data belongs to wave W1, which changes machines and is not ended (state open, held by bob@other)" in result.messages[0]
    )
    again = refusal(site, plan)
    assert again.endswith(f"or take it back: controlplane rollback {result.run}")
    assert site.rollback(str(result.run)).outcome == "rolled-back"


def test_a_store_that_cant_be_asked_lets_no_further_step_begin() -> None:
    site = FakeWaveSite()

    def gone() -> Any:
        raise UnknownError("the store can't be asked. Nothing was changed. Ask again.")

    after_first_step(site, lambda: setattr(site.store, "waves", gone))
    result = applied(site, site.plan())
    assert (result.outcome, len(site.runner.plays)) == ("interrupted", 1)
    assert "was not begun: the store can't be asked. Ask again; 1 of 3 steps are done." in result.messages[0]


def test_nothing_begins_outside_of_the_windows_of_the_site_and_a_run_goes_on_in_the_next_one() -> None:
    site = FakeWaveSite(view={"windows": NIGHT})
    plan = site.plan()
    told = refusal(site, plan)
    assert told == (
        f"plan {plan.plan[:19]} refused: no maintenance window is open; the next one is 2026-01-02 22:00 to 2026-01-02 23:00 UTC. "
        "Nothing was changed."
    )
    site.clock.time += timedelta(hours=10)

    def an_hour() -> None:
        site.clock.time += timedelta(hours=1)

    after_first_step(site, an_hour)
    result = applied(site, plan)
    assert (result.outcome, len(site.runner.plays)) == ("interrupted", 1)
    assert "was not begun: no maintenance window is open; the next one is 2026-01-03 22:00" in result.messages[0]
    assert f"Run {result.run} is open." in refusal(site, plan)
    site.clock.time += timedelta(hours=23)
    assert applied(site, plan).outcome == "done"


def test_a_run_that_deletes_is_told_no_way_back_that_would_be_refused() -> None:
    site = FakeWaveSite(view={"windows": NIGHT})
    plan = site.plan()
    [deletes] = [change.model_copy(update={"destructive": True}) for change in plan.steps[0].changes[:1]]
    step = plan.steps[0].model_copy(update={"capability": "storage.purge", "changes": (deletes,)})
    on = "Nothing was changed. Run R is open. Go on: 'controlplane apply' with the same plan file"
    for told, of in ((f"{on}; or take it back: controlplane rollback R", plan), (on, plan.model_copy(update={"steps": (step,)}))):
        with pytest.raises(RefusedError) as refused:
            course_of(site).refuse(of, "R")
        assert str(refused.value).endswith(told)


def test_a_plan_without_steps_waits_for_no_window() -> None:
    site = FakeWaveSite(view={"windows": NIGHT})
    nothing = site.plan().model_copy(update={"steps": ()})
    course_of(site).refuse(nothing, None)


def test_a_window_that_is_over_by_a_hosts_clock_lets_nothing_begin_where_this_controllers_is_behind() -> None:
    site = FakeWaveSite(view={"windows": (Window(start="11:00", end="13:00"),)})
    plan = site.plan()
    site.host.probes["identity"]["clock_epoch"] += 3600

    told = refusal(site, plan)

    assert told.startswith(
        f"plan {plan.plan[:19]} refused: no maintenance window is open; the next one is 2026-01-03 11:00 to 2026-01-03 13:00 UTC, "
    )
    assert ", by the clock of mint-data: it says 2026-01-02T13:00:0" in told
    assert told.endswith("Nothing was changed. Set the one that is wrong. Then run this again.")
    site.host.probes["identity"]["clock_epoch"] -= 3600
    assert applied(site, plan).outcome == "done"


def test_a_window_that_is_open_again_by_the_latest_clock_is_shut_by_another_hosts() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"), view={"windows": (Window(start="11:00", end="13:00"),)})
    plan = site.plan()
    site.host.probes["identity"]["clock_epoch"] += 3600
    site.hosts["two"].probes["identity"]["clock_epoch"] += 24 * 3600

    told = refusal(site, plan)

    assert "no maintenance window is open; the next one is 2026-01-03 11:00 to 2026-01-03 13:00 UTC, by the clock of mint-data: it says " in told
    assert "clock of two" not in told
    site.host.probes["identity"]["clock_epoch"] -= 3600
    assert applied(site, plan).outcome == "done"


@pytest.mark.parametrize("deletes", [False, True], ids=["can go back", "deletes"])
def test_a_run_that_a_hosts_clock_keeps_from_going_on_is_told_its_ways_on(*, deletes: bool) -> None:
    site = FakeWaveSite(view={"windows": (Window(start="11:00", end="13:00"),)})
    if deletes:
        assert applied(site, site.plan()).outcome == "done"
        site.clock.time += timedelta(days=9)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    plan = site.plan(*(["storage.purge"] if deletes else []))
    run = applied(site, plan).run
    site.host.probes["identity"]["clock_epoch"] = (site.clock.time + timedelta(hours=1)).timestamp()

    back = "" if deletes else f"; or take it back: controlplane rollback {run}"
    assert refusal(site, plan).endswith(
        f"Set the one that is wrong. Then run this again. Run {run} is open. Go on: 'controlplane apply' with the same plan file{back}"
    )
