"""Inodes bound a move of the engine's roots only where evidence tells how many it takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from controlplane.domain.disks import Disk
from controlplane.domain.plan import Bound, Plan
from controlplane.domain.planning import chosen_capabilities, make_plan
from tests.fakes.evidence_builder import COLLECTED, GB, EvidenceBuilder, device, mount
from tests.fakes.host import drifting_probes
from tests.fakes.site import desired_host

OLD = "254:48"
USED = 1_000_000
NEEDED = 1000 + int(USED * 1.05)


def _old_root(builder: EvidenceBuilder, *, used: int = USED, **other: Any) -> EvidenceBuilder:
    """Give the old root a filesystem of its own."""
    probes = builder.probes
    probes["docker_info"]["root"] = "/var/lib/docker"
    probes["block"][OLD] = device("vdd", 60 * GB, serial="OLD0001")
    probes["signatures"][OLD] = {"uuid": "old", "type": "ext4", "label": None, "blkid": {"TYPE": "ext4"}, "wipefs": ["ext4@0x438"]}
    probes["mounts"].append(mount("/var/lib/docker", OLD, source="/dev/vdd") | other)
    probes["usage"]["/var/lib/docker"] = {
        "size": 60 * GB,
        "free": 50 * GB,
        "available": 50 * GB,
        "inodes": 9_000_000,
        "inodes_free": 9_000_000 - used,
    }
    return builder


def _drifting() -> EvidenceBuilder:
    builder = EvidenceBuilder()
    builder.probes = drifting_probes()
    return builder


def _plan(builder: EvidenceBuilder, filesystem: str = "ext4") -> Plan:
    disk = Disk.model_validate({"serial": "DATA0001", "min_size": 3 * GB, "max_size": 200 * GB, "mount": "/mnt/data", "filesystem": filesystem})
    return make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired_host("mint-data", disks=(disk,))],
        evidence={"mint-data": builder.build()},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=chosen_capabilities(()),
        retention=timedelta(days=7),
    )


def _of_inodes(plan: Plan) -> list[Bound]:
    return [bound for bound in plan.bounds if "inodes" in bound.what]


def _move_refusals(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals if refusal.capability == "docker.data_root"]


def test_an_old_root_that_is_a_filesystem_of_its_own_bounds_the_inodes_of_the_destination() -> None:
    [bound] = _of_inodes(_plan(_old_root(EvidenceBuilder())))

    assert bound == Bound(host="mint-data", what="free inodes on /mnt/data", measure="free_inodes", of="/mnt/data", at_least=NEEDED)


def test_too_few_inodes_refuse_the_move_with_both_numbers() -> None:
    builder = _old_root(EvidenceBuilder())
    builder.probes["usage"]["/mnt/data"]["inodes_free"] = USED

    [told] = _move_refusals(_plan(builder))

    assert told.startswith(f"free inodes on /mnt/data: {USED}, at least {NEEDED} needed. Declare a larger disk (policy.yml, hosts.mint-data.disks)")


@pytest.mark.parametrize(
    ("used", "at_least"),
    [(USED, NEEDED * 16384), (20_000, 22_000 * 4096), (130_000, (1000 + 136_500) * 16384)],
)
def test_a_filesystem_that_is_still_to_be_made_is_bounded_by_what_mkfs_gives_a_disk_of_that_size(used: int, at_least: int) -> None:
    [bound] = _of_inodes(_plan(_old_root(_drifting(), used=used)))

    assert (bound.measure, bound.of, bound.at_least) == ("disk_bytes", "serial DATA0001", at_least)
    assert bound.what == f"size of serial DATA0001, for {1000 + int(used * 1.05)} inodes"


def test_a_disk_whose_filesystem_would_have_too_few_inodes_refuses_the_move() -> None:
    plan = _plan(_old_root(_drifting(), used=8_000_000))

    assert [step.capability for step in plan.steps] == ["storage.data_disk", "storage.fstab"]
    assert f"size of serial DATA0001, for 8401000 inodes: {100 * GB}, at least {8_401_000 * 16384} needed" in _move_refusals(plan)[0]


def test_xfs_makes_inodes_as_they_are_needed() -> None:
    plan = _plan(_old_root(_drifting(), used=8_000_000), "xfs")

    assert _of_inodes(plan) == []
    assert plan.steps[-1].capability == "docker.data_root"


def _shared(builder: EvidenceBuilder) -> None:
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/var/lib/docker"]


def _part(builder: EvidenceBuilder) -> None:
    builder.probes["mounts"][-1]["root"] = "/docker"


def _without_number(builder: EvidenceBuilder) -> None:
    builder.probes["usage"]["/var/lib/docker"] |= {"inodes": 0, "inodes_free": 0}


def _without_limit(builder: EvidenceBuilder) -> None:
    builder.probes["usage"]["/mnt/data"] |= {"inodes": 0, "inodes_free": 0}


def _copied(builder: EvidenceBuilder) -> None:
    builder.probes["paths"]["/mnt/data/docker"].update(empty=False)
    builder.probes["target_state"]["copies"] = ["/mnt/data/docker"]


@pytest.mark.parametrize("unknown", [_shared, _part, _without_number, _without_limit, _copied])
def test_where_the_number_is_not_known_the_role_counts_and_no_plan_is_refused_for_it(unknown: Any) -> None:
    builder = _old_root(EvidenceBuilder(), used=8_000_000)
    unknown(builder)

    plan = _plan(builder)

    assert _of_inodes(plan) == []
    assert plan.steps[-1].capability == "docker.data_root"
