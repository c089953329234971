"""What stands in the way of a run that deletes, or of its plan, names the way on: the same plan, a new one with its capability, or the run's end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.domain.receipt import open_intents
from controlplane.usecases.abandon_run import abandon_run
from tests.fakes.site import OPERATOR, FakeSite
from tests.unit.usecases.test_apply_by_name import HYGIENE, MB, TMP, _a_log_grows, cut_off, file, grown, over_budget, play_them

_played = pytest.fixture(autouse=True)(play_them)


def _said(site: FakeSite, act: Callable[[], object]) -> str:
    plays, links = list(site.runner.plays), len(site.receipts.chain)
    with pytest.raises(RefusedError) as refusal:
        act()
    assert (site.runner.plays, len(site.receipts.chain)) == (plays, links)
    return str(refusal.value)


def _abandon(site: FakeSite) -> Any:
    run = site.receipts.chain[0].run
    return abandon_run(run, site.view, operator=OPERATOR, reason="upgraded", ports=site.ports, progress=lambda _: None)


def test_whatever_is_asked_of_an_open_run_that_deletes_names_the_one_way_on() -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    run = cut_off(site, plan).run
    _a_log_grows(site)
    assert _said(site, lambda: site.rollback(str(run))).endswith(
        "Nothing was changed. Its run is open: go on with it by 'controlplane apply' and its plan file, which does what is left of it."
    )
    assert _said(site, lambda: _abandon(site)).endswith("mint-data can be reached. Nothing was changed. Go on: controlplane apply with the plan file")
    other = site.plan(HYGIENE)
    assert "Nothing was changed. Resume it with 'controlplane apply' and its plan file. A machine is gone for good?" in _said(
        site, lambda: site.apply(other)
    )
    assert site.apply(plan).outcome == "done"


def test_one_that_another_version_of_the_program_began_is_closed_by_a_person_and_planned_anew() -> None:
    site = over_budget()
    plan = site.plan(HYGIENE)
    run = cut_off(site, plan).run
    site.roles.content = {**site.roles.content, "fstab/tasks/main.yml": b"new"}

    told = _said(site, lambda: site.apply(plan))
    assert told.endswith(
        f"Its run {run} is open. What it deleted does not come back. Undo that change and go on with it; or, where the program that made it is gone, "
        f'close it: controlplane runs abandon {run} --reason "...", then make a new one: controlplane plan --capability docker.hygiene --out FILE'
    )
    closed = _abandon(site)

    assert (closed.unreached, closed.should_it_come_back) == ({}, None)
    left = "what is left of it: controlplane plan --capability docker.hygiene --out FILE"
    assert closed.told() == (f"another version of this program made its plan, so nothing goes on with it; {left}",)
    assert open_intents(site.receipts.chain) == ()
    assert {r.reason for r in site.receipts.chain if r.outcome == "interrupted"} == {
        "abandoned: upgraded. another version of this program made its plan, so nothing goes on with it. What state it was left in is not known."
    }
    assert site.apply(site.plan(HYGIENE)).outcome == "done"


def test_a_move_that_another_version_began_goes_back_and_is_not_closed() -> None:
    site = FakeSite()
    assert cut_off(site, site.plan()).outcome == "interrupted"
    site.roles.content = {**site.roles.content, "fstab/tasks/main.yml": b"new"}
    assert "or take it back: controlplane rollback" in _said(site, lambda: _abandon(site))


@pytest.mark.parametrize("capability", [HYGIENE, TMP])
def test_a_stale_plan_is_made_anew_with_the_capability_that_it_was_asked_for(capability: str) -> None:
    site = over_budget()
    site.host.probes["tmp"] = {"files": [file(site, "a")], "truncated": False}
    plan = site.plan(capability)
    site.host.probes["tmp"]["files"].append(file(site, "b"))
    grown(site, "quiet", 50 * MB)
    assert _said(site, lambda: site.apply(plan)).endswith(f"Make a new one: controlplane plan --capability {capability} --out FILE")
    site.view = site.view.model_copy(update={"policy_digest": "sha256:other"})
    assert _said(site, lambda: site.apply(plan)).endswith(f"Make a new one: controlplane plan --capability {capability} --out FILE")
