"""release stage and promote before anything is changed: exit codes, what is shown, and when the plan is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import Fault, InputInvalidError
from controlplane.domain.releases.values import EnvironmentName
from controlplane.ports.plays import StepResult
from controlplane.wiring import releases
from tests.fakes.command_line import Run, Said, command_line
from tests.fakes.promotions import PromotedSite
from tests.fakes.releases import HOSTS, STACK
from tests.fakes.site import OPERATOR

NO = StepResult(
    status="failed", message="refuse | Look: compose_stack of shop (staging) refused: x can't be pulled. Nothing was changed.", told={"rc": 4}
)
AWAY = StepResult(status="unreachable", message="no route to host", told={})
CUT = StepResult(status="interrupted", message="interrupted.", told={})


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> PromotedSite:
    fake = PromotedSite()

    @contextmanager
    def releasing(*_: object) -> Iterator[tuple[Any, Any]]:
        yield fake.site, fake.release_ports

    monkeypatch.setattr(releases, "releasing", releasing)
    return fake


@pytest.fixture
def run(site: PromotedSite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:  # noqa: ARG001 - the verbs meet the fake site
    monkeypatch.chdir(tmp_path)
    return command_line(monkeypatch, capsys)


def test_what_every_host_would_take_is_3_with_its_plan_and_where_data_land(run: Run, site: PromotedSite, tmp_path: Path) -> None:
    said = run("release", "stage", "shop", "--manifest", "r1", "--out", "plan.json")
    assert said.code == 3, said
    assert [line for line in said.out.splitlines() if line.startswith("MET      Docker of")] == [
        f"MET      {f'Docker of {host}':<22} Compose reads the files, and the images are there or their registry has them" for host in HOSTS
    ]
    assert (tmp_path / "plan.json").exists()
    assert (site.runner.plays, site.receipts.chain) == ([], [])
    again = run("release", "stage", "shop", "--plan", "plan.json", "--dry-run", "-o", "json")
    shown = json.loads(again.out)
    assert (again.code, [line["verdict"] for line in shown["gate"]]) == (3, ["MET", "MET"])
    assert shown["plan"]["steps"] == json.loads((tmp_path / "plan.json").read_text())["steps"]


def next_of(said: Said) -> str:
    return next(line for line in said.out.splitlines() if line.startswith("next "))


def test_the_way_on_names_the_approval_that_is_demanded_and_no_other(run: Run, site: PromotedSite) -> None:
    """Of staging the site says it; of production its release does as well, where that is more."""
    assert next_of(run("release", "stage", "shop", "--manifest", "r1", "--out", "s.json")) == (
        "next       controlplane release stage shop --plan s.json    (nothing was changed so far)"
    )
    site.bring_to_gate(1)
    spec = site.files.specs[STACK]
    site.files.specs[STACK] = spec.model_copy(update={"promotion": spec.promotion.model_copy(update={"approval": "other"})})
    assert next_of(run("release", "promote", "shop", "--out", "p.json")).startswith(
        "next       another person: controlplane approve p.json, then: controlplane release promote shop --plan p.json    ("
    )
    site.site = replace(site.site, view=site.site.view.model_copy(update={"approval": "self"}))
    assert next_of(run("release", "stage", "shop", "--manifest", "r2", "--out", "s.json")) == (
        "next       controlplane approve s.json, then: controlplane release stage shop --plan s.json    (nothing was changed so far)"
    )


def test_what_is_approved_already_is_not_asked_for_again(run: Run, site: PromotedSite, tmp_path: Path) -> None:
    site.bring_to_gate(1)
    site.site = replace(site.site, view=site.site.view.model_copy(update={"approval": "self"}))
    assert "controlplane approve p.json, then" in next_of(run("release", "promote", "shop", "--out", "p.json"))
    digest = json.loads((tmp_path / "p.json").read_text())["plan"]
    site.approvals.add(approve(digest, approver=OPERATOR, requester=OPERATOR, now=site.clock.now()))
    assert next_of(run("release", "promote", "shop", "--plan", "p.json", "--dry-run")) == (
        "next       controlplane release promote shop --plan p.json    (nothing was changed so far)"
    )


@pytest.mark.parametrize(("end", "code", "word"), [(NO, 4, "DRIFTED"), (AWAY, 5, "UNKNOWN")])
@pytest.mark.parametrize("verb", ["stage", "promote"])
def test_one_host_that_would_not_take_it_is_4_and_one_that_can_t_be_asked_5(
    run: Run, site: PromotedSite, verb: str, end: StepResult, code: int, word: str
) -> None:
    if verb == "promote":
        site.bring_to_gate(1)
    before = len(site.receipts.chain)
    site.runner.dry_ends = {HOSTS[1]: end}
    said = run("release", verb, "shop", "--manifest", "r1", "-o", "json")
    gate = {line["name"]: line["verdict"] for line in json.loads(said.out)["gate"]}
    assert (said.code, gate[f"Docker of {HOSTS[0]}"], gate[f"Docker of {HOSTS[1]}"]) == (code, "MET", word)
    assert (len(site.receipts.chain), site.running("production")) == (before, set())


def test_of_a_run_that_was_stopped_only_the_hosts_that_are_left_are_asked(run: Run, site: PromotedSite) -> None:
    site.bring_to_gate(1)
    assert run("release", "promote", "shop", "--manifest", "r1", "--out", "plan.json").code == 3
    site.runner.ends, site.faults = [CUT], ()
    assert run("release", "promote", "shop", "--plan", "plan.json").code == 130
    site.faults = ("production lacks PORT",)
    assert run("release", "promote", "shop", "--plan", "plan.json").code == 130
    site.faults = ()
    said = run("release", "promote", "shop", "--plan", "plan.json", "--dry-run", "-o", "json")
    shown = json.loads(said.out)
    asked = [line["name"] for line in shown["gate"] if line["name"].startswith(("Docker of", "way back of"))]
    assert (said.code, asked) == (3, [f"Docker of {HOSTS[1]}", f"way back of {HOSTS[1]}"]), said
    assert run("release", "promote", "shop", "--plan", "plan.json").code == 0


def test_who_interrupts_it_finds_no_plan(run: Run, site: PromotedSite, tmp_path: Path) -> None:
    site.runner.dry_ends = {HOSTS[0]: CUT}
    said = run("release", "stage", "shop", "--manifest", "r1", "--out", "plan.json")
    assert (said.code, "Nothing was changed" in said.err, (tmp_path / "plan.json").exists()) == (130, True, False), said


def test_a_promotion_with_faulty_files_shows_its_whole_gate_is_4_and_writes_no_plan(run: Run, site: PromotedSite, tmp_path: Path) -> None:
    site.bring_to_gate(1)
    fault = Fault("releases/shop/.env.production", 3, "PORT", "is empty")

    def views(stack: str, name: EnvironmentName) -> Any:
        if name == "production":
            raise InputInvalidError([fault])
        return site.views(stack, name)

    site.site = replace(site.site, views=views)
    for words in (("--manifest", "r1", "--out", "p.json"), ("--dry-run",)):
        said = run("release", "promote", "shop", *words)
        lines = said.out.splitlines()
        assert (said.code, (tmp_path / "p.json").exists(), site.runner.dry_runs) == (4, False, []), said
        assert lines[0] == f"{'DRIFTED':<8} {'contract':<22} {fault}"
        assert {line.split()[1] for line in lines if line.startswith("MET ")} >= {"staged", "smoke", "recert", "storage", "gaps", "window", "waves"}
        assert lines[-1] == "Nothing is planned; what does not hold stands above: contract, plan. No plan was written."
    assert json.loads(run("release", "promote", "shop", "-o", "json").out)["plan"] is None


def test_where_the_gate_is_shut_and_no_host_would_change_nobody_reads_that_there_is_nothing_to_do(run: Run, site: PromotedSite) -> None:
    assert site.promote(site.bring_to_gate(1)).outcome == "done"
    site.make_ready()
    said = run("release", "promote", "shop")
    assert (said.code, said.out.splitlines()[-1]) == (0, "Nothing to do."), said
    site.faults = ("production lacks PORT",)
    said = run("release", "promote", "shop")
    assert (said.code, "Nothing to do." in said.out) == (4, False), said
    assert said.out.splitlines()[-1] == "Nothing is planned; what does not hold stands above: contract."


def test_a_rollback_of_what_is_back_already_is_0_and_says_so(run: Run, site: PromotedSite) -> None:
    for number in (1, 2):
        assert site.stage(number).outcome == "done"
    words = ("release", "rollback", "shop", "--env", "staging")
    assert run(*words).code == 0
    chain, runs = list(site.receipts.chain), site.running("staging")
    told = "Nothing was changed; further back: controlplane release rollback shop --env staging --to nothing"
    said = run(*words)
    assert (said.code, said.out, said.err.count(told)) == (0, "shop staging r1: rolled-back\n", 1), said
    dry = run(*words, "--dry-run")
    assert (dry.code, dry.out.count(told), len(dry.out.splitlines())) == (0, 1, 1), dry
    shown = run(*words, "--dry-run", "-o", "json")
    assert (shown.code, json.loads(shown.out)["already"].endswith(told)) == (0, True), shown
    assert (site.receipts.chain, site.running("staging")) == (chain, runs)


UNDO = {
    "files": [{"target": "/opt/shop/.env", "after": "as it was"}],
    "services": [{"target": "intake", "before": "b", "after": "a"}],
    "pull": ["intake"],
}
YES = StepResult(status="done", message="", told={"told": {"undo": UNDO}})


@pytest.mark.parametrize(("end", "code"), [(YES, 3), (NO, 4), (AWAY, 5)])
def test_a_dry_run_of_a_rollback_asks_every_host_and_changes_nothing(run: Run, site: PromotedSite, end: StepResult, code: int) -> None:
    assert site.stage(1).outcome == "done"
    assert site.stage(2).outcome == "done"
    chain, plays, runs = len(site.receipts.chain), len(site.runner.plays), site.running("staging")
    site.runner.dry_ends = {HOSTS[0]: YES, HOSTS[1]: end}
    said = run("release", "rollback", "shop", "--env", "staging", "--dry-run")
    assert (said.code, len(site.runner.dry_runs)) == (code, 2), said
    lines = said.out.splitlines()
    assert lines[0] == f"shop in staging on {', '.join(reversed(HOSTS))}: from r2 to r1"
    assert f"changes     {HOSTS[0]} intake: b -> a" in lines
    assert f"changes     {HOSTS[0]} /opt/shop/.env: as it was" in lines
    assert f"            {HOSTS[0]}: files differ, so Compose may make every service anew" in lines
    assert f"pulls       {HOSTS[0]} intake" in lines
    assert lines[-1] == "Next: controlplane release rollback shop --env staging --to r1    (nothing was changed)"
    shown = json.loads(run("release", "rollback", "shop", "--env", "staging", "--dry-run", "-o", "json").out)
    assert (shown["leaves"], shown["to"], [one["host"] for one in shown["changes"]]) == ("r2", "r1", [*HOSTS])
    assert (len(site.receipts.chain), len(site.runner.plays), site.running("staging")) == (chain, plays, runs)


def test_by_its_name_in_the_registry_a_rollback_is_only_rehearsed_and_a_promotion_only_shown(run: Run, site: PromotedSite) -> None:
    for number in (1, 2):
        assert site.promote(site.bring_to_gate(number)).outcome == "done"
    brief = run("cap", "run", "-o", "json", "release.brief", "shop")
    assert (brief.code, json.loads(brief.out)["stack"]) == (0, "shop")
    held = list(site.receipts.chain)
    site.runner.dry_ends = dict.fromkeys(HOSTS, YES)
    back = run("cap", "run", "release.rollback", "shop", "--env", "production")
    assert (back.code, back.err.splitlines()[0]) == (3, "$ controlplane release rollback --dry-run shop --env production"), back
    assert site.receipts.chain == held
    site.runner.dry_ends = {}
    site.bring_to_gate(3)
    held = list(site.receipts.chain)
    assert run("cap", "run", "release.promote", "shop", "--manifest", "r3").code == 3
    assert (site.receipts.chain, site.production()) == (held, {"2 intake", "2 seeds"})


def test_a_rollback_without_it_shows_what_goes_back_and_does_it(run: Run, site: PromotedSite) -> None:
    assert site.stage(1).outcome == "done"
    assert site.stage(2).outcome == "done"
    said = run("release", "rollback", "shop", "--env", "staging")
    assert (said.code, "from r2 to r1" in said.err, site.running("staging")) == (0, True, {"1 intake", "1 seeds"}), said
