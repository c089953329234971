"""The shape of each probe's data, as the collector returns it and `Reader` hands it out.

They are typed dictionaries, not models: fifty hosts are judged in the time that reading their JSON takes.
Units: bytes, seconds, epoch seconds; device numbers are "major:minor".
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from controlplane.domain.machine_shapes import MachineSeen

_closed = with_config(ConfigDict(extra="forbid", strict=True))


@_closed
class Identity(TypedDict):
    machine_id: str
    boot_id: str
    hostname: str
    kernel: str
    os_id: str
    os_version: str
    boot_epoch: float
    clock_epoch: float
    euid: int


@_closed
class Mount(TypedDict):
    """One line of /proc/self/mountinfo, octal escapes decoded."""

    id: int
    parent: int
    dev: str
    root: str
    mount: str
    options: list[str]
    fstype: str
    source: str
    super_options: list[str]


@_closed
class BlockDevice(TypedDict):
    """One entry of /sys/class/block; `slaves`, `holders`, `partitions` and `partition_of` are device numbers."""

    name: str
    size: int
    read_only: bool
    slaves: list[str]
    holders: list[str]
    partition_of: str | None
    partitions: list[str]
    loop_file: str | None
    dm_name: str | None
    dm_uuid: str | None
    serial: str | None
    wwn: str | None
    links: list[str]
    node: str | None


@_closed
class Signature(TypedDict):
    """What `blkid -p` and `wipefs -n` say of one device, and what `lsblk`/swaps/md claim of it; empty lists mean blank."""

    uuid: str | None
    type: str | None
    label: str | None
    blkid: dict[str, str]
    wipefs: list[str]


@_closed
class FstabEntry(TypedDict):
    line: int
    spec: str
    file: str
    vfstype: str
    options: list[str]
    freq: int
    passno: int


@_closed
class Fstab(TypedDict):
    """/etc/fstab: exact text, decoded entries, lines that are no entry, and what `findmnt --verify` printed."""

    text: str
    mtime: float
    entries: list[FstabEntry]
    bad_lines: list[int]
    verify_rc: int
    verify_output: str


@_closed
class Usage(TypedDict):
    """One statvfs; `available` is what an unprivileged process may still use."""

    size: int
    free: int
    available: int
    inodes: int
    inodes_free: int


@_closed
class PathPlace(TypedDict):
    """Where a host path really lies: symlinks resolved, `nearest` the nearest existing ancestor, `dev` its device number, `mount` its mountpoint.

    `empty`: whether a directory holds nothing but a filesystem's own lost+found; None for what is no directory or can't be listed.
    """

    exists: bool
    real: str
    nearest: str
    dev: str
    mount: str
    kind: Literal["dir", "file", "other", "absent"]
    uid: int | None
    gid: int | None
    mode: int | None
    empty: bool | None


@_closed
class DropIn(TypedDict):
    path: str
    text: str
    mtime: float


@_closed
class Unit(TypedDict):
    """One systemd unit as `systemctl show` and its files tell; `properties` holds the raw ones that were asked for."""

    load_state: str
    active_state: str
    sub_state: str
    enabled: str
    fragment: str
    exec_start: str
    drop_ins: list[DropIn]
    properties: dict[str, str]
    needs_reload: bool


@_closed
class Package(TypedDict):
    """What dpkg says of one package: `status` as in its list (`ii` is installed), empty where it does not know it."""

    status: str
    version: str | None


@_closed
class NetworkSeen(TypedDict):
    """Addresses with their prefixes (none of the loopback or of a link), and default gateways; both empty where they were not asked for."""

    addresses: list[str]
    gateways: list[str]


@_closed
class DockerConfig(TypedDict):
    """`daemon_json` is None when the file is absent; `containerd_root` is what containerd itself says it uses."""

    installed: bool
    daemon_json: str | None
    daemon_json_mtime: float | None
    containerd_config: str | None
    containerd_root: str | None
    dockerd_flags: list[str]


@_closed
class DockerInfo(TypedDict):
    version: str
    root: str
    driver: str
    driver_status: dict[str, str]
    containerd_image_store: bool
    live_restore: bool
    logging_driver: str
    containers: int
    running: int
    images: int
    default_log_options: dict[str, str]


@_closed
class ContainerMount(TypedDict):
    """One mount of a container; `source` is what Docker names, `host_path` where the data really lands (`o=bind` resolved; None if elsewhere)."""

    type: str
    name: str | None
    source: str
    destination: str
    rw: bool
    anonymous: bool
    host_path: str | None


@_closed
class Container(TypedDict):
    """One container. `stop_timeout_s` is its own (`--stop-timeout`, `stop_grace_period`), None where it has none; older evidence lacks the key.

    So it does `image_digests` (repository@sha256:…, of the image that it runs), `health`, None where it has no health check, and `compose_oneoff`:
    whether somebody ran it once, by `docker compose run`.
    """

    id: str
    name: str
    image: str
    image_id: str
    state: str
    running: bool
    pid: int
    image_digests: NotRequired[list[str]]
    health: NotRequired[str | None]
    stop_timeout_s: NotRequired[int | None]
    restart_policy: str
    started_at: str
    log_driver: str
    log_options: dict[str, str]
    mounts: list[ContainerMount]
    tmpfs: list[str]
    upper_dir: str | None
    writable_bytes: int | None
    compose_project: str | None
    compose_service: str | None
    compose_oneoff: NotRequired[bool]
    compose_files: list[str]
    compose_dir: str | None
    command: list[str]


@_closed
class Volume(TypedDict):
    name: str
    driver: str
    mountpoint: str
    options: dict[str, str]
    anonymous: bool
    in_use_by: list[str]


@_closed
class Image(TypedDict):
    id: str
    tags: list[str]
    size: int
    containers: int


@_closed
class DockerUsage(TypedDict):
    """`/system/df` in bytes; `volume_bytes` by volume name. None where Docker could not tell one."""

    images: int
    build_cache: int
    volumes: int
    volume_bytes: dict[str, int]
    build_cache_records: int


@_closed
class RedisState(TypedDict):
    """Running settings by `CONFIG GET` (never requirepass), persisted ones from where this container really reads them."""

    reachable: bool
    error: str | None
    version: str | None
    dir: str | None
    running: dict[str, str]
    persisted: dict[str, str]
    persisted_from: str | None
    info: dict[str, str]
    aof_files: list[str]
    keys: int | None


@_closed
class PostgresState(TypedDict):
    """Running settings by SHOW, persisted ones from pg_file_settings; `data_directory` is a path inside the container."""

    reachable: bool
    error: str | None
    version: str | None
    data_directory: str | None
    running: dict[str, str]
    persisted: dict[str, str]
    pending_restart: list[str]


@_closed
class LargeFile(TypedDict):
    """A file; `owner` is a user's number, `mtime` in epoch seconds, `mark` what tells this content from a later one. Older evidence has two."""

    path: str
    size: int
    owner: NotRequired[int]
    mtime: NotRequired[int]
    mark: NotRequired[str]


@_closed
class StoredImage(TypedDict):
    """One image. `unique` are the bytes that no other image shares, None where Docker did not tell; times are epoch seconds."""

    id: str
    tags: list[str]
    digests: list[str]
    created: int
    last_tagged: int | None
    size: int
    unique: int | None
    containers: int


@_closed
class CacheRecord(TypedDict):
    """One record of the build cache; `last_used` in epoch seconds, None where it was never used since it was made."""

    id: str
    size: int
    last_used: int | None
    in_use: bool
    shared: bool
    parents: list[str]
    what: str


@_closed
class ContainerLog(TypedDict):
    """What a container's json-file log takes with its rotated files; `rotates`: the container was created with a limit."""

    container: str
    path: str
    size: int
    rotates: bool


@_closed
class DockerStore(TypedDict):
    images: list[StoredImage]
    cache: list[CacheRecord]
    logs: list[ContainerLog]


@_closed
class SurfaceSizes(TypedDict):
    """Bytes of each place that has a limit; None for one that could not be measured in time."""

    sizes: dict[str, int | None]


@_closed
class TmpFiles(TypedDict):
    """Files of at least 1 MB below /tmp and /var/tmp, largest first; `truncated` when there were more than the limit."""

    files: list[LargeFile]
    truncated: bool


@_closed
class Beneath(TypedDict):
    """The directory under a mount, seen past it: number of entries, some names, and whether it is immutable (chattr +i)."""

    exists: bool
    entries: int
    sample: list[str]
    immutable: bool | None


@_closed
class Purging(TypedDict):
    """What lies under the name by which a purge removes a path: it was begun and not ended.

    `run` is the purge whose journal on the host knows it for that very tree, None where none does. Entries and bytes are what is left of it,
    None where that was not read in time.
    """

    aside: str
    run: str | None
    entries: int | None
    size: int | None


@_closed
class Retired(TypedDict):
    """One path that an earlier run left behind on purpose. `recorded` is its fingerprint of when it was retired, `fingerprint` the one of now.

    Without a fingerprint of now the path is not there, or `unreadable` says why it could not be read, or it was too large to be read in time.
    """

    path: str
    run: str
    retired_at: str
    size: int
    entries: int
    exists: bool
    recorded: str
    fingerprint: str | None
    unreadable: str | None
    purging: Purging | None
    replaced_by: str


@_closed
class StorageChange(TypedDict):
    """The last storage change that this program made on the host: which run, in which boot."""

    run: str
    boot_id: str
    at: str


@_closed
class OpenRun(TypedDict):
    """A run that left its state on the target: `phase` is the step that its journal names, `unit` the transient unit, if it still runs."""

    run: str
    role: str
    phase: str
    unit: str | None
    unit_active: bool


@_closed
class Lease(TypedDict):
    token: int
    holder: str
    run: str
    taken_at: str
    expires_at: str


@_closed
class TargetState(TypedDict):
    """What /var/lib/controlplane on the target says; `copies` are the paths to which a move of a root copied, and on which nothing ever lived."""

    retired: list[Retired]
    copies: list[str]
    last_change: StorageChange | None
    runs: list[OpenRun]
    lease: Lease | None


@_closed
class ReleaseRecord(TypedDict):
    """What a release's role recorded of a compose project: manifest (by digest and name), keyed digest of the environment file, SHA-256 of each
    other file that it wrote, ids of the containers that it made by service, names of the compose files in their order. Older ones lack these two.
    """

    stack: str
    environment: str
    project: str
    dir: str
    manifest: str
    manifest_name: str
    env_digest: str
    run: str
    files: dict[str, str]
    containers: NotRequired[dict[str, list[str]]]
    order: NotRequired[list[str]]


@_closed
class ReleaseSeen(TypedDict):
    """A compose project that was asked about: its record, None where no release brought it, and the files that are no longer what it says."""

    record: ReleaseRecord | None
    changed: list[str]


# Block devices and signatures are keyed by device number (a device that couldn't be read has no signature entry), usage and beneath by mountpoint,
# paths by the path that was asked for or discovered, units by name, Redis and PostgreSQL by container name.
MountTable = list[Mount]
BlockDevices = dict[str, BlockDevice]
Signatures = dict[str, Signature]
Usages = dict[str, Usage]
PathPlaces = dict[str, PathPlace]
Units = dict[str, Unit]
Packages = dict[str, Package]
Containers = list[Container]
Volumes = list[Volume]
Images = list[Image]
RedisStates = dict[str, RedisState]
PostgresStates = dict[str, PostgresState]
Beneaths = dict[str, Beneath]
ReleasesSeen = dict[str, ReleaseSeen]

# probe -> its shape. The collector's probe names are exactly these.
SHAPES: dict[str, Any] = {
    "identity": Identity,
    "mounts": MountTable,
    "block": BlockDevices,
    "signatures": Signatures,
    "fstab": Fstab,
    "usage": Usages,
    "paths": PathPlaces,
    "units": Units,
    "packages": Packages,
    "network": NetworkSeen,
    "docker_config": DockerConfig,
    "docker_info": DockerInfo,
    "docker_containers": Containers,
    "docker_volumes": Volumes,
    "docker_images": Images,
    "docker_usage": DockerUsage,
    "redis": RedisStates,
    "postgres": PostgresStates,
    "tmp": TmpFiles,
    "surfaces": SurfaceSizes,
    "docker_store": DockerStore,
    "beneath": Beneaths,
    "target_state": TargetState,
    "releases": ReleasesSeen,
}

# What is seen of a host from elsewhere: its hypervisor's view. Only hosts whose machine is declared have it.
FROM_ELSEWHERE: dict[str, Any] = {"machine": MachineSeen}
