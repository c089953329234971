"""How the site stood before a release: on record as it begins, and with how it stands now on the closeout."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest

from controlplane.domain.chain import chain_faults
from controlplane.domain.digest import digest_of
from controlplane.domain.errors import ControlPlaneError, InterruptedRunError, RefusedError
from controlplane.domain.examination import Examination, Point
from controlplane.domain.plan import Plan
from controlplane.domain.receipt import Receipt, open_intents
from controlplane.domain.releases.around import ID, PARTS, AuthorityStatus, State, Stood
from controlplane.domain.releases.result import ReleaseResult
from controlplane.ports.plays import StepResult
from controlplane.usecases.begin_release import look_before
from controlplane.usecases.deploy_release import stage_release
from controlplane.usecases.release_case import planned
from tests.fakes.closings import LOOP, OTHER, ClosingSite
from tests.fakes.releases import HOSTS, SECRET, STACK

FAILED = StepResult(status="failed", message="no room", told={})


@pytest.fixture
def site() -> ClosingSite:
    return ClosingSite()


def begun(site: ClosingSite) -> list[Receipt]:
    """Return what is on record of before releases, the oldest first."""
    return [one for one in site.receipts.chain if one.capability == ID and one.phase == "result"]


def last_stood(site: ClosingSite) -> Stood:
    return Stood.model_validate_json(site.folder.files[(begun(site)[-1].told or {})["file"]])


def stage(site: ClosingSite, plan: Plan) -> ReleaseResult:
    return stage_release(site.site, STACK, plan, site.release_ports, command="again", progress=lambda _: None)


def brought(stood: Stood | None) -> list[tuple[str, str | None, str | None]]:
    assert stood is not None
    assert isinstance(stood.state, State)
    return [(one.host, one.manifest, one.verdict) for one in stood.state.hosts]


def test_a_closeout_says_how_the_site_stood_before_and_how_it_stands_after(site: ClosingSite) -> None:
    site.released(1)
    site.points = (Point(name="waves", level="fail", told="waves/W9.yml:3: has no goal"),)
    site.released(2)
    site.register({"GAP-OP-10": {"title": "of others too", "loops": [OTHER]}})
    site.points = (Point(name="signers", level="warn", told="no key"),)
    made, page, _ = site.closed()
    before, after = made.before, made.after
    assert brought(before) == [(host, "r1", "MET") for host in HOSTS]
    assert brought(after) == [(host, "r2", "MET") for host in HOSTS]
    assert [[one.gap for one in stood.gaps if not isinstance(one, str)] for stood in (before, after)] == [["GAP-OP-9"], ["GAP-OP-10"]]
    assert [stood.loops for stood in (before, after)] == [(LOOP, OTHER)] * 2
    assert before.authority == AuthorityStatus(verdict="DRIFT", wanting=("waves: fail: waves/W9.yml:3: has no goal",))
    assert after.authority == AuthorityStatus(verdict="GOVERNED", wanting=("signers: warn: no key",))
    assert (before.why, after.why) == ({}, {})
    text = site.folder.files[page].decode()
    for part in (
        f"| Seen at | {before.at} | {after.at} |",
        "| Runs on mint-apps | r1: MET: ",
        " | r2: MET: ",
        "| Open gaps | GAP-OP-9 | GAP-OP-10 |",
        f"| Open loops | {LOOP}, {OTHER} | {LOOP}, {OTHER} |",
        "| Authority status | DRIFT; waves: fail: waves/W9.yml:3: has no goal | GOVERNED; signers: warn: no key |",
    ):
        assert part in text, (part, text)
    assert "UNKNOWN" not in text.partition("## Before and after")[2].partition("## Files changed")[0]


def test_of_a_first_release_nothing_ran_before_and_the_record_holds_no_secret(site: ClosingSite) -> None:
    site.released()
    staged, promoted = begun(site)
    assert (staged.step, promoted.step, promoted.plan, promoted.host) == ("shop/staging", "shop/production", "", "*")
    assert brought(last_stood(site)) == [(host, None, None) for host in HOSTS]
    assert SECRET not in promoted.model_dump_json()
    assert set(promoted.told or {}) == {"run", "file"}
    content = site.folder.files[(promoted.told or {})["file"]]
    assert SECRET.encode() not in content
    assert promoted.evidence == digest_of(json.loads(content))
    first = next(one for one in site.receipts.chain if one.capability == "release.deploy" and one.seq > promoted.seq)
    assert (first.phase, (promoted.told or {})["run"]) == ("intent", first.run)


def test_what_was_begun_before_that_was_kept_is_unknown_by_name(site: ClosingSite) -> None:
    site.released()
    [_, kept] = begun(site)
    run = (kept.told or {})["run"]
    # As a version that kept nothing left it.
    other = kept.model_copy(update={"told": {"run": "CAP-20260101-000000__plan.apply__R0000", "file": (kept.told or {})["file"]}})
    site.receipts.chain = relinked([other if one.key == kept.key and one.phase == "result" else one for one in site.receipts.chain])
    made, page, _ = site.closed()
    assert made.before is not None
    assert [getattr(made.before, part) for part in PARTS] == ["UNKNOWN"] * len(PARTS)
    assert made.before.why == dict.fromkeys(PARTS, f"it is on no record: when {run} was begun, nothing was kept of how things stood")
    assert brought(made.after) == [(host, "r1", "MET") for host in HOSTS]
    text = site.folder.files[page].decode()
    assert "| Open gaps | UNKNOWN | GAP-OP-9 |" in text
    assert "UNKNOWN before (state, gaps, loops, authority): it is on no record: when CAP-" in text


def test_a_file_that_is_gone_or_another_one_is_unknown_by_name(site: ClosingSite) -> None:
    site.released()
    file, key = (begun(site)[-1].told or {})["file"], begun(site)[-1].key
    whole = site.folder.files[file]
    for content, told in (
        (None, f"{file}, which {key} names, can't be read: restore it from a copy"),
        (b"{}", f"{file} is not what {key} names: restore it from a copy"),
        (b"{", f"{file}, which {key} names, says it in a form that this version does not read"),
    ):
        site.folder.files.pop(file, None)
        if content is not None:
            site.folder.files[file] = content
        before = site.closed()[0].before
        assert before is not None
        assert before.why == dict.fromkeys(PARTS, told)
    site.folder.files[file] = whole
    assert brought(site.closed()[0].before) == [(host, None, None) for host in HOSTS]


def relinked(chain: list[Receipt]) -> list[Receipt]:
    made: list[Receipt] = []
    for one in chain:
        made.append(one.model_copy(update={"previous": made[-1].digest() if made else None}))
    return made


def test_a_promotion_that_goes_on_keeps_what_stood_before_its_first_attempt(site: ClosingSite) -> None:
    site.released(1)
    plan = site.bring_to_gate(2)
    held = len(begun(site))
    site.runner.ends = [StepResult(status="interrupted", message="interrupted; what ran was stopped first", told={})]
    assert site.promote(plan).outcome == "interrupted"
    assert site.promote(plan).outcome == "done"
    assert len(begun(site)) == held + 1
    assert brought(site.closed()[0].before) == [(host, "r1", "MET") for host in HOSTS]


def test_a_staging_that_failed_on_one_host_and_is_tried_again_keeps_what_stood_before_the_first_try(site: ClosingSite) -> None:
    assert site.stage(1).outcome == "done"
    plan = site.plan_of(2, "staging")
    site.runner.ends = [StepResult(status="done", message="", told={}), FAILED]
    assert stage(site, plan).outcome == "failed"
    assert stage(site, plan).outcome == "done"
    assert site.smoke("staging").passed
    assert brought(site.closed("staging")[0].before) == [(host, "r1", "MET") for host in HOSTS]


def test_what_is_staged_once_more_after_it_was_taken_back_is_looked_at_anew(site: ClosingSite) -> None:
    assert site.stage(1).outcome == "done"
    plan = site.plan_of(2, "staging")
    assert stage(site, plan).outcome == "done"
    assert site.smoke("staging").passed
    assert site.roll_back("staging").outcome == "rolled-back"
    site.register({})
    assert stage(site, plan).outcome == "done"
    assert site.smoke("staging").passed
    before = site.closed("staging")[0].before
    assert before is not None
    assert (brought(before), before.gaps) == ([(host, "r1", "MET") for host in HOSTS], ())


def test_what_is_refused_leaves_no_record_of_before(site: ClosingSite) -> None:
    plan = site.plan_of(2, "staging")
    assert site.stage(1).outcome == "done"
    held = list(site.receipts.chain)
    with pytest.raises(RefusedError):
        stage(site, plan)
    assert site.receipts.chain == held


def test_what_is_refused_without_a_look_is_refused_before_the_long_one(site: ClosingSite) -> None:
    plan = site.plan_of(1, "staging")
    looked: list[str] = []

    def examine() -> Examination:
        looked.append("site")
        raise ControlPlaneError("away")

    site.release_ports = replace(site.release_ports, authority=examine)
    site.site = replace(site.site, view=site.view.model_copy(update={"approval": "self"}))
    with pytest.raises(RefusedError, match="this plan has none: run 'controlplane approve'"):
        stage(site, plan)
    assert (looked, site.receipts.chain) == ([], [])
    site.site = replace(site.site, view=site.view)
    assert stage(site, plan).outcome == "done"
    assert looked == ["site"]


def test_before_each_host_nothing_is_read_again(site: ClosingSite, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = site.plan_of(1, "staging")
    begins = look_before(site.site, STACK, "staging", plan, site.release_ports, view=planned(site.site, STACK, "staging", plan)[1])
    monkeypatch.setattr(site.receipts, "load", lambda: pytest.fail("the chain was read"))
    for _ in HOSTS:
        begins("CAP-20260102-120000__plan.apply__R0001")
    assert len(begun(site)) == 1


def test_what_can_not_be_told_is_unknown_and_in_no_releases_way(site: ClosingSite) -> None:
    def broken() -> Examination:
        raise ControlPlaneError("the store\nis away")

    site.release_ports = replace(site.release_ports, authority=broken)
    site.released()
    made, page, _ = site.closed()
    assert made.before is not None
    assert made.after is not None
    assert (made.before.authority, made.after.authority) == ("UNKNOWN", "UNKNOWN")
    assert (made.before.why, made.after.why) == ({"authority": "the store is away"}, {"authority": "the store is away"})
    assert "UNKNOWN after (authority): the store is away." in site.folder.files[page].decode()


def _contacts() -> int:
    site = ClosingSite()
    assert site.stage(1).outcome == "done"
    plan = site.plan_of(2, "staging")
    site.arm(None)
    assert stage(site, plan).outcome == "done"
    return site.world.count


@pytest.mark.parametrize("at", range(1, _contacts() + 1, 2))
def test_a_staging_that_is_cut_anywhere_and_goes_on_has_one_run_with_a_before(at: int) -> None:
    site = ClosingSite()
    assert site.stage(1).outcome == "done"
    plan = site.plan_of(2, "staging")
    site.arm(at)
    with suppress(InterruptedRunError, KeyboardInterrupt):
        stage(site, plan)
    site.arm(None)
    assert stage(site, plan).outcome == "done"
    assert site.smoke("staging").passed
    assert brought(site.closed("staging")[0].before) == [(host, "r1", "MET") for host in HOSTS]
    assert not open_intents(site.receipts.chain)
    assert not chain_faults(site.receipts.load())
