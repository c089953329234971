"""A lease that a killed run left is taken over, never under a run that works."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.lease_view import LeaseView
from controlplane.ports.plays import StepResult
from controlplane.usecases.take_lease import show_lease, take_lease
from tests.fakes.site import OPERATOR, FakeSite

RUN = "CAP-20260102-110000__docker.data_root__R0001"
LEASE = {"token": 3, "holder": "bob@desk", "run": RUN, "taken_at": "2026-01-02T11:00:00Z", "expires_at": "2026-01-02T11:30:00Z"}


def _leased(*, active: bool = False, **other: Any) -> FakeSite:
    site = FakeSite()
    state = site.host.probes["target_state"]
    state["lease"] = LEASE | other
    state["runs"] = [{"run": RUN, "role": "docker_data_root", "phase": "precopy", "unit": "controlplane-data-root.service", "unit_active": active}]
    return site


def _take(site: FakeSite) -> LeaseView:
    return take_lease(site.view, "mint-data", operator=OPERATOR, ports=site.ports, progress=lambda _: None)


def test_a_lease_is_shown_with_holder_run_and_times() -> None:
    site = _leased()

    seen = show_lease(site.view, "mint-data", clock=site.clock, evidence=site.evidence)

    assert seen.model_dump() == {"host": "mint-data", **LEASE, "expired": True, "working": None}


@pytest.mark.parametrize(("until", "expired"), [("2026-01-02T11:59:00Z", True), ("2026-01-02T13:00:00Z", False), ("soon", False)])
def test_a_lease_expires_by_the_clock_and_never_by_a_date_that_cannot_be_read(until: str, expired: bool) -> None:
    site = _leased(expires_at=until)

    assert show_lease(site.view, "mint-data", clock=site.clock, evidence=site.evidence).expired is expired


def test_nobodys_lease_needs_no_play() -> None:
    site = FakeSite()

    assert _take(site).held is False
    assert site.runner.plays == []


def test_a_lease_whose_unit_still_works_is_refused_and_nothing_is_started() -> None:
    site = _leased(active=True)

    with pytest.raises(RefusedError, match=r"leased to run .* by bob@desk since 2026-01-02T11:00:00Z, and its unit controlplane-data-root.service"):
        _take(site)

    assert site.runner.plays == []


def test_a_left_lease_is_taken_over_by_a_play() -> None:
    site = _leased()

    assert _take(site).run == RUN
    assert site.runner.plays == ["Take over the lease of mint-data"]


def test_what_the_target_refuses_is_a_refusal_here() -> None:
    site = _leased()
    site.runner.ends = [StepResult(status="failed", message="mint-data is leased to run X. Nothing was changed. Wait for it.", told={})]

    with pytest.raises(RefusedError, match=r"mint-data is leased to run X"):
        _take(site)


def test_an_unreached_host_or_a_state_that_cannot_be_read_is_unknown() -> None:
    site = _leased()
    site.evidence.unreached = {"mint-data": "No route to host"}

    with pytest.raises(UnknownError, match=r"mint-data could not be observed: No route to host"):
        _take(site)
