"""A closeout receipt as a page holds every field, and nothing in it is syntax that its author did not mean."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.domain.finding import Finding, Summary
from controlplane.domain.waves.closeout import (
    Action,
    Attestation,
    Closeout,
    FileChange,
    GapImpact,
    LoopImpact,
    actions_of,
    gap_impacts,
    loop_impacts,
    missing_outputs,
)
from controlplane.domain.waves.record import Carved, GateJudged, Looked, PackRan, Planned
from controlplane.domain.waves.values import Wave
from controlplane.render.closeout_page import closeout_page

COUNT = Summary(met=9, drifted=1, waived=0, unknown=0)
HOSTILE = "a|b <script>x</script> [l](http://e) `c` *d* _e_ #f &lt; ~~g~~ \x1b[2J\u202e\n- li"


def closeout(text: str = "plain") -> Closeout:
    looked = Looked(at="2026-01-02T12:00:00Z", file="state/waves/W1/x/preflight-1.json", evidence={"a": "sha256:1"}, summary=COUNT)
    return Closeout(
        site="lab",
        wave="W1",
        goal=text,
        attempt="x",
        outcome="closed",
        opened_by=text,
        opened_at="2026-01-02T12:00:00Z",
        evidence=(PackRan(run="CAP-1", pack="mint", at="2026-01-02T12:00:00Z", after="*", passed=True, reason=text),),
        preflight=looked,
        post=looked.model_copy(update={"file": "state/waves/W1/x/post-1.json"}),
        gates=(GateJudged(phase="exit", kind="met", what="these checks are met", verdict="MET", reason=text),),
        files_changed=(
            FileChange(commit="a" * 40, title=text, files=(f"inventory/lab/{text}.yml",)),
            FileChange(commit=None, title="loose", files=()),
        ),
        plans=(
            Planned(
                plan="sha256:p",
                file="state/waves/W1/x/plan-p.json",
                made_at="m",
                capabilities=("storage.fstab",),
                hosts=("a",),
                steps=2,
                downtime_s={},
                destructive=(text,),
                approved=True,
                opens="2026-01-02T22:00:00Z",
                closes="2026-01-02T23:00:00Z",
                run="CAP-2",
                outcome="done",
            ),
        ),
        actions=(
            Action(receipt="CAP-3", host="a", capability="storage.fstab", outcome="done", at="2026-01-02T22:01:00Z", downtime_s={"engine": 1.25}),
        ),
        gaps=(GapImpact(gap="GAP-OP-1", status="open", recommended=True, runs=("CAP-1",), objections=(text,)),),
        loops=(LoopImpact(loop="LOOP-X", status="open", open_gaps=("GAP-OP-1",)),),
        verify=COUNT,
        remaining=(
            Finding.model_validate(
                {"check": "D237", "host": "a", "surface": text, "verdict": "DRIFTED", "severity": "high", "reason": text}, strict=False
            ),
        ),
        carved=(Carved(host="b", at="2026-01-02T22:02:00Z", reason=text, receipt="CAP-4"),),
        deferred=(text,),
        outputs={"linkage": text},
        chain_length=7,
        chain_head="sha256:head",
        attestation=Attestation(by="ann@desk", at="2026-01-02T23:00:00Z", text=text),
    )


def test_a_page_holds_every_field(golden: Callable[[str, str], None]) -> None:
    golden("closeout.md", closeout_page(closeout()).decode())


def test_every_field_that_is_asked_for_has_its_place() -> None:
    page = closeout_page(closeout()).decode()
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        "# Wave W1: closed",
        "## Evidence",
        "## Gates",
        "## Files changed",
        "## Plans",
        "## Runtime actions",
        "## Gaps and loops",
        "## Verify",
        "## Remaining blockers and what was deferred",
        "## Further outputs",
        "## Attestation",
    ]


def test_hostile_text_makes_neither_markup_nor_rows_nor_lines() -> None:
    plain, page = (closeout_page(closeout(text)).decode() for text in ("plain", HOSTILE))
    assert len(page.splitlines()) == len(plain.splitlines())
    assert [line.replace("\\|", "").count("|") for line in page.splitlines()] == [line.count("|") for line in plain.splitlines()]
    assert "\\<script\\>" in page
    for raw in ("<script", "[l](", "`c`", "&lt;", "\x1b", "\u202e", " *d*"):
        assert raw not in page.replace("\\" + raw[:1], "")


def test_what_begins_like_a_list_is_none() -> None:
    for text, shown in (("- x", "\\- x"), ("+ x", "\\+ x"), ("1. x", "1\\. x"), ("=== x", "\\=== x"), ("2 disks", "2 disks")):
        assert closeout_page(closeout(text)).decode().splitlines()[2] == shown


def test_a_closeout_without_anything_says_so() -> None:
    empty = closeout().model_copy(
        update=dict.fromkeys(("evidence", "gates", "files_changed", "plans", "actions", "gaps", "loops", "remaining", "carved", "deferred"), ())
        | {"preflight": None, "post": None, "outputs": {}, "chain_head": None}
    )
    page = closeout_page(empty).decode()
    assert page.count("None.") == 9
    assert "Deferred:\n\n- nothing\n" in page
    assert page.endswith("Chain of 7 receipts, head `-`.\n")


ALL = ["preflight", "plan", "receipts", "post", "pack", "gaps", "last-runs", "linkage", "promotion"]


def test_every_output_that_is_asked_for_and_not_there_is_missing() -> None:
    wave = Wave.model_validate({"goal": "g", "mutation": "controlled", "hosts": ["a"], "gaps": ["GAP-OP-1"], "outputs": ALL})
    whole = closeout().model_copy(update={"outputs": {"last-runs": "x", "linkage": "x", "promotion": "x"}})
    assert missing_outputs(wave, whole) == ()
    bare = whole.model_copy(update={"preflight": None, "post": None, "evidence": (), "actions": (), "gaps": (), "outputs": {}})
    assert missing_outputs(wave, bare) == ("preflight", "receipts", "post", "pack", "gaps", "last-runs", "linkage", "promotion")
    assert "plan" in missing_outputs(wave, bare.model_copy(update={"plans": ()}))
    assert missing_outputs(wave.model_copy(update={"outputs": ()}), bare) == ()


def test_impacts_of_nothing_are_none() -> None:
    from controlplane.domain.registers import Registers
    from controlplane.domain.waves.record import WaveRecord

    record = WaveRecord(opened_by="ann", opened_at="2026-01-02T12:00:00Z", attempt="x", head=None)
    assert (gap_impacts(Registers(), []), loop_impacts(Registers(), ["GAP-OP-1"]), actions_of("W1", [], record, hosts=("a",))) == ((), (), ())
