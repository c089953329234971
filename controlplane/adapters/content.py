"""The roles that travel with the program: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import controlplane
from controlplane.domain.errors import ControlPlaneError

_SKIPPED = {"__pycache__", "molecule"}


class PackagedRoles:
    """Reads every file of every role."""

    def files(self) -> Mapping[str, bytes]:
        """Return the bytes of every role file by path below `roles/`."""
        root = self.folder()
        paths = (path for path in sorted(root.rglob("*")) if path.is_file() and not _SKIPPED & set(path.parts) and path.suffix != ".pyc")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}

    def folder(self) -> Path:
        """Return the roles' folder."""
        package = Path(controlplane.__file__).parent
        for candidate in (package / "_content" / "roles", package.parent / "roles"):
            if candidate.is_dir():
                return candidate
        raise ControlPlaneError(f"no roles beside {package}: this installation is not complete, install the wheel again.")
