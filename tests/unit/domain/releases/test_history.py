"""Which release runs where, as the receipts say: what stands, what was taken back, what is open, and where hosts disagree."""

from __future__ import annotations

import pytest

from controlplane.domain.chain import BEGINNING
from controlplane.domain.errors import RunFailedError
from controlplane.domain.plan import Plan
from controlplane.domain.releases.history import Deployed, Deployment, deployed, deployments
from controlplane.domain.run_key import make_run_key
from controlplane.usecases.record_run import Ledger
from tests.fakes.releases import HOSTS, STACK, ReleaseSite, env_text, keyed, manifest


def seen(site: ReleaseSite, environment: str = "staging") -> Deployed:
    return deployed(site.receipts.chain, site.ports.plans.get, stack=STACK, environment=environment, hosts=HOSTS)


def names(found: Deployed) -> list[tuple[str | None, str | None]]:
    """Return (current, previous) of each host."""
    return [(one.current and one.current.manifest_name, one.previous and one.previous.manifest_name) for one in found.hosts]


def test_without_a_deployment_there_is_none_and_no_doubt() -> None:
    found = seen(ReleaseSite())
    assert (found.current, found.doubt, found.disagree, names(found)) == (None, None, False, [(None, None)] * 2)


def test_a_deployment_is_known_by_its_run_its_plan_its_manifest_and_when_it_was() -> None:
    site = ReleaseSite()
    run = site.deploy(1)
    one = seen(site).current
    assert one is not None
    intent = next(receipt for receipt in site.receipts.chain if receipt.host == "mint-apps" and receipt.phase == "intent")
    result = next(receipt for receipt in site.receipts.chain if receipt.key == intent.key and receipt.phase == "result")
    assert one == Deployment(
        stack=STACK,
        environment="staging",
        host="mint-apps",
        run=run,
        key=intent.key,
        plan=intent.plan,
        project="shop-staging",
        manifest=manifest(1).digest,
        manifest_name="r1",
        images=dict(manifest(1).images),
        env_digest=keyed(env_text("staging")),
        begun_at=intent.at,
        begun_seq=intent.seq,
        ended_at=result.at,
        ended_seq=result.seq,
        state="done",
    )


def test_the_last_one_that_stands_is_current_and_environments_are_apart() -> None:
    site = ReleaseSite()
    site.deploy(1)
    site.deploy(2)
    site.deploy(3, "production")
    assert names(seen(site)) == [("r2", "r1")] * 2
    assert names(seen(site, "production")) == [("r3", None)] * 2
    assert [one.manifest_name for one in deployments(site.receipts.chain, site.ports.plans.get)] == ["r1", "r1", "r2", "r2", "r3", "r3"]


def test_what_was_taken_back_makes_the_one_before_current_again() -> None:
    site = ReleaseSite()
    site.deploy(1)
    second = site.deploy(2)
    site.take_back(second)
    found = seen(site)
    assert (names(found), found.doubt) == ([("r1", None)] * 2, None)
    assert [one.state for one in found.hosts[0].deployments] == ["done", "undone"]
    site.deploy(3)
    assert names(seen(site)) == [("r3", "r1")] * 2


def test_one_that_failed_changes_nothing_here() -> None:
    site = ReleaseSite()
    site.deploy(1)
    site.deploy(2, ends=dict.fromkeys(HOSTS, "failed"))
    found = seen(site)
    assert (names(found), found.doubt) == ([("r1", None)] * 2, None)
    assert found.hosts[0].deployments[-1].state == "failed"


def test_hosts_that_were_given_different_manifests_disagree() -> None:
    site = ReleaseSite()
    site.deploy(1, hosts=("mint-apps",))
    assert (seen(site).disagree, seen(site).doubt) == (True, "its hosts disagree: mint-apps runs r1, mint-data runs none")
    site.deploy(2, ends={"mint-data": "failed"})
    site.deploy(1, hosts=("mint-data",))
    found = seen(site)
    assert (found.current, found.doubt) == (None, "its hosts disagree: mint-apps runs r2, mint-data runs r1")


def test_one_manifest_that_was_brought_twice_is_half_back_as_long_as_a_host_has_the_run_that_another_lost() -> None:
    site = ReleaseSite()
    first, second = site.deploy(1), site.deploy(1)
    assert (seen(site).half_back, seen(site).doubt) == ({}, None)
    site.take_back(second, hosts=("mint-data",))
    found = seen(site)
    assert ([*found.half_back], found.disagree, found.current) == ([second], False, None)
    assert found.doubt == f"a way back has not ended: r1 of run {second} went back from mint-data, and stands on mint-apps"
    site.take_back(second, hosts=("mint-apps",))
    found = seen(site)
    assert (found.half_back, found.doubt, {one.current and one.current.run for one in found.hosts}) == ({}, None, {first})


def test_what_was_brought_over_a_half_way_back_settles_it() -> None:
    site = ReleaseSite()
    site.deploy(1)
    site.take_back(site.deploy(1), hosts=("mint-data",))
    site.deploy(1, hosts=("mint-data",))
    assert (seen(site).half_back, seen(site).doubt) == ({}, None)


def test_an_open_deployment_or_way_back_is_doubt() -> None:
    site = ReleaseSite()
    site.deploy(1)
    second = site.deploy(2, ends={"mint-data": "open"})
    found = seen(site)
    [one] = [host.unsettled for host in found.hosts if host.unsettled is not None]
    assert (one.host, one.state, one.run, found.current) == ("mint-data", "open", second, None)
    assert found.doubt == f"a deployment has not ended: {one.key} on mint-data, of r2, since {one.begun_at}"
    site.take_back(second)
    assert (seen(site).doubt, names(seen(site))) == (None, [("r1", None)] * 2)
    third = site.deploy(3)
    site.take_back(third, ends=False)
    found = seen(site)
    assert [host.unsettled and host.unsettled.state for host in found.hosts] == ["returning"] * 2
    assert (found.current, "has not ended" in (found.doubt or "")) == (None, True)


def test_other_receipts_are_none_and_each_plan_is_read_once() -> None:
    site = ReleaseSite()
    site.deploy(1)
    site.smoke()
    site.recert()
    read: list[str] = []

    def get(plan: str) -> Plan:
        read.append(plan)
        return site.ports.plans.get(plan)

    assert len(deployments(site.receipts.chain, get)) == 2
    assert len(read) == 1


def test_a_plan_that_does_not_say_what_was_deployed_is_an_error_that_says_what_to_do() -> None:
    site = ReleaseSite()
    site.deploy(1)
    plan = site.ports.plans.get(site.receipts.chain[0].plan)
    bare = plan.model_copy(update={"steps": tuple(step.model_copy(update={"variables": {}}) for step in plan.steps)})
    for other in (bare, plan.model_copy(update={"steps": ()})):
        with pytest.raises(RunFailedError, match=r"does not say what .* deployed: restore the site's state folder"):
            deployments(site.receipts.chain, lambda _digest, other=other: other)  # type: ignore[misc]


def test_a_plan_that_the_receipts_show_to_be_another_stack_s_is_not_asked_for() -> None:
    site = ReleaseSite()
    lost = site.deploy(1)
    site.deploy(2)
    plan = next(one.plan for one in site.receipts.chain if one.run == lost)
    del site.ports.plans.held[plan]  # type: ignore[attr-defined]
    with pytest.raises(RunFailedError, match="is gone"):
        seen(site)
    ledger = Ledger(site.receipts, site.clock, run="R", site="lab", plan="", policy="p", operator="ops@here")
    key = make_run_key(BEGINNING, site.clock.now(), "abcd")
    ledger.intend(key, host="*", capability=BEGINNING, step="other/staging")
    ledger.close(key, host="*", capability=BEGINNING, step="other/staging", outcome="done", told={"run": lost})
    assert names(seen(site)) == [("r2", None)] * 2
    # Nor is what was done on hosts that nobody asks about, or by another plan.
    about = next(one.plan for one in site.receipts.chain if one.plan not in ("", plan))
    assert {one.manifest_name for one in deployments(site.receipts.chain, site.ports.plans.get, plan=about)} == {"r2"}
    assert deployments(site.receipts.chain, site.ports.plans.get, hosts=["elsewhere"]) == ()
