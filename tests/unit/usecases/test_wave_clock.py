"""Every verb that leads a wave is refused on a clock that stepped back, before anything of the wave is touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controlplane.domain.approval import Approval, approve
from controlplane.domain.errors import RefusedError
from controlplane.domain.waves.record import WaveRecord
from controlplane.domain.waves.values import Wave
from controlplane.usecases.close_wave import close_wave
from controlplane.usecases.open_wave import abort_wave, open_wave
from controlplane.usecases.plan_wave import plan_wave
from controlplane.usecases.run_wave import resume_wave, run_wave
from controlplane.usecases.wave_ports import WavePorts, WaveSite
from tests.fakes.coordination import FakeCoordination
from tests.fakes.site import OPERATOR, FakeSite

WAVE = Wave.model_validate({"goal": "moved", "mutation": "controlled", "hosts": ["mint-data"], "capabilities": ["storage.fstab"]})


class Waves:
    """A site with receipts and a store; what a refused verb must not come to is missing."""

    def __init__(self, *, opened: bool) -> None:
        self.made = FakeSite(approval="self")
        self.store = FakeCoordination()
        governance: Any = SimpleNamespace(checked_waves=lambda: {"W1": WAVE})
        self.site = WaveSite(view=self.made.view, governance=governance, operator=OPERATOR)
        none = cast("Any", None)
        self.ports = WavePorts(apply=self.made.ports, gates=none, waves=self.store, folder=none, history=none, backup=none)
        if opened:
            record = WaveRecord(opened_by=OPERATOR, opened_at="2026-01-02T12:00:00Z", attempt="20260102-120000", head=None)
            self.store.take(
                "W1", state="open", mutating=True, holder=OPERATOR, record=record.plain(), now=self.made.clock.now(), ttl=timedelta(hours=4)
            )


VERBS: dict[str, Callable[[WaveSite, WavePorts], object]] = {
    "open": lambda site, ports: open_wave("W1", site, ports),
    "plan": lambda site, ports: plan_wave("W1", site, ports, capabilities=()),
    "run": lambda site, ports: run_wave("W1", site, ports, progress=lambda _: None),
    "resume": lambda site, ports: resume_wave("W1", site, ports),
    "close": lambda site, ports: close_wave("W1", site, ports, attest="as planned", deferred=()),
    "abort": lambda site, ports: abort_wave("W1", site, ports, reason="no time"),
}


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(days=400)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_clock_that_stepped_back_leads_no_wave(verb: str, step: timedelta) -> None:
    waves = Waves(opened=verb != "open")
    plan = waves.made.plan()
    waves.made.approvals.held[plan.plan] = _approved(waves.made, plan.plan)
    waves.made.apply(plan)
    held, links = waves.store.find("W1"), len(waves.made.receipts.chain)
    waves.made.clock.time -= step

    with pytest.raises(RefusedError, match=r"^this controller's clock says .* and the newest receipt of the site is of .* Nothing was changed\."):
        VERBS[verb](waves.site, waves.ports)

    assert waves.store.find("W1") == held
    assert len(waves.made.receipts.chain) == links


def _approved(site: FakeSite, plan: str) -> Approval:
    return approve(plan, approver="ben@example.org", requester=None, now=site.clock.now())
