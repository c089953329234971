"""What somebody did to the old container while Compose made another one of it, by Docker's own events: its layer, and every trace, goes with it.

Rules:
- What the container wrote is kept by further names before (path_layer.py). A file that is made after that has none: only that it was started, or that
  somebody copied into it ('docker cp' does that to one that stands still), tells that there may have been one.
- Docker keeps its last 256 events, and none across its own start: where the container's end is not among them, or so many came since, nobody knows.
"""

from __future__ import annotations

import json
import time

from . import command
from .faults import FailedFault

_DID = {"start": "started its old container", "extract-to-dir": "copied into its old container"}
_END = "destroy"
_MOST = 256


def since(container: str, began: float) -> list[str] | None:
    """Return what was done to a container from `began` (epoch s) to its end, in words; None where Docker can't tell."""
    argv = ["docker", "events", f"--since={began:.9f}", f"--until={time.time():.9f}", "--format={{json .}}"]
    try:
        said = command.run(argv, timeout_s=30)
        events = [json.loads(line) for line in said.out.splitlines() if line.strip()]
        done = [str(event["Action"]) for event in events if event["Type"] == "container" and event["Actor"]["ID"] == container]
    except (FailedFault, ValueError, KeyError, TypeError):
        return None
    found = [told for action, told in _DID.items() if action in done]
    # What is seen is so, however much is not.
    is_all = said.code == 0 and len(events) < _MOST and _END in done
    return found if found or is_all else None
