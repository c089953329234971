"""A release goes back past later steps that have nothing to do with it, and past none that has."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.plan import ChangeKind
from controlplane.domain.receipt import ChangeStatus
from controlplane.domain.run_key import make_run_key
from controlplane.ports.plays import StepResult
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.roll_back import roll_back
from tests.fakes.promotions import PromotedSite
from tests.fakes.site import OPERATOR

KIND: ChangeKind = "recreate"


@pytest.fixture
def site() -> PromotedSite:
    """Return a site to whose staging two builds were brought."""
    found = PromotedSite()
    for number in (1, 2):
        assert found.stage(number).outcome == "done"
    return found


def later(site: PromotedSite, *targets: str, capability: str = "storage.write_surfaces", outcome: Any = "done") -> str:
    """Let a later step change these on one host, and return its key; without an outcome it stays open, as its run."""
    key = make_run_key(capability, site.clock.now(), site.ports.entropy.four_hex())
    ledger = Ledger(site.receipts, site.clock, run=key, site="lab", plan="sha256:later", policy="sha256:policy", operator=OPERATOR)
    about: dict[str, Any] = {"host": "mint-apps", "capability": capability, "step": "mint-apps/010"}
    ledger.intend(key, **about)
    if outcome is not None:
        changes = tuple(ChangeStatus(kind=KIND, target=one, before="a", after="b", status="done") for one in targets)
        ledger.close(key, **about, outcome=outcome, changes=changes)
    return key


@pytest.mark.parametrize("targets", [["container store-web-1", "the compose file of store"], ["docker root", "/etc/docker/daemon.json"]])
def test_a_later_step_elsewhere_is_in_no_releases_way(site: PromotedSite, targets: list[str]) -> None:
    later(site, *targets)
    assert site.roll_back("staging").outcome == "rolled-back"
    assert site.running("staging") == {"1 intake", "1 seeds"}


@pytest.mark.parametrize(
    "target", ["container shop-staging-intake-1", "the compose file of shop-staging", "/opt/stacks/shop-staging/compose.yml", "shop-staging seeds"]
)
def test_a_later_step_of_the_same_stack_stands_on_it(site: PromotedSite, target: str) -> None:
    key = later(site, target)
    with pytest.raises(RefusedError, match=rf"later steps stand on it: {key}\. Nothing was changed"):
        site.roll_back("staging")
    assert site.running("staging") == {"2 intake", "2 seeds"}


def test_a_later_step_that_says_nothing_of_what_it_changed_stands_on_it(site: PromotedSite) -> None:
    key = later(site)
    with pytest.raises(RefusedError, match=f"later steps stand on it: {key}"):
        site.roll_back("staging")


def test_a_later_step_that_is_open_stands_on_it(site: PromotedSite) -> None:
    key = later(site, outcome=None)
    with pytest.raises(RefusedError, match=key):
        site.roll_back("staging")


def test_a_release_does_not_go_back_alone_past_a_later_one_that_changed_another_service(site: PromotedSite) -> None:
    held = site.files.held
    first = held["shop", "r2"].images
    held["shop", "r3"] = held["shop", "r3"].model_copy(update={"images": first | {"intake": held["shop", "r3"].images["intake"]}})
    middle = site.stage(3).deployed
    held["shop", "r1"] = held["shop", "r1"].model_copy(update={"images": held["shop", "r3"].images | {"seeds": held["shop", "r1"].images["seeds"]}})
    assert site.stage(1).outcome == "done"
    assert middle is not None
    with pytest.raises(RefusedError, match="later steps stand on it"):
        roll_back(str(middle.run), site.view, operator=OPERATOR, ports=site.ports, progress=lambda _: None, planned=site.view)


def test_what_brought_a_release_is_taken_back_by_its_own_verb_alone(site: PromotedSite) -> None:
    keys = [r.key for r in site.receipts.chain if r.phase == "intent" and r.plan][-3:]
    for key in keys:
        with pytest.raises(RefusedError) as refused:
            site.rollback(key)
        assert str(refused.value).startswith(f"{key} brought r2 of shop to staging: a release goes back by its own verb")
        assert "Nothing was changed. See what it would do: controlplane release rollback shop --env staging --dry-run (where " in str(refused.value)
    assert site.running("staging") == {"2 intake", "2 seeds"}
    assert site.roll_back("staging").outcome == "rolled-back"


def test_what_stands_on_a_release_names_the_releases_own_way_back(site: PromotedSite) -> None:
    key = later(site, "/opt/stacks/shop-staging/compose.yml", capability="storage.fstab")
    with pytest.raises(RefusedError, match=f"Roll those back first: controlplane rollback {key}"):
        site.roll_back("staging")
    assert site.stage(3).outcome == "done"
    with pytest.raises(RefusedError, match=r"Roll those back first: controlplane release rollback shop --env staging \(where staging has "):
        site.rollback(key)


def test_a_release_that_stands_open_is_gone_on_with_and_taken_back_by_its_own_verbs(site: PromotedSite) -> None:
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    told = site.stage(3).messages[-1]
    assert told.endswith("is open. Go on: 'again'; or take it back: controlplane release rollback shop --env staging")
    with pytest.raises(
        RefusedError, match=r"an earlier run is still open: .*Go on with it as 'controlplane release status' says\. A machine is gone"
    ):
        site.stage(1)
    site.runner.ends = [StepResult(status="failed", message="no", told={})]
    returned = site.roll_back("staging")
    assert returned.messages[-1].endswith("controlplane release rollback shop --env staging --to r2")
    told = " ".join(returned.messages)
    assert "Go on with the rest: controlplane release rollback shop --env staging" in told
    assert site.roll_back("staging").outcome == "rolled-back"


def test_on_other_steps_any_later_one_stands(site: PromotedSite) -> None:
    key, last = later(site, "container store-web-1"), later(site, "/etc/docker/daemon.json", capability="docker.data_root")
    with pytest.raises(RefusedError, match=rf"{key} can't go back while later steps stand on it: {last}"):
        site.rollback(key)
