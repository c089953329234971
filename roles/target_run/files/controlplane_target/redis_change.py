"""How a run changes the file from which a Redis reads its settings, as its folder keeps that, and what of it can be taken back.

Rules:
- It is on disk before the file is changed, without what stays: that may be a password.
- A file that is neither as it was nor as the run makes it is somebody's, and left as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import text_change, text_history
from .faults import FailedFault
from .files import read_json
from .state import Run

if TYPE_CHECKING:
    from .redis_request import Request

NAME = "settings.json"


def of(run: Run) -> dict[str, Any] | None:
    """Return the change that a run keeps, None where it has none."""
    change: dict[str, Any] | None = read_json(run.folder / NAME)
    return change


def of_another(run: Run, request: Request, text: str) -> dict[str, Any] | None:
    """Return the change that an earlier run made to that file and did not come to the end with: it is this run's own from now on."""
    for other in reversed(run.home.runs()):
        asked = other.state.get("asked") or {}
        if other.key == run.key or other.state.get("role") != "redis_aof" or other.phase in ("done", "undone"):
            continue
        change = of(other)
        if change is not None and asked.get("container") == request.container and change["after"] == text_change.digest(text) != change["before"]:
            return change
    return None


def assert_known(change: dict[str, Any], path: str, text: str, aside: Path | None = None) -> None:
    """Raise `FailedFault` unless the text is as it was before that change, or as it is after it; `aside` is where a writer keeps what was there."""
    if text_change.digest(text) in (change["before"], change["after"]):
        return
    if aside is not None and aside.exists():
        raise FailedFault(
            f"{path} is neither as it was nor as this run makes it: an earlier attempt was cut off while it wrote it, or somebody changed it. {aside} is "
            f"its text from before: see to it by hand ('cat {aside} > {path}', not mv), then run this again"
        )
    raise FailedFault(f"{path} was changed by somebody while this ran, and left as it is; the settings run. Make a new plan: it persists them")


def taken_back(undone: Run, change: dict[str, Any], path: str, now: str, aside: Path | None = None) -> str | None:
    """Return the text without that change, noted as about to be written; None where it is without it already. Raises `FailedFault`.

    `aside` is where a writer keeps what was there.
    """
    old = text_history.without(undone.home, path, now, change)
    if old is None:
        if aside is not None and aside.exists():
            assert_known(change, path, now, aside)
        raise FailedFault(
            f"{path} was changed by somebody since this run wrote it. It was left as it is. Take those changes back, then run this again"
        )
    if old == now:
        return None
    text_history.note(undone.home, path, text_history.undoing(now, old))
    return old
