"""How long a service did not take its clients' writes, over all stops of a run: from the moment they are held until it answers again.

Rules:
- That moment is in the journal before the first write waits: whoever goes on after a cut measures from there.
- Within a boot the kernel's own clock measures, which nobody sets. Across boots there is the host's clock alone: it is at least as long as this boot.
- What several attempts of one run cost adds up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from .state import Run, boot_id, epoch

Moment = dict[str, Any]


def now() -> Moment:
    """Return this moment: {boot_id, boot_s: the kernel's clock, up_s: seconds since this machine's start, at: epoch}."""
    boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return {"boot_id": boot_id(), "boot_s": boot_s, "up_s": boot_s - _began_s(), "at": time.time()}


def _began_s() -> float:
    """Return when the first process began: a machine in a container has its host's kernel, and with it a clock that began before it."""
    fields = Path("/proc/1/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def between(since: Moment, until: Moment) -> float:
    """Return the seconds from one moment to a later one, however the host's clock was set meanwhile. Pure."""
    if since["boot_id"] == until["boot_id"]:
        return max(0.0, float(until["boot_s"] - since["boot_s"]))
    return max(float(until["at"] - since["at"]), float(until["up_s"]))


def ran_s(state: dict[str, Any]) -> float:
    """Return for how many seconds a container has run by Docker's state of it, 0.0 of one that does not."""
    if not state["Running"]:
        return 0.0
    whole, _, part = str(state["StartedAt"]).rstrip("Z").partition(".")
    return max(0.0, time.time() - epoch(f"{whole}Z") - float(f"0.{part or 0}"))


def begin(run: Run) -> None:
    """Note that writes are held from now on, unless an attempt before this one noted it."""
    if run.state.get("down_since") is None:
        run.write(down_since=now())


def end(run: Run, name: str, *, ago_s: float = 0.0, most_s: float | None = None) -> None:
    """Note that the service has answered since `ago_s` seconds; with `most_s` its writes were not held for longer than that. Does nothing where none were."""
    since = run.state.get("down_since")
    if since is None:
        return
    missed = max(0.0, between(since, now()) - ago_s)
    missed = missed if most_s is None else min(missed, most_s)
    total = float((run.state.get("downtime_s") or {}).get(name, 0.0)) + missed
    run.write(down_since=None, downtime_s={name: round(total, 3)})
