"""D236: where containers' data really land, and what databases promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.desired import DesiredHost
from controlplane.domain.services import BootAccepted, FilesService, RedisDurability, RedisService
from tests.fakes.evidence_builder import MINIO, POSTGRES, REDIS, EvidenceBuilder, bind, container, desired_mint_data, place
from tests.unit.domain.checks.conftest import Judge

Spoil = Callable[[EvidenceBuilder], Any]
VOLUME = "f" * 64


def _mounts(name: str, *mounts: dict[str, Any]) -> Spoil:
    return lambda b: b.container(name).update(mounts=list(mounts))


def _on_boot_volume(name: str, destination: str, **other: Any) -> Spoil:
    path = f"/var/lib/docker/volumes/{VOLUME}/_data"

    def spoil(builder: EvidenceBuilder) -> None:
        anonymous = {"type": "volume", "name": VOLUME, "anonymous": True} | other
        builder.boot_path(path).container(name)["mounts"] = [bind(path, destination, **anonymous)]

    return spoil


def _layer_on_boot(builder: EvidenceBuilder) -> None:
    builder.container(MINIO).update(mounts=[], upper_dir="/var/lib/docker/overlay2/x/diff")
    builder.boot_path("/var/lib/docker/overlay2/x/diff")


def _wrong_place(builder: EvidenceBuilder) -> None:
    builder.container(MINIO)["mounts"] = [bind("/mnt/data/other", "/data")]
    builder.probes["paths"]["/mnt/data/other"] = place("/mnt/data/other", "254:16", "/mnt/data")


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "/data lies in /mnt/data/mint-data/minio"),
        (lambda b: b.probes["docker_containers"].remove(b.container(MINIO)), "DRIFTED", f"there is no container {MINIO}"),
        (lambda b: b.without_docker(), "DRIFTED", "Docker is not installed"),
        (
            _on_boot_volume(MINIO, "/data"),
            "DRIFTED",
            f"/data lies in anonymous volume {VOLUME} on boot disk vda, declared is /mnt/data/mint-data/minio",
        ),
        (_layer_on_boot, "DRIFTED", "/data lies in the container's writable layer on boot disk vda"),
        (_mounts(MINIO), "DRIFTED", "/data lies in the container's writable layer"),
        (_mounts(MINIO, bind("/mnt/data/mint-data/minio", "/data/below")), "DRIFTED", "/data lies in the container's writable layer"),
        (_mounts(MINIO, bind("/mnt/data/mint-data/minio", "/data", rw=False)), "DRIFTED", "/data is mounted read-only"),
        (_wrong_place, "DRIFTED", "/data lies in /mnt/data/other, declared is /mnt/data/mint-data/minio"),
        (lambda b: b.container(MINIO).update(mounts=[], tmpfs=["/data"]), "DRIFTED", "/data lies in memory"),
        (
            lambda b: b.boot_path("/mnt/data/mint-data/minio"),
            "DRIFTED",
            "/data lies in /mnt/data/mint-data/minio on boot disk vda",
        ),
        (
            _mounts(MINIO, bind("x", "/data", type="volume", name="cloud", host_path=None)),
            "UNKNOWN",
            f"{MINIO}: where /data lands is not known (volume cloud)",
        ),
        (lambda b: b.probes["paths"].pop("/mnt/data/mint-data/minio"), "UNKNOWN", "/mnt/data/mint-data/minio was not looked at"),
        (lambda b: b.fail("docker_containers"), "UNKNOWN", "docker_containers: failed: boom"),
    ],
)
def test_a_services_data_lie_at_its_place_off_the_boot_disk(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D236", f"service:{MINIO}"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_data_below_a_wider_mount_land_where_the_mount_leads(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.container(POSTGRES)["mounts"] = [bind("/mnt/data/mint-data", "/var/lib/postgresql")]
    wanted = healthy.probes["paths"]
    wanted["/mnt/data/mint-data"] = place("/mnt/data/mint-data", "254:16", "/mnt/data")
    finding = judge(healthy)["D236", f"service:{POSTGRES}"]
    assert finding.reason == "/var/lib/postgresql/data lies in /mnt/data/mint-data/data, declared is /mnt/data/mint-data/postgres"


def test_a_declared_volume_must_be_that_volume(healthy: EvidenceBuilder, judge: Judge) -> None:
    desired = desired_mint_data(services={"wiki": FilesService(data="/srv", volume="wiki")})
    path = "/mnt/data/docker/volumes/wiki/_data"
    healthy.probes["paths"][path] = place(path, "254:16", "/mnt/data")
    volume = bind(path, "/srv", type="volume", name="wiki")
    healthy.probes["docker_containers"].append(container("wiki", [volume]))
    assert judge(healthy, desired)["D236", "service:wiki"].reason == "/srv lies in volume wiki"
    volume["name"] = "old_wiki"
    assert judge(healthy, desired)["D236", "service:wiki"].reason == "/srv lies in volume old_wiki, declared is volume wiki"


def _postgres(**other: Any) -> Spoil:
    return lambda b: b.probes["postgres"][POSTGRES].update(other)


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "fsync and full_page_writes as declared, running and persisted"),
        (_postgres(running={"fsync": "off", "full_page_writes": "on"}), "DRIFTED", "fsync is off while running"),
        (_postgres(persisted={"fsync": "off"}), "DRIFTED", "fsync is off in its configuration"),
        (_postgres(persisted={}), "MET", "fsync and full_page_writes as declared, running and persisted"),
        (_postgres(running={"full_page_writes": "on"}), "UNKNOWN", "PostgreSQL did not say fsync"),
        (
            _postgres(reachable=False, error="refused"),
            "UNKNOWN",
            f"{POSTGRES}: PostgreSQL's settings could not be read (refused)",
        ),
        (lambda b: b.probes["postgres"].clear(), "UNKNOWN", f"{POSTGRES}: PostgreSQL's settings could not be read (it was not asked)"),
        (_postgres(data_directory=None), "UNKNOWN", f"{POSTGRES}: PostgreSQL did not say its data directory"),
        (
            _postgres(data_directory="/var/lib/postgresql/18/docker"),
            "DRIFTED",
            "PostgreSQL keeps its data in /var/lib/postgresql/18/docker, not below /var/lib/postgresql/data",
        ),
    ],
)
def test_postgres_writes_durably_running_and_persisted(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D236", f"service:{POSTGRES}"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_doubt_about_durability_keeps_what_is_known_of_the_place(healthy: EvidenceBuilder, judge: Judge) -> None:
    _on_boot_volume(POSTGRES, "/var/lib/postgresql/data")(healthy)
    _postgres(reachable=False, error="refused")(healthy)
    finding = judge(healthy)["D236", f"service:{POSTGRES}"]
    assert finding.verdict == "UNKNOWN"
    assert "; known so far: /var/lib/postgresql/data lies in anonymous volume" in finding.reason


def _redis(where: str, **other: Any) -> Spoil:
    return lambda b: b.probes["redis"][REDIS][where].update(other)


def _redis_state(**other: Any) -> Spoil:
    return lambda b: b.probes["redis"][REDIS].update(other)


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (lambda _: None, "MET", "durability as declared, running and persisted"),
        (_redis("running", appendonly="no"), "DRIFTED", "appendonly is no while running, declared yes"),
        (_redis("persisted", appendonly="no"), "DRIFTED", "appendonly is no in the command line, declared yes"),
        (lambda b: b.probes["redis"][REDIS]["persisted"].pop("appendonly"), "DRIFTED", "appendonly is no in the command line, declared yes"),
        (lambda b: b.probes["redis"][REDIS]["persisted"].pop("save"), "MET", "durability as declared, running and persisted"),
        (_redis("running", save=""), "DRIFTED", 'save is "" while running, declared 3600 1 300 100 60 10000'),
        (_redis_state(aof_files=[]), "DRIFTED", "no append-only file is on disk"),
        (_redis_state(aof_files=["appendonly.aof"]), "DRIFTED", "no append-only file is on disk"),
        (_redis_state(aof_files=["appendonly.aof"], version="6.2.1"), "MET", "durability as declared, running and persisted"),
        (_redis("info", aof_last_write_status="err"), "DRIFTED", "aof_last_write_status is err"),
        (_redis("info", aof_rewrite_in_progress="1"), "MET", "durability as declared, running and persisted"),
        (_redis("info", aof_rewrite_scheduled="1"), "MET", "durability as declared, running and persisted"),
        *[
            (
                lambda b, what=what: (_redis("info", **{what: "1"})(b), _redis_state(aof_files=[])(b)),
                "UNKNOWN",
                "Redis is writing its first append-only file; ask again when it is done",
            )
            for what in ("aof_rewrite_in_progress", "aof_rewrite_scheduled")
        ],
        # The status of the one before, while the first one of this life waits.
        (
            lambda b: (_redis("info", aof_rewrite_scheduled="1", aof_last_bgrewrite_status="err")(b), _redis_state(aof_files=[])(b)),
            "UNKNOWN",
            "Redis is writing its first append-only file; ask again when it is done",
        ),
        (_redis("info", aof_last_bgrewrite_status="err"), "DRIFTED", "aof_last_bgrewrite_status is err"),
        (_redis_state(persisted_from=None), "UNKNOWN", "where Redis reads its settings from is not known"),
        (_redis_state(running={}), "UNKNOWN", "Redis did not say appendonly"),
        (
            _redis_state(info={"aof_last_write_status": "ok"}),
            "UNKNOWN",
            "Redis did not say aof_rewrite_in_progress, aof_rewrite_scheduled, aof_last_bgrewrite_status",
        ),
        (_redis_state(version=None), "UNKNOWN", "Redis did not say its version"),
        (_redis_state(reachable=False, error="NOAUTH"), "UNKNOWN", f"{REDIS}: Redis's settings could not be read (NOAUTH)"),
        (
            lambda b: (_redis_state(reachable=False)(b), b.container(REDIS).update(running=False, state="exited")),
            "UNKNOWN",
            f"{REDIS}: Redis's settings could not be read (the container does not run)",
        ),
    ],
)
def test_redis_keeps_what_is_declared_running_and_persisted(healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str) -> None:
    spoil(healthy)
    finding = judge(healthy)["D236", f"redis:{REDIS}"]
    assert (finding.verdict, finding.reason) == (verdict, reason)


def test_append_only_files_of_an_earlier_life_drift_where_none_are_declared(healthy: EvidenceBuilder, judge: Judge) -> None:
    service = RedisService(data="/data", place="/mnt/data/mint-data/redis", durability=RedisDurability(appendonly=False))
    healthy.probes["redis"][REDIS]["running"]["appendonly"] = healthy.probes["redis"][REDIS]["persisted"]["appendonly"] = "no"
    finding = judge(healthy, desired_mint_data(services={REDIS: service}))["D236", f"redis:{REDIS}"]
    assert finding.reason == "append-only files of an earlier life lie in its data"


def _stray(builder: EvidenceBuilder, **other: Any) -> None:
    builder.boot_path("/opt/stray")
    builder.probes["docker_containers"].append(container("cadvisor", [bind("/opt/stray", "/rootfs", **other)]))


def test_unlisted_writable_data_on_the_boot_disk_drift(healthy: EvidenceBuilder, judge: Judge) -> None:
    _stray(healthy)
    findings = judge(healthy, desired_mint_data(boot_accepted=()))
    finding = findings["D236", "unlisted:cadvisor:/rootfs"]
    assert (finding.verdict, finding.severity) == ("DRIFTED", "medium")
    assert finding.reason == "/rootfs is writable and lies in /opt/stray on boot disk vda, which the policy doesn't name"
    assert ("D236", "unlisted:*") not in findings


@pytest.mark.parametrize("other", [{"rw": False}, {"host_path": "/mnt/data"}])
def test_read_only_data_and_data_on_the_disk_need_no_listing(healthy: EvidenceBuilder, judge: Judge, other: dict[str, Any]) -> None:
    _stray(healthy, **other)
    finding = judge(healthy, desired_mint_data(boot_accepted=()))["D236", "unlisted:*"]
    assert finding.reason == "no container keeps unlisted writable data on the boot disk"


def test_accepted_data_may_stay_on_the_boot_disk(healthy: EvidenceBuilder, judge: Judge) -> None:
    _stray(healthy)
    accepted = BootAccepted(container="cadvisor", path="/rootfs", reason="cache")
    assert judge(healthy, desired_mint_data(boot_accepted=(accepted,)))["D236", "unlisted:*"].verdict == "MET"


def test_an_unlisted_mount_that_leads_nowhere_known_is_unknown(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.probes["docker_containers"].append(container("x", [bind("y", "/y", type="volume", name="y", host_path=None)]))
    assert judge(healthy)["D236", "unlisted:x:/y"].verdict == "UNKNOWN"
    healthy.probes["docker_volumes"] = [
        {"name": "y", "driver": "local", "mountpoint": "/v", "options": {"type": "nfs", "device": ":/x"}, "anonymous": False, "in_use_by": ["x"]}
    ]
    assert judge(healthy)["D236", "unlisted:*"].verdict == "MET"


def test_without_a_policy_a_setting_that_only_runs_drifts(healthy: EvidenceBuilder, judge: Judge) -> None:
    _redis("persisted", appendonly="no")(healthy)
    _postgres(running={"fsync": "off", "full_page_writes": "on"})(healthy)
    findings = judge(healthy, DesiredHost.general("x"), general=True)
    assert findings["D236", f"redis:{REDIS}"].reason == "appendonly is yes while running and no in the command line"
    assert findings["D236", f"service:{POSTGRES}"].reason == "fsync is off while running"
