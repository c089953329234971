"""What one host is to run: a stack in one environment by one manifest, with its files."""

from __future__ import annotations

from typing import Annotated

from controlplane.domain.names import AsTuple
from controlplane.domain.values import Value


class ComposeText(Value):
    """One compose file: its name in the stack's folder, and its text."""

    name: str
    text: str


class ReleaseWanted(Value):
    """One stack on one host. `env_digest` is keyed (HMAC), so that it tells a change and no value; `wait_s` is the time until all have to be healthy.

    `images` are by compose service, pinned by digest. `manifest` is the manifest's digest, `manifest_name` its file's name.
    """

    stack: str
    environment: str
    project: str
    dir: str
    manifest: str
    manifest_name: str
    images: dict[str, str]
    compose: Annotated[tuple[ComposeText, ...], AsTuple]
    env_digest: str
    wait_s: int
    irreversible: Annotated[tuple[str, ...], AsTuple] = ()
