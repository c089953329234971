"""Write a rendered project into a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.domain.errors import Fault, InputInvalidError


def write_project(folder: Path, project: Mapping[str, bytes]) -> None:
    """Write every file. Raises `InputInvalidError` when the folder is there already: nothing of anybody's is overwritten."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputInvalidError([Fault("--out", 0, "", f"{folder} is there already: name a new folder")]) from None
    except OSError as error:
        raise InputInvalidError([Fault("--out", 0, "", f"{folder} can't be made: {error.strerror}")]) from None
    for name, content in project.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if content.startswith(b"#!"):
            path.chmod(0o755)
