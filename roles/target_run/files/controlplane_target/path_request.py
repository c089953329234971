"""What a move of one container's data asks for: pure values, so that every verb reads the same."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from .faults import RefusedFault

KINDS = ("postgres", "redis", "minio", "files", "surface")
_KEYS = {"container", "kind", "data", "place", "volume", "mount", "proof", "override", "port", "auth", "owner", "mode", "stop_s", "answer_s"}


class Request(NamedTuple):
    """The container, where its data lie in it, and the place or named volume that they move to.

    `mount` is the mount on which the place has to lie, empty where any will do. `proof` is a command of the container whose output must stay the same.
    `override`: the change goes into an override file beside the stack's own. `user` and `variable`: whom to log in as, and the container's variable
    with the password. `owner` ("uid:gid") and `mode` (octal) are what the place itself has to have, empty where what is there stays; a surface is a path
    that may be missing so far.
    """

    container: str
    kind: str
    data: str
    place: str
    volume: str
    mount: str
    proof: tuple[str, ...]
    override: bool
    port: int
    user: str
    variable: str
    owner: str
    mode: str
    stop_s: int
    answer_s: int

    @property
    def destination(self) -> str:
        """How a message names where the data go."""
        return self.place or f"volume {self.volume}"


def parse(asked: Any) -> Request:
    """Return the request of its JSON form. Raises `ValueError`, `KeyError`, `TypeError`, `RefusedFault`."""
    if set(asked) - _KEYS:
        raise ValueError(f"unknown: {', '.join(sorted(set(asked) - _KEYS))}")
    place, volume, auth = str(asked.get("place") or ""), str(asked.get("volume") or ""), asked.get("auth") or {}
    if asked["kind"] not in KINDS or bool(place) == bool(volume):
        raise ValueError(f"kind {asked['kind']!r} with place {place!r} and volume {volume!r}")
    for path in filter(None, (str(asked["data"]), place)):
        if not path.startswith("/") or path == "/" or os.path.normpath(path) != path or any(ord(letter) < 32 for letter in path):
            raise RefusedFault(f"{path!r} is no absolute, normalised path below /. Nothing was changed.")
    return Request(
        str(asked["container"]),
        str(asked["kind"]),
        str(asked["data"]),
        place,
        volume,
        str(asked.get("mount") or ""),
        tuple(str(word) for word in asked.get("proof") or ()),
        bool(asked.get("override")),
        int(asked.get("port") or 6379),
        str(auth.get("user") or ""),
        str(auth.get("password_env") or ""),
        _like(r"[0-9]{1,9}:[0-9]{1,9}", asked.get("owner")),
        _like(r"[0-7]{3,4}", asked.get("mode")),
        int(asked.get("stop_s") or 60),
        int(asked.get("answer_s") or 120),
    )


def _like(pattern: str, text: Any) -> str:
    said = str(text or "")
    if said and not re.fullmatch(pattern, said, re.ASCII):
        raise ValueError(f"{said!r} is not like {pattern}")
    return said


def as_json(request: Request) -> dict[str, Any]:
    """Return the form that `parse` reads."""
    plain = request._asdict()
    auth = {"user": plain.pop("user"), "password_env": plain.pop("variable")}
    return {**plain, "proof": list(request.proof), "auth": {name: value for name, value in auth.items() if value}}
