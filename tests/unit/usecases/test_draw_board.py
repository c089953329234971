"""board: what is collected, what is shown of it, and what a trail that does not hold does to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import pytest

from controlplane.domain.board import BoardGovernance
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import Fault, InputInvalidError, RunFailedError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.finding import Verdict
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.receipt import ChainFault, Receipt
from controlplane.render.board_trail import receipts_section
from controlplane.usecases.draw_board import NEWEST, draw_live, draw_offline
from tests.fakes.board import board_evidence, board_site, drawn, governance
from tests.fakes.interruption import Interruption
from tests.fakes.ports import FakeAnchors, FakeClock, FakeReceipts
from tests.fakes.site import FakeSite


class KnownEvidence:
    """Gives what the example's hosts showed, and counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> Mapping[str, Evidence | Unreached]:
        assert not only
        assert set(desired) == {host.name for host in hosts}
        self.asked.append(tuple(host.name for host in hosts))
        return {host.name: board_evidence()[host.name] for host in hosts}


class BrokenReceipts(FakeReceipts):
    def load(self) -> tuple[tuple[str, Receipt], ...]:
        raise RunFailedError("000003.json: is no receipt.")


class UncheckedReceipts(FakeReceipts):
    def signature_faults(self) -> tuple[ChainFault, ...]:
        raise InputInvalidError([Fault("lab/allowed_signers", 0, "", "can't be read (No such file or directory)")])


def trail() -> FakeReceipts:
    return FakeReceipts(Interruption())


def test_each_host_is_collected_from_once() -> None:
    evidence = KnownEvidence()
    board = draw_live(board_site(), hosts=(), clock=FakeClock(), evidence=evidence, receipts=trail(), anchors=FakeAnchors())
    assert evidence.asked == [("mint-apps", "mint-data", "mint-fine", "mint-lost")]
    assert [host.host for host in board.hosts] == ["mint-apps", "mint-data", "mint-fine", "mint-lost"]
    assert board.report.policy_digest == board_site().policy_digest


def test_only_the_named_hosts_are_collected_from_and_shown() -> None:
    evidence = KnownEvidence()
    board = draw_live(board_site(), hosts=("mint-data",), clock=FakeClock(), evidence=evidence, receipts=trail(), anchors=FakeAnchors())
    assert evidence.asked == [("mint-data",)]
    assert [host.host for host in board.hosts] == ["mint-data"]


def test_an_unknown_host_is_refused_before_anything_is_collected() -> None:
    evidence = KnownEvidence()
    with pytest.raises(InputInvalidError, match=r"nobody is not governed by inventory/mint/policy\.yml"):
        draw_live(board_site(), hosts=("nobody",), clock=FakeClock(), evidence=evidence, receipts=trail(), anchors=FakeAnchors())
    assert evidence.asked == []


def test_a_host_that_was_not_reached_or_is_not_in_the_file_is_unknown_on_every_check() -> None:
    seen = {host: one for host, one in board_evidence().items() if host != "mint-fine"}
    board = drawn(seen=seen)
    doubts = {host.host: host.doubt for host in board.hosts if host.doubt}
    assert doubts == {
        "mint-fine": "the host was not reached: there is no evidence of it",
        "mint-lost": "the host was not reached: ssh: connect to host 10.0.0.9 port 22: No route to host",
    }
    assert {finding.verdict for finding in board.report.findings if finding.host in doubts} == {Verdict.UNKNOWN}
    assert [host.picture.disks for host in board.hosts if host.doubt] == [(), ()]


def test_old_evidence_is_drawn_as_it_was_and_judged_as_unknown() -> None:
    board = drawn(max_age=timedelta(microseconds=1))
    old = next(host for host in board.hosts if host.host == "mint-data")
    assert old.doubt == "the evidence is 1 s old, limit 0 s"
    assert {one.standing for one in old.picture.residents()} == {"unknown"}
    assert board.report.summary.unknown == len(board.report.findings)


def test_a_file_without_any_of_the_hosts_is_refused() -> None:
    with pytest.raises(InputInvalidError) as refusal:
        draw_offline(
            board_site(),
            hosts=("mint-apps",),
            clock=FakeClock(),
            seen={"x": Unreached(host="x", reason="y")},
            receipts=trail(),
            anchors=FakeAnchors(),
        )
    assert str(refusal.value) == "--evidence: holds no host of inventory/mint/policy.yml that was asked for, only x"


def test_the_trail_shows_the_newest_receipts_what_is_open_and_who_was_verified() -> None:
    site = FakeSite()
    site.apply(site.plan())
    made = site.receipts
    last = made.chain[-1]
    made.append(
        last.model_copy(
            update={"key": "CAP-x", "run": "CAP-x", "phase": "intent", "outcome": None, "host": "mint-data", "at": "2026-01-02T13:00:00Z"}
        )
    )
    shown = drawn(receipts=made).trail
    assert (shown.total, len(shown.newest), shown.newest[0].key) == (9, 9, "CAP-x")
    assert shown.faults == ()
    assert [(row.key, row.state) for row in shown.open_runs] == [("CAP-x", "open")]
    by_host = {one.host: one.receipt for one in shown.verified}
    assert by_host["mint-fine"] is None
    proof = by_host["mint-data"]
    assert proof is not None
    assert (proof.phase, proof.outcome, proof.capability) == ("result", "done", "docker.data_root")


def test_the_newest_run_of_each_pack_is_shown_whichever_hosts_it_judged() -> None:
    site = FakeSite()
    site.apply(site.plan())
    last = site.receipts.chain[-1]
    for number, (pack, outcome) in enumerate([("mint", "failed"), ("all", "failed"), ("mint", "done")]):
        run = {"key": f"CAP-{number}", "run": f"CAP-{number}", "host": "*", "capability": "verify.pack.run", "step": pack, "outcome": outcome}
        run["evidence"] = f"sha256:{number}"
        site.receipts.append(last.model_copy(update={**run, "phase": "result"}))
    shown = drawn(receipts=site.receipts).trail
    assert [(one.step, one.outcome, one.key) for one in shown.packs] == [("all", "failed", "CAP-1"), ("mint", "done", "CAP-2")]
    page = str(receipts_section(shown))
    assert "pack mint" in page
    assert "CAP-2" in page


def test_a_run_of_a_pack_that_was_stopped_does_not_hide_what_the_one_before_found() -> None:
    site = FakeSite()
    site.apply(site.plan())
    last = site.receipts.chain[-1]
    for number, (outcome, evidence) in enumerate([("done", "sha256:seen"), ("interrupted", None)]):
        run = {"key": f"CAP-{number}", "run": f"CAP-{number}", "host": "*", "capability": "verify.pack.run", "step": "mint", "outcome": outcome}
        site.receipts.append(last.model_copy(update={**run, "phase": "result", "evidence": evidence}))
    assert [(one.step, one.outcome, one.key) for one in drawn(receipts=site.receipts).trail.packs] == [("mint", "done", "CAP-0")]


def test_a_run_of_a_pack_that_an_error_ended_is_the_newest_though_it_saw_nothing() -> None:
    site = FakeSite()
    site.apply(site.plan())
    last = site.receipts.chain[-1]
    for number, (outcome, evidence) in enumerate([("done", "sha256:seen"), ("failed", None)]):
        run = {"key": f"CAP-{number}", "run": f"CAP-{number}", "host": "*", "capability": "verify.pack.run", "step": "mint", "outcome": outcome}
        site.receipts.append(last.model_copy(update={**run, "phase": "result", "evidence": evidence}))
    assert [(one.step, one.outcome, one.key) for one in drawn(receipts=site.receipts).trail.packs] == [("mint", "failed", "CAP-1")]


def test_no_more_than_the_newest_are_shown_of_a_long_chain() -> None:
    site = FakeSite()
    site.apply(site.plan())
    first = site.receipts.chain[0]
    for number in range(40):
        site.receipts.append(first.model_copy(update={"key": f"CAP-{number}", "run": f"CAP-{number}"}))
    shown = drawn(receipts=site.receipts).trail
    assert (shown.total, len(shown.newest), shown.newest[0].key) == (48, NEWEST, "CAP-39")


def test_an_altered_receipt_and_a_wrong_signature_are_both_faults() -> None:
    site = FakeSite()
    site.apply(site.plan())
    site.receipts.chain[1] = site.receipts.chain[1].model_copy(update={"operator": "mallory"})
    site.receipts.faults = (ChainFault(file="000002.json", reason="does not fit its signature"),)
    faults = drawn(board_site(has_signers=True), receipts=site.receipts).trail.faults
    assert [fault.reason for fault in faults] == ["does not name the receipt before it: one of the two was altered", "does not fit its signature"]


def test_a_closeout_that_is_gone_is_a_fault_of_the_trail() -> None:
    anchors = FakeAnchors()
    anchors.gone = (ChainFault(file="state/waves/W1/A/closeout.json", reason="can't be read"),)
    assert drawn(anchors=anchors).trail.faults == anchors.gone


def test_a_chain_that_cannot_be_read_is_told_and_the_rest_is_shown() -> None:
    board = drawn(receipts=BrokenReceipts(Interruption()))
    assert board.trail.unreadable == "000003.json: is no receipt."
    assert board.report.summary.met > 0


def test_signers_that_cannot_be_read_are_told_and_the_rest_is_shown() -> None:
    board = drawn(receipts=UncheckedReceipts(Interruption()))
    assert board.trail.unreadable == "lab/allowed_signers: can't be read (No such file or directory)"
    assert board.report.summary.met > 0


def test_what_waves_and_registers_give_is_handed_on_as_it_is() -> None:
    assert drawn(governance=governance()).governance == governance()
    assert drawn().governance == BoardGovernance()
