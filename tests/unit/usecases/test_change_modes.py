"""A proposed change of modes is carried out once, by a clock that is believed, and not on the word of its own author alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import RefusedError
from controlplane.domain.gates.proposal import ModeChange, Proposal, seal
from controlplane.usecases.change_modes import ModePorts, carry_out
from tests.fakes.coordination import FakeCoordination
from tests.fakes.ports import FakeEntropy
from tests.fakes.site import OPERATOR, FakeSite


class FakeModeFile:
    """gates.yml in memory."""

    name = "gates.yml"

    def __init__(self) -> None:
        self.written: list[tuple[ModeChange, ...]] = []

    def digest(self) -> str:
        return "sha256:gates"

    def write(self, changes: tuple[ModeChange, ...]) -> None:
        self.written.append(changes)


class Modes:
    """A site with an approved demotion."""

    def __init__(self, approval: str = "other", approver: str = "ben@example.org") -> None:
        self.site, self.file = FakeSite(approval=approval), FakeModeFile()
        change = ModeChange(check="D240", host="mint-data", field="modes.D240.mint-data", before="enforce", after="report", runs=())
        self.proposal: Proposal = seal(
            kind="demote",
            site="lab",
            made_at="",
            requester="eve@desk",
            reason="disk is replaced",
            file="gates.yml",
            file_digest="sha256:gates",
            policy="sha256:policy",
            changes=(change,),
        )
        self.site.approvals.add(approve(self.proposal.proposal, approver=approver, requester="eve@desk", now=self.site.clock.now()))
        checkers: Any = None
        self.ports = ModePorts(
            clock=self.site.clock,
            entropy=FakeEntropy(),
            receipts=self.site.receipts,
            approvals=self.site.approvals,
            runs=FakeCoordination(),
            checkers=checkers,
            file=self.file,
        )

    def carry_out(self, author: str | None = "eve@example.org") -> str:
        return carry_out(self.proposal, self.site.view, seen={}, operator=OPERATOR, author=author, ports=self.ports)

    def refused(self, **more: Any) -> str:
        with pytest.raises(RefusedError) as refused:
            self.carry_out(**more)
        assert self.file.written == []
        return str(refused.value)


def test_what_one_proposed_and_another_approved_is_carried_out_once_and_its_intent_names_the_approval() -> None:
    modes = Modes()

    key = modes.carry_out()

    assert [[change.check for change in one] for one in modes.file.written] == [["D240"]]
    told = modes.site.receipts.chain[0].told
    assert told is not None
    assert (told["approval"]["plan"], told["approval"]["approver"]) == (modes.proposal.proposal, "ben@example.org")
    modes.file.written.clear()
    assert f"its approval was used by {key}" in modes.refused()


def test_an_author_does_not_approve_what_they_proposed_though_another_carries_it_out() -> None:
    told = Modes(approver="eve@example.org").refused()

    assert "site.yml demands another person's approval, and eve@example.org asked for it. Nothing was changed." in told


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_stepped_back_changes_no_mode(step: timedelta) -> None:
    modes = Modes()
    modes.carry_out()
    modes.file.written.clear()
    modes.site.clock.time -= step

    assert modes.refused().startswith("this controller's clock says ")
