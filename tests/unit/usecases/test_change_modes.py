"""gates promote, demote: what is proposed, what is refused with nothing changed, and what an ending on the way leaves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import RefusedError
from controlplane.domain.finding import Verdict
from controlplane.domain.gates.proposal import Proposal, seal
from controlplane.domain.receipt import open_intents
from controlplane.domain.run_list import run_rows
from controlplane.usecases.change_modes import carry_out
from tests.fakes.gates import GateSite


@pytest.fixture
def site() -> GateSite:
    return earned()


def earned(**more: Any) -> GateSite:
    found = GateSite(**more)
    for _ in range(3):
        found.run()
    return found


def sealed(proposal: Proposal, **changed: Any) -> Proposal:
    """Return the proposal as another hand would write it: changed, and with a digest that fits."""
    return seal(**{name: getattr(proposal, name) for name in Proposal.model_fields if name != "proposal"} | changed)


def refused(site: GateSite, proposal: Proposal, words: str, operator: str = "ann@desk") -> None:
    before = (site.file.text, list(site.receipts.chain))
    with pytest.raises(RefusedError, match=words) as caught:
        site.carry_out(proposal, operator)
    assert "Nothing was changed." in str(caught.value)
    assert (site.file.text, site.receipts.chain) == before


def test_a_promotion_names_file_field_and_runs_and_writes_that(site: GateSite) -> None:
    proposal = site.propose("promote", "D235")
    [change] = proposal.changes
    assert (proposal.file, change.field, change.before, change.after) == ("gates.yml", "modes.D235.mint-data", "report", "enforce")
    assert change.runs == tuple(run.run for run in reversed(site.coordination.runs))
    key = site.carry_out(proposal)
    assert site.file.text == "modes.D235.mint-data: enforce\n"
    last = site.receipts.chain[-1]
    assert (last.key, last.capability, last.outcome, last.evidence) == (key, "gates.promote", "done", proposal.proposal)
    assert last.told is not None
    assert last.told["file"] == site.file.digest()


def test_what_has_not_been_earned_is_refused_with_all_that_holds_it_back(site: GateSite) -> None:
    site.evidence.unreached = {"mint-data": "No route to host"}
    with pytest.raises(RefusedError) as caught:
        site.propose("promote", "D235", "D241", hosts=("mint-apps", "mint-data"))
    told = str(caught.value)
    assert "D241 on mint-apps: 0 of 3 consecutive runs passed" in told
    assert "D235 on mint-data: the host was not observed, so nobody knows whether those runs judged it as it is" in told
    assert "D235 on mint-apps" not in told


def test_what_fills_up_after_its_runs_changes_no_digest_and_holds_its_check_back() -> None:
    site = earned(packs={"mint": {"checks": ["D234"]}}, checks={})
    proposal = site.propose("promote", "D234")
    usage = site.host.probes["usage"]["/"]
    usage |= {"free": 0, "available": 0}
    with pytest.raises(RefusedError, match=r"D234 on mint-data: as it is now: DRIFTED: boot\.usage"):
        site.propose("promote", "D234")
    refused(site, proposal, "as it is now: DRIFTED")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({("D204", "site"): (Verdict.DRIFTED, "no owner")}, "D204 on site: as it is now: DRIFTED: check:test_it: no owner"),
        ({("D204", "site"): (Verdict.UNKNOWN, "was not run to its end")}, "D204 on site: as it is now: UNKNOWN: check:test_it: was not run"),
        ({("D204", "mint-apps"): (Verdict.MET, "as declared")}, "D204 on site: as it is now: nothing was judged of it"),
    ],
)
def test_a_check_of_the_sites_own_is_run_again_and_has_to_pass_now(site: GateSite, now: Any, words: str) -> None:
    proposal = site.propose("promote", "D204")
    site.site_checks.says = now
    with pytest.raises(RefusedError, match=words):
        site.propose("promote", "D204")
    refused(site, proposal, words)
    site.site_checks.says = {}
    site.carry_out(proposal)
    assert site.file.text == "modes.D204.site: enforce\n"


def test_a_file_of_the_site_that_breaks_now_holds_its_check_back_on_each_host() -> None:
    site = GateSite()
    site.site_checks.says = {("D204", host): (Verdict.MET, "as declared") for host in ("mint-apps", "mint-data")}
    for _ in range(3):
        site.run()
    site.site_checks.says = {("D204", "site"): (Verdict.UNKNOWN, "was not run to its end")}
    with pytest.raises(RefusedError, match="D204 on mint-data: as it is now: UNKNOWN: check:test_it: was not run to its end"):
        site.propose("promote", "D204")


def test_runs_of_long_ago_earn_nothing_now(site: GateSite) -> None:
    proposal = site.propose("promote", "D204")
    site.clock.time += timedelta(days=8)
    refused(site, proposal, "the newest run that counts is of .*, more than 7d ago: controlplane gates run")


def test_nothing_to_promote_or_demote_is_said(site: GateSite) -> None:
    site.enforce("D235", "mint-data")
    with pytest.raises(RefusedError, match="nothing to promote: D235 is in enforce mode there"):
        site.propose("promote", "D235")
    site.enforce("D235", "mint-data", "report")
    with pytest.raises(RefusedError, match="nothing to demote: D235 is in report mode there"):
        site.propose("demote", "D235", reason="x")


def test_a_demotion_needs_no_runs_and_no_machine(site: GateSite) -> None:
    site.enforce("D241", "mint-data")
    site.evidence.unreached = {"mint-data": "No route to host"}
    site.carry_out(site.propose("demote", "D241", reason="disk is being replaced"))
    assert site.file.text == "modes.D241.mint-data: report\n"
    assert site.receipts.chain[-1].reason == "disk is being replaced"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"site": "prod"}, "it was made for site prod, this is lab"),
        ({"policy": "sha256:old"}, "the policy changed since it was made"),
        ({"file": "/etc/passwd"}, "it changes /etc/passwd, modes stand in gates.yml"),
        ({"file_digest": "sha256:old"}, "gates.yml changed since it was made"),
        ({"changes": ()}, "it changes nothing"),
    ],
)
def test_a_proposal_that_does_not_fit_the_site_is_refused(site: GateSite, changed: dict[str, Any], words: str) -> None:
    refused(site, sealed(site.propose("promote", "D235"), **changed), words)


@pytest.mark.parametrize(
    "changed",
    [
        {"check": "D204", "field": "modes.D204.mint-data"},  # it is judged on the site alone
        {"host": "site", "field": "modes.D235.site"},  # no run ever judged that
        {"check": "D999", "field": "modes.D999.mint-data"},
        {"field": "modes.D236.mint-data"},
        {"before": "enforce", "after": "report"},
    ],
)
def test_a_proposal_that_another_hand_wrote_promotes_nothing_that_no_run_earned(site: GateSite, changed: dict[str, Any]) -> None:
    proposal = site.propose("promote", "D235")
    forged = sealed(proposal, changes=(proposal.changes[0].model_copy(update=changed),))
    refused(site, forged, "nothing on record would propose this")


def test_what_changed_between_proposal_and_approval_is_refused(site: GateSite) -> None:
    proposal = site.propose("promote", "D235")
    site.evidence.unreached = {"mint-data": "No route to host"}
    refused(site, proposal, "the host was not observed")
    site.evidence.unreached = {}
    site.hosts["mint-data"].probes["identity"]["machine_id"] = "another"
    refused(site, proposal, "0 of 3 consecutive runs passed")


def test_an_approval_is_demanded_bound_used_once_and_expires() -> None:
    site = earned(approval="self")
    proposal = site.propose("promote", "D235")
    refused(site, proposal, "demands an approval and this plan has none")
    site.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=site.clock.now() - timedelta(days=2)))
    refused(site, proposal, "expired")
    site.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
    key = site.carry_out(proposal)
    assert site.approvals.held[proposal.proposal].used_by == key
    site.file.text = ""
    refused(site, proposal, f"its approval was used by {key}")


@pytest.mark.parametrize("kind", ["promote", "demote"])
def test_an_approval_is_demanded_also_where_the_site_demands_none_of_plans(site: GateSite, kind: Any) -> None:
    if kind == "demote":
        site.enforce("D235", "mint-data")
    proposal = site.propose(kind, "D235", reason="so")

    def act() -> str:
        return carry_out(proposal, site.view, seen=site.seen(("mint-data",)), operator="ann@desk", ports=site.mode_ports)

    before = list(site.receipts.chain)
    with pytest.raises(
        RefusedError, match=r"a mode is changed only with an approval, also where site\.yml says approval: none, and this has none: run"
    ):
        act()
    assert (site.file.text, site.receipts.chain) == ("", before)
    site.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
    key = act()
    assert site.approvals.held[proposal.proposal].used_by == key
    site.file.text = ""
    refused(site, proposal, f"its approval was used by {key}")


def test_another_person_approves_where_the_site_says_so_neither_who_asked_nor_who_carries_it_out() -> None:
    site = earned(approval="other")
    proposal = site.propose("promote", "D235")
    site.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
    refused(site, proposal, "ann@desk approved it alone")
    refused(site, proposal, "ann@desk asked for it", operator="bob@desk")
    site.approvals.add(approve(proposal.proposal, approver="bob@desk", requester="ann@desk", now=site.clock.now()))
    site.carry_out(proposal)


def test_a_change_that_was_stopped_once_it_was_written_is_put_on_record_by_the_same_call() -> None:
    site = earned(approval="self")
    proposal = site.propose("promote", "D235")
    site.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
    site.receipts.append = stop_at_result(site.receipts.append)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        site.carry_out(proposal)
    del site.receipts.append
    lost = site.receipts.chain[-1]
    assert (site.file.text, lost.phase) == ("modes.D235.mint-data: enforce\n", "intent")
    assert lost.told is not None
    assert (lost.told["proposal"], lost.told["changes"][0]["after"], lost.told["file"]) == (proposal.proposal, "enforce", site.file.digest())

    # The policy may have changed since: what is put on record is what was done.
    site.view = site.view.model_copy(update={"policy_digest": "sha256:next"})
    key = site.carry_out(proposal)

    last = site.receipts.chain[-1]
    assert (key, last.key, last.phase, last.outcome, last.evidence) == (lost.key, lost.key, "result", "done", proposal.proposal)
    assert last.told == {"changes": lost.told["changes"], "file": lost.told["file"]}
    refused(site, proposal, "gates.yml changed since it was made")


def test_a_file_that_was_written_by_hand_after_a_kill_is_not_taken_for_the_change() -> None:
    site = earned()
    proposal = site.propose("promote", "D235")
    site.receipts.append = stop_at_result(site.receipts.append)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        site.carry_out(proposal)
    del site.receipts.append
    site.file.text += "modes.D236.mint-data: enforce\n"
    refused(site, proposal, "gates.yml changed since it was made")


def test_a_file_that_is_saved_while_the_change_is_signed_stays_as_it_was_saved(site: GateSite) -> None:
    proposal, append = site.propose("promote", "D235"), site.receipts.append

    def signed_slowly(receipt: Any) -> None:
        site.file.text = "modes.D237.mint-data: enforce\n"
        append(receipt)

    site.receipts.append = signed_slowly  # type: ignore[method-assign]
    with pytest.raises(RefusedError) as told:
        site.carry_out(proposal)
    del site.receipts.append
    last = site.receipts.chain[-1]
    assert str(told.value) == (
        f"gates.yml was changed by another hand meanwhile. No mode was changed, and receipt {last.key} says so. "
        "The approval is used up: make a new proposal, and let that be approved."
    )
    assert (last.phase, last.outcome, site.file.text) == ("result", "failed", "modes.D237.mint-data: enforce\n")
    assert open_intents(site.receipts.chain) == ()
    assert run_rows(site.receipts.chain)[-1].state == "failed"


def test_a_file_that_is_saved_while_its_checks_run_is_not_the_one_that_was_approved(site: GateSite) -> None:
    proposal, checks = site.propose("promote", "D204", hosts=()), site.site_checks.run

    def slow(*about: Any) -> Any:
        site.file.text = "modes.D237.mint-data: enforce\n"
        return checks(*about)

    site.site_checks.run = slow  # type: ignore[method-assign]
    before = list(site.receipts.chain)
    with pytest.raises(RefusedError, match=r"gates\.yml changed while its checks ran\. Nothing was changed\. Make a new one"):
        site.carry_out(proposal)
    assert (site.receipts.chain, site.file.text) == (before, "modes.D237.mint-data: enforce\n")


def stop_at_result(append: Any) -> Any:
    def stopping(receipt: Any) -> None:
        if receipt.phase == "result":
            raise KeyboardInterrupt
        append(receipt)

    return stopping


def test_a_change_that_is_cut_off_anywhere_is_whole_or_not_there_and_its_run_says_what_to_look_at() -> None:
    whole = earned(approval="self")
    proposal = whole.propose("promote", "D235")
    whole.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=whole.clock.now()))
    whole.arm(None)
    whole.carry_out(proposal)
    for at in range(1, whole.world.count + 1):
        site = earned(approval="self")
        proposal = site.propose("promote", "D235")
        site.approvals.add(approve(proposal.proposal, approver="ann@desk", requester="ann@desk", now=site.clock.now()))
        site.arm(at)
        with pytest.raises(KeyboardInterrupt):
            site.carry_out(proposal)
        site.arm(None)
        assert site.file.text in {"", "modes.D235.mint-data: enforce\n"}
        assert not site.file.locked
        assert open_intents(site.receipts.chain) == ()
        row = run_rows(site.receipts.chain)[-1]
        assert row.next == "nothing" if row.state == "done" else "see which modes hold: controlplane gates status"
