"""The dry run of a rollback: every host is asked, what would change is named, and nothing is changed or put on record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from controlplane.domain.errors import InterruptedRunError
from controlplane.domain.finding import Verdict
from controlplane.domain.releases.lease import holder_of
from controlplane.ports.plays import StepResult
from controlplane.usecases.hold_release import TTL
from controlplane.usecases.rehearse_release_return import RehearsedReturn, rehearse_return
from tests.fakes.kept import copied_each_time
from tests.fakes.ports import FakeLocks
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.fakes.site import OPERATOR
from tests.fakes.unsafe_yaml import load_unsafe

V3 = {"3 intake", "3 seeds"}
CHANGES: dict[str, Any] = {
    "files": [{"target": "/opt/stacks/shop-production/compose.release.yml", "after": "as it was"}],
    "services": [{"target": "intake", "before": "intake@sha256:03", "after": "intake@sha256:02"}],
    "pull": ["seeds"],
}


def said(**told: Any) -> StepResult:
    return StepResult(status="done", message="", told={"told": {"undo": {**CHANGES, **told}}, "doubts": []})


@copied_each_time
def _of_three_releases() -> PromotedSite:
    made = PromotedSite()
    for number in (1, 2, 3):
        assert made.promote(made.bring_to_gate(number)).outcome == "done"
    made.runner.dry_ends = dict.fromkeys(HOSTS, said())
    return made


@pytest.fixture
def site() -> PromotedSite:
    return _of_three_releases()


def rehearsed(site: PromotedSite, to: str | None = None) -> RehearsedReturn:
    chain, plays = len(site.receipts.chain), len(site.runner.plays)
    told = rehearse_return(site.site, STACK, "production", to, site.release_ports, progress=lambda _: None)
    assert (len(site.receipts.chain), len(site.runner.plays), site.production()) == (chain, plays, V3)
    return told


def test_every_host_is_observed_and_asked_and_what_would_change_is_named(site: PromotedSite) -> None:
    told = rehearsed(site)
    assert (told.back.leaves, told.back.to) == ("r3", "r2")
    assert [(line.name, line.verdict) for line in told.lines] == [
        (f"{what} of {host}", Verdict.MET) for host in HOSTS for what in ("evidence", "Docker")
    ]
    assert [one.host for one in told.hosts] == [*HOSTS]
    assert told.hosts[0].runs.startswith("r3: MET: ")
    assert (list(told.hosts[0].services), list(told.hosts[0].files), told.hosts[0].pull) == (CHANGES["services"], CHANGES["files"], ("seeds",))


def test_each_host_is_asked_for_the_release_that_was_brought_there(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    collect = site.release_ports.apply.evidence.collect

    def hear(hosts: Any, desired: Mapping[str, Any], **given: Any) -> Any:
        asked.update(desired)
        return collect(hosts, desired, **given)

    monkeypatch.setattr(site.release_ports.apply.evidence, "collect", hear)
    rehearsed(site)
    assert {host: [one.stack for one in desired.releases] for host, desired in asked.items()} == {host: [STACK] for host in HOSTS}


def test_each_run_that_would_go_back_is_asked_with_those_that_would_be_back_by_then(site: PromotedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[str]]] = []
    dry_run = site.runner.dry_run

    def hear(project: Mapping[str, bytes], **given: Any) -> StepResult:
        [play] = json.loads(project["site.yml"])
        told = load_unsafe(project[play["vars_files"][0]])
        asked.append((str(told["compose_stack_rollback_of"]), [str(one) for one in told["compose_stack_rollback_passed"]]))
        return dry_run(project, **given)

    monkeypatch.setattr(site.runner, "dry_run", hear)
    rehearsed(site, to="r1")
    keys = [r.key for r in site.receipts.chain if r.phase == "intent" and r.capability == "release.deploy" and r.host == HOSTS[0] and "R" in r.key]
    second, third = keys[-3], keys[-1]
    mine = [one for one in asked if one[0] in keys]
    assert [one[1] for one in mine] == [[], [mine[0][0]]]
    assert mine[0][0] == third
    assert second != third


@pytest.mark.parametrize(
    ("result", "verdict", "told"),
    [
        (StepResult(status="failed", message="undo of K refused: x. Nothing was changed.", told={"rc": 4}), Verdict.DRIFTED, "undo of K refused: x."),
        (StepResult(status="failed", message="it broke", told={}), Verdict.UNKNOWN, "it broke"),
        (StepResult(status="unreachable", message="no route", told={}), Verdict.UNKNOWN, "it was not reached: no route"),
        (StepResult(status="done", message="", told={}), Verdict.UNKNOWN, "it did not say what would change"),
        (StepResult(status="done", message="", told={"told": {"undo": CHANGES}, "doubts": ["a login"]}), Verdict.UNKNOWN, "a login"),
    ],
)
def test_what_a_host_refuses_or_does_not_tell_is_no_way_back(site: PromotedSite, result: StepResult, verdict: Verdict, told: str) -> None:
    site.runner.dry_ends = {HOSTS[0]: said(), HOSTS[1]: result}
    found = rehearsed(site)
    line = found.lines[-1]
    assert (line.name, line.verdict, line.reason) == (f"Docker of {HOSTS[1]}", verdict, told)
    assert found.hosts[1].services == ()


def test_a_host_that_was_not_observed_is_unknown_and_not_asked(site: PromotedSite) -> None:
    site.evidence.unreached = {HOSTS[0]: "no route"}
    asked = len(site.runner.dry_runs)
    lines = rehearsed(site).lines
    assert (lines[0].verdict, lines[0].reason, len(site.runner.dry_runs)) == (Verdict.UNKNOWN, "it was not reached: no route", asked + 1)


def test_a_deployment_that_never_came_to_its_host_has_nothing_to_undo_there(site: PromotedSite) -> None:
    site.runner.dry_ends = {}
    plan = site.bring_to_gate_uncut(2)
    site.runner.ends = [StepResult(status="interrupted", message="interrupted", told={})]
    site.promote(plan)
    key = next(one.key for one in reversed(site.receipts.chain) if one.capability == "release.deploy" and one.phase == "intent")
    no = StepResult(status="failed", message=f"this host knows no run {key}. Nothing was changed.", told={"rc": 4})
    site.runner.dry_ends = dict.fromkeys(HOSTS, no)
    told = rehearse_return(site.site, STACK, "production", None, site.release_ports, progress=lambda _: None)
    docker = [line for line in told.lines if line.name.startswith("Docker")]
    assert [(line.verdict, line.reason) for line in docker] == [(Verdict.MET, "nothing of it is on the host: there is nothing to undo")]


def test_another_verb_that_works_on_it_is_said(site: PromotedSite) -> None:
    site.leases.take_release(STACK, "production", "promote", holder="bob@west", now=site.clock.now(), ttl=TTL)
    line = rehearsed(site).lines[0]
    assert (line.name, line.verdict) == ("lease", Verdict.DRIFTED)
    assert line.reason.startswith("bob@west changes it, release promote since ")


def test_another_verb_that_works_on_the_stack_in_the_other_environment_is_said(site: PromotedSite) -> None:
    site.leases.take_release(STACK, "staging", "stage", holder="bob@west", now=site.clock.now(), ttl=TTL)
    line = rehearsed(site).lines[0]
    assert (line.name, line.verdict) == ("lease", Verdict.DRIFTED)
    assert line.reason.startswith("bob@west changes shop in staging, release stage since ")


def test_what_was_killed_here_is_in_nobody_s_way_and_the_same_operator_with_another_copy_of_the_site_is(site: PromotedSite) -> None:
    here, there = (holder_of(OPERATOR, place) for place in (FakeLocks.place, "there"))
    site.leases.take_release(STACK, "production", "promote", holder=here, now=site.clock.now(), ttl=TTL)
    assert rehearsed(site).lines[0].name != "lease"
    site.clock.time += TTL
    site.leases.take_release(STACK, "production", "promote", holder=there, now=site.clock.now(), ttl=TTL)
    line = rehearsed(site).lines[0]
    assert (line.name, line.verdict) == ("lease", Verdict.DRIFTED)
    assert line.reason.startswith(f"{OPERATOR} changes it, release promote since ")


def test_where_only_the_proof_is_missing_no_host_is_asked(site: PromotedSite) -> None:
    site.stubs = {2}
    assert site.roll_back().outcome == "failed"
    asked = len(site.runner.dry_runs)
    told = rehearse_return(site.site, STACK, "production", None, site.release_ports, progress=lambda _: None)
    assert (told.back.runs, len(site.runner.dry_runs), {line.verdict for line in told.lines}) == ((), asked, {Verdict.MET})
    assert told.hosts[0].runs.startswith("r2: MET: ")


def test_who_interrupts_it_hears_that_nothing_was_changed(site: PromotedSite) -> None:
    site.runner.dry_ends = dict.fromkeys(HOSTS, StepResult(status="interrupted", message="interrupted.", told={}))
    with pytest.raises(InterruptedRunError, match="Nothing was changed"):
        rehearsed(site)
