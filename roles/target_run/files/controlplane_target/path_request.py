"""What a move of one container's paths asks for: pure values, so that every verb reads the same."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from typing import Any, NamedTuple

from .faults import RefusedFault

SURFACE = "surface"
KINDS = ("postgres", "redis", "minio", "files", SURFACE)
_KEYS = {"container", "paths", "override", "port", "auth", "stop_s", "answer_s"}
_PATH_KEYS = {"kind", "data", "place", "volume", "mount", "proof", "owner", "mode"}


class Wanted(NamedTuple):
    """One path of the container, and the place or the named volume that it shall have.

    `mount` is the mount on which the place has to lie, empty where any will do. `proof` is a command of the container whose output must stay the same.
    `owner` ("uid:gid") and `mode` (octal) are what the place itself has to have, empty where what is there stays. Of kind `surface` it is a path that
    may be missing so far.
    """

    kind: str
    data: str
    place: str
    volume: str
    mount: str
    proof: tuple[str, ...]
    owner: str
    mode: str

    @property
    def destination(self) -> str:
        """How a message names where it goes."""
        return self.place or f"volume {self.volume}"


class Request(NamedTuple):
    """The container and its paths, which move together.

    `override`: the change goes into an override file beside the stack's own. `user` and `variable`: whom to log in as, and the container's variable
    with the password.
    """

    container: str
    paths: tuple[Wanted, ...]
    override: bool
    port: int
    user: str
    variable: str
    stop_s: int
    answer_s: int

    @property
    def service(self) -> Wanted | None:
        """The path whose data the service itself proves, None where there are surfaces alone."""
        return next((wanted for wanted in self.paths if wanted.kind != SURFACE), None)

    @property
    def told(self) -> str:
        """How a message names all that moves."""
        return ", ".join(wanted.data for wanted in self.paths)

    def at(self, data: str) -> Wanted:
        """Return the path of that name in the container."""
        return next(wanted for wanted in self.paths if wanted.data == data)

    def only(self, names: Container[str]) -> Request:
        """Return the request for these of its paths."""
        return self._replace(paths=tuple(wanted for wanted in self.paths if wanted.data in names))


def parse(asked: Any) -> Request:
    """Return the request of its JSON form. Raises `ValueError`, `KeyError`, `TypeError`, `RefusedFault`."""
    _refuse_unknown(asked, _KEYS)
    auth, paths = asked.get("auth") or {}, tuple(_wanted(one) for one in asked["paths"])
    names = [wanted.data for wanted in paths]
    if not paths or len(set(names)) < len(names) or sum(wanted.kind != SURFACE for wanted in paths) > 1:
        raise ValueError(f"paths {names}: each is named once, and one of them at most is the service's own data")
    return Request(
        str(asked["container"]),
        paths,
        bool(asked.get("override")),
        int(asked.get("port") or 6379),
        str(auth.get("user") or ""),
        str(auth.get("password_env") or ""),
        int(asked.get("stop_s") or 60),
        int(asked.get("answer_s") or 120),
    )


def _wanted(asked: Any) -> Wanted:
    _refuse_unknown(asked, _PATH_KEYS)
    kind, place, volume = str(asked.get("kind") or SURFACE), str(asked.get("place") or ""), str(asked.get("volume") or "")
    if kind not in KINDS or bool(place) == bool(volume):
        raise ValueError(f"kind {kind!r} with place {place!r} and volume {volume!r}")
    for path in filter(None, (str(asked["data"]), place)):
        if not path.startswith("/") or path == "/" or os.path.normpath(path) != path or any(ord(letter) < 32 for letter in path):
            raise RefusedFault(f"{path!r} is no absolute, normalised path below /. Nothing was changed.")
    return Wanted(
        kind,
        str(asked["data"]),
        place,
        volume,
        str(asked.get("mount") or ""),
        tuple(str(word) for word in asked.get("proof") or ()),
        _like(r"[0-9]{1,9}:[0-9]{1,9}", asked.get("owner")),
        _like(r"[0-7]{3,4}", asked.get("mode")),
    )


def _refuse_unknown(asked: Any, keys: set[str]) -> None:
    if set(asked) - keys:
        raise ValueError(f"unknown: {', '.join(sorted(set(asked) - keys))}")


def _like(pattern: str, text: Any) -> str:
    said = str(text or "")
    if said and not re.fullmatch(pattern, said, re.ASCII):
        raise ValueError(f"{said!r} is not like {pattern}")
    return said


def as_json(request: Request) -> dict[str, Any]:
    """Return the form that `parse` reads."""
    plain = request._asdict()
    auth = {"user": plain.pop("user"), "password_env": plain.pop("variable")}
    paths = [{**wanted._asdict(), "proof": list(wanted.proof)} for wanted in request.paths]
    return {**plain, "paths": paths, "auth": {name: value for name, value in auth.items() if value}}
