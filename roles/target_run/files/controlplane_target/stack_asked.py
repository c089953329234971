"""What a deployment's unit is asked for: it has the environment file in it, so it lies in the memory filesystem, for root alone, as long as the unit works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .files import read_json, write_json
from .state import Run

FOLDER = Path("/run/controlplane")


def keep(run: Run, asked: dict[str, Any]) -> None:
    """Put a request where the run's unit finds it."""
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(FOLDER, 0o700)
    write_json(_place_of(run), asked)


def kept(run: Run) -> dict[str, Any]:
    """Return the request that lies there, empty where none does."""
    return dict(read_json(_place_of(run)) or {})


def forget(run: Run) -> None:
    """Remove it, once nothing works by it any more."""
    _place_of(run).unlink(missing_ok=True)


def _place_of(run: Run) -> Path:
    return FOLDER / f"{run.key}.asked"
