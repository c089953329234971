"""D236: what is mounted below a service's data, by its container or by the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.domain.disks import NfsMount
from controlplane.domain.services import BootAccepted, FilesService, MinioService, PostgresService
from tests.fakes.evidence_builder import BOOT, DATA, GB, MINIO, POSTGRES, EvidenceBuilder, bind, container, desired_mint_data, device, mount, place
from tests.unit.domain.checks.conftest import Judge

Spoil = Callable[[EvidenceBuilder], Any]
HOME = "/var/lib/postgresql/data"
WAL = f"{HOME}/pg_wal"
ANONYMOUS = "a" * 64
MET = ("MET", "fsync and full_page_writes as declared, running and persisted")


def _verdict(judge: Judge, builder: EvidenceBuilder, name: str = POSTGRES, **desired: Any) -> tuple[str, str]:
    finding = judge(builder, desired_mint_data(**desired))["D236", f"service:{name}"]
    return finding.verdict, finding.reason


def _below(source: str, at: str = WAL, dev: str = BOOT, on: str = "/", **other: Any) -> Spoil:
    """Mount a directory of the host below PostgreSQL's data."""

    def spoil(builder: EvidenceBuilder) -> None:
        builder.container(POSTGRES)["mounts"].append(bind(source, at, **other))
        builder.probes["paths"][source] = place(source, dev, on)

    return spoil


def _third_disk(builder: EvidenceBuilder) -> None:
    builder.probes["block"]["254:32"] = device("vdc", 100 * GB)
    builder.probes["mounts"].append(mount("/mnt/fast", "254:32"))
    _below("/mnt/fast/pgwal", dev="254:32", on="/mnt/fast")(builder)


def _bind_of_the_host(builder: EvidenceBuilder) -> None:
    builder.probes["mounts"].append(mount("/srv/pgwal", DATA, root="/pgwal"))
    _below("/srv/pgwal", dev=DATA, on="/srv/pgwal")(builder)


def _over_nfs(builder: EvidenceBuilder) -> None:
    builder.probes["mounts"].append(mount("/mnt/nas", "0:50", "nfs4", source="nas:/x"))
    _below("/mnt/nas/pgwal", dev="0:50", on="/mnt/nas")(builder)


def _host_mount(at: str, dev: str, fstype: str = "ext4", **other: Any) -> Spoil:
    return lambda b: b.probes["mounts"].append(mount(f"/mnt/data/mint-data/postgres/{at}", dev, fstype, **other))


def _named_volume(name: str, **other: Any) -> Spoil:
    path = f"/mnt/data/docker/volumes/{name}/_data"
    return _below(path, dev=DATA, on="/mnt/data", **({"type": "volume", "name": name} | other))


@pytest.mark.parametrize(
    ("spoil", "verdict", "reason"),
    [
        (_below("/srv/pgwal"), "DRIFTED", f"{WAL} lies in /srv/pgwal on boot disk vda"),
        (_below("/srv/pgwal", rw=False), *MET),
        (_below("/mnt/data/mint-data/postgres-wal", dev=DATA, on="/mnt/data"), *MET),
        (_below("/mnt/data/mint-data/postgres/elsewhere", dev=DATA, on="/mnt/data"), *MET),
        (_third_disk, "DRIFTED", f"{WAL} lies in /mnt/fast/pgwal, not on a declared mount"),
        (_bind_of_the_host, *MET),
        (_over_nfs, "DRIFTED", f"{WAL} lies on nfs4, not on a disk of this host"),
        (_named_volume("wal"), *MET),
        (
            _named_volume(ANONYMOUS, anonymous=True),
            "DRIFTED",
            f"{WAL} lies in anonymous volume {ANONYMOUS}, which is left behind with its container",
        ),
        (lambda b: b.container(POSTGRES)["tmpfs"].append(f"{HOME}/pg_stat_tmp"), "DRIFTED", f"{HOME}/pg_stat_tmp lies in memory"),
        (_below("", type="tmpfs", host_path=None), "DRIFTED", f"{WAL} lies in memory"),
        (_below("x", type="volume", name="cloud", host_path=None), "UNKNOWN", f"{POSTGRES}: where {WAL} lands is not known (volume cloud)"),
        (
            lambda b: (_below("/srv/a", f"{HOME}/a")(b), _below("x", type="volume", name="cloud", host_path=None)(b)),
            "UNKNOWN",
            f"{POSTGRES}: where {WAL} lands is not known (volume cloud); known so far: {HOME}/a lies in /srv/a on boot disk vda",
        ),
        (
            _host_mount("pg_wal", BOOT, root="/srv/pgwal"),
            "DRIFTED",
            f"{WAL} lies in /mnt/data/mint-data/postgres/pg_wal, a mount of its own on boot disk vda",
        ),
        (_host_mount("pg_wal", BOOT, options=["ro"]), *MET),
        (_host_mount("pg_wal", DATA), *MET),
        (_host_mount("pg_wal", "0:60", "tmpfs"), "DRIFTED", f"{WAL} lies in memory"),
        (_host_mount("pg_wal", "0:61", "zfs"), "UNKNOWN", "/mnt/data/mint-data/postgres/pg_wal is zfs, whose disks can't be told"),
        (
            lambda b: (_host_mount("pg_wal/deep", BOOT)(b), _below("/mnt/data/wal", dev=DATA, on="/mnt/data")(b)),
            *MET,
        ),
        (
            lambda b: (_below("/mnt/data/wal", dev=DATA, on="/mnt/data")(b), b.probes["mounts"].append(mount("/mnt/data/wal/deep", BOOT))),
            "DRIFTED",
            f"{WAL}/deep lies in /mnt/data/wal/deep, a mount of its own on boot disk vda",
        ),
        (lambda b: b.probes["mounts"].append(mount("/mnt/data/mint-data/postgres-other", BOOT)), *MET),
    ],
)
def test_what_is_mounted_below_a_services_data_is_judged_with_them(
    healthy: EvidenceBuilder, judge: Judge, spoil: Spoil, verdict: str, reason: str
) -> None:
    spoil(healthy)
    assert _verdict(judge, healthy) == (verdict, reason)


def test_a_mount_below_the_data_is_high_and_no_finding_of_its_own(healthy: EvidenceBuilder, judge: Judge) -> None:
    _below("/srv/pgwal")(healthy)
    findings = judge(healthy)
    assert findings["D236", f"service:{POSTGRES}"].severity == "high"
    assert [surface for check, surface in findings if check == "D236" and surface.startswith("unlisted")] == ["unlisted:*"]


def test_what_is_wrong_with_the_data_and_below_them_is_told_together(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.container(MINIO).update(mounts=[bind("/srv/cache", "/data/cache")])
    healthy.boot_path("/srv/cache")
    assert _verdict(judge, healthy, MINIO) == (
        "DRIFTED",
        "/data lies in the container's writable layer; /data/cache lies in /srv/cache on boot disk vda",
    )


@pytest.mark.parametrize(
    ("path", "verdict"),
    [(WAL, "MET"), (f"{HOME}/pg", "DRIFTED"), ("/", "DRIFTED"), ("/var/lib/postgresql", "DRIFTED")],
    ids=["itself", "beside", "everything", "above the data"],
)
def test_only_an_acceptance_below_the_data_lets_a_part_of_them_lie_on_the_boot_disk(
    healthy: EvidenceBuilder, judge: Judge, path: str, verdict: str
) -> None:
    _below("/srv/pgwal")(healthy)
    accepted = BootAccepted(container=POSTGRES, path=path, reason="fast disk")
    assert _verdict(judge, healthy, boot_accepted=(accepted,))[0] == verdict


def test_an_acceptance_is_no_excuse_for_memory_or_an_anonymous_volume(healthy: EvidenceBuilder, judge: Judge) -> None:
    accepted = BootAccepted(container=POSTGRES, path=WAL, reason="fast disk")
    path = f"/var/lib/docker/volumes/{ANONYMOUS}/_data"
    _below(path, type="volume", name=ANONYMOUS, anonymous=True)(healthy)
    reason = f"{WAL} lies in anonymous volume {ANONYMOUS}, which is left behind with its container"
    assert _verdict(judge, healthy, boot_accepted=(accepted,)) == ("DRIFTED", reason)
    healthy.container(POSTGRES).update(mounts=healthy.container(POSTGRES)["mounts"][:1], tmpfs=[WAL])
    assert _verdict(judge, healthy, boot_accepted=(accepted,)) == ("DRIFTED", f"{WAL} lies in memory")


def test_on_a_boot_tier_the_boot_disk_is_the_place_and_another_disk_is_not(healthy: EvidenceBuilder, judge: Judge) -> None:
    desired: dict[str, Any] = {"data": "boot", "tier": "boot-only", "disks": (), "services": {POSTGRES: PostgresService(data=HOME, place="/opt/pg")}}
    healthy.boot_path("/opt/pg").container(POSTGRES)["mounts"] = [bind("/opt/pg", HOME)]
    _below("/srv/pgwal")(healthy)
    assert _verdict(judge, healthy, **desired) == MET
    _third_disk(healthy)
    assert _verdict(judge, healthy, **desired) == ("DRIFTED", f"{WAL} lies in /mnt/fast/pgwal, not on a declared mount")


@pytest.mark.parametrize(("mode", "verdict"), [("rw", "MET"), ("ro", "DRIFTED")])
def test_on_a_tier_over_nfs_a_part_may_lie_on_another_export_that_is_declared_writable(
    healthy: EvidenceBuilder, judge: Judge, mode: Any, verdict: str
) -> None:
    exports = [mount("/mnt/docker", "0:50", "nfs4", source="nas:/docker"), mount("/mnt/more", "0:51", "nfs4", source="nas:/more")]
    healthy.probes["mounts"] += exports
    for path, dev, on in (("/mnt/docker/minio", "0:50", "/mnt/docker"), ("/mnt/more/cache", "0:51", "/mnt/more")):
        healthy.probes["paths"][path] = place(path, dev, on)
    healthy.container(MINIO)["mounts"] = [bind("/mnt/docker/minio", "/data"), bind("/mnt/more/cache", "/data/cache")]
    declared = (NfsMount(source="nas:/docker", mount="/mnt/docker"), NfsMount(source="nas:/more", mount="/mnt/more", mode=mode))
    services = {MINIO: MinioService(data="/data", place="/mnt/docker/minio")}
    assert _verdict(judge, healthy, MINIO, data="nfs", tier="nfs", disks=(), nfs=declared, services=services)[0] == verdict


def test_a_database_in_a_volume_that_its_image_made_below_the_data_is_not_at_its_place(healthy: EvidenceBuilder, judge: Judge) -> None:
    """The directory above is bound to the place, and the image's own volume lies over the one that PostgreSQL writes to."""
    service = PostgresService(data="/var/lib/postgresql", place="/mnt/data/mint-data/postgres")
    healthy.container(POSTGRES)["mounts"] = [bind("/mnt/data/mint-data/postgres", "/var/lib/postgresql")]
    _named_volume(ANONYMOUS, at=HOME, anonymous=True)(healthy)
    told = f"{HOME} lies in anonymous volume {ANONYMOUS}, which is left behind with its container"
    apart = f"PostgreSQL keeps its data in {HOME}, which is mounted apart from /var/lib/postgresql"
    assert _verdict(judge, healthy, services={POSTGRES: service}) == ("DRIFTED", f"{told}; {apart}")


def test_a_wider_mount_that_the_data_do_not_lie_in_needs_listing(healthy: EvidenceBuilder, judge: Judge) -> None:
    healthy.boot_path("/srv/pg").container(POSTGRES)["mounts"].append(bind("/srv/pg", "/var/lib/postgresql"))
    findings = judge(healthy)
    reason = "/var/lib/postgresql is writable and lies in /srv/pg on boot disk vda, which the policy doesn't name"
    assert findings["D236", f"unlisted:{POSTGRES}:/var/lib/postgresql"].reason == reason
    assert findings["D236", f"service:{POSTGRES}"].verdict == "MET"


def test_data_below_a_wider_mount_bring_only_the_hosts_mounts_below_them_along(healthy: EvidenceBuilder, judge: Judge) -> None:
    desired = {"services": {"wiki": FilesService(data="/srv/wiki", place="/mnt/data/all/wiki")}}
    healthy.probes["docker_containers"].append(container("wiki", [bind("/mnt/data/all", "/srv")]))
    for path in ("/mnt/data/all", "/mnt/data/all/wiki"):
        healthy.probes["paths"][path] = place(path, DATA, "/mnt/data")
    healthy.probes["mounts"].append(mount("/mnt/data/all/other", BOOT))
    assert _verdict(judge, healthy, "wiki", **desired) == ("MET", "/srv/wiki lies in /mnt/data/all/wiki")
    healthy.probes["mounts"].append(mount("/mnt/data/all/wiki/uploads", BOOT))
    reason = "/srv/wiki/uploads lies in /mnt/data/all/wiki/uploads, a mount of its own on boot disk vda"
    assert _verdict(judge, healthy, "wiki", **desired) == ("DRIFTED", reason)
