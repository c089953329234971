"""Services as a policy declares them: what a named container keeps, where, and what it promises."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from controlplane.domain.names import AsTuple, ContainerName, Line, ProjectName, VariableName, check_name
from controlplane.domain.paths import AnyPath, ControllerFile, PlacePath, is_below
from controlplane.domain.sizes import Size
from controlplane.domain.values import Value


def _save_points(text: str) -> str:
    if not re.fullmatch(r"|[1-9][0-9]* [1-9][0-9]*( [1-9][0-9]* [1-9][0-9]*)*", text, re.ASCII):
        raise ValueError(f'{text!r} is no list of save points: write pairs of seconds and changes, such as "3600 1 300 100"')
    return text


def _user(text: str) -> str:
    return check_name(text, _USER, "user name")


def _owner(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}:[0-9]{1,9}", text, re.ASCII):
        raise ValueError(f"{text!r} is no owner: write the numbers that the container's process has, such as 1000:1000")
    return text


def _mode(text: str) -> str:
    if not re.fullmatch(r"[0-7]{4}", text, re.ASCII) or not int(text, 8):
        raise ValueError(f'{text!r} is no mode: write four octal digits in quotes, such as "0750"')
    return text


def _has_command(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv:
        raise ValueError("is empty: write the command as a list, such as [wikictl, count]")
    return argv


def _exact(path: str) -> str:
    for temp in ("/tmp", "/var/tmp"):  # noqa: S108 - refused, not used
        if path == temp or is_below(temp, path):
            raise ValueError(
                f"{path} would be a mount over all of the container's {temp}: name the exact path that is written to, such as {temp}/uploads"
            )
    return path


_USER = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}"
UserName = Annotated[str, AfterValidator(_user), WithJsonSchema({"type": "string", "pattern": f"^{_USER}$"})]


class SecretSource(Value):
    """Where the controller finds a secret; exactly one of the three, never the secret itself."""

    password_env: VariableName | None = Field(None, description="Environment variable of the controller that holds it")
    password_file: ControllerFile | None = Field(None, description="File on the controller that only its owner can read and that holds it")
    vault: VariableName | None = Field(None, description="Variable in vault.yml, a file of the site that ansible-vault encrypted")


class Auth(SecretSource):
    """How a service is logged in to: the user, where it has several, and where the password is."""

    user: UserName | None = Field(None, description="User to log in as; left out for the service's default")


class PostgresDurability(Value):
    """Settings that PostgreSQL has to run with and to keep."""

    fsync: bool = Field(True, description="Writes reach the disk before they are acknowledged")
    full_page_writes: bool = Field(True, description="Torn pages can be recovered")


class RedisDurability(Value):
    """Settings that Redis has to run with and to keep; None means that the policy does not ask."""

    appendonly: bool | None = Field(None, description="Append-only file on")
    appendfsync: Literal["always", "everysec", "no"] | None = Field(None, description="When the append-only file is synced")
    save: Annotated[str, AfterValidator(_save_points)] | None = Field(
        None, description="RDB save points, pairs of seconds and changes; empty for none"
    )


class ServiceBase(Value):
    """What every kind has: the data's path in the container, and one of place and volume."""

    data: AnyPath = Field(description="Path inside the container that holds the data")
    place: PlacePath | None = Field(None, description="Directory on the machine that is bound there")
    volume: ContainerName | None = Field(None, description="Named volume that is mounted there")
    auth: Auth | None = Field(None, description="Where the password is, if one is needed to ask the service")


class PostgresService(ServiceBase):
    """A PostgreSQL container."""

    kind: Literal["postgres"] = Field("postgres", description="PostgreSQL")
    durability: PostgresDurability = Field(PostgresDurability(), description="What it has to run with")


class MinioService(ServiceBase):
    """An object store that keeps plain files."""

    kind: Literal["minio"] = Field("minio", description="S3-compatible object store")


class RedisService(ServiceBase):
    """A Redis container."""

    kind: Literal["redis"] = Field("redis", description="Redis")
    durability: RedisDurability = Field(RedisDurability(), description="What it has to run with")


class FilesService(ServiceBase):
    """Any other container; its proof says the same before and after a move of its data alone."""

    kind: Literal["files"] = Field("files", description="Any other service that keeps files")
    proof: Annotated[tuple[Line, ...], AsTuple, AfterValidator(_has_command)] | None = Field(
        None,
        description="Command in the container whose output must be the same after a move of this service's data; docker.data_root does not run it",
    )


Service = Annotated[PostgresService | MinioService | RedisService | FilesService, Field(discriminator="kind")]


class Stack(Value):
    """A compose project and the directory that it is started from."""

    project: ProjectName = Field(description="Compose project name")
    dir: AnyPath = Field(description="Directory of its compose file")
    edit: Literal["file", "override"] = Field("file", description="Where changes are written: in the compose file, or in an override file beside it")


class WriteSurface(Value):
    """A temp or upload path in a container that gets a governed bind mount."""

    container: ContainerName = Field(description="Container name")
    path: Annotated[AnyPath, AfterValidator(_exact)] = Field(description="Path inside the container")
    place: PlacePath = Field(description="Directory on the machine that is bound there")
    owner: Annotated[str, AfterValidator(_owner)] | None = Field(None, description="Whose the place itself is, by numbers: UID:GID")
    mode: Annotated[str, AfterValidator(_mode)] | None = Field(None, description="Mode of the place itself, octal and in quotes")
    max_size: Size | None = Field(None, description="Size over which it is drift")


class BootAccepted(Value):
    """Data of a container that may stay on the boot disk, and why."""

    container: ContainerName = Field(description="Container name")
    path: AnyPath = Field(description="Path inside the container")
    reason: Line = Field(description="Why it may stay there")
