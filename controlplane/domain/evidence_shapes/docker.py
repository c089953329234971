"""Docker: its configuration, its containers, images and volumes, and what its store holds."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from controlplane.domain.evidence_shapes.closed import closed


@closed
class DockerConfig(TypedDict):
    """`daemon_json` is None when the file is absent; `containerd_root` is what containerd itself says it uses."""

    installed: bool
    daemon_json: str | None
    daemon_json_mtime: float | None
    containerd_config: str | None
    containerd_root: str | None
    dockerd_flags: list[str]


@closed
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


@closed
class ContainerMount(TypedDict):
    """One mount of a container; `source` is what Docker names, `host_path` where the data really lands (`o=bind` resolved; None if elsewhere).

    `subpath` is the folder of the volume that is mounted alone (`volume.subpath`), within either of the two; without the key it is the whole.
    """

    type: str
    name: str | None
    source: str
    destination: str
    rw: bool
    anonymous: bool
    host_path: str | None
    subpath: NotRequired[str]


@closed
class Container(TypedDict):
    """One container. `stop_timeout_s` is its own (`--stop-timeout`, `stop_grace_period`), None where it has none; older evidence lacks the key.

    So it does `image_digests` (repository@sha256:…, of the image that it runs), `health`, None where it has no health check, and `compose_oneoff`:
    whether somebody ran it once, by `docker compose run`. Neither has it `compose_env_files`: what Compose was told by `--env-file`, in that order;
    with none of them it read the `.env` of its project.
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
    compose_env_files: NotRequired[list[str]]
    compose_dir: str | None
    command: list[str]


@closed
class Volume(TypedDict):
    name: str
    driver: str
    mountpoint: str
    options: dict[str, str]
    anonymous: bool
    in_use_by: list[str]


@closed
class Image(TypedDict):
    """One image; `digests` are repository@sha256:…, `created` is in epoch seconds. Older evidence lacks these two."""

    id: str
    tags: list[str]
    digests: NotRequired[list[str]]
    created: NotRequired[int]
    size: int
    containers: int


@closed
class DockerUsage(TypedDict):
    """`/system/df` in bytes; `volume_bytes` by volume name. None where Docker could not tell one."""

    images: int
    build_cache: int
    volumes: int
    volume_bytes: dict[str, int]
    build_cache_records: int


@closed
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


@closed
class CacheRecord(TypedDict):
    """One record of the build cache; `last_used` in epoch seconds, None where it was never used since it was made."""

    id: str
    size: int
    last_used: int | None
    in_use: bool
    shared: bool
    parents: list[str]
    what: str


@closed
class ContainerLog(TypedDict):
    """What a container's json-file log takes with its rotated files; `rotates`: the container was created with a limit.

    `id` is the container's; `written` is when somebody last wrote to the log, in epoch seconds, None where its file is not there. Older evidence
    lacks both.
    """

    container: str
    path: str
    size: int
    rotates: bool
    id: NotRequired[str]
    written: NotRequired[int | None]


@closed
class RecordedRelease(TypedDict):
    """A release that the host has on record, with the digests of its images; `at` in epoch seconds, `open` where it is half deployed."""

    project: str
    manifest: str
    images: list[str]
    at: int
    open: bool


@closed
class DockerStore(TypedDict):
    """`releases` are newest first; older evidence has none."""

    images: list[StoredImage]
    cache: list[CacheRecord]
    logs: list[ContainerLog]
    releases: NotRequired[list[RecordedRelease]]
