"""storage.tmp_files: large files in /tmp are listed by owner and age, and removed only by name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from controlplane.domain.checks import judge_host
from controlplane.domain.plan import Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from tests.fakes.evidence_builder import COLLECTED, EvidenceBuilder, desired_mint_data

DAY = 86_400
NOW = int(COLLECTED.timestamp())


def file(name: str, *, size: int = 50_000_000, age_s: int = 3 * DAY, **more: Any) -> dict[str, Any]:
    return {"path": f"/tmp/{name}", "size": size, "owner": 1000, "mtime": NOW - age_s, "mark": f"1:2:{size}:3", **more}


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
    assert step.variables == {"tmp_files_items": [{"path": "/tmp/old", "mark": "1:2:50000000:3"}]}


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
