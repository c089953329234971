"""Rules for paths that a policy names.

Rules:
- Paths are absolute and normalised: no `..`, no `.`, no doubled or trailing slash, no control characters.
- A mount or a place is never a directory that the system itself lives in (`RESERVED`), nor anything below one of
  `RESERVED_TREES`: formatting, moving or mounting there would take the machine down.
- Characters that compose files, systemd units or shells read as syntax are refused in mounts and places.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

RESERVED: Final = frozenset(
    ["/", "/etc", "/usr", "/var", "/home", "/root", "/tmp", "/var/lib", "/opt", "/srv"]  # noqa: S108 - refused, not used
)
RESERVED_TREES: Final = (
    "/boot", "/dev", "/etc", "/proc", "/run", "/sys", "/usr",
    # Links into the trees above on every current Debian, so a path below them lands there.
    "/bin", "/lib", "/lib64", "/sbin", "/var/run", "/var/lock",
)  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SYNTAX = re.compile(r"""[:*?"'\\$%`<>|;&{}]""")


def check_path(path: str) -> str:
    """Return `path` if it is absolute and normalised; ValueError says what is wrong with it."""
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} holds a control character: write the path without it")
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not absolute: write the whole path, from /")
    if path == "/":
        return path
    parts = path[1:].split("/")
    if ".." in parts:
        raise ValueError(f"{path!r} holds '..': write the path that it leads to")
    if "" in parts or "." in parts:
        raise ValueError(f"{path!r} is not normalised: write it as {_normalised(parts)!r}")
    if len(path.encode()) > 4095 or any(len(part.encode()) > 255 for part in parts):
        # Not even in part: what is pasted in by mistake is long, and who hides secrets would not know a part.
        raise ValueError("is too long: a path has at most 4095 bytes, 255 in each part")
    return path


def check_place(path: str) -> str:
    """Return `path` if data may be mounted or placed there; ValueError gives the reason."""
    check_path(path)
    if path in RESERVED:
        raise ValueError(f"{path} belongs to the system: name a directory below a mount of its own, such as /mnt/data")
    for tree in RESERVED_TREES:
        if path == tree or is_below(path, tree):
            raise ValueError(f"{path} lies in {tree}, which belongs to the system: name a place such as /mnt/data")
    bad = _SYNTAX.search(path)
    if bad:
        raise ValueError(f"{path!r} holds {bad[0]!r}, which compose files or systemd read as syntax: rename the directory")
    return path


def check_controller_file(path: str) -> str:
    """Return `path` if it names a file on the controller, whole or from the site's folder; ValueError says what is wrong with it."""
    if path.startswith("~"):
        raise ValueError(f"{path!r} begins with '~', which stays as it is: write the path from / or from the site's folder")
    if not path:
        raise ValueError("is empty: write the path of a file")
    check_path(path if path.startswith("/") else f"/{path}")
    return path


def is_below(path: str, parent: str) -> bool:
    """Return whether `path` lies strictly below `parent`; both are normalised."""
    return path != parent and path.startswith("/" if parent == "/" else parent + "/")


def overlap(one: str, other: str) -> bool:
    """Return whether two normalised paths are the same or one lies below the other."""
    return one == other or is_below(one, other) or is_below(other, one)


def _normalised(parts: list[str]) -> str:
    return "/" + "/".join(part for part in parts if part not in ("", "."))


_PATH_SCHEMA = {"type": "string", "pattern": "^/", "description": "Absolute, normalised path without '..'"}
# Any absolute path, also one inside a container.
AnyPath = Annotated[str, AfterValidator(check_path), WithJsonSchema(_PATH_SCHEMA)]
# A file on the controller.
ControllerFile = Annotated[
    str,
    AfterValidator(check_controller_file),
    WithJsonSchema({"type": "string", "pattern": "^[^~]", "description": "Path of a file on the controller, absolute or from the site's folder"}),
]
# A path on the machine where data may be mounted or placed.
PlacePath = Annotated[
    str,
    AfterValidator(check_place),
    WithJsonSchema({"type": "string", "pattern": "^/.", "description": "Absolute path on the machine, outside the system's own directories"}),
]
