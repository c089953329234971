"""A site whose releases are closed, with registers and a folder for what that leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.domain.registers import Registers
from controlplane.domain.releases.values import EnvironmentName
from controlplane.usecases.close_release import ClosePorts, close_release
from tests.fakes.promotions import LOOP, PromotedSite
from tests.fakes.releases import STACK
from tests.fakes.waves import FakeHistory

OTHER = "LOOP-OTHER"


class ClosingSite(PromotedSite):
    """A site whose registers have more than the loop of its release; `closed` closes it."""

    def __init__(self) -> None:
        super().__init__()
        self.history = FakeHistory()
        self.register({"GAP-OP-9": {"title": "of others", "loops": [OTHER]}})

    def register(self, gaps: dict[str, Any]) -> None:
        loops = {LOOP: {"title": "the shop"}, OTHER: {"title": "others"}, "LOOP-OLD": {"title": "over", "status": "closed"}}
        registers = Registers.model_validate({"loops": loops, "gaps": gaps}, strict=False)
        self.site = replace(self.site, governance=replace(self.site.governance, registers=registers))

    def released(self, number: int = 1) -> ClosingSite:
        assert self.promote(self.bring_to_gate(number)).outcome == "done"
        return self

    def closed(self, environment: EnvironmentName = "production", attest: str = "orders come in", deferred: tuple[str, ...] = ()) -> Any:
        ports = ClosePorts(self.release_ports, self.history)
        return close_release(self.site, STACK, environment, ports, attest=attest, deferred=deferred)
