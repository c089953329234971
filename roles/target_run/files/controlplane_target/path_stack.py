"""The compose files of a move: what in them changes, that it means nothing else to Compose, how they were, and back again.

Rules:
- One entry of one service changes, a named volume is declared where it is not, and the project's name is pinned: a renamed folder would be a new project, with
  empty volumes (docker/compose#5406).
- Where the site wants it, all of that stands in an override file, which Compose reads by itself beside a file of a default name; any other is refused.
- How a file was is kept without its text, as text_change.py does; a file that is new is removed again. What later runs wrote in it stays (text_history.py).
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import compose, text_change, text_history
from .compose import Stack
from .faults import FailedFault, RefusedFault
from .files import read_json, remove, write_json, write_like
from .path_request import Request
from .state import Run

if TYPE_CHECKING:
    from .compose_mounts import ComposeMounts

_FILE = "compose.json"
_DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


class Edit(NamedTuple):
    """The stack as it is told from now on, and each changed file's text, before (None where there is none) and after."""

    stack: Stack
    texts: dict[str, tuple[str | None, str]]


def edit(stack: Stack, request: Request) -> Edit:
    """Return what has to be written so that the service mounts its data where they belong. Raises `RefusedFault`."""
    from .compose_mounts import Mount  # noqa: PLC0415 - PyYAML is laid down for those alone that change a compose file

    texts: dict[str, tuple[str | None, str]] = {}
    # An override file that is wanted is not there yet.
    told, there = stack, [path for path in stack.files if os.path.exists(path)]
    if request.override:
        told, path = _override(stack)
    else:
        path = _file_of(stack, request.data)
    before = compose.read_text(path) if os.path.exists(path) else None
    after = before if before is not None else f"services:\n  {stack.service}:\n    volumes: []\n"
    mount = Mount("bind", request.place)
    if request.volume:
        key = next((key for held in there if (key := _text(held).volume_key(request.volume, stack.project))), None)
        mount = Mount("volume", key or request.volume.removeprefix(f"{stack.project}_"))
        if key is None:
            after = _read(after, path).with_volume(mount.source, request.volume)
    text = _read(after, path)
    if not text.has_service(stack.service):
        raise RefusedFault(f"{path} does not define the service {stack.service} itself: write its volume there yourself. Nothing was changed.")
    after = text.with_mount(stack.service, request.data, mount)
    if not any(_text(held).names_project() for held in there):
        after = _read(after, path).with_project(stack.project)
    if after != before:
        texts[path] = (before, after)
    return Edit(told, texts)


def assert_only_that(stack: Stack, made: Edit, request: Request) -> None:
    """Raise `RefusedFault` unless Compose reads the new texts as the old ones, but for where the service's data are mounted."""
    before = compose.reading(stack)
    after = compose.reading_of(made.stack, {path: new for path, (_, new) in made.texts.items()})
    now = _without(after, stack.service, request)
    was = _without(before, stack.service, request)
    mounted = [entry for entry in after["services"][stack.service].get("volumes") or [] if entry.get("target") == request.data]
    if was != now or len(mounted) != 1 or not _is_wanted(mounted[0], after, request):
        raise RefusedFault(
            f"{', '.join(made.texts)} would mean more to Compose, or less, than that {stack.service} mounts {request.data} from {request.destination}. "
            "Nothing was changed. Write it there yourself."
        )


def record(run: Run, made: Edit) -> bool:
    """Keep how the files change, by how they are now; return whether that is new. Only for a run that has not changed one yet."""
    changes = {path: text_change.change_of(old or "", new) | {"absent": old is None} for path, (old, new) in made.texts.items()}
    kept = {"changes": changes, "files": compose.digests(made.stack)}
    if read_json(run.folder / _FILE) == kept:
        return False
    write_json(run.folder / _FILE, kept)
    return True


def recorded(run: Run) -> dict[str, Any]:
    """Return {path: change} of a run, empty where it changed no file."""
    return dict((read_json(run.folder / _FILE) or {"changes": {}})["changes"])


def assert_known(run: Run, stack: Stack) -> None:
    """Raise `FailedFault` where one of the stack's files is neither as it was when the way back was left, nor as this run writes it."""
    changes, known = recorded(run), (read_json(run.folder / _FILE) or {"files": {}})["files"]
    for path, digest in compose.digests(stack).items():
        wanted = (changes[path]["before"], changes[path]["after"]) if path in changes else (known.get(path),)
        if digest not in wanted:
            raise FailedFault(f"{path} was changed by somebody while this ran, and was left as it is: run this again, it goes by the file as it is")


def write(run: Run, stack: Stack, request: Request, *, strict: bool) -> None:
    """Write the files as recorded. Raises `FailedFault` where one is neither as it was nor as it shall be; `strict` asks that of the others too."""
    if strict:
        assert_known(run, stack)
    changes = recorded(run)
    if all(_digest(path) == change["after"] for path, change in changes.items()):
        return
    made = edit(stack, request)
    for path, change in changes.items():
        if _digest(path) == change["after"]:
            continue
        new = made.texts.get(path, (None, ""))[1]
        if text_change.digest(new) != change["after"]:
            raise FailedFault(f"{path} was changed by somebody while this ran, and was left as it is")
        text_history.note(run.home, path, change)
        write_like(Path(path), new.encode(), mode=0o644)


def refuse_back(of: Run) -> list[str]:
    """Return what of the files somebody changed since that run wrote them."""
    return [
        f"{path} was changed by somebody since this run wrote it: take those changes back, or undo this by hand ({of.folder}/README)"
        for path, change in recorded(of).items()
        if os.path.exists(path) and text_history.without(of.home, path, compose.read_text(path), change) is None
    ]


def put_back(of: Run) -> None:
    """Put the files back as they were before that run, and leave in them what others wrote since. Raises `FailedFault` where that is not surely known."""
    for path, change in recorded(of).items():
        if not os.path.exists(path):
            continue
        now = compose.read_text(path)
        old = text_history.without(of.home, path, now, change)
        if old is None:
            raise FailedFault(
                f"{path} was changed by somebody since this run wrote it. It was left as it is. Take those changes back, then run this again"
            )
        if old == now:
            continue
        if change["absent"] and not old:
            of.write(removed={**(of.state.get("removed") or {}), path: now})
            remove(Path(path))
            continue
        undoing = text_history.undoing(now, old)
        text_history.note(of.home, path, undoing)
        of.write(put_back={**(of.state.get("put_back") or {}), path: undoing})
        write_like(Path(path), old.encode(), mode=0o644)


def put_forward(of: Run) -> None:
    """Take back what `put_back` wrote, as far as it did. Raises `FailedFault` where that is not surely known."""
    for path, undoing in (of.state.get("put_back") or {}).items():
        if not os.path.exists(path):
            continue
        now = compose.read_text(path)
        old = text_history.without(of.home, path, now, undoing)
        if old is None:
            raise FailedFault(f"{path} was changed by somebody since. It was left as it is. Bring {of.state['asked']['container']} up by hand")
        if old != now:
            text_history.note(of.home, path, text_history.undoing(now, old))
            write_like(Path(path), old.encode(), mode=0o644)
    # An override file of our own, which holds nothing but our lines.
    for path, text in (of.state.get("removed") or {}).items():
        if not os.path.exists(path):
            write_like(Path(path), text.encode(), mode=0o644)
    of.write(put_back=None, removed=None)


def _digest(path: str) -> str | None:
    return text_change.digest(compose.read_text(path)) if os.path.exists(path) else None


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
        raise RefusedFault(f"none of {', '.join(stack.files)} defines the service {stack.service} itself. Nothing was changed.")
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
    services = dict(read["services"])
    one = dict(services[service])
    one["volumes"] = [entry for entry in one.get("volumes") or [] if entry.get("target") != request.data]
    services[service] = one
    kept = {key: value for key, value in read.items() if key not in ("services", "volumes")}
    # A volume that nobody mounts any more is left out of the reading; those of others have to stay as they are.
    used = {entry.get("source") for held in services.values() for entry in held.get("volumes") or [] if entry.get("type") == "volume"}
    return {**kept, "services": services, "volumes": {key: value for key, value in (read.get("volumes") or {}).items() if key in used}}


def _is_wanted(entry: dict[str, Any], read: dict[str, Any], request: Request) -> bool:
    if entry.get("read_only"):
        return False
    if request.place:
        return (entry.get("type"), entry.get("source")) == ("bind", request.place)
    declared = (read.get("volumes") or {}).get(entry.get("source")) or {}
    return bool(entry.get("type") == "volume" and declared.get("name") == request.volume)
