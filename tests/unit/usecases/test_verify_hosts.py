"""verify: two witnesses judge machines that are each named once."""

from __future__ import annotations

import pytest

from controlplane.domain.errors import InputInvalidError
from controlplane.domain.finding import AuditReport
from controlplane.usecases.verify_hosts import verify_hosts
from tests.fakes.site import FakeSite


@pytest.fixture
def site() -> FakeSite:
    """Return a site of two hosts that turn out to be one machine."""
    made = FakeSite(hosts=("mint-apps", "mint-data"))
    made.host.probes["identity"]["machine_id"] = "m-mint-apps"
    return made


def verify(site: FakeSite, *hosts: str, rebooted: bool = False) -> AuditReport:
    return verify_hosts(site.view, hosts=hosts, clock=site.clock, evidence=site.evidence, witness=site.witness, rebooted=rebooted)


@pytest.mark.parametrize("rebooted", [False, True])
def test_two_hosts_that_are_one_machine_are_refused(site: FakeSite, rebooted: bool) -> None:
    with pytest.raises(InputInvalidError) as refused:
        verify(site, rebooted=rebooted)
    told = "inventory: mint-data: is the same machine as mint-apps (machine-id m-mint-apps): name it once, or give it an id of its own"
    assert str(refused.value) == told


def test_machines_of_their_own_are_judged(site: FakeSite) -> None:
    site.host.probes["identity"]["machine_id"] = "m1"
    assert [row.host for row in verify(site).hosts] == ["mint-apps", "mint-data"]


def test_one_of_the_two_alone_is_judged(site: FakeSite) -> None:
    assert [row.host for row in verify(site, "mint-data").hosts] == ["mint-data"]
