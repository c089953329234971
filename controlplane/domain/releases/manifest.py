"""A promotion manifest: the images of one release by digest, from which commit and when they were built, and by which run they were tested.

Rules:
- It lies at releases/STACK/manifests/NAME.yml. Its digest covers what it releases, not by what that was tested.
- An image is a repository and a sha256 digest; a tag can be moved, so it names nothing here.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from controlplane.domain.digest import digest_of
from controlplane.domain.names import AsTuple, Line, check_name, shown_address
from controlplane.domain.releases.values import ServiceName, StackName
from controlplane.domain.run_key import is_run_key
from controlplane.domain.values import Value

_REPOSITORY = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
_PINNED = re.compile(rf"(?P<repository>{_REPOSITORY})@(?P<digest>sha256:[0-9a-f]{{64}})", re.ASCII)


def _pinned(text: str) -> str:
    if _PINNED.fullmatch(text) is None:
        example = "registry.example.org/shop/web@sha256:… (64 hex digits)"
        raise ValueError(f"{shown_address(text)!r} pins no image: write its repository and digest, such as {example}")
    return text


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f'{text!r} is no time: write it with its timezone, in quotes, such as "2026-01-01T12:00:00Z"')
    return text


def _run_key(text: str) -> str:
    if not is_run_key(text):
        raise ValueError(f"{text!r} is no run key")
    return text


ManifestName = Annotated[str, AfterValidator(lambda text: check_name(text, r"[a-z0-9][a-z0-9._-]{0,63}", "name of a manifest"))]
PinnedImage = Annotated[str, AfterValidator(_pinned)]
Commit = Annotated[str, AfterValidator(lambda text: check_name(text, r"[0-9a-f]{7,64}", "id of a commit"))]


class Manifest(Value):
    """All of one manifest file."""

    stack: StackName = Field(description="Stack that it releases")
    commit: Commit = Field(description="Source commit that the images were built from")
    built_at: Annotated[str, AfterValidator(_moment)] = Field(description="When they were built")
    images: dict[ServiceName, PinnedImage] = Field(min_length=1, description="Image of each service, by digest")
    irreversible: Annotated[tuple[Line, ...], AsTuple] = Field((), description="What going back does not undo, such as a migration")
    tested_by: Annotated[str, AfterValidator(_run_key)] | None = Field(None, description="Run of the smoke tests that it passed in staging")

    @property
    def digest(self) -> str:
        """Return the digest of what it releases."""
        return digest_of(self.model_dump(mode="json", exclude={"tested_by"}))

    @property
    def moment(self) -> datetime:
        """Return when its images were built, comparable to others."""
        return datetime.fromisoformat(self.built_at)


def image_parts(pinned: str) -> tuple[str, str]:
    """Return repository and digest of a pinned image."""
    found = _PINNED.fullmatch(pinned)
    if found is None:
        raise ValueError(f"{pinned!r} pins no image")
    return found["repository"], found["digest"]
