"""release close: what keeps a release from closing, and what its closeout holds, in the chain and on its page."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.coordination import GateResult, GateRun, stamp_of
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import Fault, InputInvalidError, InterruptedRunError, RefusedError, RunFailedError, UnknownError
from controlplane.domain.receipt import open_intents
from controlplane.domain.releases.around import State
from controlplane.domain.releases.closeout import ReleaseCloseout
from controlplane.domain.releases.values import EnvironmentName, Rules
from controlplane.ports.plays import StepResult
from controlplane.ports.waves import Commit
from controlplane.usecases.record_run import Ledger
from controlplane.usecases.reset_time import reset_time
from tests.fakes.closings import LOOP, OTHER, ClosingSite
from tests.fakes.releases import HOSTS, STACK
from tests.fakes.site import OPERATOR


@pytest.fixture
def site() -> ClosingSite:
    return ClosingSite()


def refused(site: ClosingSite, kind: type[Exception] = RefusedError, environment: EnvironmentName = "production", **more: Any) -> str:
    """Return why it does not close; nothing is on record of it, and no file is there."""
    before = (len(site.receipts.chain), dict(site.folder.files))
    with pytest.raises(kind) as refusal:
        site.closed(environment, **more)
    assert (len(site.receipts.chain), site.folder.files) == before
    return str(refusal.value)


def test_what_was_promoted_and_proven_closes_with_its_files_in_the_chain(site: ClosingSite) -> None:
    site.released()
    head = site.receipts.chain[-1]
    made, page, key = site.closed(deferred=("the second shop",))
    assert (made.manifest, made.digest, made.commit) == ("r1", site.files.held[STACK, "r1"].digest, site.files.held[STACK, "r1"].commit)
    assert (made.environment, made.own_loop, made.own_gaps, made.images) == ("production", LOOP, (), site.files.held[STACK, "r1"].images)
    assert [one.what for one in made.evidence] == ["smoke in staging", "recertification", "smoke in production"]
    assert [(one.host, one.outcome) for one in made.actions] == [("mint-apps", "done"), ("mint-data", "done")]
    assert ([one.gap for one in made.open_gaps], made.open_loops) == (["GAP-OP-9"], (LOOP, OTHER))
    assert (made.attestation.by, made.attestation.text, made.deferred) == (OPERATOR, "orders come in", ("the second shop",))
    assert (made.chain_length, made.chain_head) == (len(site.receipts.chain) - 2, head.digest())
    intent, result = site.receipts.chain[-2:]
    assert (intent.key, result.key, result.capability, result.step, result.outcome) == (key, key, "release.close", "shop/production", "done")
    assert result.evidence == digest_of(made.model_dump(mode="json"))
    assert (result.told or {})["page"] == page
    kept = ReleaseCloseout.model_validate_json(site.folder.files[(result.told or {})["file"]])
    assert kept == made
    assert not chain_faults(site.receipts.load())


def test_its_page_says_what_a_reviewer_asks_for(site: ClosingSite) -> None:
    held = site.files.held[STACK, "r1"]
    site.files.held[STACK, "r1"] = held.model_copy(update={"irreversible": ("orders: schema 1 to 2",)})
    made, page, _ = site.released().closed(deferred=("the second shop",))
    text = site.folder.files[page].decode()
    for part in (
        "# Release of shop to production: r1\n\norders come in\n",
        f"| Commit | {held.commit} |",
        f"| intake | {held.images['intake']} |",
        "smoke in production | done |",
        "recertification | done |",
        f"| {'a' * 40} | the site's files as they were when the stack was closed here for the first time |",
        f"| {made.actions[0].receipt.replace('_', chr(92) + '_')} |",
        f"Loop of the release: {LOOP}; open gaps in it: none.",
        f"| GAP-OP-9 | of others | {OTHER} |",
        f"Open loops: {LOOP}, {OTHER}.",
        f"{made.verify.met} met, {made.verify.drifted} drifted, {made.verify.waived} waived, {made.verify.unknown} unknown.",
        "A rollback would not undo:\n\n- orders: schema 1 to 2 (r1)\n",
        "Deferred:\n\n- the second shop\n",
        f"## Attestation\n\norders come in\n\n{OPERATOR}, {made.attestation.at}",
        f"Chain of {made.chain_length} receipts, head `{made.chain_head}`.",
    ):
        assert part in text, (part, text)


def packed(site: ClosingSite, *runs: tuple[str, int, bool]) -> None:
    """Let the release name a pack, with these runs: key, minutes from now, and whether it passed; the newest comes first."""
    site.files.specs[STACK] = site.files.specs[STACK].model_copy(update={"promotion": Rules(pack="mint")})
    hosts = dict.fromkeys(site.hosts, "sha256:facts")
    site.runs.held = tuple(
        GateRun(
            run=key,
            at=stamp_of(site.clock.time + timedelta(minutes=minutes)),
            pack="mint",
            policy=site.view.policy_digest,
            hosts=hosts,
            results=(
                GateResult(check="D235", host="mint-data", checker="c", verdict="MET" if passed else "DRIFTED", passed=passed, reason="so"),
                GateResult(check="D236", host="mint-data", checker="c", verdict="WAIVED", passed=True, reason="so"),
            ),
        )
        for key, minutes, passed in runs
    )


def test_the_pack_is_on_its_closeout_before_and_after_with_what_it_came_to(site: ClosingSite) -> None:
    packed(site, ("RUN-0", -1, True))
    site.released()
    [before] = site.runs.held
    packed(site, ("RUN-2", 3, True), ("RUN-1", 2, True))
    site.runs.held = (*site.runs.held, before)
    site.clock.time += timedelta(minutes=5)
    made, page, _ = site.closed()
    assert [(one.when, one.pack, one.run, one.passed) for one in made.packs] == [("before", "mint", "RUN-0", True), ("after", "mint", "RUN-2", True)]
    assert made.packs[1].results == {"D235 mint-data": "MET", "D236 mint-data": "WAIVED"}
    text = site.folder.files[page].decode()
    assert "| RUN-0 | mint, before | passed: 1 MET, 1 WAIVED |" in text
    assert "| RUN-2 | mint, after | passed: 1 MET, 1 WAIVED |" in text


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ((), "pack mint was not run since it stands there. Next: controlplane gates run mint"),
        ((("RUN-2", 3, False), ("RUN-1", 2, True)), "pack mint has not passed since: RUN-2: D235 did not pass. Next: controlplane gates run mint"),
    ],
)
def test_what_the_pack_was_not_run_on_since_or_did_not_pass_does_not_close(site: ClosingSite, runs: tuple[Any, ...], told: str) -> None:
    packed(site, ("RUN-0", -1, True))
    site.released()
    before = site.runs.held
    packed(site, *runs)
    site.runs.held = (*site.runs.held, *before)
    site.clock.time += timedelta(minutes=5)
    assert refused(site) == f"shop in production does not close: {told}"


def on_record(site: ClosingSite, key: str) -> None:
    """Leave the receipts of a run of the pack."""
    ledger = Ledger(site.receipts, site.clock, run=key, site="lab", plan="", policy="p", operator="ops@here")
    ledger.intend(key, host="*", capability="verify.pack.run", step="mint")
    ledger.close(key, host="*", capability="verify.pack.run", step="mint", outcome="done")


def test_which_of_the_pack_s_runs_came_before_and_after_the_receipts_say(site: ClosingSite) -> None:
    packed(site, ("EARLY-CLOCK", 4, True))
    on_record(site, "EARLY-CLOCK")
    site.released()
    [before] = site.runs.held
    site.clock.time += timedelta(minutes=10)
    assert "pack mint was not run since it stands there" in refused(site)
    packed(site, ("BAD", -9, False))
    on_record(site, "BAD")
    site.runs.held = (before, *site.runs.held)
    assert "pack mint has not passed since: BAD: D235 did not pass" in refused(site)
    packed(site, ("GOOD", -8, True), ("BAD", -9, False))
    on_record(site, "GOOD")
    site.runs.held = (before, *site.runs.held)
    assert [(one.when, one.run) for one in site.closed()[0].packs] == [("before", "EARLY-CLOCK"), ("after", "GOOD")]


def test_staging_closes_with_what_is_on_record_of_the_pack(site: ClosingSite) -> None:
    packed(site)
    assert site.stage(1).outcome == "done"
    assert site.prove(STACK, "staging", progress=lambda _: None).passed
    made, page, _ = site.closed("staging")
    assert [(one.when, one.run) for one in made.packs] == [("before", None), ("after", None)]
    assert "mint, before | no run is on record |" in site.folder.files[page].decode()


def test_a_closeout_from_before_packs_were_kept_is_read(site: ClosingSite) -> None:
    made, _, _ = site.released().closed()
    older = {key: value for key, value in made.model_dump(mode="json").items() if key != "packs"}
    assert ReleaseCloseout.model_validate_json(json.dumps(older)).packs == ()


def test_what_was_never_brought_does_not_close(site: ClosingSite) -> None:
    assert refused(site).startswith("shop in production does not close: nothing is deployed by a release")


def test_without_words_to_attest_nothing_closes(site: ClosingSite) -> None:
    assert refused(site.released(), InputInvalidError, attest="  ").startswith("--attest: is empty")


def test_what_no_smoke_run_met_does_not_close(site: ClosingSite) -> None:
    assert site.stage(1).outcome == "done"
    told = refused(site, environment="staging")
    assert told == "shop in staging does not close: r1 was not proven since it stands there. Next: controlplane release smoke shop --env staging"
    assert site.smoke("staging").passed
    assert site.closed("staging")[0].environment == "staging"


def test_what_the_newest_smoke_run_found_wanting_does_not_close(site: ClosingSite) -> None:
    site.released()
    site.stubs = {1}
    report = site.prove(STACK, "production", progress=lambda _: None)
    assert refused(site).startswith(f"shop in production does not close: r1 is not proven: see {report.run}")


def test_a_proof_of_the_build_before_does_not_count(site: ClosingSite) -> None:
    assert site.stage(1).outcome == "done"
    assert site.smoke("staging").passed
    assert site.stage(2).outcome == "done"
    assert "r2 was not proven since it stands there" in refused(site, environment="staging")


def test_what_a_rollback_brought_back_and_proved_closes(site: ClosingSite) -> None:
    site.released().released(2)
    assert site.roll_back().outcome == "rolled-back"
    made, page, _ = site.closed()
    assert made.manifest == "r1"
    done = [(one.host, one.manifest, one.outcome) for one in made.actions]
    brought = [(host, manifest, "done") for manifest in ("r1", "r2") for host in HOSTS]
    assert (done[:4], sorted(done[4:])) == (brought, [(host, "r2", "rolled-back") for host in HOSTS])
    assert "| mint-apps | r2 | rolled-back |" in site.folder.files[page].decode()


def reset(site: ClosingSite, *, to: datetime) -> None:
    """Let the clock have run ahead until now."""
    site.clock.time = to
    given: dict[str, Any] = {"receipts": site.receipts, "store": site.leases, "clock": site.clock, "entropy": site.ports.entropy}
    reset_time("lab", operator=OPERATOR, reason="its clock ran ahead", **given)


def test_what_was_brought_over_it_after_a_clock_had_run_ahead_is_on_its_closeout_too(site: ClosingSite) -> None:
    began = site.clock.time
    site.clock.time = began + timedelta(hours=3)
    site.released()
    reset(site, to=began + timedelta(minutes=10))
    site.released(2)
    assert site.roll_back().outcome == "rolled-back"
    done = [(one.manifest, one.outcome) for one in site.closed()[0].actions]
    assert done == [("r1", "done")] * 2 + [("r2", "done")] * 2 + [("r2", "rolled-back")] * 2


def test_a_proof_by_a_clock_that_ran_ahead_does_not_count_past_a_release_that_was_taken_back_since(site: ClosingSite) -> None:
    began = site.clock.time
    site.clock.time = began + timedelta(hours=3)
    assert site.stage(1).outcome == "done"
    assert site.smoke("staging").passed
    reset(site, to=began + timedelta(minutes=10))
    assert site.stage(2).outcome == "done"

    def broken(*_: Any, **__: Any) -> Any:
        raise RunFailedError("pytest is gone")

    site.release_ports = replace(site.release_ports, prove=broken)
    assert site.roll_back("staging").outcome == "failed"
    assert "r1 was not proven since it stands there" in refused(site, environment="staging")


def test_how_it_stood_before_is_of_the_run_that_the_chain_has_first(site: ClosingSite) -> None:
    began = site.clock.time
    site.clock.time = began + timedelta(hours=3)
    site.runner.ends = [StepResult(status="done", message="", told={}), StepResult(status="failed", message="no room", told={})]
    assert site.stage(1).outcome == "failed"
    for one in site.hosts["mint-data"].probes["docker_containers"]:
        one.update(running=False, state="exited")
    reset(site, to=began + timedelta(minutes=10))
    assert site.stage(1).outcome == "done"
    assert site.smoke("staging").passed
    before = site.closed("staging")[0].before
    assert before is not None
    assert isinstance(before.state, State)
    assert [one.manifest for one in before.state.hosts] == [None, None]


def test_what_another_release_did_before_it_is_not_what_this_one_did(site: ClosingSite) -> None:
    assert {one.manifest for one in site.released().released(2).closed()[0].actions} == {"r2"}


def test_while_a_gap_of_its_loop_is_open_it_does_not_close(site: ClosingSite) -> None:
    site.released().register(
        {"GAP-OP-1": {"title": "too slow", "loops": [LOOP]}, "GAP-OP-2": {"title": "mended", "status": "fixed", "loops": [LOOP]}}
    )
    assert refused(site) == f"shop in production does not close: GAP-OP-1 is open in {LOOP}. Next: controlplane gaps close GAP-OP-1"
    site.register({"GAP-OP-1": {"title": "too slow", "status": "accepted", "reason": "r", "loops": [LOOP]}})
    assert site.closed()[0].open_gaps == ()


def test_a_release_without_a_loop_or_with_one_that_was_absorbed_does_not_close(site: ClosingSite) -> None:
    site.released().register({"GAP-OP-1": {"title": "too slow", "loops": [OTHER]}})
    registers = site.site.governance.checked_registers()
    loops = {**registers.loops, LOOP: registers.loops[LOOP].model_copy(update={"status": "absorbed", "absorbed_by": OTHER})}
    absorbed = replace(site.site.governance, registers=registers.model_copy(update={"loops": loops}))
    plain, site.site = site.site, replace(site.site, governance=absorbed)
    told = f"{LOOP} was absorbed by {OTHER}, and its gaps with it: name that one. Next: mend loop in releases/shop.yml"
    assert refused(site, UnknownError) == f"shop in production does not close: {told}"
    site.site = plain
    site.files.specs[STACK] = site.files.specs[STACK].model_copy(update={"loop": None})
    assert "does not close: the release names no loop, so nobody knows which gaps are its own. Next: " in refused(site, UnknownError)


def test_registers_that_can_not_be_read_do_not_close_as_nothing_open_also_without_a_loop(site: ClosingSite) -> None:
    site.released()
    site.files.specs[STACK] = site.files.specs[STACK].model_copy(update={"loop": None})
    wrong = Fault("registers/gaps.yml", 3, "GAP-OP-9", "has no title")
    site.site = replace(site.site, governance=replace(site.site.governance, registers=None, register_faults=(wrong,)))
    assert "registers/gaps.yml:3" in refused(site, InputInvalidError)


def test_what_runs_otherwise_than_it_was_brought_does_not_close(site: ClosingSite) -> None:
    site.released()
    one = next(one for one in site.hosts["mint-data"].probes["docker_containers"] if one["compose_project"] == "shop-production")
    one.update(running=False, state="exited")
    assert "does not close: mint-data: intake: shop-production-intake-1 is exited, not running" in refused(site)


@pytest.mark.parametrize("doubt", ["unreached", "witness"])
def test_what_can_not_be_seen_by_two_does_not_close(site: ClosingSite, doubt: str) -> None:
    site.released()
    if doubt == "unreached":
        site.evidence.unreached = {"mint-data": "no route to host"}
    else:
        site.witness.doubts = {"release:shop": "another image"}
    assert "shop in production does not close: mint-" in refused(site, UnknownError)


@pytest.mark.parametrize("gone", [True, False])
def test_a_manifest_that_is_no_longer_what_was_deployed_does_not_close(site: ClosingSite, gone: bool) -> None:
    site.released()
    held = site.files.held.pop((STACK, "r1"))
    if not gone:
        site.files.held[STACK, "r1"] = held.model_copy(update={"commit": "f" * 40})
    told = refused(site)
    assert told.startswith("shop in production does not close: manifest r1 ")
    assert ("can't be read: releases/shop/manifests/r1.yml: does not exist" if gone else "says something else than what CAP-") in told
    assert told.endswith("Nothing was changed. Restore it from version control.")


def test_a_manifest_that_was_marked_as_tested_is_still_what_was_deployed(site: ClosingSite) -> None:
    site.released()
    assert site.files.held[STACK, "r1"].tested_by is not None
    assert site.closed()[0].manifest == "r1"


def test_files_changed_are_those_since_it_was_closed_last(site: ClosingSite) -> None:
    site.released().closed()
    site.history.commits = (Commit(id="b" * 40, title="a second release", files=("releases/shop.yml",)),)
    site.history.loose = ("policy.yml",)
    made = site.released(2).closed()[0]
    assert [(one.commit, one.title, one.files) for one in made.files_changed] == [
        ("b" * 40, "a second release", ("releases/shop.yml",)),
        (None, "not committed yet", ("policy.yml",)),
    ]
    site.history.at = None
    assert [one.title for one in site.closed()[0].files_changed] == ["the site is under no version control: what changed in its files is not known"]


def _contacts() -> int:
    site = ClosingSite().released()
    site.arm(None)
    site.closed()
    return site.world.count


@pytest.mark.parametrize("at", range(1, _contacts() + 1))
def test_closing_that_is_cut_anywhere_closes_the_second_time_and_is_in_nobodys_way(at: int) -> None:
    site = ClosingSite().released()
    site.arm(at)
    with suppress(InterruptedRunError, KeyboardInterrupt):
        site.closed()
    site.arm(None)
    assert site.closed()[0].outcome == "closed"
    assert not open_intents(site.receipts.chain)
    assert not chain_faults(site.receipts.load())
    for name, content in site.folder.files.items():
        if name.endswith("closeout.json"):
            kept = ReleaseCloseout.model_validate_json(content)
            named = [one.evidence for one in site.receipts.chain if one.phase == "result" and (one.told or {}).get("attempt") == kept.attempt]
            assert named[-1:] == [digest_of(kept.model_dump(mode="json"))], f"{name} is named by no receipt"
