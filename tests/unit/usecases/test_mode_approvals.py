"""A proposed change of modes is carried out once, by a clock that is believed, and not on the word of its own author alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.domain.approval import approve
from controlplane.domain.errors import RefusedError
from controlplane.domain.gates.proposal import Proposal
from controlplane.usecases.change_modes import carry_out
from tests.fakes.gates import GateSite
from tests.fakes.site import OPERATOR


class Modes:
    """A site with an approved demotion that eve proposed."""

    def __init__(self, approver: str = "ben@example.org") -> None:
        self.site = GateSite(approval="other")
        self.site.run()
        self.site.enforce("D235", "mint-data")
        self.proposal: Proposal = self.site.propose("demote", "D235", reason="disk is replaced")
        self.site.approvals.add(approve(self.proposal.proposal, approver=approver, requester="eve@desk", now=self.site.clock.now()))

    def carry_out(self, author: str | None = "eve@example.org") -> str:
        return carry_out(self.proposal, self.site.view, seen={}, operator=OPERATOR, author=author, ports=self.site.mode_ports)

    def refused(self) -> str:
        before = self.site.file.text
        with pytest.raises(RefusedError) as refused:
            self.carry_out()
        assert self.site.file.text == before
        return str(refused.value)


def test_what_one_proposed_and_another_approved_is_carried_out_and_its_intent_names_the_approval() -> None:
    modes = Modes()
    key = modes.carry_out()
    assert modes.site.file.text == "modes.D235.mint-data: report\n"
    told = next(one.told for one in modes.site.receipts.chain if one.key == key and one.phase == "intent")
    assert told is not None
    assert (told["approval"]["plan"], told["approval"]["approver"]) == (modes.proposal.proposal, "ben@example.org")


def test_an_author_does_not_approve_what_they_proposed_though_another_carries_it_out() -> None:
    told = Modes(approver="eve@example.org").refused()
    assert "site.yml demands another person's approval, and eve@example.org asked for it. Nothing was changed." in told


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=400)])
def test_a_clock_that_stepped_back_changes_no_mode(step: timedelta) -> None:
    modes = Modes()
    modes.site.clock.time -= step
    assert modes.refused().startswith("this controller's clock says ")
