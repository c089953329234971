"""What Compose makes of a stack's files before they lie in their folder: they are read from memory, where all else of the folder is linked to.

Rules:
- What is judged is Compose's own reading after merging, by the program and the environment that will bring it up: nothing that a shell exported counts.
- The texts lie below /run as long as they are read, for root alone: one of them has secrets in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from . import command, stack_env, stack_files
from .compose import Stack
from .faults import RefusedFault
from .stack_request import ENV_FILE

DRAFTS = Path("/run/controlplane")
_READ_LIMIT_S = 60.0
_UNSET = re.compile(r'The \\?"(\w+)\\?" variable is not set')


class View(NamedTuple):
    """Compose's reading, with the paths that it will have, and the names of variables that nothing sets."""

    config: dict[str, Any]
    unset: tuple[str, ...]


def reading(stack: Stack, contents: Mapping[str, bytes | None], key: str) -> View:
    """Return what Compose makes of the stack with these files in place of its folder's own; None is one that is not there. Raises `RefusedFault`."""
    with _drafted(stack.directory, contents, key) as place:

        def there(paths: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(os.path.join(place, os.path.basename(path)) if os.path.dirname(path) == stack.directory else path for path in paths)

        draft = replace(stack, directory=place, files=there(stack.files), environment_files=there(stack.environment_files))
        docker, compose, _, _, *words = draft.argv("config", "--format", "json")
        # Without the project's name: what the files themselves say is to be judged.
        said = command.run([docker, compose, *words], timeout_s=_READ_LIMIT_S)
    if said.code != 0:
        text = stack_files.env_text(stack.directory) + "\n" + (contents.get(ENV_FILE) or b"").decode("utf-8", "surrogateescape")
        told = stack_env.last_words(said.err.replace(place, stack.directory), text)
        raise RefusedFault(f"Compose can't read {', '.join(stack.files)}: {told}. Nothing was changed.")
    return View(dict(_moved(json.loads(said.out), place, stack.directory)), tuple(dict.fromkeys(_UNSET.findall(said.err))))


def _moved(held: Any, place: str, folder: str) -> Any:
    """Return a reading in which every path below one folder lies below the other."""
    if isinstance(held, dict):
        return {key: _moved(value, place, folder) for key, value in held.items()}
    if isinstance(held, list):
        return [_moved(value, place, folder) for value in held]
    if isinstance(held, str) and (held == place or held.startswith(f"{place}/")):
        return folder + held[len(place) :]
    return held


@contextmanager
def _drafted(folder: str, contents: Mapping[str, bytes | None], key: str) -> Iterator[str]:
    """Give a folder in memory that holds these files, and links to all else that the stack's folder holds."""
    place = _place_of(key)
    DRAFTS.mkdir(mode=0o700, parents=True, exist_ok=True)
    forget(key)
    place.mkdir(mode=0o700)
    try:
        for name, data in contents.items():
            if data is not None:
                descriptor = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name not in contents:
                os.symlink(os.path.join(folder, name), place / name)
        yield str(place)
    finally:
        forget(key)


def forget(key: str) -> None:
    """Remove what a reading that was killed left in memory."""
    shutil.rmtree(_place_of(key), ignore_errors=True)


def _place_of(key: str) -> Path:
    return DRAFTS / f"{key}.draft"
