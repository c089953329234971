"""A way back that is refused once something went back already is interrupted, names what goes on with it, and keeps no other host."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.ports.plays import StepResult
from controlplane.usecases import roll_back
from controlplane.usecases.apply_guards import held_by_another
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import STACK

V1, V2 = {"1 intake", "1 seeds"}, {"2 intake", "2 seeds"}
LEASED = "mint-apps is leased to run CAP-1 by bob@other since then, until later"


@pytest.fixture
def site() -> PromotedSite:
    made = PromotedSite()
    for number in (1, 2):
        assert made.promote(made.bring_to_gate(number)).outcome == "done"
    return made


def lease_behind(monkeypatch: pytest.MonkeyPatch, looks: int, *, host: str = "mint-apps") -> None:
    """Let another run hold a host once it was looked at so often."""
    asked = held_by_another
    seen = list[Any]()

    def held(evidence: Any, **given: Any) -> str | None:
        seen.append(evidence)
        if len(seen) <= looks or host not in evidence:
            return asked(evidence, **given)
        return f"{LEASED}. Nothing was changed. Wait for it, or let it expire"

    monkeypatch.setattr(roll_back, "held_by_another", held)


def test_a_lease_that_is_met_by_the_second_run_leaves_the_first_one_back_and_names_where_it_goes_on(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site.promote(site.bring_to_gate(3)).outcome == "done"
    with monkeypatch.context() as patched:
        lease_behind(patched, 1)
        result = site.roll_back(to="r1")
    assert (result.outcome, result.exit_code(), len(result.returned), site.production()) == ("interrupted", 130, 1, V2)
    assert result.messages == (
        f"{LEASED}. Wait for it, or let it expire",
        "Go on with it: controlplane release rollback shop --env production --to r1",
    )
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)


def test_one_that_is_met_before_anything_went_back_is_a_refusal(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    lease_behind(monkeypatch, 0)
    before = list(site.receipts.chain)
    with pytest.raises(RefusedError, match=rf"{LEASED}\. Nothing was changed"):
        site.roll_back()
    assert (site.receipts.chain, site.production()) == (before, V2)


def test_one_that_is_met_host_by_host_leaves_back_what_is_back_and_is_said(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole fails on its second host, which is held as it is tried by itself."""
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="failed", message="no room", told={})]
    with monkeypatch.context() as patched:
        lease_behind(patched, 1)
        result = site.roll_back()
    assert (result.outcome, result.exit_code()) == ("failed", 1)
    assert f"{LEASED}. Wait for it, or let it expire" in result.messages
    assert result.messages[-1] == "Go on with it: controlplane release rollback shop --env production --to r1"
    assert (site.roll_back(to="r1").outcome, site.production()) == ("rolled-back", V1)


def test_one_that_holds_the_only_host_that_is_left_is_the_reason_and_not_the_host_that_is_gone(
    site: PromotedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = site.files.specs[STACK]
    alone = spec.environments["production"].model_copy(update={"hosts": ("mint-apps",)})
    site.files.specs[STACK] = spec.model_copy(update={"environments": {**spec.environments, "production": alone}})
    before = list(site.receipts.chain)
    with monkeypatch.context() as patched:
        lease_behind(patched, 0)
        with pytest.raises(RefusedError, match=rf"{LEASED}\. Nothing was changed"):
            site.roll_back()
    site.evidence.unreached = {"mint-apps": "no route"}
    with pytest.raises(UnknownError, match=r"mint-apps: no route\. Nothing was changed"):
        site.roll_back()
    assert site.receipts.chain == before
