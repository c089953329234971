"""D234, D235, D237 and D245: how full disks are, what Docker takes, and where its roots lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.desired import DesiredHost, Limits
from controlplane.domain.policy import Docker
from tests.fakes.evidence_builder import GB, EvidenceBuilder, desired_mint_data, mount, place
from tests.unit.domain.checks.conftest import Judge


def _root(used: int, *, inodes_free: int = 2_800_000) -> Callable[[EvidenceBuilder], Any]:
    left = (100 - used) * GB
    return lambda b: b.probes["usage"].update(
        {"/": {"size": 100 * GB, "free": left, "available": left, "inodes": 3_000_000, "inodes_free": inodes_free}}
    )


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (59, ("MET", "high", "/: 59.0% of bytes and 6.7% of inodes used, warn limit 60%")),
        (60, ("DRIFTED", "medium", "/: 60.0% of bytes and 6.7% of inodes used, warn limit 60%")),
        (79, ("DRIFTED", "medium", "/: 79.0% of bytes and 6.7% of inodes used, warn limit 60%")),
        (80, ("DRIFTED", "high", "/: 80.0% of bytes and 6.7% of inodes used, fail limit 80%")),
        (100, ("DRIFTED", "high", "/: 100.0% of bytes and 6.7% of inodes used, fail limit 80%")),
    ],
)
def test_a_crossed_warning_is_medium_and_a_crossed_failure_high(
    healthy: EvidenceBuilder, judge: Judge, used: int, expected: tuple[str, str, str]
) -> None:
    _root(used)(healthy)
    finding = judge(healthy)["D234", "boot.usage"]
    assert (finding.verdict, finding.severity, finding.reason.partition(". ")[0]) == expected


def test_a_root_without_inodes_drifts_though_it_has_bytes(healthy: EvidenceBuilder, judge: Judge) -> None:
    _root(10, inodes_free=0)(healthy)
    assert judge(healthy)["D234", "boot.usage"].reason.startswith("/: 10.0% of bytes and 100.0% of inodes used, fail limit 80%. ")


def test_the_budget_of_the_root_is_a_warning_only(healthy: EvidenceBuilder, judge: Judge) -> None:
    _root(95)(healthy)
    finding = judge(healthy)["D237", "boot.usage"]
    told = "/: 95.0% of bytes and 6.7% of inodes used, fail limit 80%; D234 says what is seen on it, and what frees it"
    assert (finding.severity, finding.reason) == ("medium", told)


@pytest.mark.parametrize(
    "usage",
    [
        {"size": 0, "free": 0, "available": 0, "inodes": 0, "inodes_free": 0},
        {"size": 10, "free": 20, "available": 5, "inodes": 0, "inodes_free": 0},
        {"size": 10, "free": 5, "available": 6, "inodes": 0, "inodes_free": 0},
        {"size": 10, "free": 5, "available": -1, "inodes": 0, "inodes_free": 0},
        {"size": 10, "free": 5, "available": 5, "inodes": 1, "inodes_free": 2},
    ],
)
def test_numbers_that_no_filesystem_has_are_unknown(healthy: EvidenceBuilder, judge: Judge, usage: dict[str, int]) -> None:
    healthy.probes["usage"]["/"] = usage
    finding = judge(healthy)["D234", "boot.usage"]
    assert finding.verdict == "UNKNOWN"
    assert finding.reason.startswith("the usage of / makes no sense (size ")


def test_a_root_whose_usage_is_missing_is_unknown(healthy: EvidenceBuilder, judge: Judge) -> None:
    del healthy.probes["usage"]["/"]
    assert judge(healthy)["D234", "boot.usage"].reason == "the usage of / was not observed"


def _data_root(path: str, dev: str, at: str) -> Callable[[EvidenceBuilder], None]:
    def spoil(builder: EvidenceBuilder) -> None:
        builder.probes["docker_info"]["root"] = path
        builder.probes["paths"][path] = place(path, dev, at)

    return spoil


def _bare_mountpoint(builder: EvidenceBuilder) -> None:
    builder.probes["mounts"] = [one for one in builder.probes["mounts"] if one["mount"] != "/mnt/data"]
    builder.boot_path(*[path for path in builder.probes["paths"] if path.startswith("/mnt/data")])


def _in_memory(builder: EvidenceBuilder) -> None:
    builder.probes["mounts"].append(mount("/mnt/data/docker", "0:60", "tmpfs"))
    builder.probes["paths"]["/mnt/data/docker"] = place("/mnt/data/docker", "0:60", "/mnt/data/docker")


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "Docker's data-root /mnt/data/docker lies on vdb"),
        (
            _data_root("/var/lib/docker", "254:0", "/"),
            "DRIFTED",
            "Docker's data-root is /var/lib/docker, declared is /mnt/data/docker; it lies on boot disk vda",
        ),
        (_data_root("/mnt/data/other", "254:16", "/mnt/data"), "DRIFTED", "Docker's data-root is /mnt/data/other, declared is /mnt/data/docker"),
        (_bare_mountpoint, "DRIFTED", "Docker's data-root /mnt/data/docker lies on boot disk vda"),
        (_in_memory, "DRIFTED", "Docker's data-root /mnt/data/docker lies on tmpfs, not on a disk of this host"),
        (lambda b: b.without_docker(), "DRIFTED", "Docker is not installed, so nothing uses /mnt/data/docker yet"),
        (lambda b: b.probes["docker_info"].update(root=""), "UNKNOWN", "Docker's data-root has no name"),
        (lambda b: b.probes["paths"].pop("/mnt/data/docker"), "UNKNOWN", "/mnt/data/docker was not looked at"),
        (lambda b: b.probes["block"].pop("254:16"), "UNKNOWN", "device 254:16 is not among the host's block devices"),
        (lambda b: b.fail("docker_info", "failed", "no engine answers"), "UNKNOWN", "docker_info: failed: no engine answers"),
    ],
)
def test_dockers_root_lies_where_the_tier_says(
    healthy: EvidenceBuilder, judge: Judge, spoil: Callable[[EvidenceBuilder], Any], verdict: str, reason: str
) -> None:
    spoil(healthy)
    finding = judge(healthy)["D235", "docker.data_root"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_a_symlinked_root_that_leads_to_the_declared_path_is_met(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["docker_info"]["root"] = "/var/lib/docker"
    healthy.probes["paths"]["/var/lib/docker"] = place("/var/lib/docker", "254:16", "/mnt/data", real="/mnt/data/docker")
    assert judge(healthy)["D235", "docker.data_root"].verdict == "MET"


def test_containerds_root_on_boot_drifts_where_it_holds_the_images(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["docker_info"]["containerd_image_store"] = True
    healthy.probes["docker_config"]["containerd_root"] = "/var/lib/containerd"
    healthy.boot_path("/var/lib/containerd")
    undeclared = desired_mint_data(docker=Docker(data_root="/mnt/data/docker"))
    assert judge(healthy, undeclared)["D235", "docker.containerd_root"].reason == "containerd's root /var/lib/containerd lies on boot disk vda"
    healthy.probes["docker_info"]["containerd_image_store"] = False
    assert judge(healthy, undeclared)["D235", "docker.containerd_root"].reason == "containerd's root is not declared and holds no images"


def test_a_boot_only_host_keeps_its_root_on_the_boot_disk(healthy: EvidenceBuilder, judge: Judge) -> None:
    _data_root("/var/lib/docker", "254:0", "/")(healthy)
    finding = judge(healthy, DesiredHost(host="mint-apps", tier="boot-only", data="boot"))["D235", "docker.data_root"]
    assert finding.verdict == "MET"
    assert finding.reason == "Docker's data-root /var/lib/docker lies on boot disk vda; tier boot-only keeps data on boot"


def test_without_a_policy_the_root_is_only_told(healthy: EvidenceBuilder, judge: Judge) -> None:
    _data_root("/var/lib/docker", "254:0", "/")(healthy)
    finding = judge(healthy, DesiredHost.general("x"), general=True)["D235", "docker.data_root"]
    assert finding.verdict == "MET"
    assert finding.reason == "Docker's data-root /var/lib/docker lies on boot disk vda; no policy says where it belongs"


@pytest.mark.parametrize(("budget", "name"), [("images", "images"), ("build_cache", "build cache"), ("volumes", "volumes")])
def test_a_budget_is_met_up_to_its_limit_and_drifts_above(healthy: EvidenceBuilder, judge: Judge, budget: str, name: str) -> None:
    desired = desired_mint_data(thresholds=Limits(images=5 * GB, build_cache=5 * GB, volumes=5 * GB))
    healthy.probes["docker_usage"][budget] = 5 * GB
    assert judge(healthy, desired)["D237", f"budget.{budget}"].verdict == "MET"
    healthy.probes["docker_usage"][budget] = 6 * GB
    finding = judge(healthy, desired)["D237", f"budget.{budget}"]
    assert (finding.verdict, finding.severity, finding.reason) == ("DRIFTED", "medium", f"{name}: 6.0 GB, budget 5.0 GB")
    healthy.probes["docker_usage"][budget] = -1
    assert judge(healthy, desired)["D237", f"budget.{budget}"].reason == f"docker_usage: {budget} is negative (-1)"


def test_a_data_disk_that_fills_drifts(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["usage"]["/mnt/data"]["available"] = 1 * GB
    finding = judge(healthy)["D245", "disk.usage:/mnt/data"]
    assert (finding.verdict, finding.severity) == ("DRIFTED", "medium")
    finding = judge(healthy, desired_mint_data(thresholds=Limits(disk_used_fail=90)))["D245", "disk.usage:/mnt/data"]
    assert (finding.verdict, finding.severity) == ("DRIFTED", "high")


def test_the_usage_of_a_disk_that_is_not_mounted_is_not_that_of_the_boot_disk(healthy: EvidenceBuilder, judge: Judge) -> None:
    _bare_mountpoint(healthy)
    finding = judge(healthy)["D245", "disk.usage:/mnt/data"]
    assert (finding.verdict, finding.reason) == ("DRIFTED", "nothing is mounted at /mnt/data")
