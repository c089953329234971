"""What no check may pass: data on a device of which nothing shows which disks it lies on."""

from __future__ import annotations

import pytest

from controlplane.domain.disks import Disk
from tests.fakes.evidence_builder import DATA, DATA_UUID, MINIO, POSTGRES, REDIS, EvidenceBuilder, desired_mint_data
from tests.unit.domain.checks.conftest import Judge

ON_IT = [
    ("D235", "docker.data_root"),
    ("D235", "docker.containerd_root"),
    *(("D236", f"service:{name}") for name in (MINIO, POSTGRES, REDIS)),
    ("D240", "mount:/mnt/data"),
]
NAMED = Disk(uuid=DATA_UUID, mount="/mnt/data", options=("noatime",))


@pytest.mark.parametrize("name", ["zd0", "drbd0", "nbd0", "rbd0", "bcache0", "zram0", "newdisk0"])
def test_what_lies_on_a_device_without_known_disks_is_unknown(healthy: EvidenceBuilder, judge: Judge, name: str) -> None:
    healthy.probes["block"][DATA]["name"] = name
    findings = judge(healthy, desired_mint_data(disks=(NAMED,)))
    for key in ON_IT:
        assert findings[key].verdict == "UNKNOWN", key
        assert findings[key].reason.startswith(f"{name} (254:16) ")


@pytest.mark.parametrize("name", ["zd0", "drbd0", "nbd0"])
def test_with_the_boot_filesystem_on_such_a_device_nothing_is_off_the_boot_disk(healthy: EvidenceBuilder, judge: Judge, name: str) -> None:
    healthy.probes["block"]["254:0"]["name"] = name
    findings = judge(healthy)
    for key in ON_IT[:-1]:
        assert findings[key].verdict == "UNKNOWN", key


def test_a_network_disk_that_the_policy_names_by_serial_is_a_disk_of_its_own(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["block"][DATA]["name"] = "rbd0"
    findings = judge(healthy)
    assert [findings[key].verdict for key in ON_IT] == ["MET"] * len(ON_IT)


def test_how_full_such_a_filesystem_is_needs_no_lineage(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["block"][DATA]["name"] = "zd0"
    findings = judge(healthy)
    assert [findings[key].verdict for key in (("D234", "boot.usage"), ("D245", "disk.usage:/mnt/data"))] == ["MET", "MET"]
