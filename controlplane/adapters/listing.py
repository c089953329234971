"""What lies in a folder of the site. One that can't be read is no empty one: `Path.glob` passes a refusal over in silence."""

from __future__ import annotations

from fnmatch import filter as fitting
from pathlib import Path

from controlplane.domain.errors import Fault


def names_in(folder: Path, pattern: str = "*") -> list[str]:
    """Return the names in a folder that fit the pattern, sorted; none where there is no such folder. Raises `OSError` where it can't be read."""
    try:
        return sorted(fitting([path.name for path in folder.iterdir()], pattern))
    except FileNotFoundError:
        return []


def yaml_files_in(folder: Path) -> tuple[list[Path], list[Fault]]:
    """Return the YAML files in a folder of the site's files, sorted; a folder that can't be read is a fault."""
    try:
        return [folder / name for name in names_in(folder, "*.yml")], []
    except OSError as error:
        return [], [Fault(str(folder), 0, "", f"can't be listed ({error.strerror}): let this user read it")]
