"""A disk that is missing is told with those that are there in its place, and with the command that brings the mount back once it is attached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.checks.missing_disk import strangers, way_to_mount
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Reader
from controlplane.domain.policy import Docker
from tests.fakes.evidence_builder import BOOT, DATA, GB, EvidenceBuilder, desired_mint_data, device, mount
from tests.unit.domain.checks.conftest import Judge

BOTH = "systemctl start /mnt/data && systemctl start docker.service"
OTHER = "254:32"
BLANK: dict[str, Any] = {"uuid": None, "type": None, "label": None, "blkid": {}, "wipefs": []}


def without_its_disk() -> EvidenceBuilder:
    """Return a host whose data disk is gone: what is not mounted is on the boot disk."""
    builder = EvidenceBuilder()
    for probe in ("block", "signatures"):
        del builder.probes[probe][DATA]
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    return builder


def beside(builder: EvidenceBuilder, mark: dict[str, Any] | None = None, *, name: str = "vdb", **other: Any) -> EvidenceBuilder:
    """Attach another disk."""
    builder.probes["block"][OTHER] = device(name, 2 * GB, **({"serial": "ELSE0001"} | other))
    if mark is not None:
        builder.probes["signatures"][OTHER] = BLANK | mark
    return builder


def others(builder: EvidenceBuilder, **wanted: Any) -> tuple[str, ...]:
    return strangers(desired_mint_data(**wanted), Reader(builder.build()))


def test_a_disk_that_is_absent_and_a_foreign_one_in_its_place_are_told_apart(judge: Judge) -> None:
    absent = judge(without_its_disk())["D240", "mount:/mnt/data"]
    assert (absent.verdict, absent.reason) == (
        "DRIFTED", f"no disk with serial DATA0001 is attached. Once it is attached, on the machine: {BOTH}",
    )  # fmt: skip
    foreign = judge(beside(without_its_disk(), {"type": "ext4", "label": "foreign", "uuid": "33"}))["D240", "mount:/mnt/data"]
    stranger = "vdb (serial ELSE0001, 2.0 GB, ext4 labelled foreign UUID 33)"
    assert foreign.verdict == "DRIFTED"
    assert foreign.reason == (
        f"no disk with serial DATA0001 is attached. Attached and not named in the policy: {stranger}. Once it is attached, on the machine: {BOTH}"
    )


@pytest.mark.parametrize(
    ("mark", "other", "told"),
    [
        ({}, {}, "vdb (serial ELSE0001, 2.0 GB, blank)"),
        ({"wipefs": ["gpt@0x200"], "blkid": {"PTTYPE": "gpt"}}, {}, "vdb (serial ELSE0001, 2.0 GB, gpt@0x200)"),
        ({}, {"partitions": ["254:33", "254:34"]}, "vdb (serial ELSE0001, 2.0 GB, 2 partitions)"),
        (None, {}, "vdb (serial ELSE0001, 2.0 GB, what it holds is not known)"),
        ({}, {"serial": None, "wwn": "0x5000"}, "vdb (wwn 0x5000, 2.0 GB, blank)"),
        ({}, {"serial": None}, "vdb (without a serial number, 2.0 GB, blank)"),
    ],
)
def test_a_stranger_is_told_by_what_it_is_and_what_it_holds(mark: dict[str, Any] | None, other: dict[str, Any], told: str) -> None:
    assert others(beside(without_its_disk(), mark, **other)) == (told,)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: beside(b, {}).probes["mounts"].append(mount("/srv/x", OTHER, source="/dev/vdb")),
        lambda b: beside(b, {}, serial="DATA0001"),
        lambda b: beside(b, {}, partition_of=BOOT),
        lambda b: beside(b, {}, name="sr0"),
        lambda b: beside(b, {}, name="zram0"),
        lambda b: beside(b, {}, name="loop0", loop_file="/var/lib/snapd/x.snap"),
        lambda b: beside(b, {}, node=None),
        lambda b: beside(b, {}).probes["block"][OTHER].update(size=0),
    ],
    ids=["mounted", "declared", "a partition", "optical", "in memory", "a file", "no node", "empty"],
)
def test_what_is_in_use_or_can_be_nobody_s_data_disk_is_no_stranger(spoil: Callable[[EvidenceBuilder], Any]) -> None:
    builder = without_its_disk()
    spoil(builder)
    assert others(builder) == ()


def test_a_foreign_disk_that_is_mounted_in_the_very_place_is_one() -> None:
    builder = beside(without_its_disk(), {"type": "ext4"})
    builder.probes["mounts"].append(mount("/mnt/data", OTHER, source="/dev/vdb"))
    assert others(builder) == ("vdb (serial ELSE0001, 2.0 GB, ext4)",)


def test_in_a_lab_whose_disks_are_files_another_file_is_one() -> None:
    builder = beside(without_its_disk(), {}, name="loop3", serial=None, loop_file="/lab/foreign.img")
    disk = Disk(loop_file="/lab/data.img", min_size=GB, max_size=9 * GB, mount="/mnt/data")
    assert others(builder, disks=(disk,)) == ("loop3 (loop_file /lab/foreign.img, 2.0 GB, blank)",)


def test_of_many_the_first_are_told() -> None:
    builder = without_its_disk()
    for number in range(7):
        builder.probes["block"][f"8:{16 * number}"] = device(f"sd{chr(97 + number)}", GB, serial=f"S{number}")
    assert others(builder)[-2:] == ("sde (serial S4, 1.0 GB, what it holds is not known)", "and 2 more")


@pytest.mark.parametrize("probe", ["mounts", "fstab", "units"])
def test_what_could_not_be_observed_of_the_others_takes_nothing_from_the_refusal(probe: str) -> None:
    builder = beside(without_its_disk(), {}).fail(probe)
    assert others(builder) == (() if probe == "mounts" else ("vdb (serial ELSE0001, 2.0 GB, blank)",))
    way = way_to_mount(desired_mint_data(), "/mnt/data", Reader(builder.build()))
    assert way == (None if probe == "fstab" else BOTH)


def test_a_machine_without_an_entry_or_with_two_is_brought_on_by_a_plan(judge: Judge) -> None:
    builder = without_its_disk()
    [entry] = builder.probes["fstab"]["entries"]
    for entries in ([], [entry, entry]):
        builder.probes["fstab"]["entries"] = entries
        told = judge(builder)["D240", "mount:/mnt/data"].reason
        assert told == "no disk with serial DATA0001 is attached. Once it is attached: controlplane plan --host mint-data"


def test_a_disk_that_is_there_but_not_what_fstab_names_gets_no_command(judge: Judge) -> None:
    builder = EvidenceBuilder()
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    for change in ({"uuid": "44"}, {"uuid": None, "type": None}):
        builder.probes["signatures"][DATA].update(change)
        assert judge(builder)["D240", "mount:/mnt/data"].reason == "nothing is mounted at /mnt/data"


def test_docker_is_started_only_where_its_root_lies_on_the_mount_and_it_is_installed() -> None:
    builder = without_its_disk()
    alone = "systemctl start /mnt/data"
    assert way_to_mount(desired_mint_data(docker=Docker()), "/mnt/data", Reader(builder.build())) == alone
    builder.probes["units"]["docker.service"]["load_state"] = "not-found"
    assert way_to_mount(desired_mint_data(), "/mnt/data", Reader(builder.build())) == alone
