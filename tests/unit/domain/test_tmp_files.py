"""storage.tmp_files: large files in /tmp are listed by owner and age, and removed only by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.capabilities import CAPABILITIES
from controlplane.domain.checks import judge_host
from controlplane.domain.evidence import Reader
from controlplane.domain.plan import Plan, Step
from controlplane.domain.planning import chosen_capabilities, make_plan
from controlplane.domain.run_result import unmet_promises
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data

DAY = 86_400
NOW = int(COLLECTED.timestamp())


def file(name: str, *, size: int = 50_000_000, age_s: int = 3 * DAY, **more: Any) -> dict[str, Any]:
    return {"path": f"/tmp/{name}", "size": size, "owner": 1000, "mtime": NOW - age_s, "mark": f"2:{size}:3", **more}


def host(*files: dict[str, Any]) -> EvidenceBuilder:
    builder = EvidenceBuilder()
    builder.probes["tmp"] = {"files": list(files), "truncated": False}
    return builder


def plan(builder: EvidenceBuilder, *, named: bool = True) -> Plan:
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired_mint_data()],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(["storage.tmp_files"] if named else []),
        retention=timedelta(days=7),
    )


def test_each_is_named_with_owner_and_age_and_removed_by_its_very_content() -> None:
    [step] = plan(host(file("old"), file("small", size=2_000_000))).steps
    [change] = step.changes
    assert (change.kind, change.target, change.destructive) == ("delete", "/tmp/old", True)
    assert change.before == f"50.0 MB of user 1000, last written on {(COLLECTED - timedelta(days=3)).date().isoformat()}"
    assert step.variables == {"tmp_files_items": [{"path": "/tmp/old", "mark": "2:50000000:3"}]}


def test_it_runs_only_by_name() -> None:
    assert "storage.tmp_files" not in {step.capability for step in plan(host(file("old")), named=False).steps}


def test_what_was_written_lately_or_can_not_be_dated_is_kept() -> None:
    dateless = {"path": "/tmp/dateless", "size": 50_000_000}
    made = plan(host(file("new", age_s=600), dateless))
    assert made.steps == ()
    reasons = " ".join(refusal.reason for refusal in made.refusals)
    assert "/tmp/new: was written 10 min ago" in reasons
    assert "/tmp/dateless: could not be observed" in reasons
    assert "could not be observed" in plan(host().fail("tmp")).refusals[0].reason


def test_the_finding_says_whose_it_is_and_how_old() -> None:
    found = judge_host(desired_mint_data(), host(file("old")).build(), now=COLLECTED, max_age=timedelta(hours=1))
    [judged] = [one for one in found if one.surface == "tmp:/tmp/old"]
    assert judged.reason == "50.0 MB, limit 10.0 MB; of user 1000, last written 3 d ago"


def left(step: Step, builder: EvidenceBuilder) -> list[str]:
    look = CAPABILITIES["storage.tmp_files"].left_of
    assert look is not None
    return sorted(look(step, Reader(builder.build())))


def test_what_is_left_is_what_is_still_listed_or_may_stand_behind_the_last_one() -> None:
    [step] = plan(host(file("a", size=60_000_000), file("b"), file("c", size=40_000_000))).steps
    assert left(step, host(file("b"), file("other"))) == ["/tmp/b"]
    # Somebody wrote to it since: it is not gone.
    assert left(step, host({**file("b"), "mark": "2:50000000:9"})) == ["/tmp/b"]
    assert left(step, host()) == []
    cut_off = host(file("more", size=55_000_000))
    cut_off.probes["tmp"]["truncated"] = True
    assert left(step, cut_off) == ["/tmp/b", "/tmp/c"]


@pytest.mark.parametrize(
    ("builder", "unmet"),
    [(host(), 0), (host(file("other")), 0), (host(file("old")), 1), (host().fail("tmp"), 1)],
    ids=["none is left", "others are", "it is there", "nobody knows"],
)
def test_a_file_that_is_gone_has_no_finding_and_that_is_the_promise_kept(builder: EvidenceBuilder, unmet: int) -> None:
    [step] = plan(host(file("old"))).steps
    found = judge_host(desired_mint_data(), builder.build(), now=COLLECTED, max_age=timedelta(hours=1))
    assert len(unmet_promises(step, tuple(found))) == unmet


def test_what_was_written_after_the_plan_was_made_is_told_to_be_new() -> None:
    assert "/tmp/new: was written 0 s ago" in plan(host(file("new", age_s=-600))).refusals[0].reason
