"""The way back is tried before a promotion changes anything: each host says whether what runs there could come back."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.finding import Verdict
from controlplane.domain.receipt import open_intents
from controlplane.ports.plays import StepResult
from controlplane.usecases.brief_release import release_brief
from tests.fakes.kept import copied_each_time
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS

V1 = {"1 intake", "1 seeds"}
GONE = "registry.example.org/shop/seeds@sha256:01, which seeds-1 ran, is not here any more and can't be pulled: its registry does not answer"


def said(**told: Any) -> StepResult:
    back = {"services": {"intake": "here", "seeds": "here"}, "against": [], "doubts": [], **told}
    return StepResult(status="done", message="", told={"told": {"back": back}})


@copied_each_time
def _of_one_release() -> PromotedSite:
    made = PromotedSite()
    assert made.promote(made.bring_to_gate(1)).outcome == "done"
    made.runner.dry_ends = dict.fromkeys(HOSTS, said())
    return made


@pytest.fixture
def site() -> PromotedSite:
    return _of_one_release()


def way_back(site: PromotedSite, result: StepResult) -> tuple[Verdict, str]:
    site.runner.dry_ends = {HOSTS[0]: said(), HOSTS[1]: result}
    plan = site.bring_to_gate(2)
    lines = {line.name: line for line in site.promote(plan).gate}
    return lines[f"way back of {HOSTS[1]}"].verdict, lines[f"way back of {HOSTS[1]}"].reason


def test_a_first_release_says_that_it_is_one() -> None:
    site = PromotedSite()
    lines = [line for line in site.promote(site.bring_to_gate(1)).gate if line.name.startswith("way back of ")]
    assert [line.name for line in lines] == [f"way back of {host}" for host in HOSTS]
    assert {(line.verdict, line.reason) for line in lines} == {
        (Verdict.MET, "this is the first release there: going back takes it down, its volumes stay")
    }


def test_what_runs_and_could_come_back_is_named(site: PromotedSite) -> None:
    assert way_back(site, said()) == (Verdict.MET, "to r1: its images are there, and Compose reads its files")


def test_an_image_that_only_the_registry_has_is_named(site: PromotedSite) -> None:
    told = "to r1: the images are there but for seeds, which the registry has by digest, and Compose reads its files"
    assert way_back(site, said(services={"intake": "here", "seeds": "registry"})) == (Verdict.MET, told)


def test_where_nothing_runs_any_more_that_is_no_first_release(site: PromotedSite) -> None:
    told = "nothing of r1 runs there now: going back takes the new one down, its volumes stay"
    assert way_back(site, said(services={})) == (Verdict.MET, told)


@pytest.mark.parametrize(
    ("result", "error", "told"),
    [
        (said(against=[GONE]), RefusedError, f"way back of mint-data: what runs could not be brought back: {GONE}"),
        (said(doubts=["nobody can tell"]), UnknownError, "way back of mint-data: nobody can tell"),
        (StepResult(status="done", message="", told={}), UnknownError, "way back of mint-data: it was not told: it did not say"),
        (StepResult(status="unreachable", message="no route", told={}), UnknownError, "it was not told: it was not reached: no route"),
        (StepResult(status="failed", message="it broke", told={}), UnknownError, "it was not told: it broke"),
        (StepResult(status="failed", message="x refused. Nothing was changed.", told={"rc": 4}), RefusedError, "it was not told: x refused."),
    ],
)
def test_without_a_way_back_nothing_is_begun_and_nothing_put_on_record(site: PromotedSite, result: StepResult, error: type, told: str) -> None:
    plan = site.bring_to_gate(2)
    site.runner.dry_ends = {HOSTS[0]: said(), HOSTS[1]: result}
    receipts, plays = len(site.receipts.chain), len(site.runner.plays)
    with pytest.raises(error) as refused:
        site.promote(plan)
    assert told in str(refused.value)
    assert "Nothing was changed." in str(refused.value)
    assert (len(site.receipts.chain), len(site.runner.plays), site.production()) == (receipts, plays, V1)


def test_behind_a_shut_gate_no_host_is_asked(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.faults = ("production lacks PORT",)
    asked = len(site.runner.dry_runs)
    with pytest.raises(RefusedError):
        site.promote(plan)
    assert len(site.runner.dry_runs) == asked


def test_a_host_that_was_begun_is_ended_without_that_question_and_another_is_asked(site: PromotedSite) -> None:
    plan = site.bring_to_gate(2)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    assert site.promote(plan).outcome == "interrupted"
    site.runner.dry_ends = dict.fromkeys(HOSTS, said(against=[GONE]))
    result = site.promote(plan)
    assert result.outcome == "interrupted"
    assert result.messages[0].startswith(
        "mint-data/010 release.deploy was not begun: its gate is shut: way back of mint-data: what runs could not be"
    )
    assert {one.step for one in open_intents(site.receipts.chain)} == {"*"}
    site.runner.dry_ends = dict.fromkeys(HOSTS, said())
    assert site.promote(plan).outcome == "done"


def test_staging_may_give_up_what_it_runs(site: PromotedSite) -> None:
    site.runner.dry_ends = dict.fromkeys(HOSTS, said(against=[GONE]))
    assert site.stage(2).outcome == "done"


def test_the_runbook_names_the_line(site: PromotedSite) -> None:
    lines = release_brief(site.site, "shop", site.release_ports)
    assert [line.partition(":")[0] for line in lines if "way back of" in line] == [f"- way back of {host}" for host in HOSTS]
