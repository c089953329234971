"""A deployment that was begun over what stands, failed, and was not taken back: nothing is proven over it, and it is what goes back first."""

from __future__ import annotations

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.releases.history import Deployed, deployed
from controlplane.domain.releases.proof import proof_since
from controlplane.ports.plays import StepResult
from controlplane.usecases.release_way_back import way_back
from tests.fakes.closings import ClosingSite
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK, ReleaseSite


def stands(site: ReleaseSite) -> Deployed:
    return deployed(site.receipts.chain, site.ports.plans.get, stack=STACK, environment="staging", hosts=HOSTS)


@pytest.mark.parametrize("end", ["failed", "interrupted"])
@pytest.mark.parametrize("number", [1, 2])
def test_no_smoke_run_counts_a_host_on_which_a_deployment_was_only_begun(end: str, number: int) -> None:
    """Also of the same manifest: other files of it may lie there by half."""
    site = ReleaseSite()
    site.deploy(1)
    run = site.deploy(number, ends=dict.fromkeys(HOSTS if number == 2 else HOSTS[1:], end))  # type: ignore[arg-type]
    before = list(site.receipts.chain)
    told = r"shop in staging: a deployment failed and was not taken back: CAP-.*release.deploy.* on mint-data, of r{}, since .*Nothing was run"
    with pytest.raises(RefusedError, match=told.format(number)):
        site.smoke()
    assert (site.receipts.chain, site.files.marks, site.tests.given) == (before, [], {})
    site.take_back(run)
    assert site.smoke().passed


def test_a_proof_of_before_counts_no_more_once_something_failed_over_it() -> None:
    site = ReleaseSite()
    site.deploy(1)
    proof = site.smoke().run
    found = proof_since(site.receipts.chain, stands(site))
    assert found is not None
    assert found.receipt.key == proof
    site.deploy(1, hosts=("mint-data",), ends={"mint-data": "failed"})
    assert (stands(site).current is not None, stands(site).doubt) == (True, None)
    assert proof_since(site.receipts.chain, stands(site)) is None
    site.deploy(1)
    assert stands(site).unfinished is None
    assert site.smoke().passed


def test_nothing_closes_over_it() -> None:
    site = ClosingSite().released()
    site.deploy(1, "production", ends={"mint-data": "failed"})
    told = r"shop in production does not close: a deployment failed and was not taken back: .* on mint-data, of r1, .* release status shop"
    with pytest.raises(RefusedError, match=told):
        site.closed("production")


def test_what_failed_is_there_still_once_what_was_brought_over_it_went_back() -> None:
    site = ReleaseSite()
    site.deploy(1)
    site.deploy(2, ends={"mint-data": "failed"}, hosts=("mint-data",))
    third = site.deploy(3)
    assert stands(site).unfinished is None
    site.take_back(third)
    left = stands(site).hosts[1].failed
    assert left is not None
    assert left.manifest_name == "r2"
    with pytest.raises(RefusedError, match="on mint-data, of r2"):
        site.smoke()


def test_a_way_back_that_lacks_a_host_on_which_it_failed_goes_on_with_that_host() -> None:
    """It is not only its proof that is missing: half of what failed runs there."""
    site = PromotedSite()
    assert site.stage(1).outcome == "done"
    assert site.smoke().passed
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="failed", message="no room", told={})]
    assert site.stage(2).outcome == "failed"
    site.evidence.unreached = {"mint-data": "no route"}
    assert site.roll_back("staging").outcome == "interrupted"
    site.evidence.unreached = {}
    for to in (None, "r1"):
        back = way_back(site.site, STACK, "staging", to, site.release_ports)
        assert (back.hosts, len(back.runs), back.to) == (("mint-data",), 1, "r1")
    result = site.roll_back("staging")
    assert (result.outcome, site.running("staging")) == ("rolled-back", {"1 intake", "1 seeds"}), result.messages
