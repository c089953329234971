"""What a run brought that was abandoned: what the second witness can't say takes nothing back, and its host is named again before its way back."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.receipt import undone_keys
from controlplane.domain.witness import Answer
from tests.fakes.releases import STACK
from tests.unit.usecases.test_promotion_without_host import dead_in_its_step, dry, of_hosts


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_second_witness_that_could_not_be_asked_takes_nothing_back_and_calls_nothing_finished(*, by_hand: bool) -> None:
    site, plan = dead_in_its_step()
    if by_hand:
        assert site.prove(STACK, "production", progress=lambda _: None).passed
    before, answer = list(site.receipts.chain), site.witness.answer
    lost = {"said": None, "error": "connection reset"}
    site.witness.answer = lambda *of: tuple(one.model_copy(update=lost) for one in answer(*of))  # type: ignore[method-assign]
    told = r"(?s)abandoned: mint-apps: .*could not be asked \(connection reset\).*Nothing was changed\. See why .*, then run this again; or take "
    for act in (lambda: dry(site, plan), lambda: site.promote(plan)):
        with pytest.raises(UnknownError, match=told):
            act()
    assert (site.receipts.chain, site.production()) == (before, {"2 intake", "2 seeds"})
    site.witness.answer = answer  # type: ignore[method-assign]
    assert (site.promote(plan).outcome, site.production()) == ("done", {"2 intake", "2 seeds"})


def test_what_says_otherwise_goes_back_also_where_another_question_could_not_be_asked() -> None:
    site, plan = dead_in_its_step()
    answer = site.witness.answer

    def half(*of: Any) -> tuple[Answer, ...]:
        first, second, *rest = (one for one in answer(*of) if one.question.surface == "release:shop")
        return first.model_copy(update={"said": "otherwise"}), second.model_copy(update={"said": None, "error": "reset"}), *rest

    site.witness.answer = half  # type: ignore[assignment,method-assign]
    assert dry(site, plan) == ["way back"]


def test_what_was_brought_by_a_run_that_is_closed_names_its_host_again_first() -> None:
    site, _ = dead_in_its_step()
    step = next(one for one in reversed(site.receipts.chain) if one.capability == "release.deploy" and one.host == "mint-data")
    way, first = "controlplane release rollback shop --env production", "name that in releases/shop.yml again first)"
    with pytest.raises(RefusedError) as refused:
        site.rollback(step.key)
    assert str(refused.value).endswith(f"See what it would do: {way} --dry-run (where production has mint-data no more, {first}")
    earlier = next(one for one in site.receipts.chain if one.capability == "release.deploy" and one.host == "mint-data" and one.plan != step.plan)
    of_hosts(site, "mint-apps", "mint-data")
    site.evidence.unreached = {}
    assert site.roll_back().outcome == "rolled-back"
    assert earlier.key not in undone_keys(site.receipts.chain)
    assert step.key in undone_keys(site.receipts.chain)
