"""A first release that went back: status says by fresh evidence what is there, and every verb names what proves it until that is done."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import Plan
from controlplane.domain.releases.history import DEPLOY
from controlplane.usecases.rehearse_release import rehearse
from controlplane.usecases.show_releases import release_status
from tests.fakes.promotions import BAD, GOOD, PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.unit.usecases.test_judge_return import PINNED, PROJECT, by_hand, first_release

SMOKE, ROLLBACK = (f"controlplane release {verb} --env production" for verb in ("smoke shop", "rollback shop"))
STAGE = "controlplane release stage shop --manifest NAME --out FILE    (what staging runs was taken back from production)"
AGAIN = f"r1 went back from here: what ran here before, which no release brought, is here again: intake {PINNED}"
NOTHING = "r1 went back from here: nothing of it is here, as before"


@pytest.fixture
def site() -> PromotedSite:
    return PromotedSite()


def cut_in_its_way_back(site: PromotedSite) -> Plan:
    """Promote a stub as the first release, kill the call in the proof of its way back, and return the plan."""
    plan = site.bring_to_gate(1)
    site.stubs, proofs = {1}, list[str]()

    def kill() -> None:
        proofs.append("")
        if len(proofs) == 2:
            site.tests.during = lambda: None
            raise KeyboardInterrupt

    site.tests.during = kill
    with pytest.raises(KeyboardInterrupt):
        site.promote(plan)
    return plan


def production(site: PromotedSite) -> dict[str, Any]:
    found = release_status(site.site, STACK, site.release_ports)
    return {**found["environments"][1], "next": found["next"]}


def rows(site: PromotedSite) -> list[tuple[Any, ...]]:
    return [(one["host"], one["verdict"], one["reason"]) for one in production(site)["hosts"]]


def refusal(site: PromotedSite, plan: Plan) -> str:
    told = []
    for act in (lambda: site.promote(plan), lambda: rehearse(site.site, STACK, "production", plan, site.release_ports)):
        with pytest.raises(RefusedError, match=r"was carried out and taken back\. Nothing was changed") as refused:
            act()
        told.append(str(refused.value))
    assert told[0] == told[1]
    return told[0]


def test_what_runs_again_and_is_not_proven_is_said_with_what_proves_it(site: PromotedSite) -> None:
    by_hand(site, ("mint-apps",))
    plan = cut_in_its_way_back(site)
    assert rows(site) == [("mint-apps", "MET", f"{AGAIN}; it is not proven: no smoke run met it since"), ("mint-data", "MET", NOTHING)]
    assert production(site)["next"] == f"{SMOKE}    (r1 went back, and what runs again is not proven)"
    told = refusal(site, plan)
    assert f"What no release brought, which runs again, is not proven: no smoke run met it since. Prove it: {SMOKE}. Make a new one: " in told
    site.tests.tests = GOOD
    assert site.smoke("production").passed
    assert rows(site) == [("mint-apps", None, AGAIN), ("mint-data", "MET", NOTHING)]
    assert (production(site)["proof"]["passed"], production(site)["next"]) == (True, STAGE)
    assert "not proven" not in refusal(site, plan)


def test_a_rollback_goes_on_with_the_proof_that_is_missing_until_it_is_there(site: PromotedSite) -> None:
    by_hand(site)
    cut_in_its_way_back(site)
    plays = list(site.runner.plays)
    site.stubs = set()
    result = site.roll_back()
    assert (result.outcome, result.returned, result.manifest, site.runner.plays) == ("rolled-back", (), "what no release brought", plays)
    assert result.proof is not None
    assert production(site)["next"] == STAGE
    again = site.roll_back()
    assert (again.outcome, again.returned, again.proof, site.runner.plays) == ("rolled-back", (), None, plays)
    assert again.messages[0].endswith("Nothing was changed; no release stands behind it")


def test_a_smoke_run_that_failed_is_no_proof_and_what_stands_nowhere_is_no_way_back(site: PromotedSite) -> None:
    by_hand(site)
    plan = cut_in_its_way_back(site)
    site.tests.tests = BAD
    proof = site.smoke("production")
    assert not proof.passed
    told = f"its smoke run {proof.run} did not pass"
    assert rows(site)[0] == ("mint-apps", "MET", f"{AGAIN}; it is not proven: {told}")
    assert told in refusal(site, plan)
    with pytest.raises(RefusedError, match="no release of shop stands in production"):
        site.roll_back(to="r1")
    assert site.roll_back().outcome == "rolled-back"


def test_where_nothing_ran_before_a_rollback_gives_the_evidence_as_often_as_it_is_asked(site: PromotedSite) -> None:
    plan = site.bring_to_gate(1)
    site.stubs = {1}
    left = copy.deepcopy(site.service("mint-data", "seeds") | {"compose_project": PROJECT, "name": "left-1"})
    assert site.promote(plan).outcome == "rolled-back"
    assert rows(site) == [(host, "MET", NOTHING) for host in HOSTS]
    assert "Whether anything of it is left, where nothing ran before: controlplane release status shop. Make a new one" in refusal(site, plan)
    site.hosts["mint-data"].probes["docker_containers"].append(left)
    assert rows(site)[1] == ("mint-data", "DRIFTED", "r1 went back from here: left-1 is there (running), which was not before")
    assert production(site)["next"] == f"see why production is not as it was before r1, then: {ROLLBACK}"
    assert site.roll_back().outcome == "failed"
    site.hosts["mint-data"].probes["docker_containers"].remove(left)
    before = list(site.receipts.chain)
    for _ in range(2):
        result = site.roll_back()
        assert (result.outcome, result.returned, result.manifest, site.receipts.chain) == ("rolled-back", (), "nothing", before)


def test_a_host_that_does_not_answer_is_unknown_and_one_whose_past_is_on_no_record_is_judged_by_nothing(site: PromotedSite) -> None:
    first_release(site)
    assert site.roll_back().outcome == "rolled-back"
    site.evidence.unreached = {"mint-data": "no route"}
    assert rows(site)[1] == ("mint-data", "UNKNOWN", "r1 went back from here: it was not reached: no route: UNKNOWN")
    other = PromotedSite()
    run = other.deploy(1, "production")
    other.take_back(run)
    told = "r1 went back from here: what ran there before its first release is not on record, so nobody can tell whether it is back: UNKNOWN"
    assert rows(other) == [(host, None, told) for host in HOSTS]


def test_the_way_back_of_another_host_goes_on_and_says_what_is_there_already(site: PromotedSite) -> None:
    first_release(site)
    [run] = {one.run for one in site.receipts.chain if one.capability == DEPLOY and production(site)["hosts"][0]["run"] == one.run}
    site.take_back(run, hosts=("mint-apps",))
    found = production(site)
    assert found["next"] == ROLLBACK
    assert [(one["host"], one["went_back"], one["verdict"]) for one in found["hosts"]] == [("mint-apps", "r1", "DRIFTED"), ("mint-data", None, "MET")]


def test_where_a_release_stands_on_another_host_no_rollback_is_named_which_would_take_that_back(site: PromotedSite) -> None:
    spec = site.files.specs[STACK]
    alone = spec.environments["production"].model_copy(update={"hosts": HOSTS[:1]})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": alone}})
    first_release(site)
    site.files.specs[STACK] = spec
    assert site.promote(site.bring_to_gate(2)).outcome == "done"
    left = copy.deepcopy(site.service("mint-data", "seeds") | {"compose_project": PROJECT, "name": "left-1"})
    assert site.roll_back().outcome == "rolled-back"
    assert rows(site)[1] == ("mint-data", "MET", NOTHING.replace("r1", "r2"))
    site.hosts["mint-data"].probes["docker_containers"].append(left)
    assert production(site)["next"] == "see why production is not as it was before r2; its hosts are named above"
