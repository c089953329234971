"""What one host is to run: a stack in one environment by one manifest, with its files."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from controlplane.domain.names import AsTuple
from controlplane.domain.values import Value

# What the deployment itself writes beside the compose files.
ENV_FILE: Final = ".env"
IMAGES_FILE: Final = "compose.release.yml"


class ComposeText(Value):
    """One compose file: its name in the stack's folder, and its text."""

    name: str
    text: str


class ServiceWanted(Value):
    """What the compose files say of one service: seconds that it may take to stop, where its binds (source on the host) and its named volumes (as
    Docker will know them) lie in the container, and which of both it only reads; which binds stand behind a named volume (its name in Docker, and the
    source); the name that its container is given, None where none is; the services with which Compose stops it, where it makes one of them anew."""

    stop_s: int = 10
    binds: dict[str, str] = Field(default={})
    volumes: dict[str, str] = Field(default={})
    reads: Annotated[tuple[str, ...], AsTuple] = ()
    named: dict[str, str] = Field(default={})
    container: str | None = None
    stops_with: Annotated[tuple[str, ...], AsTuple] = ()


class ReleaseWanted(Value):
    """One stack on one host. `env_digest` is keyed (HMAC), so that it tells a change and no value; `wait_s` is the time until all have to be healthy.

    `images` are of every compose service, pinned by digest. `manifest` is the manifest's digest, `manifest_name` its file's name.
    """

    stack: str
    environment: Literal["staging", "production"]
    project: str
    dir: str
    manifest: str
    manifest_name: str
    images: dict[str, str]
    services: dict[str, ServiceWanted]
    compose: Annotated[tuple[ComposeText, ...], AsTuple]
    env_digest: str
    wait_s: int
    irreversible: Annotated[tuple[str, ...], AsTuple] = ()

    @property
    def bind_sources(self) -> tuple[str, ...]:
        """Return every folder and file of the host that a service binds, sorted."""
        return tuple(sorted({source for service in self.services.values() for source in service.binds}))

    @property
    def written_sources(self) -> frozenset[str]:
        """Return what of the host a service binds and writes to."""
        return frozenset(source for service in self.services.values() for source in service.binds if source not in service.reads)

    @property
    def written_volumes(self) -> frozenset[str]:
        """Return the named volumes to which a service writes."""
        return frozenset(name for service in self.services.values() for name in service.volumes if name not in service.reads)
