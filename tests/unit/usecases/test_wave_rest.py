"""What an abandoned run of a wave left undone is done before the wave closes, whatever else is planned meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.plan import Change, Plan, Refusal, Step
from controlplane.domain.waves.trail import settled
from controlplane.ports.plays import StepResult
from controlplane.usecases.abandon_run import abandon_run
from controlplane.usecases.wave_rest import rest_of
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite

ABORT = 'controlplane wave abort W1 --reason "..."'
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
    ends = "" if "abort" in then else f"    (if that plan is refused: mend what it names, or end this attempt: {ABORT})"
    assert refusal(site.close).endswith(f"was abandoned, and on {hosts} not all of its steps are done. It stays open. Next: {then}{ends}")
    assert site.next() == f"{then}{ends}"


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


def test_what_a_capability_refuses_beside_its_step_is_no_part_of_the_rest() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=[])
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    site.hosts["two"].probes["target_state"]["retired"][1]["fingerprint"] = "sha256:cd"
    site.plan_wave("storage.purge")
    lose(site)
    still_left(site, "two", "controlplane wave plan W1 --capability storage.purge")
    made = site.plan_wave("storage.purge")
    assert [(step.host, len(step.changes)) for step in made.steps] == [("two", 1)]
    assert {one.host for one in made.refusals} == {"two"}
    assert site.run().outcome == "done"
    assert site.next() == 'controlplane wave close W1 --attest "..."'
    assert site.close().outcome == "closed with hosts carved out"


def purging(*, refused: bool) -> FakeWaveSite:
    """Return a site whose wave lost its first host as it purged; on the other one it was, or not, refused a part of that."""
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=[])
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    if refused:
        retired(site)[1]["fingerprint"] = "sha256:cd"
    site.plan_wave("storage.purge")
    lose(site)
    return site


def retired(site: FakeWaveSite) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.hosts["two"].probes["target_state"]["retired"]
    return found


def test_a_rest_that_others_did_is_settled_by_a_plan_that_is_refused_what_the_first_one_was() -> None:
    site = purging(refused=True)
    del retired(site)[0]
    made = site.plan_wave("storage.purge")
    assert (made.steps, {one.host for one in made.refusals}) == ((), {"two"})
    assert (site.record().plans[-1].plan, site.record().plans[-1].outcome) == (made.plan, "refused")
    assert "has no plan that did not run yet" in refusal(site.run)
    # What is refused there is no part of the rest, and may be mended first all the same.
    assert site.next() == 'controlplane wave plan W1 --capability storage.purge    (or end it: controlplane wave close W1 --attest "...")'
    assert site.close().outcome == "closed with hosts carved out"


def test_a_plan_that_settles_a_rest_alone_displaces_none_that_waits_for_its_run() -> None:
    site = purging(refused=True)
    shown = site.hosts["two"].probes
    shown["fstab"], kept = shown["fstab"] | {"text": "", "entries": []}, shown["fstab"]
    waiting = site.plan_wave("storage.fstab")
    assert waiting.steps
    site.approve()
    shown["fstab"] = kept
    del retired(site)[0]
    made = site.plan_wave("storage.purge")
    assert (made.steps, bool(made.refusals)) == ((), True)
    assert [one.plan for one in site.record().plans[-2:]] == [made.plan, waiting.plan]
    assert (site.state(), site.record().plans[-1].approved) == ("planned", True)


def test_a_plan_that_is_refused_what_is_left_settles_nothing_and_the_end_of_the_attempt_is_named() -> None:
    site = purging(refused=False)
    for one in retired(site):
        one["fingerprint"] = "sha256:cd"
    made = site.plan_wave("storage.purge")
    assert (made.steps, {one.host for one in made.refusals}) == ((), {"two"})
    assert made.plan not in [one.plan for one in site.record().plans]
    still_left(site, "two", "controlplane wave plan W1 --capability storage.purge")


def test_a_plan_of_refusals_alone_keeps_no_plan_from_its_run_where_nothing_was_abandoned() -> None:
    site = FakeWaveSite()
    site.led()
    site.host.probes["block"] = {}
    plans = site.record().plans
    made = site.plan_wave()
    assert (made.steps, bool(made.refusals), site.record().plans, site.state()) == ((), True, plans, "planned")


def test_a_later_plan_that_did_the_step_did_it_also_where_more_is_refused_by_then() -> None:
    site = abandoned("mint-data", "two")
    site.plan_wave()
    site.run()
    abandoned_plan, later = (site.ports.plans.get(one.plan) for one in site.record().plans)
    more = tuple(Refusal(host="two", capability=step.capability, reason="x") for step in later.steps)
    plans = {abandoned_plan.plan: abandoned_plan, later.plan: later.model_copy(update={"refusals": more})}
    assert rest_of(settled(site.record(), site.receipts.chain), site.receipts.chain, plans.__getitem__) is None


def test_a_later_plan_that_did_one_of_two_changes_of_the_same_file_did_not_do_the_other_one() -> None:
    site = abandoned("mint-data", "two")
    site.plan_wave()
    site.run()
    first, second = (site.ports.plans.get(one.plan) for one in site.record().plans)

    def lines(plan: Plan, *mounts: str) -> tuple[Step, ...]:
        """Return the plan's steps, of which the one of fstab writes these lines."""
        its = tuple(Change(kind="file", target="/etc/fstab", before=None, after=f"LABEL=X {mount} ext4") for mount in mounts)
        return tuple(step.model_copy(update={"changes": its}) if step.capability == "storage.fstab" else step for step in plan.steps)

    def rest(*done: str, refused: bool) -> Any:
        refusals = (Refusal(host="two", capability="storage.fstab", reason="/mnt/b: its disk is not there"),) if refused else ()
        plans = {
            first.plan: first.model_copy(update={"steps": lines(first, "/mnt/a", "/mnt/b")}),
            second.plan: second.model_copy(update={"steps": lines(second, *done), "refusals": refusals}),
        }
        return rest_of(settled(site.record(), site.receipts.chain), site.receipts.chain, plans.__getitem__)

    left = rest("/mnt/a", refused=True)
    assert left is not None
    assert (left.hosts, left.capabilities) == (("two",), ("storage.fstab",))
    assert rest("/mnt/a", refused=False) is None
    assert rest("/mnt/b", "/mnt/a", refused=True) is None


OVER = "image budget of minio-1: 3.2 GB over the budget stay, in 2 images"


@pytest.mark.parametrize(
    ("later", "is_left"),
    [
        ((), False),
        ((OVER,), False),
        (("image budget of minio-1: 980.0 MB over the budget stay, in 1 images",), False),
        (("image budget of minio-2: 3.2 GB over the budget stay, in 2 images",), True),
        ((OVER, OVER), True),
        ((OVER, "DATA0001: is mounted elsewhere"), True),
    ],
)
def test_where_a_later_plan_has_no_step_only_what_it_was_refused_anew_is_left(later: tuple[str, ...], is_left: bool) -> None:
    site = abandoned("mint-data", "two", "three", failure_limit=2)
    site.plan_wave()
    site.run()
    first, second = (site.ports.plans.get(one.plan) for one in site.record().plans)

    def refused(*reasons: str) -> dict[str, Any]:
        found = {step.capability: None for step in first.steps if step.host == "two"}
        return {"refusals": tuple(Refusal(host="two", capability=one, reason=reason) for one in found for reason in reasons)}

    plans = {
        first.plan: first.model_copy(update=refused(OVER)),
        second.plan: second.model_copy(update={"steps": tuple(step for step in second.steps if step.host != "two"), **refused(*later)}),
    }
    rest = rest_of(settled(site.record(), site.receipts.chain), site.receipts.chain, plans.__getitem__)
    assert (None if rest is None else rest.hosts) == (("two",) if is_left else None)


def test_what_went_back_in_part_is_planned_once_more_or_goes_back_as_a_whole() -> None:
    site = FakeWaveSite()
    site.led()
    run = str(site.run().run)
    site.rollback([one.key for one in site.receipts.chain if one.run == run and one.phase == "intent"][-1])
    assert site.next() == f"controlplane wave plan W1    (its last run went back in part; or take back the rest: controlplane rollback {run})"
    site.rollback(run)
    assert site.next() == "controlplane wave plan W1"


def test_a_host_that_failed_and_went_back_keeps_no_other_from_closing() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], failure_limit=1, exit=[], capabilities=["storage.data_disk", "storage.fstab", "docker.data_root"])
    site.hosts["two"].breaks_after = 2
    site.led()
    assert site.run().outcome == "failed"
    site.rollback([one.key for one in site.receipts.chain if one.host == "two" and one.plan and one.phase == "intent"][-1])
    assert site.next() == 'controlplane wave close W1 --attest "..."'


def test_a_host_that_the_last_plan_could_not_see_is_planned_once_more() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"], capabilities=["storage.data_disk", "storage.fstab", "docker.data_root"])
    site.open()
    site.evidence.unreached = {"two": "no route to host"}
    site.plan_wave()
    assert site.run().outcome == "done"
    why = 'two could not be seen by its last plan; or end it: controlplane wave close W1 --attest "..."'
    assert site.next() == f"controlplane wave plan W1    ({why})"
    site.evidence.unreached = {}
    assert "does not close" in refusal(site.close)
    site.plan_wave()
    assert site.run().outcome == "done"
    assert site.next() == 'controlplane wave close W1 --attest "..."'


def test_what_deletes_is_planned_by_its_name_where_its_last_plan_could_not_see_a_host() -> None:
    site = FakeWaveSite(hosts=("mint-data", "two"))
    site.wave(hosts=["mint-data", "two"])
    site.led()
    site.run()
    site.clock.time += timedelta(days=9)
    site.evidence.unreached = {"two": "no route to host"}
    site.plan_wave("storage.purge")
    assert site.run().outcome == "done"
    assert str(site.next()).startswith("controlplane wave plan W1 --capability storage.purge    (two could not be seen")


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
