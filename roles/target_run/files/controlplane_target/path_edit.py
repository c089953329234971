"""What in the compose files of a stack has to change so that a service mounts its paths where they belong, judged by Compose itself before it is written.

Rules:
- Of one service the entry of each path changes, a named volume is declared where it is not, and the project's name is pinned: a renamed folder would be a
  new project, with empty volumes (docker/compose#5406).
- Where the site wants it, all of that stands in an override file, which Compose reads by itself beside a file of a default name; any other is refused.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import compose
from .compose import Stack
from .faults import RefusedFault
from .path_request import Request, Wanted

if TYPE_CHECKING:
    from .compose_mounts import ComposeMounts

_DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


class Edit(NamedTuple):
    """The stack as it is told from now on, and each changed file's text, before (None where there is none) and after."""

    stack: Stack
    texts: dict[str, tuple[str | None, str]]


class _Texts:
    """The stack's files as they change: `told` is which of them Compose is told of from now on."""

    def __init__(self, stack: Stack, override: str | None) -> None:
        self.stack, self.override = stack, override
        self.before: dict[str, str | None] = {}
        self.now: dict[str, str] = {}

    def file_of(self, data: str) -> str:
        """Return the file in which a path's mount is to be written."""
        path = self.override or _file_of(self.stack, data)
        if path not in self.now:
            self.before[path] = compose.read_text(path) if os.path.exists(path) else None
            before = self.before[path]
            self.now[path] = before if before is not None else f"services:\n  {self.stack.service}:\n    volumes: []\n"
        return path

    def read(self, path: str) -> ComposeMounts:
        return _read(self.now[path], path)

    def all(self) -> list[ComposeMounts]:
        """Return every file that is there, as it is by now; an override file that is wanted may not be there yet."""
        there = [path for path in self.stack.files if path not in self.now and os.path.exists(path)]
        return [*(self.read(path) for path in self.now), *(_text(path) for path in there)]

    def changed(self) -> dict[str, tuple[str | None, str]]:
        return {path: (self.before[path], text) for path, text in self.now.items() if text != self.before[path]}


def edit(stack: Stack, request: Request) -> Edit:
    """Return what has to be written so that the service mounts each of its paths where it belongs. Raises `RefusedFault`."""
    told, override = _override(stack) if request.override else (stack, None)
    texts = _Texts(stack, override)
    for wanted in request.paths:
        _mount(texts, wanted)
    if not any(text.names_project() for text in texts.all()):
        first = next(iter(texts.now))
        texts.now[first] = texts.read(first).with_project(stack.project)
    return Edit(told, texts.changed())


def _mount(texts: _Texts, wanted: Wanted) -> None:
    from .compose_entry import Mount  # noqa: PLC0415 - PyYAML is laid down for those alone that change a compose file

    stack, path = texts.stack, texts.file_of(wanted.data)
    mount = Mount("bind", wanted.place)
    if wanted.volume:
        key = next((key for text in texts.all() if (key := text.volume_key(wanted.volume, stack.project))), None)
        mount = Mount("volume", key or wanted.volume.removeprefix(f"{stack.project}_"))
        if key is None:
            texts.now[path] = texts.read(path).with_volume(mount.source, wanted.volume)
    text = texts.read(path)
    if not text.has_service(stack.service):
        raise RefusedFault(f"{path} does not define the service {stack.service} itself: write its volume there yourself. Nothing was changed.")
    texts.now[path] = text.with_mount(stack.service, wanted.data, mount)


def assert_only_that(stack: Stack, made: Edit, request: Request) -> None:
    """Raise `RefusedFault` unless Compose reads the new texts as the old ones, but for where the service's paths are mounted."""
    before = compose.reading(stack)
    _assert_not_more(before, stack, request)
    after = compose.reading_of(made.stack, {path: new for path, (_, new) in made.texts.items()})
    entries = after["services"][stack.service].get("volumes") or []
    mounted = {wanted: [entry for entry in entries if entry.get("target") == wanted.data] for wanted in request.paths}
    are_wanted = all(len(found) == 1 and _is_wanted(found[0], after, wanted) for wanted, found in mounted.items())
    if _without(before, stack.service, request) != _without(after, stack.service, request) or not are_wanted:
        meant = " and ".join(f"{wanted.data} from {wanted.destination}" for wanted in request.paths)
        raise RefusedFault(
            f"{', '.join(made.texts)} would mean more to Compose, or less, than that {stack.service} mounts {meant}. "
            "Nothing was changed. Write it there yourself."
        )


def _assert_not_more(read: dict[str, Any], stack: Stack, request: Request) -> None:
    """Raise `RefusedFault` where an entry that is replaced says more to Compose than its source, in whichever of the files."""
    targets = {wanted.data for wanted in request.paths}
    entries = [entry for entry in read["services"][stack.service].get("volumes") or [] if entry.get("target") in targets]
    found = [
        f"{stack.service} mounts {one['target']} with {', '.join(more)}, which would be lost" for one in entries if (more := _more_than_source(one))
    ]
    if found:
        raise RefusedFault(f"{'; '.join(found)}. Nothing was changed. Take that out of {', '.join(stack.files)}, and bring it up.")


def _more_than_source(entry: dict[str, Any]) -> list[str]:
    # How a source is made or first filled says nothing of a new one.
    groups = {"bind": "create_host_path", "volume": "nocopy"}
    more = [key for key, value in entry.items() if value and key not in ("type", "source", "target", *groups)]
    return more + [f"{group}.{key}" for group, known in groups.items() for key, value in (entry.get(group) or {}).items() if value and key != known]


def _override(stack: Stack) -> tuple[Stack, str]:
    first = Path(stack.files[0])
    names = [f"{first.stem}.override{first.suffix}"]
    path = str(first.with_name(names[0]))
    if first.name not in _DEFAULTS or str(first.parent) != stack.directory or any(held not in (str(first), path) for held in stack.files):
        raise RefusedFault(
            f"the site wants an override file, and Compose reads one by itself only beside a file of a default name: {stack.project} is made from "
            f"{', '.join(stack.files)}. Nothing was changed. Take 'edit: override' out of the policy (stacks), or rename the file."
        )
    return replace(stack, files=(str(first), path)), path


def _file_of(stack: Stack, data: str) -> str:
    """Return the last of the stack's files that mounts something at the data's path, else the first that defines the service."""
    texts = [(path, _text(path)) for path in stack.files]
    naming = [path for path, text in texts if data in text.mounts(stack.service)]
    defining = [path for path, text in texts if text.has_service(stack.service)]
    if not defining:
        raise compose.undefined(stack, [text for _, text in texts])
    path = naming[-1] if naming else defining[0]
    if Path(path).is_symlink():
        raise RefusedFault(f"{path} is a symbolic link, which an atomic write would replace: name the file itself. Nothing was changed.")
    return path


def _text(path: str) -> ComposeMounts:
    return _read(compose.read_text(path), path)


def _read(text: str, path: str) -> ComposeMounts:
    from .compose_mounts import ComposeMounts  # noqa: PLC0415 - as above

    return ComposeMounts(text, path)


def _without(read: dict[str, Any], service: str, request: Request) -> dict[str, Any]:
    """Return Compose's reading without what may change."""
    services, targets = dict(read["services"]), {wanted.data for wanted in request.paths}
    one = dict(services[service])
    one["volumes"] = [entry for entry in one.get("volumes") or [] if entry.get("target") not in targets]
    services[service] = one
    kept = {key: value for key, value in read.items() if key not in ("services", "volumes")}
    # A volume that nobody mounts any more is left out of the reading; those of others have to stay as they are.
    used = {entry.get("source") for held in services.values() for entry in held.get("volumes") or [] if entry.get("type") == "volume"}
    return {**kept, "services": services, "volumes": {key: value for key, value in (read.get("volumes") or {}).items() if key in used}}


def _is_wanted(entry: dict[str, Any], read: dict[str, Any], wanted: Wanted) -> bool:
    if entry.get("read_only"):
        return False
    if wanted.place:
        return (entry.get("type"), entry.get("source")) == ("bind", wanted.place)
    declared = (read.get("volumes") or {}).get(entry.get("source")) or {}
    return bool(entry.get("type") == "volume" and declared.get("name") == wanted.volume)
