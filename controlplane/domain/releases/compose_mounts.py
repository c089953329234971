"""What a service's `volumes` mount: short and long syntax, named volumes and what stands behind them.

Rules:
- A short entry is read as Compose reads it: a source that begins with `.`, `/` or `~` is a path of the machine, any other a named volume.
- A later file replaces an earlier one's mount at the same target.
- A volume of the local driver that binds a directory is that bind; one with other options, or another driver, lies where this program can't tell.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from controlplane.domain.releases.compose_keys import check_keys
from controlplane.domain.releases.compose_said import Judging, Said, given

_LONG: Final = frozenset(["bind", "consistency", "image", "read_only", "source", "target", "tmpfs", "type", "volume"])
_OPTIONS: Final = frozenset(
    [
        "ro", "rw", "nocopy", "z", "Z", "private", "rprivate", "shared", "rshared", "slave", "rslave", "consistent", "cached", "delegated",
    ]
)  # fmt: skip
_VOLUME: Final = frozenset(["driver", "driver_opts", "external", "labels", "name"])
_ANONYMOUS: Final = "is an anonymous volume, which the next container would not get again"


class Mount(NamedTuple):
    """One mount: `source` is an absolute path of the machine (bind), the key of a volume (volume), or empty (tmpfs)."""

    kind: str
    source: str
    target: str
    read_only: bool
    said: Said


class Behind(NamedTuple):
    """What stands behind a named volume: its name in Docker, and the directory that it binds, if it does."""

    name: str
    external: bool
    binds: str | None
    read_only: bool


def mounts_of(judging: Judging, pieces: Sequence[Said]) -> list[Mount]:
    """Return the mounts of one service, whose mappings in each file are `pieces`."""
    found: dict[str, tuple[str, Mount]] = {}
    for entries in judging.of_kind(given(pieces, "volumes"), list, "list"):
        for _, entry in entries.parts():
            mount = _long(judging, entry) if isinstance(entry.value, Mapping) else _short(judging, entry)
            if mount is None:
                continue
            clean = posixpath.normpath(mount.target)
            before = found.get(clean)
            if before is not None and before[0] != mount.target:
                judging.fault(entry, f"mounts at {clean} as {before[1].target} does, written otherwise: write the target in one way")
            found[clean] = (mount.target, mount._replace(target=clean))
    for said in given(pieces, "tmpfs"):
        for entry in [said] if isinstance(said.value, str) else [part for _, part in said.parts()]:
            text = judging.text(entry)
            if text is not None and posixpath.normpath(text.partition(":")[0]) in found:
                judging.fault(entry, f"mounts at {text.partition(':')[0]}, as volumes does: Compose refuses both, so take one out")
    return [mount for _, mount in found.values()]


def _short(judging: Judging, said: Said) -> Mount | None:
    text = judging.text(said)
    if text is None:
        return None
    source, target, options, wrong = _split(text)
    if wrong:
        judging.fault(said, wrong)
        return None
    if source[0] not in "./~":
        return _mount(judging, said, "volume", source, target, read_only="ro" in options)
    where = _absolute(judging, said, source)
    return None if where is None else _mount(judging, said, "bind", where, target, read_only="ro" in options)


def _split(text: str) -> tuple[str, str, list[str], str]:
    """Return source, target and options of a short entry, and what is wrong with it."""
    parts = text.split(":")
    if not all(parts) or len(parts) > 3:
        return "", "", [], "is no SOURCE:TARGET or SOURCE:TARGET:OPTIONS: write it so, or in the long form"
    if len(parts) == 1:
        return "", "", [], f"{_ANONYMOUS}: name it, NAME:TARGET, and declare it under volumes"
    options = parts[2].split(",") if len(parts) == 3 else []
    strange = next((option for option in options if option not in _OPTIONS), None)
    wrong = f"has the option {strange!r}, which is not known here: use the long form" if strange is not None else ""
    if len(parts[0]) == 1 and parts[0].isalpha():
        wrong = "has a source of one letter, which Compose may take for a drive: give the volume a longer name"
    return parts[0], parts[1], options, wrong


def _long(judging: Judging, said: Said) -> Mount | None:
    check_keys(judging, said, _LONG)
    texts: dict[str, str | None] = {}
    for key in ("type", "source", "target"):
        for part in given([said], key):
            texts[key] = judging.text(part)
            if texts[key] is None:
                return None
    flags = [judging.truth(part) for part in given([said], "read_only")]
    kind, source, target = texts.get("type"), texts.get("source") or "", texts.get("target") or ""
    if kind not in ("bind", "volume", "tmpfs"):
        judging.fault(said, "has no type that is judged here: write type bind, volume or tmpfs", "type")
        return None
    if kind == "volume" and not source:
        judging.fault(said, f"{_ANONYMOUS}: give it a source, and declare that under volumes")
        return None
    if kind == "bind":
        if not source:
            judging.fault(said, "is missing: write the directory of the machine that is bound", "source")
            return None
        where = _absolute(judging, said, source)
        if where is None:
            return None
        source = where
    return _mount(judging, said, kind, "" if kind == "tmpfs" else source, target, read_only=True in flags)


def _mount(judging: Judging, said: Said, kind: str, source: str, target: str, *, read_only: bool) -> Mount | None:
    if not target.startswith("/"):
        judging.fault(said, "has no absolute target: write the whole path in the container")
        return None
    return Mount(kind, source, target, read_only, said)


def _absolute(judging: Judging, said: Said, source: str) -> str | None:
    if source.startswith("~"):
        judging.fault(said, "begins with ~, which depends on who starts it: write the whole path")
        return None
    return posixpath.normpath(posixpath.join(judging.asked.dir, source))


def volumes_behind(judging: Judging, tops: Sequence[Said]) -> dict[str, Behind]:
    """Return what the top-level volumes of all files are, by their keys."""
    sections = judging.of_kind(given(tops, "volumes"), dict, "mapping")
    keys = list(dict.fromkeys(str(key) for section in sections for key, _ in section.parts()))
    return {key: _behind(judging, key, [part for section in sections for name, part in section.parts() if name == key]) for key in keys}


def _behind(judging: Judging, key: str, pieces: Sequence[Said]) -> Behind:
    pieces = judging.of_kind([piece for piece in pieces if piece.value is not None], dict, "mapping")
    for piece in pieces:
        check_keys(judging, piece, _VOLUME)
    last: dict[str, Said] = {field: saids[-1] for field in _VOLUME if (saids := given(pieces, field))}
    named = judging.text(last["name"]) if "name" in last else None
    external = judging.truth(last["external"]) is True if "external" in last else False
    name = named or (key if external else f"{judging.asked.project}_{key}")
    if "driver" in last and judging.text(last["driver"]) != "local":
        judging.fault(last["driver"], "is another driver than local, so where its data lie can't be judged: take it out")
    options = _options(judging, pieces)
    if not options or external:
        return Behind(name, external, None, read_only=False)
    binding = options.get("o", "").split(",")
    device = options.get("device", "")
    if "bind" not in binding or options.get("type", "none") not in ("none", "") or not device.startswith("/"):
        at = last.get("driver_opts", pieces[-1])
        judging.fault(at, "makes a volume whose data lie where this can't be judged: bind a directory of the machine, or take the options out")
        return Behind(name, external, None, read_only=False)
    return Behind(name, external, posixpath.normpath(device), read_only="ro" in binding)


def _options(judging: Judging, pieces: Sequence[Said]) -> dict[str, str]:
    found: dict[str, Any] = {}
    for options in judging.of_kind(given(pieces, "driver_opts"), dict, "mapping"):
        for key, part in options.parts():
            found[str(key)] = judging.text(part) if isinstance(part.value, str) else str(part.value)
    return {key: value for key, value in found.items() if value is not None}
