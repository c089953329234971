"""A host that another run holds is refused before a run is begun; a lease that is over, or this run's own, is in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.errors import RefusedError
from controlplane.ports.plays import StepResult
from tests.fakes.site import FakeSite

LEASE: dict[str, Any] = {
    "token": 3,
    "holder": "bob@desk",
    "run": "CAP-20260102-110000__docker.data_root__R0001",
    "taken_at": "2026-01-02T11:00:00Z",
    "expires_at": "2126-01-02T11:30:00Z",
}


def _leased(**other: Any) -> FakeSite:
    site = FakeSite()
    site.host.probes["target_state"]["lease"] = LEASE | other
    return site


def test_another_runs_lease_is_refused_by_host_run_holder_and_since_when() -> None:
    site = _leased()
    plan = site.plan()
    with pytest.raises(RefusedError) as refusal:
        site.apply(plan)
    assert str(refusal.value) == (
        "mint-data is leased to run CAP-20260102-110000__docker.data_root__R0001 by bob@desk since 2026-01-02T11:00:00Z, until 2126-01-02T11:30:00Z. "
        "Nothing was changed. Wait for it, or let it expire; if its controller is dead: controlplane lease take HOST"
    )
    assert (site.receipts.chain, site.runner.plays) == ([], [])


def test_the_own_runs_lease_is_in_the_way_as_long_as_another_controller_holds_it() -> None:
    site = FakeSite()
    plan = site.plan()
    site.runner.ends = [StepResult(status="unreachable", message="gone", told={})]
    assert site.apply(plan).outcome == "interrupted"
    key = site.receipts.chain[-1].key
    state = site.host.probes["target_state"]
    state["lease"] = LEASE | {"run": key}
    state["runs"] = [{"run": key, "role": "data_disk", "phase": "changing", "unit": "controlplane-x.service", "unit_active": True}]
    links = len(site.receipts.chain)

    with pytest.raises(
        RefusedError, match=rf"^mint-data is leased to run {key} by bob@desk since .* Nothing was changed\. Wait for it, or let it expire"
    ):
        site.apply(plan)

    assert len(site.receipts.chain) == links
    # Its unit goes on for whoever holds the run.
    state["lease"]["expires_at"] = "2020-01-01T00:00:00Z"
    assert site.apply(plan).outcome == "done"


def test_a_lease_that_is_over_is_in_nobodys_way() -> None:
    site = _leased(expires_at="2020-01-01T00:00:00Z")
    assert site.apply(site.plan()).outcome == "done"
