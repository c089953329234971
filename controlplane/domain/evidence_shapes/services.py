"""What services say of themselves, and what of a release a host has on record."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from controlplane.domain.evidence_shapes.closed import closed


@closed
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


@closed
class PostgresState(TypedDict):
    """Running settings by SHOW, persisted ones from pg_file_settings; `data_directory` is a path inside the container.

    So are the `tablespaces`, by name; the key is missing where the server did not tell them, and in older evidence.
    """

    reachable: bool
    error: str | None
    version: str | None
    data_directory: str | None
    running: dict[str, str]
    persisted: dict[str, str]
    pending_restart: list[str]
    tablespaces: NotRequired[dict[str, str]]


@closed
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


@closed
class ReleaseSeen(TypedDict):
    """A compose project that was asked about: its record, None where no release brought it, and the files that are no longer what it says."""

    record: ReleaseRecord | None
    changed: list[str]
