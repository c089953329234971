from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from controlplane.domain.desired import DesiredHost, DesiredState, HostWaiver, Limits, end_of_day, resolve
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.policy import Policy, policy_digest

BASE: dict[str, Any] = {
    "version": 1,
    "defaults": {"thresholds": {"root_used_warn": "70%", "images": "15GB"}, "docker": {"log": {"max_size": "10MB", "max_files": 3}}},
    "groups": {
        "mint": {"thresholds": {"root_used_warn": "60%", "volumes": "1GB"}, "tier": "data-disk"},
        "all-hosts": {"thresholds": {"tmp_file": "5MB"}},
    },
    "tiers": {"data-disk": {"data": "disk"}, "boot-only": {"data": "boot"}},
    "hosts": {
        "mint-data": {
            "disks": [{"serial": "D1", "min_size": "3GB", "max_size": "9GB", "mount": "/mnt/data"}],
            "thresholds": {"volumes": "2GB"},
            "docker": {"data_root": "/mnt/data/docker"},
            "services": {
                "z": {"kind": "files", "data": "/d", "place": "/mnt/data/z"},
                "a": {"kind": "redis", "data": "/data", "volume": "a", "durability": {"appendonly": True}},
            },
        },
        "apps": {"tier": "boot-only"},
    },
    "waivers": [{"check": "D237", "host": "apps", "reason": "r", "approved_by": "ops", "expires": "2026-12-31", "until": {"root_used": "60%"}}],
}
INVENTORY = Inventory(
    hosts=(InventoryHost(name="apps"), InventoryHost(name="mint-data", groups=("all-hosts", "mint")), InventoryHost(name="other")),
    groups=("all-hosts", "mint"),
)


def desired() -> DesiredState:
    return resolve(Policy.model_validate(BASE), INVENTORY, timezone="Europe/Berlin")


def test_a_host_wins_over_its_groups_and_they_over_the_defaults() -> None:
    host = desired().by_name()["mint-data"]
    assert host.thresholds == Limits(root_used_warn=60, images=15 * 1000**3, volumes=2 * 1000**3, tmp_file=5 * 1000**2)
    assert (host.tier, host.data) == ("data-disk", "disk")
    assert host.docker.data_root == "/mnt/data/docker"
    assert host.docker.log is not None
    assert host.docker.log.max_files == 3


def test_hosts_and_services_are_sorted_and_hosts_outside_the_policy_are_not_governed() -> None:
    assert [host.host for host in desired().hosts] == ["apps", "mint-data"]
    assert list(desired().by_name()["mint-data"].services) == ["a", "z"]


def test_a_state_survives_json() -> None:
    assert DesiredState.model_validate_json(desired().model_dump_json()) == desired()


def test_a_waiver_holds_to_the_end_of_its_day_in_the_sites_timezone() -> None:
    [waiver] = desired().by_name()["apps"].waivers
    assert waiver.ends_at == datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert waiver.in_force(now=datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC))
    assert not waiver.in_force(now=datetime(2026, 12, 31, 23, tzinfo=UTC))
    assert desired().by_name()["mint-data"].waivers == ()


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)], ids=["spring", "autumn", "summer"]
)
def test_a_day_ends_right_where_clocks_change(day: date, hours: int) -> None:
    start = end_of_day(day - timedelta(days=1), "Europe/Berlin")
    assert end_of_day(day, "Europe/Berlin") - start == timedelta(hours=hours)


def test_a_waiver_covers_its_surface_or_the_whole_check() -> None:
    whole = HostWaiver(check="D237", reason="r", approved_by="o", ends_at=datetime(2027, 1, 1, tzinfo=UTC))
    part = whole.model_copy(update={"surface": "budget.images"})
    assert whole.covers("D237", "budget.images")
    assert whole.covers("D237", "budget.volumes")
    assert not whole.covers("D234", "budget.images")
    assert part.covers("D237", "budget.images")
    assert not part.covers("D237", "budget.volumes")


def test_faults_are_listed_together() -> None:
    policy = Policy.model_validate({**BASE, "hosts": {**BASE["hosts"], "gone": {"tier": "boot-only"}, "lost": {}}})
    with pytest.raises(InputInvalidError) as caught:
        resolve(policy, INVENTORY)
    assert str(caught.value).splitlines() == [
        "policy: hosts.gone: is not in the inventory: add it there, or remove it here",
        "policy: hosts.lost: is not in the inventory: add it there, or remove it here",
        "policy: hosts.lost.tier: is missing: name one of the tiers here, in a group or in the defaults",
    ]


def test_a_target_without_a_site_has_default_limits_and_nothing_placed() -> None:
    host = DesiredHost.general("local")
    assert host.thresholds == Limits()
    assert (host.tier, host.data, host.disks, host.services, host.docker.data_root) == (None, None, (), {}, None)


def test_the_digest_is_of_what_the_policy_says_and_not_of_how() -> None:
    same = {**BASE, "defaults": {"docker": BASE["defaults"]["docker"], "thresholds": {"images": "15000MB", "root_used_warn": "70%"}}}
    other = {**BASE, "defaults": {**BASE["defaults"], "thresholds": {"images": "15GiB"}}}
    assert policy_digest(Policy.model_validate(same)) == policy_digest(Policy.model_validate(BASE))
    assert policy_digest(Policy.model_validate(other)) != policy_digest(Policy.model_validate(BASE))
