"""What an abandoned run of a wave left undone is done before the wave closes, whatever else is planned meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite

GONE = StepResult(status="unreachable", message="gone", told={})


def refusal(act: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        act()
    return str(refused.value)


def abandoned(*hosts: str, **changed: Any) -> FakeWaveSite:
    """Return a site whose wave lost its first host in its first step, and whose run was abandoned."""
    site = FakeWaveSite(hosts=hosts)
    site.wave(**{"hosts": list(hosts), "failure_limit": 1, "exit": []} | changed)
    site.led()
    lose(site)
    return site


def lose(site: FakeWaveSite) -> None:
    site.runner.ends = [GONE]
    assert site.run().outcome == "interrupted"
    site.evidence.unreached = {"mint-data": "connection timed out"}
    abandon_run(str(site.record().plans[-1].run), site.view, operator=OPERATOR, reason="it burnt down", ports=site.ports, progress=lambda _: None)


def still_left(site: FakeWaveSite, hosts: str, then: str = "controlplane wave plan W1") -> None:
    """Assert that the wave does not close, and that it is told and shown what is to be done first."""
    assert f"was abandoned, and on {hosts} not all of its steps are done. It stays open. Next: {then}" in refusal(site.close)
    assert site.next() == then


def test_a_plan_of_something_else_does_not_do_the_rest() -> None:
    site = abandoned("mint-data", "two")
    still_left(site, "two")
    assert site.plan_wave("storage.purge").steps == ()
    still_left(site, "two")
    assert [step.capability for step in site.plan_wave("storage.data_disk").steps] == ["storage.data_disk"]
    assert site.run().outcome == "done"
    still_left(site, "two")
    site.plan_wave()
    assert site.run().outcome == "done"
    assert site.next() == 'controlplane wave close W1 --attest "..."'
    assert site.close().outcome == "closed with hosts carved out"


def test_a_plan_of_the_rest_that_did_not_run_does_not_do_it_either_and_is_run() -> None:
    site = abandoned("mint-data", "two")
    site.plan_wave()
    assert "on two not all of its steps are done" in refusal(site.close)
    assert site.next() == "controlplane wave run W1"
    site.run()
    assert site.close().outcome == "closed with hosts carved out"


def test_what_went_back_is_left_again() -> None:
    site = abandoned("mint-data", "two")
    site.plan_wave()
    site.rollback(str(site.run().run))
    assert "on two not all of its steps are done" in refusal(site.close)
    assert site.next() == "controlplane wave plan W1"


def test_where_nothing_of_the_rest_is_left_to_do_a_plan_that_says_so_settles_it() -> None:
    site = abandoned("mint-data", "two")
    site.plan_wave()
    site.run()
    # The same looked for once more, and found as declared.
    assert site.plan_wave().steps == ()
    assert site.close().outcome == "closed with hosts carved out"


def test_a_run_that_failed_elsewhere_has_done_the_rest_of_the_host_on_which_it_did_not() -> None:
    site = abandoned("mint-data", "two", "three", failure_limit=2)
    site.hosts["two"].breaks_after = 1
    site.plan_wave()
    assert site.run().outcome == "failed"
    assert [one.host for one in site.record().carved] == ["mint-data", "two"]
    assert site.close().outcome == "closed with hosts carved out"


def test_a_plan_that_could_not_see_a_host_has_not_looked_there() -> None:
    site = abandoned("mint-data", "two", "three", failure_limit=2)
    site.evidence.unreached |= {"two": "no route to host"}
    assert {step.host for step in site.plan_wave().steps} == {"three"}
    assert site.run().outcome == "done"
    del site.evidence.unreached["two"]
    still_left(site, "two")


def test_a_plan_that_was_refused_on_a_host_has_done_nothing_there() -> None:
    site = abandoned("mint-data", "two", "three", failure_limit=2)
    disk = next(one for one in site.hosts["two"].probes["block"].values() if one["serial"] == "DATA0001")
    disk["serial"] = "OTHER"
    made = site.plan_wave()
    assert ({step.host for step in made.steps}, {one.host for one in made.refusals}) == ({"three"}, {"two"})
    assert site.run().outcome == "done"
    disk["serial"] = "DATA0001"
    still_left(site, "two")


def test_a_plan_that_holds_a_host_no_more_has_not_looked_there_either() -> None:
    site = abandoned("mint-data", "two", "three", "four", batch=2)
    site.hosts["two"].breaks_after = 1
    site.plan_wave()
    assert site.run().outcome == "failed"
    assert site.plan_wave().steps == ()
    still_left(site, "four", 'controlplane wave abort W1 --reason "..."    (2 of 4 hosts failed (mint-data, two), limit 1)')


def test_the_rest_of_what_deletes_is_planned_by_its_name() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=[])
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    assert {step.host for step in site.plan_wave("storage.purge").steps} == {"mint-data", "two"}
    lose(site)
    purge = "controlplane wave plan W1 --capability storage.purge"
    still_left(site, "two", purge)
    assert site.plan_wave().steps == ()
    still_left(site, "two", purge)
    site.plan_wave("storage.purge")
    assert site.run().outcome == "done"
    assert site.close().outcome == "closed with hosts carved out"


def test_past_the_limit_only_the_end_of_the_attempt_is_named() -> None:
    site = abandoned("mint-data", "two", failure_limit=0)
    assert "no host of wave W1 is begun any more" in refusal(site.plan_wave)
    still_left(site, "two", 'controlplane wave abort W1 --reason "..."    (1 of 2 hosts failed (mint-data), limit 0)')
    site.abort()
    assert site.state() == "aborted"


def test_a_plan_that_is_gone_keeps_no_wave_from_being_listed() -> None:
    site = abandoned("mint-data", "two")

    def gone(_: str) -> Any:
        raise RunFailedError("x.json is gone, and with it what the run was to do. Restore it from a backup of the state folder.")

    site.ports.plans.get = gone  # type: ignore[method-assign]
    assert "controlplane wave" in str(site.next())
    with pytest.raises(RunFailedError, match=r"x.json is gone"):
        site.close()
