"""The timer that clears Docker's store within its limits: two units, what they are told, and tools of their own that no run's folder takes along."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from . import settle_units
from .files import read_bytes, read_json, remove, write_atomic, write_json
from .state import Home, Run
from .systemd import systemctl

TIMER, SERVICE = "controlplane-hygiene.timer", "controlplane-hygiene.service"
_UNITS = (TIMER, SERVICE)
NEVER = "never"


def texts(home: Home, every: str, digest: str) -> dict[str, str]:
    """Return {unit: its text}; `digest` is that of the settings, so that a unit tells which it was made for."""
    tool = home.base / "hygiene" / "controlplane_target"
    return {
        TIMER: (
            "[Unit]\nDescription=Clear Docker's images, build cache and logs to their budgets\n"
            f"[Timer]\nOnCalendar={every}\nRandomizedDelaySec=30min\nPersistent=true\n[Install]\nWantedBy=timers.target\n"
        ),
        SERVICE: (
            "[Unit]\nDescription=Clear Docker's images, build cache and logs to their budgets\nAfter=docker.service\nRequisite=docker.service\n"
            f"[Service]\nType=oneshot\nNice=10\nIOSchedulingClass=idle\nExecStart={sys.executable} -I -S -X utf8 -B {tool} hygiene timed --settings {digest}\n"
        ),
    }


def lacking(home: Home, every: str, digest: str, settings: dict[str, Any]) -> list[str]:
    """Return what is not in place yet; of a timer that shall never run what is there still."""
    if every == NEVER:
        return [unit for unit in _UNITS if (settle_units.FOLDER / unit).exists()]
    found = [unit for unit, text in texts(home, every, digest).items() if read_bytes(settle_units.FOLDER / unit) != text.encode()]
    kept = home.base / "hygiene" / "settings.json"
    found += [] if kept.exists() and _same(kept, settings) else [str(kept)]
    found += [] if systemctl("is-enabled", TIMER, check=False).strip() == "enabled" else [f"{TIMER} enabled"]
    found += [] if systemctl("is-active", TIMER, check=False).strip() == "active" else [f"{TIMER} active"]
    return found + [
        f"{unit} loaded anew" for unit in _UNITS if systemctl("show", "--property=NeedDaemonReload", "--value", unit, check=False).strip() == "yes"
    ]


def install(home: Home, run: Run, every: str, digest: str, settings: dict[str, Any]) -> bool:
    """Put the timer in place and start it; return whether anything changed."""
    if not lacking(home, every, digest, settings):
        return False
    folder = home.base / "hygiene"
    before = {unit: (read_bytes(settle_units.FOLDER / unit) or b"").decode() for unit in _UNITS}
    old = (read_bytes(folder / "settings.json") or b"").decode()
    if "units_before" not in run.state:
        run.write(role="docker_hygiene", phase="timing", units_before=before, settings_before=old)
    if every == NEVER:
        systemctl("--quiet", "disable", "--now", TIMER, check=False)
        for unit in _UNITS:
            remove(settle_units.FOLDER / unit)
        _reload(enabled=False)
        run.write(phase="done")
        return True
    # How a run by the old settings ended says nothing of the new ones. First, so that a kill after it leaves something lacking.
    systemctl("reset-failed", SERVICE, check=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _lay_down(run, folder)
    write_json(folder / "settings.json", settings)
    for unit, text in texts(home, every, digest).items():
        write_atomic(settle_units.FOLDER / unit, text.encode(), mode=0o644)
    _reload(enabled=True)
    run.write(phase="done")
    return True


def undo(home: Home, of: Run) -> bool:
    """Put both units back as they were before that run, which removes them where there were none; return whether anything changed."""
    before: dict[str, str] = of.state.get("units_before") or {}
    if not before or of.phase == "undone":
        return False
    if not before[TIMER]:
        systemctl("--quiet", "disable", "--now", TIMER, check=False)
    for unit, text in before.items():
        if text:
            write_atomic(settle_units.FOLDER / unit, text.encode(), mode=0o644)
        else:
            remove(settle_units.FOLDER / unit)
    if of.state["settings_before"]:
        write_atomic(home.base / "hygiene" / "settings.json", of.state["settings_before"].encode())
    _reload(enabled=bool(before[TIMER]))
    of.write(phase="undone")
    return True


def _reload(*, enabled: bool) -> None:
    systemctl("daemon-reload")
    if enabled:
        systemctl("--quiet", "enable", TIMER)
        systemctl("restart", TIMER)


def _lay_down(run: Run, folder: Path) -> None:
    fresh, place = folder / ".controlplane_target", folder / "controlplane_target"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(run.folder / "controlplane_target", fresh, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


def _same(path: Path, settings: dict[str, Any]) -> bool:
    return bool(read_json(path) == settings)
