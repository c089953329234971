"""What the deployment of a stack asks for: pure values, and the files that the stack's folder holds because of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict
from typing import Any, NamedTuple

from .compose import Stack
from .faults import RefusedFault

ENV_FILE = ".env"
RELEASE_FILE = "compose.release.yml"
_KEYS = {
    *("stack", "environment", "manifest", "manifest_name", "project", "dir", "files", "images", "env_digest", "places", "volumes", "wait_s"),
    "told",
}
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,127}", re.ASCII)
_PINNED = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9./:_-]{0,254}@sha256:[0-9a-f]{64}", re.ASCII)


class Request(NamedTuple):
    """One stack in one environment, on one host.

    `files` are name and text of the compose files, in the order in which they are merged; `images` are by service, each pinned by its digest; `env` is
    the environment file's text, `env_digest` the keyed digest by which a plan knows it; `places` are bind sources that have to be there, `volumes` says
    by the names of volumes where the plan found that they have their data, or will have.
    """

    stack: str
    environment: str
    manifest: str
    manifest_name: str
    project: str
    folder: str
    files: tuple[tuple[str, str], ...]
    images: dict[str, str]
    env: str
    env_digest: str
    places: tuple[str, ...]
    volumes: dict[str, str]
    wait_s: int

    @property
    def contents(self) -> dict[str, bytes]:
        """Return what each file of the folder holds, by its name, in the order in which they are written: the images come last."""
        texts = {ENV_FILE: self.env, **dict(self.files), RELEASE_FILE: release_text(self)}
        return {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}

    @property
    def order(self) -> list[str]:
        """Return the files that Compose reads, in their order: later ones over earlier ones."""
        return [*(name for name, _ in self.files), RELEASE_FILE]

    @property
    def as_told(self) -> Stack:
        """Return how Compose is told of the stack."""
        files = tuple(os.path.join(self.folder, name) for name in self.order)
        return Stack(self.project, self.folder, "", files, (os.path.join(self.folder, ENV_FILE),), "")

    @property
    def noted(self) -> dict[str, Any]:
        """Return what a journal keeps of it: of the files their digests only."""
        plain = self._asdict()
        names = ("environment", "project", "folder", "manifest", "manifest_name", "images", "env_digest", "wait_s")
        told = {"release": self.stack, "stack": asdict(self.as_told), "files": digests(self.contents)}
        return {**{name: plain[name] for name in names}, **told}


def release_text(request: Request) -> str:
    """Return the file that pins each released service's image; it is merged last, so that no tag of another file or a variable decides."""
    head = f"# Images of manifest {request.manifest_name} ({request.manifest}). Compose has to read this file last: no tag decides an image then.\n"
    pins = (f"  {json.dumps(service)}:\n    image: {json.dumps(image)}\n" for service, image in sorted(request.images.items()))
    return f"{head}services:\n{''.join(pins)}"


def digests(contents: dict[str, bytes]) -> dict[str, str]:
    """Return the sha256 of each file, by its name."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}


def parse(asked: Any) -> Request:
    """Return the request of its JSON form. Raises `ValueError`, `KeyError`, `TypeError`, and `RefusedFault` for what came beside the plan."""
    if unknown := sorted(set(asked) - _KEYS):
        raise ValueError(f"unknown: {', '.join(unknown)}")
    files = tuple((_like(_FILE, one["name"]), str(one["text"])) for one in asked["files"])
    names = [name for name, _ in files]
    if not files or len(set(names)) < len(names) or {ENV_FILE, RELEASE_FILE} & set(names):
        raise ValueError(f"compose files {names}: each is named once, and none is {RELEASE_FILE}")
    images = {_like(_SERVICE, service): _like(_PINNED, image) for service, image in dict(asked["images"]).items()}
    if not images:
        raise ValueError("no image is named")
    stack, digest = str(asked["stack"]), str(asked["env_digest"])
    return Request(
        stack,
        str(asked["environment"]),
        _plain(asked["manifest"]),
        _plain(asked["manifest_name"]),
        _like(_PROJECT, asked["project"]),
        _path(asked["dir"]),
        files,
        images,
        _told(stack, asked.get("told"), digest),
        digest,
        tuple(_path(place) for place in asked.get("places") or ()),
        {_plain(name): _path(place) for name, place in dict(asked.get("volumes") or {}).items()},
        int(asked["wait_s"]),
    )


def _told(stack: str, told: Any, digest: str) -> str:
    """Return the environment file's text, if it is the one that the plan was made with. No message holds any of it."""
    held = dict((told or {}).get("release") or {})
    if "why" in held:
        raise RefusedFault(f"compose_stack refused for {stack}: {held['why']}. Nothing was changed.")
    if "env" not in held:
        raise RefusedFault(f"compose_stack refused for {stack}: its environment file did not come along. Nothing was changed. Make a new plan.")
    if held.get("digest") != digest:
        raise RefusedFault(
            f"compose_stack refused for {stack}: its environment file is not the one that the plan was made with (its digest is another). "
            "Nothing was changed. Make a new plan."
        )
    return str(held["env"])


def _like(pattern: re.Pattern[str], text: Any) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not like {pattern.pattern}")
    return text


def _plain(text: Any) -> str:
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{text!r} is no plain line")
    return text


def _path(text: Any) -> str:
    path = _plain(text)
    if not path.startswith("/") or path == "/" or os.path.normpath(path) != path:
        raise ValueError(f"{path!r} is no absolute, normalised path below /")
    return path
