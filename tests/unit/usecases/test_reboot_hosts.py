"""A host that anybody changes is not rebooted, and neither is one of which that is not known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.errors import RefusedError, UnknownError
from controlplane.domain.evidence import ProbeRecord
from controlplane.domain.windows import Window
from controlplane.usecases.reboot_hosts import reboot_hosts
from tests.fakes.site import OPERATOR, FakeSite

RUN = "CAP-20260102-110000__docker.data_root__R00bb"
LEASE = {"token": 9, "holder": "bob@lap", "run": RUN, "taken_at": "2026-01-02T11:00:00Z", "expires_at": "2126-01-02T11:30:00Z"}
OVER = {"expires_at": "2020-01-01T00:00:00Z"}
WORKS = {"run": RUN, "role": "docker_data_root", "phase": "staging", "unit": "controlplane-x.service", "unit_active": True}
LEASED = f"is leased to run {RUN} by bob@lap since 2026-01-02T11:00:00Z, until"


def _reboot(site: FakeSite) -> tuple[str, ...]:
    return reboot_hosts(site.view, hosts=(), operator=OPERATOR, ports=site.ports, progress=lambda _: None)


def _state(site: FakeSite, host: str = "mint-data") -> dict[str, Any]:
    found: dict[str, Any] = site.hosts[host].probes["target_state"]
    return found


def _assert_refused(site: FakeSite, *words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        _reboot(site)
    for word in (*words, "Nothing was rebooted. Wait for it; 'controlplane lease show mint-data' tells how it stands."):
        assert word in str(refused.value)
    assert (site.runner.plays, site.receipts.chain) == ([], [])


def test_a_host_that_another_controller_holds_is_refused_by_host_run_holder_and_since_when() -> None:
    site = FakeSite()
    _state(site)["lease"] = LEASE
    _assert_refused(
        site,
        f"mint-data {LEASED} 2126-01-02T11:30:00Z.",
        "If its controller is dead and no unit of it works any more: controlplane lease take mint-data",
    )


def test_outside_of_the_sites_windows_nothing_is_rebooted() -> None:
    site = FakeSite()
    now = site.clock.now()
    shut, opened = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (1, 2))
    site.view = site.view.model_copy(update={"windows": (Window(start=shut, end=opened),)})
    with pytest.raises(RefusedError) as refused:
        _reboot(site)
    assert str(refused.value).startswith("no maintenance window is open; the next one is ")
    assert str(refused.value).endswith("Nothing was rebooted. Run this again then.")
    assert (site.runner.plays, site.receipts.chain) == ([], [])
    site.view = site.view.model_copy(update={"windows": (Window(start=now.strftime("%H:%M"), end=shut),)})
    assert len(_reboot(site)) == 1


def test_the_sites_window_is_asked_by_the_hosts_clocks_too() -> None:
    site = FakeSite()
    now = site.clock.now()
    opens, shuts = ((now + timedelta(hours=hours)).strftime("%H:%M") for hours in (-1, 1))
    site.view = site.view.model_copy(update={"windows": (Window(start=opens, end=shuts),)})
    site.host.probes["identity"]["clock_epoch"] = (now + timedelta(hours=2)).timestamp()
    with pytest.raises(RefusedError) as refused:
        _reboot(site)
    assert str(refused.value).startswith("no maintenance window is open; the next one is ")
    assert ", by the clock of mint-data: it says 2026-01-02T14:00:0" in str(refused.value)
    assert str(refused.value).endswith("Nothing was rebooted. Set the one that is wrong. Then run this again.")
    assert (site.runner.plays, site.receipts.chain) == ([], [])


def test_a_host_whose_redis_would_start_empty_is_not_rebooted() -> None:
    site = FakeSite()
    probes = site.host.probes
    [redis] = probes["redis"]
    probes["redis"][redis]["running"]["appendonly"] = "no"
    with pytest.raises(RefusedError) as refused:
        _reboot(site)
    assert str(refused.value).startswith(f"mint-data: {redis}: AOF is off while it runs and on at its next start, which would load nothing")
    assert str(refused.value).endswith("Nothing was rebooted. After that, run this again.")
    assert (site.runner.plays, site.receipts.chain) == ([], [])


def test_a_lease_that_is_over_is_in_the_way_while_its_unit_works() -> None:
    site = FakeSite()
    _state(site).update(lease=LEASE | OVER, runs=[WORKS])
    _assert_refused(site, f"mint-data {LEASED}", f"the unit controlplane-x.service of run {RUN} works on mint-data")


def test_a_unit_that_works_is_in_the_way_whoever_holds_the_lease() -> None:
    site = FakeSite()
    _state(site).update(lease=None, runs=[WORKS])
    _assert_refused(site, f"the unit controlplane-x.service of run {RUN} works on mint-data.")


@pytest.mark.parametrize("state", [{"lease": None}, {"lease": LEASE | OVER}, {"runs": [WORKS | {"unit_active": False}]}])
def test_what_is_over_is_in_nobodys_way(state: dict[str, Any]) -> None:
    site = FakeSite()
    _state(site).update(state)
    assert len(_reboot(site)) == 1
    assert site.runner.plays == ["Reboot and wait"]


def test_a_host_that_is_not_reached_is_not_rebooted() -> None:
    site = FakeSite()
    site.evidence.unreached["mint-data"] = "no route to host"
    with pytest.raises(UnknownError, match=r"mint-data could not be observed: no route to host\. Nothing was rebooted\.") as unknown:
        _reboot(site)
    assert unknown.value.exit_code == 5
    assert (site.runner.plays, site.receipts.chain) == ([], [])


def test_a_host_whose_lease_could_not_be_read_is_not_rebooted(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite()
    collect = site.evidence.collect

    def blind(*asked: Any, only: Sequence[str]) -> dict[str, Any]:
        record = ProbeRecord(status="failed", seconds=0.1, error="lease.json is no JSON")
        return {host: seen.model_copy(update={"probes": seen.probes | {"target_state": record}}) for host, seen in collect(*asked, only=only).items()}

    monkeypatch.setattr(site.evidence, "collect", blind)
    with pytest.raises(UnknownError, match=r"whether mint-data is being changed could not be observed: target_state: .*lease\.json is no JSON"):
        _reboot(site)
    assert site.runner.plays == []


def test_one_host_that_is_held_keeps_all_from_being_rebooted() -> None:
    site = FakeSite(hosts=("mint-apps", "mint-data"))
    _state(site)["lease"] = LEASE
    _assert_refused(site, f"mint-data {LEASED}")


def test_a_host_that_is_taken_while_an_earlier_one_reboots_stays_up(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite(hosts=("mint-apps", "mint-data"))
    run = site.runner.run

    def taken_meanwhile(*given: Any, **more: Any) -> Any:
        _state(site)["lease"] = LEASE
        return run(*given, **more)

    monkeypatch.setattr(site.runner, "run", taken_meanwhile)
    with pytest.raises(RefusedError, match=r"mint-data is leased to run .* Only mint-apps was rebooted\."):
        _reboot(site)
    assert site.runner.plays == ["Reboot and wait"]
