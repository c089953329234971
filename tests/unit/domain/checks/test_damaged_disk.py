"""A disk that systemd could not check or mount is told as damaged, with how to look at it first; a plan refuses it by the same words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest

from controlplane.domain.capabilities.data_disk import CAPABILITY
from controlplane.domain.capabilities.proposal import Outlook
from controlplane.domain.checks.damaged_disk import check_unit
from controlplane.domain.desired import DesiredHost
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Reader
from tests.fakes.evidence_builder import COLLECTED, DATA, DATA_UUID, GB, EvidenceBuilder, desired_mint_data
from tests.unit.domain.checks.conftest import Judge

CHECK = f"systemd-fsck@dev-disk-by\\x2duuid-{DATA_UUID.replace('-', chr(92) + 'x2d')}.service"
BY_HAND = "on the machine: systemctl start /mnt/data && systemctl start docker.service"
COPY = "Copy the whole disk before you repair it: a repair can lose what a look still finds"
UNMOUNTED = "nothing is mounted at /mnt/data"
CHECKED = (
    f"{UNMOUNTED}: the filesystem of the disk with serial DATA0001 is damaged: systemd's check of it failed. See what is left of it: "
    f"e2fsck -fn /dev/vdb    (changes nothing; the same without n repairs). {COPY}. Then, {BY_HAND}"
)
PLAIN = f"{UNMOUNTED}, though the disk with serial DATA0001 is there and /etc/fstab names it; {BY_HAND}"
Filesystem = Literal["ext4", "xfs"]
Spoil = Callable[[dict[str, Any], dict[str, Any]], Any]


def mounting_failed(look: str) -> str:
    return (
        f"{UNMOUNTED}: the filesystem of the disk with serial DATA0001 is damaged, or its options are none that the kernel takes: mounting it failed "
        f"(journalctl -b -u mnt-data.mount tells why). See what is left of it: {look} /dev/vdb    (changes nothing; the same without n repairs). "
        f"{COPY}. Then, {BY_HAND}"
    )


def unmounted(*, passno: int, filesystem: Filesystem = "ext4") -> tuple[EvidenceBuilder, dict[str, Any], dict[str, Any]]:
    """Return a host whose data disk is there and not mounted, and the units that mount it and, with a pass number, check it before."""
    builder = EvidenceBuilder()
    probes = builder.probes
    probes["mounts"] = [one for one in probes["mounts"] if one["mount"] != "/mnt/data"]
    probes["paths"] = {path: seen for path, seen in probes["paths"].items() if not path.startswith("/mnt/data/")}
    probes["paths"]["/mnt/data"] = probes["paths"]["/"] | {"real": "/mnt/data"}
    probes["signatures"][DATA].update(uuid=DATA_UUID, type=filesystem)
    probes["fstab"]["entries"][0].update(vfstype=filesystem, passno=passno)
    idle = probes["units"]["docker.service"] | {"active_state": "inactive", "drop_ins": []}
    mount_unit = idle | {"properties": {"Where": "/mnt/data", "Result": "success"}}
    check = idle | {"properties": {"Result": "success"}}
    probes["units"] |= {"mnt-data.mount": mount_unit, CHECK: check}
    return builder, mount_unit, check


def wanted(filesystem: Filesystem = "ext4") -> DesiredHost:
    disk = Disk(serial="DATA0001", min_size=3 * GB, max_size=200 * GB, mount="/mnt/data", options=("noatime",), filesystem=filesystem)
    return desired_mint_data(disks=(disk,))


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[[EvidenceBuilder, DesiredHost], tuple[tuple[str, ...], list[str]]]:
    """Return what a plan of the data disk refuses, and what it would change."""
    monkeypatch.setattr("controlplane.domain.capabilities.data_disk.planned_uuid", lambda *_: DATA_UUID)

    def plan(builder: EvidenceBuilder, desired: DesiredHost) -> tuple[tuple[str, ...], list[str]]:
        found = CAPABILITY.propose(desired, Reader(builder.build()), Outlook(now=COLLECTED, retention=timedelta(days=7)))
        return found.refusals, [change.kind for draft in found.drafts for change in draft.changes]

    return plan


def failed(unit: dict[str, Any], result: str = "exit-code", **other: Any) -> None:
    unit.update(active_state="failed", **other)
    unit["properties"]["Result"] = result


@pytest.mark.parametrize(
    ("passno", "filesystem", "spoil", "told"),
    [
        (2, "ext4", lambda _, check: failed(check), CHECKED),
        (0, "ext4", lambda mount, _: failed(mount), mounting_failed("e2fsck -fn")),
        (0, "xfs", lambda mount, _: failed(mount), mounting_failed("xfs_repair -n")),
        (2, "ext4", lambda mount, _: failed(mount, "start-limit-hit"), mounting_failed("e2fsck -fn")),
    ],
)
def test_what_systemd_could_not_check_or_mount_is_damaged_and_no_plan_mounts_it(
    judge: Judge, planned: Any, passno: int, filesystem: Filesystem, spoil: Spoil, told: str
) -> None:
    builder, mount_unit, check = unmounted(passno=passno, filesystem=filesystem)
    spoil(mount_unit, check)
    finding = judge(builder, wanted(filesystem))["D240", "mount:/mnt/data"]
    assert (finding.verdict, finding.reason) == ("DRIFTED", told)
    assert planned(builder, wanted(filesystem)) == ((told,), [])


@pytest.mark.parametrize(
    ("passno", "spoil"),
    [
        (2, lambda _, __: None),
        # A filesystem that nothing checks has no check that failed.
        (0, lambda _, check: failed(check)),
        # It was not this entry that systemd could not mount, or not the filesystem that was in the way.
        (2, lambda mount, _: failed(mount, needs_reload=True)),
        (2, lambda mount, _: failed(mount, "timeout")),
        (2, lambda mount, _: failed(mount, properties={"Where": "/mnt/other"})),
    ],
)
def test_a_disk_that_is_merely_not_mounted_is_started_by_hand_or_by_a_plan(judge: Judge, planned: Any, passno: int, spoil: Spoil) -> None:
    builder, mount_unit, check = unmounted(passno=passno)
    spoil(mount_unit, check)
    assert judge(builder, wanted())["D240", "mount:/mnt/data"].reason == PLAIN
    assert planned(builder, wanted()) == ((), ["mount"])


def test_a_mount_that_failed_by_an_entry_of_another_type_is_mended_by_a_plan(judge: Judge, planned: Any) -> None:
    builder, mount_unit, _ = unmounted(passno=0)
    failed(mount_unit)
    builder.probes["fstab"]["entries"][0]["vfstype"] = "xfs"
    assert judge(builder, wanted())["D240", "mount:/mnt/data"].reason == PLAIN
    assert planned(builder, wanted()) == ((), ["mount"])


def test_an_entry_of_another_filesystem_says_nothing_of_this_one(judge: Judge, planned: Any) -> None:
    builder, mount_unit, _ = unmounted(passno=0)
    failed(mount_unit)
    builder.probes["fstab"]["entries"][0]["spec"] = "UUID=44444444-4444-4444-8444-444444444444"
    assert judge(builder, wanted())["D240", "mount:/mnt/data"].reason == UNMOUNTED
    assert planned(builder, wanted()) == ((), ["mount"])


@pytest.mark.parametrize(
    ("hide", "unseen"),
    [
        (lambda b: b.fail("units"), "units: failed: boom"),
        (lambda b: b.probes["units"].pop(CHECK), f"{CHECK} was not looked at"),
    ],
)
def test_where_it_was_not_observed_the_doubt_is_told_and_no_plan_mounts_it(
    judge: Judge, planned: Any, hide: Callable[[EvidenceBuilder], Any], unseen: str
) -> None:
    builder, _, _ = unmounted(passno=2)
    hide(builder)
    finding = judge(builder, wanted())["D240", "mount:/mnt/data"]
    doubt = f"; whether it is damaged is not known: {unseen}; "
    assert (finding.verdict, finding.reason) == ("DRIFTED", PLAIN.replace("names it; ", f"names it{doubt}"))
    assert planned(builder, wanted()) == ((f"serial DATA0001: could not be observed: {unseen}",), [])


def test_the_check_is_looked_up_by_the_name_that_systemd_gives_it() -> None:
    assert check_unit("2222-33") == r"systemd-fsck@dev-disk-by\x2duuid-2222\x2d33.service"
