"""A healthy `mint-data` host, its desired state, and ways to spoil it: evidence without a machine.

The host boots from vda, keeps everything on vdb (serial DATA0001) at /mnt/data, runs PostgreSQL, an object store and Redis, and was rebooted
after its last change.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from controlplane.domain.desired import DesiredHost, HostWaiver, Limits
from controlplane.domain.disks import Disk
from controlplane.domain.evidence import Evidence, ProbeRecord
from controlplane.domain.policy import Docker, LogLimits, Until
from controlplane.domain.services import BootAccepted, MinioService, PostgresDurability, PostgresService, RedisDurability, RedisService
from tests.fakes.plain import copied

COLLECTED = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
COLLECTED_TEXT = "2026-01-02T12:00:00Z"
BOOTED = datetime(2026, 1, 2, 8, 0, tzinfo=UTC).timestamp()
BOOT, DATA = "254:0", "254:16"
BOOT_UUID, DATA_UUID = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
POSTGRES, MINIO, REDIS = "mint-modules-postgres", "mint-modules-minio", "mint-modules-redis"
GB = 1000**3
SAVE = "3600 1 300 100 60 10000"
GUARD = (
    "[Unit]\nRequiresMountsFor=/mnt/data\nAssertPathIsMountPoint=/mnt/data\n[Service]\n"
    f"""ExecStartPre=/bin/sh -c 'test "$(findmnt -fno UUID /mnt/data)" = "{DATA_UUID}" || exit 1'\n"""
)


def desired_mint_data(**other: Any) -> DesiredHost:
    """Return what the policy wants of `mint-data`."""
    plain: dict[str, Any] = {
        "host": "mint-data",
        "groups": ("mint",),
        "tier": "data-disk",
        "data": "disk",
        "thresholds": Limits(root_used_warn=60, root_used_fail=80),
        "disks": (Disk(serial="DATA0001", min_size=3 * GB, max_size=200 * GB, mount="/mnt/data", options=("noatime",)),),
        "docker": Docker(data_root="/mnt/data/docker", containerd_root="/mnt/data/containerd", log=LogLimits(max_size=10_000_000, max_files=3)),
        "services": {
            MINIO: MinioService(data="/data", place="/mnt/data/mint-data/minio"),
            POSTGRES: PostgresService(data="/var/lib/postgresql/data", place="/mnt/data/mint-data/postgres", durability=PostgresDurability()),
            REDIS: RedisService(
                data="/data", place="/mnt/data/mint-data/redis", durability=RedisDurability(appendonly=True, appendfsync="everysec", save=SAVE)
            ),
        },
        "boot_accepted": (BootAccepted(container="cadvisor", path="/rootfs", reason="read-only view"),),
    }
    return DesiredHost(**(plain | other))


def waiver(check: str, **other: Any) -> HostWaiver:
    """Return a waiver that holds until the end of 2026 in UTC."""
    plain: dict[str, Any] = {"check": check, "reason": "known", "approved_by": "ops", "ends_at": datetime(2027, 1, 1, tzinfo=UTC)}
    return HostWaiver(**(plain | other))


def until(**values: int) -> Until:
    """Return the values up to which a waiver holds."""
    return Until(**values)


def device(name: str, size: int, **other: Any) -> dict[str, Any]:
    """Return one block device."""
    plain: dict[str, Any] = {"name": name, "size": size, "read_only": False, "slaves": [], "holders": [], "partition_of": None, "partitions": []}
    plain |= {"loop_file": None, "dm_name": None, "dm_uuid": None, "serial": None, "wwn": None, "links": [], "node": f"/dev/{name}"}
    return plain | other


def mount(at: str, dev: str, fstype: str = "ext4", **other: Any) -> dict[str, Any]:
    """Return one line of the mount table."""
    plain: dict[str, Any] = {"id": 30 + len(at), "parent": 22, "dev": dev, "root": "/", "mount": at, "options": ["rw", "noatime"], "fstype": fstype}
    return plain | {"source": "none", "super_options": ["rw"]} | other


def place(path: str, dev: str, at: str, **other: Any) -> dict[str, Any]:
    """Return where one path lies."""
    plain: dict[str, Any] = {"exists": True, "real": path, "nearest": path, "dev": dev, "mount": at, "kind": "dir", "uid": 0, "gid": 0, "mode": 493}
    whole = plain | other
    return {"empty": True if whole["kind"] == "dir" else None, **whole}


def bind(source: str, destination: str, **other: Any) -> dict[str, Any]:
    """Return one bind mount of a container."""
    plain: dict[str, Any] = {"type": "bind", "name": None, "source": source, "destination": destination, "rw": True, "anonymous": False}
    return plain | {"host_path": source} | other


def container(name: str, mounts: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """Return one running container."""
    plain: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "image": "service:1",
        "image_id": "sha256:aa",
        "state": "running",
        "running": True,
        "pid": 4242,
        "stop_timeout_s": None,
        "restart_policy": "unless-stopped",
        "started_at": "2026-01-02T08:00:30Z",
        "log_driver": "json-file",
        "log_options": {"max-size": "10m", "max-file": "3"},
        "mounts": mounts,
        "tmpfs": [],
        "upper_dir": f"/mnt/data/docker/overlay2/{name}/diff",
        "writable_bytes": 4096,
        "compose_project": "mint-data",
        "compose_service": name,
        "compose_files": ["/opt/stacks/mint-data/compose.yml"],
        "compose_env_files": [],
        "compose_dir": "/opt/stacks/mint-data",
        "command": ["run"],
    }
    return plain | other


def _unit(name: str, guard: bool) -> dict[str, Any]:
    folder = f"/etc/systemd/system/{name}.d/50-controlplane-mounts.conf"
    return {
        "load_state": "loaded",
        "active_state": "active",
        "sub_state": "running",
        "enabled": "enabled",
        "fragment": f"/usr/lib/systemd/system/{name}",
        "exec_start": "/usr/sbin/dockerd -H fd://",
        "drop_ins": [{"path": folder, "text": GUARD, "mtime": BOOTED - 600}] if guard else [],
        "properties": {},
        "needs_reload": False,
    }


def _docker_probes() -> dict[str, Any]:
    places = "/mnt/data/mint-data"
    images = [{"id": "sha256:aa", "tags": ["service:1"], "size": 2 * GB, "containers": 3}]
    return {
        "docker_config": {
            "installed": True,
            "daemon_json": '{"data-root": "/mnt/data/docker", "log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}',
            "daemon_json_mtime": BOOTED - 700,
            "containerd_config": 'root = "/mnt/data/containerd"\n',
            "containerd_root": "/mnt/data/containerd",
            "dockerd_flags": ["-H", "fd://", "--containerd=/run/containerd/containerd.sock"],
        },
        "docker_info": {
            "version": "26.1.5",
            "root": "/mnt/data/docker",
            "driver": "overlay2",
            "driver_status": {"Backing Filesystem": "extfs"},
            "containerd_image_store": False,
            "live_restore": False,
            "logging_driver": "json-file",
            "containers": 3,
            "running": 3,
            "images": 1,
            "default_log_options": {"max-size": "10m", "max-file": "3"},
        },
        "docker_containers": [
            container(MINIO, [bind(f"{places}/minio", "/data")]),
            container(POSTGRES, [bind(f"{places}/postgres", "/var/lib/postgresql/data")]),
            container(REDIS, [bind(f"{places}/redis", "/data")]),
        ],
        "docker_volumes": [],
        "docker_images": images,
        "docker_usage": {"images": 2 * GB, "build_cache": GB, "volumes": GB, "volume_bytes": {}, "build_cache_records": 4},
        "redis": {
            REDIS: {
                "reachable": True,
                "error": None,
                "version": "7.0.15",
                "dir": "/data",
                "running": {"appendonly": "yes", "appendfsync": "everysec", "save": SAVE},
                "persisted": {"appendonly": "yes", "appendfsync": "everysec", "save": SAVE},
                "persisted_from": "the command line",
                "info": {
                    "aof_rewrite_in_progress": "0",
                    "aof_rewrite_scheduled": "0",
                    "aof_last_bgrewrite_status": "ok",
                    "aof_last_write_status": "ok",
                },
                "aof_files": ["appendonlydir/appendonly.aof.1.base.rdb", "appendonlydir/appendonly.aof.manifest"],
                "keys": 5,
            }
        },
        "postgres": {
            POSTGRES: {
                "reachable": True,
                "error": None,
                "version": "15.14",
                "data_directory": "/var/lib/postgresql/data",
                "running": {"fsync": "on", "full_page_writes": "on"},
                "persisted": {"fsync": "on", "full_page_writes": "on"},
                "pending_restart": [],
            }
        },
    }


def healthy_probes() -> dict[str, Any]:
    """Return the data of every probe of a host on which nothing drifts."""
    on_data = ["/mnt/data", "/mnt/data/docker", "/mnt/data/containerd"]
    on_data += [f"/mnt/data/mint-data/{name}" for name in ("minio", "postgres", "redis")]
    on_data += [f"/mnt/data/docker/overlay2/{name}/diff" for name in (MINIO, POSTGRES, REDIS)]
    on_boot = ["/", "/tmp", "/var/lib/docker", "/opt/stacks/mint-data"]
    sign = {"label": None, "blkid": {"TYPE": "ext4"}, "wipefs": ["ext4@0x438"], "type": "ext4"}
    line = f"UUID={DATA_UUID} /mnt/data ext4 noatime,nofail,x-systemd.device-timeout=10s 0 2"
    options = ["noatime", "nofail", "x-systemd.device-timeout=10s"]
    return {
        "identity": {
            "machine_id": "m1",
            "boot_id": "boot-2",
            "hostname": "mint-data",
            "kernel": "6.1.0",
            "os_id": "debian",
            "os_version": "12",
            "boot_epoch": BOOTED,
            "clock_epoch": COLLECTED.timestamp(),
            "euid": 0,
        },
        "mounts": [
            mount("/", BOOT, source="/dev/vda", id=22, parent=1),
            mount("/mnt/data", DATA, source="/dev/vdb"),
            mount("/run", "0:21", "tmpfs", source="tmpfs"),
        ],
        "block": {BOOT: device("vda", 50 * GB, serial="BOOT0001"), DATA: device("vdb", 100 * GB, serial="DATA0001")},
        "signatures": {BOOT: sign | {"uuid": BOOT_UUID}, DATA: sign | {"uuid": DATA_UUID}},
        "fstab": {
            "text": line + "\n",
            "mtime": BOOTED - 800,
            "entries": [{"line": 1, "spec": f"UUID={DATA_UUID}", "file": "/mnt/data", "vfstype": "ext4", "options": options, "freq": 0, "passno": 2}],
            "bad_lines": [],
            "verify_rc": 0,
            "verify_output": "Success, no errors or warnings detected",
        },
        "usage": {
            "/": {"size": 50 * GB, "free": 40 * GB, "available": 38 * GB, "inodes": 3_000_000, "inodes_free": 2_800_000},
            "/mnt/data": {"size": 100 * GB, "free": 90 * GB, "available": 85 * GB, "inodes": 6_000_000, "inodes_free": 5_900_000},
        },
        "paths": {path: place(path, DATA, "/mnt/data") for path in on_data} | {path: place(path, BOOT, "/") for path in on_boot},
        "units": {name: _unit(name, guard=True) for name in ("docker.service", "docker.socket", "containerd.service")},
        "packages": {},
        "releases": {},
        "network": {"addresses": [], "gateways": []},
        "docker_store": {"images": [], "cache": [], "logs": []},
        "surfaces": {"sizes": {}},
        "sources": {},
        "tmp": {"files": [{"path": "/tmp/small", "size": 2_000_000}], "truncated": False},
        "beneath": {"/mnt/data": {"exists": True, "entries": 0, "sample": [], "immutable": True}},
        "target_state": {
            "retired": [],
            "copies": [],
            "last_change": {"run": "CAP-20260102-070000__storage.fstab__Rab12", "boot_id": "boot-1", "at": "2026-01-02T07:00:00Z"},
            "runs": [],
            "lease": None,
        },
    } | _docker_probes()


class EvidenceBuilder:
    """Evidence that starts healthy; change `probes` (plain data by probe name), or make a probe fail, then `build`."""

    def __init__(self, probes: dict[str, Any] | None = None) -> None:
        self.probes: dict[str, Any] = copied(healthy_probes() if probes is None else probes)
        self._records: dict[str, ProbeRecord | None] = {}

    def container(self, name: str) -> dict[str, Any]:
        """Return a container's data, to be changed."""
        return next(one for one in self.probes["docker_containers"] if one["name"] == name)

    def boot_path(self, *paths: str) -> EvidenceBuilder:
        """Say that paths lie on the boot disk."""
        self.probes["paths"] |= {path: place(path, BOOT, "/") for path in paths}
        return self

    def fail(self, probe: str, status: str = "failed", error: str = "boom") -> EvidenceBuilder:
        """Record that a probe failed, hung (`timeout`) or is not installed (`absent`)."""
        self._records[probe] = ProbeRecord.model_validate({"status": status, "error": error, "seconds": 0.1})
        return self

    def lose(self, probe: str) -> EvidenceBuilder:
        """Leave a probe out."""
        self._records[probe] = None
        return self

    def without_docker(self) -> EvidenceBuilder:
        """Say that Docker is not installed."""
        for probe in [name for name in self.probes if name.startswith("docker_")] + ["redis", "postgres"]:
            self.fail(probe, "absent", "no Docker engine is installed")
        for name in ("docker.service", "docker.socket"):
            self.probes["units"][name] |= {"load_state": "not-found", "active_state": "inactive", "enabled": "", "fragment": "", "exec_start": ""}
        return self

    def build(self, host: str = "mint-data", collected_at: str = COLLECTED_TEXT) -> Evidence:
        """Return the evidence."""
        records: dict[str, ProbeRecord | None] = {name: ProbeRecord(status="ok", seconds=0.01, data=data) for name, data in self.probes.items()}
        records |= self._records
        kept = {name: record for name, record in records.items() if record is not None}
        return Evidence(host=host, collected_at=collected_at, asked={}, probes=kept)
