"""D234 of a full boot disk says what is seen on it and which command frees that, and how a person finds the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.desired import DesiredHost
from controlplane.domain.plan import Plan, Refusal
from controlplane.domain.policy import Docker, Hygiene, LogLimits
from controlplane.domain.ready_needs import need_of
from tests.fakes.evidence_builder import BOOT, GB, EvidenceBuilder, desired_mint_data, mount
from tests.unit.domain.checks.conftest import Judge

LOGS = LogLimits(max_size=10_000_000, max_files=3)
BY_HAND = "du -axh -t 100M / lists what is large; journalctl --vacuum-size=100M and apt-get clean free journals and packages"
PLAN = "controlplane plan --host mint-data --capability"


@pytest.fixture
def full(healthy: EvidenceBuilder) -> EvidenceBuilder:
    """Return a host of whose 50 GB on / almost all are taken."""
    healthy.probes["usage"]["/"] |= {"free": GB, "available": GB}
    return healthy


def retired(path: str, size: int, **other: Any) -> dict[str, Any]:
    plain = {"path": path, "run": "CAP-20260101-100000__docker.data_root__R0001", "retired_at": "2026-01-01T10:00:00Z", "size": size, "entries": 3}
    more = {"recorded": "sha256:ab", "fingerprint": "sha256:ab", "unreadable": None, "purging": None, "replaced_by": "/mnt/data/docker"}
    return {**plain, **more, "exists": True, **other}


def on_boot(builder: EvidenceBuilder) -> EvidenceBuilder:
    """Put Docker's root on the boot disk."""
    builder.probes["docker_info"]["root"] = "/var/lib/docker"
    return builder.boot_path("/var/lib/docker")


def told(judge: Judge, builder: EvidenceBuilder, desired: DesiredHost | None = None, **other: Any) -> str:
    """Return what the finding says after how full it is."""
    finding = judge(builder, desired, **other)["D234", "boot.usage"]
    assert finding.verdict == "DRIFTED"
    fill, _, rest = finding.reason.partition(". ")
    assert fill.startswith(("/: 98.0% of bytes", "/: 100.0% of bytes"))
    return rest


def seen(judge: Judge, builder: EvidenceBuilder, desired: DesiredHost | None = None, **other: Any) -> list[str]:
    """Return what is named on it, each with its way."""
    rest = told(judge, builder, desired, **other)
    assert rest.startswith("Seen on it: ")
    return rest.removeprefix("Seen on it: ").partition(". ")[0].split("; ")


def test_where_nothing_of_it_is_in_evidence_a_person_is_told_how_to_find_it(full: EvidenceBuilder, judge: Judge) -> None:
    assert told(judge, full) == f"Seen on it: nothing large. The rest by hand, on the machine: {BY_HAND}"


def test_what_earlier_runs_retired_on_it_is_purged_and_what_they_retired_elsewhere_frees_nothing(full: EvidenceBuilder, judge: Judge) -> None:
    full.probes["target_state"]["retired"] = [
        retired("/var/lib/docker", 12 * GB),
        retired("/mnt/data/old", 9 * GB),
        retired("/var/lib/gone", 9 * GB, exists=False),
    ]
    assert seen(judge, full) == [f"retired /var/lib/docker, 12.0 GB: {PLAN} storage.purge"]


def test_large_files_in_tmp_are_named_unless_it_lies_in_memory(full: EvidenceBuilder, judge: Judge) -> None:
    full.probes["tmp"]["files"] = [
        {"path": "/tmp/dump", "size": 3 * GB},
        {"path": "/var/tmp/x", "size": 2 * GB},
        {"path": "/tmp/y", "size": 9_000_000},
    ]
    assert seen(judge, full) == [f"large files in /tmp and /var/tmp, 5.0 GB: {PLAN} storage.tmp_files"]
    full.probes["mounts"].append(mount("/tmp", "0:40", "tmpfs"))
    assert seen(judge, full) == [f"large files in /tmp and /var/tmp, 2.0 GB: {PLAN} storage.tmp_files"]


def test_what_docker_keeps_on_a_data_disk_is_not_named(full: EvidenceBuilder, judge: Judge) -> None:
    full.probes["docker_usage"].update(images=60 * GB)
    assert seen(judge, full) == ["nothing large"]


@pytest.mark.parametrize(
    ("docker", "images"),
    [
        (Docker(hygiene=Hygiene()), f"{PLAN} docker.hygiene"),
        (Docker(), "docker system df -v on the machine"),
        (Docker(data_root="/mnt/data/docker"), "controlplane plan --host mint-data moves it to /mnt/data/docker"),
    ],
)
def test_dockers_store_on_it_is_cleared_or_moved_or_left_to_a_person(full: EvidenceBuilder, judge: Judge, docker: Docker, images: str) -> None:
    on_boot(full).probes["docker_usage"].update(images=20 * GB, build_cache=0, volumes=0)
    assert seen(judge, full, desired_mint_data(docker=docker)) == [f"Docker's images, 20.0 GB: {images}"]


def test_a_store_within_its_budget_is_no_matter_of_hygiene(full: EvidenceBuilder, judge: Judge) -> None:
    on_boot(full).probes["docker_usage"].update(images=14 * GB, build_cache=0, volumes=40 * GB)
    assert seen(judge, full, desired_mint_data(docker=Docker(hygiene=Hygiene()))) == [
        "Docker's volumes, 40.0 GB: docker system df -v on the machine",
        "Docker's images, 14.0 GB: docker system df -v on the machine",
    ]


def test_images_of_containerds_store_count_where_that_lies(full: EvidenceBuilder, judge: Judge) -> None:
    on_boot(full).probes["docker_usage"].update(images=20 * GB, build_cache=0, volumes=3 * GB)
    full.probes["docker_info"]["containerd_image_store"] = True
    assert seen(judge, full, desired_mint_data(docker=Docker())) == ["Docker's volumes, 3.0 GB: docker system df -v on the machine"]


def test_logs_over_their_limit_and_writable_layers_on_it_are_named(full: EvidenceBuilder, judge: Judge) -> None:
    on_boot(full).probes["docker_usage"].update(images=0, build_cache=0, volumes=0)
    log = {"container": "a", "path": "/var/lib/docker/containers/a/a-json.log", "size": 2 * GB, "rotates": False}
    full.probes["docker_store"]["logs"] = [log, log | {"rotates": True}]
    full.probes["docker_containers"][0]["writable_bytes"] = 4 * GB
    assert seen(judge, full, desired_mint_data(docker=Docker(hygiene=Hygiene(), log=LOGS))) == [
        "writable layers of containers, 4.0 GB: docker ps -as on the machine",
        f"container logs over their limit, 2.0 GB: {PLAN} docker.hygiene",
    ]


def test_the_largest_comes_first_and_what_is_too_small_to_help_is_left_out(full: EvidenceBuilder, judge: Judge) -> None:
    full.probes["target_state"]["retired"] = [retired("/var/lib/docker", 2 * GB)]
    full.probes["tmp"]["files"] = [{"path": "/tmp/dump", "size": 3 * GB}]
    assert [one.partition(",")[0] for one in seen(judge, full)] == ["large files in /tmp and /var/tmp", "retired /var/lib/docker"]
    full.probes["tmp"]["files"] = [{"path": "/tmp/dump", "size": 49_000_000}]
    assert [one.partition(",")[0] for one in seen(judge, full)] == ["retired /var/lib/docker"]


@pytest.mark.parametrize(("probe", "left"), [("docker_usage", 1), ("target_state", 0), ("paths", 0), ("mounts", 0)])
def test_what_could_not_be_observed_is_told_and_the_disk_is_full_all_the_same(full: EvidenceBuilder, judge: Judge, probe: str, left: int) -> None:
    full.probes["target_state"]["retired"] = [retired("/var/lib/docker", 12 * GB)]
    rest = told(judge, full.fail(probe, "timeout", "no answer after 10 s"))
    assert f". Not seen: {probe}: timeout: no answer after 10 s. " in rest
    assert rest.count(f"{probe}: timeout") == 1
    assert rest.count("storage.purge") == left
    assert BY_HAND in rest


@pytest.mark.parametrize("usage", [{"free": 10_000_000, "available": 0}, {"inodes_free": 10}])
def test_where_a_step_would_find_no_room_to_begin_a_person_comes_first(full: EvidenceBuilder, judge: Judge, usage: dict[str, int]) -> None:
    full.probes["usage"]["/"].update(usage)
    assert "A step keeps its journal there and may find no room now: begin by hand, on the machine: du -" in told(judge, full)


def test_inodes_are_looked_for_where_they_are_what_is_used_up(full: EvidenceBuilder, judge: Judge) -> None:
    full.probes["usage"]["/"].update(inodes_free=10)
    assert "on the machine: du -x --inodes -t 10000 / lists what is large" in told(judge, full)


def test_without_a_policy_no_plan_is_named(full: EvidenceBuilder, judge: Judge) -> None:
    full.probes["tmp"]["files"] = [{"path": "/tmp/dump", "size": 3 * GB}]
    assert seen(judge, full, DesiredHost.general("mint-data"), general=True) == ["large files in /tmp and /var/tmp, 3.0 GB: by hand"]


@pytest.mark.parametrize("spoil", [lambda b: b.probes["mounts"].pop(0), lambda b: b.probes["paths"].clear()])
def test_places_that_the_host_did_not_show_are_found_by_the_mount_table_or_not_at_all(
    full: EvidenceBuilder, judge: Judge, spoil: Callable[[EvidenceBuilder], Any]
) -> None:
    full.probes["target_state"]["retired"] = [retired("/var/lib/docker", 12 * GB)]
    assert full.probes["mounts"][0]["dev"] == BOOT
    spoil(full)
    rest = told(judge, full)
    assert ("storage.purge" in rest) is not ("what is mounted at / is not in the mount table" in rest)


def test_ready_leads_to_what_d234_names_and_not_to_what_a_plan_refuses_of_other_things(full: EvidenceBuilder, judge: Judge) -> None:
    findings = judge(full)
    other = Refusal(host="mint-data", capability="docker.data_root", reason="it lies elsewhere")
    plan = Plan.model_construct(steps=(), refusals=(other,))
    for check in ("D234", "D237"):
        need = need_of(findings[check, "boot.usage"], plan, ())
        told = "free some of it, by what D234 names as seen there and by hand, then ask again: controlplane ready mint-data"
        assert (need.capability, need.next) == (None, told)
