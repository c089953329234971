"""Who looks and leaves a receipt ends a waiver of which a limit is crossed, and it stays ended when that falls below again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.desired import HostWaiver
from controlplane.domain.finding import AuditReport, Finding
from controlplane.domain.policy import Until
from controlplane.domain.registers import Registers
from controlplane.domain.waiver_ends import ends_of
from controlplane.usecases.audit import audit_site
from controlplane.usecases.judge_ready import judge_ready
from controlplane.usecases.start_session import start_session
from tests.fakes.evidence_builder import healthy_probes
from tests.fakes.site import OPERATOR
from tests.fakes.waves import FakeWaveSite


class Sessions:
    """What the last session saw, in memory."""

    name = "state/session.json"

    def __init__(self) -> None:
        self.held: AuditReport | None = None

    def last(self) -> AuditReport | None:
        return self.held

    def keep(self, report: AuditReport) -> None:
        self.held = report


@pytest.fixture
def site() -> FakeWaveSite:
    """A host whose `/` is at 85%, waived up to 90%."""
    made = FakeWaveSite(registers=Registers())
    ends = made.clock.time + timedelta(days=9)
    waiver = HostWaiver(check="D234", reason="is pruned weekly", approved_by="ops", ends_at=ends, until=Until(root_used=90))
    made.host.probes = healthy_probes()
    [host] = made.view.desired.hosts
    state = made.view.desired.model_copy(update={"hosts": (host.model_copy(update={"waivers": (waiver,)}),)})
    made.view = made.view.model_copy(update={"desired": state})
    fill(made, 85)
    return made


def fill(site: FakeWaveSite, percent: int) -> None:
    usage = site.host.probes["usage"]["/"]
    usage |= dict.fromkeys(("free", "available"), usage["size"] * (100 - percent) // 100)


def judged(site: FakeWaveSite) -> Finding:
    """Return what is said of `/` by whoever reads the site's receipts first, as every verb does."""
    view = site.view.ending(ends_of(site.receipts.chain))
    [found] = audit_site(view, hosts=(), checks=("D234",), clock=site.clock, evidence=site.evidence).findings
    return found


def by_ready(site: FakeWaveSite) -> Any:
    return judge_ready("mint-data", site.view, operator=OPERATOR, ports=site.ports)


def by_session(site: FakeWaveSite) -> Any:
    return start_session(site.site(), site.wave_ports, Sessions(), hosts=())


@pytest.mark.parametrize("look", [by_ready, by_session])
def test_a_waiver_that_was_seen_crossed_once_is_over_for_good(site: FakeWaveSite, look: Callable[[FakeWaveSite], Any]) -> None:
    look(site)
    assert (site.receipts.chain[-1].told, judged(site).verdict.value) == (None, "WAIVED")
    fill(site, 95)
    look(site)
    seen = site.receipts.chain[-1]
    [ended] = (seen.told or {})["waivers_ended"]
    assert (ended["host"], ended["check"], ended["reason"]) == ("mint-data", "D234", "root_used is 95%, it was given up to 90%")
    fill(site, 85)
    found = judged(site)
    assert (found.verdict.value, f"ended for good: root_used is 95%, it was given up to 90% in {seen.key}" in found.reason) == ("DRIFTED", True)


@pytest.mark.parametrize("look", [by_ready, by_session])
def test_evidence_that_does_not_count_ends_no_waiver(site: FakeWaveSite, look: Callable[[FakeWaveSite], Any]) -> None:
    fill(site, 95)
    site.view = site.view.model_copy(update={"max_age": timedelta(0)})
    look(site)
    assert site.receipts.chain[-1].told is None


def test_a_session_tells_which_it_saw_crossed(site: FakeWaveSite) -> None:
    assert by_session(site).ended == ()
    fill(site, 95)
    [ended] = by_session(site).ended
    assert (ended.host, ended.check) == ("mint-data", "D234")
