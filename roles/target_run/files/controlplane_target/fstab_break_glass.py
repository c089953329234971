"""Take the boot guards away in an emergency, after a receipt of who, why and when is safe on the disk."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from . import command, files
from . import fstab_texts as texts
from .faults import FailedFault
from .fstab_request import BreakGlass
from .state import Run, boot_id, utc

UNITS = Path("/etc/systemd/system")


def break_glass(run: Run, asked: BreakGlass, *, check: bool) -> dict[str, Any]:
    """Write the receipt with the text of each guard into the run's folder, and then remove the guards; return {changed, message}.

    Raises `FailedFault`.
    """
    guards = sorted(UNITS.glob("*.d/50-controlplane-mounts.conf"))
    names = ", ".join(str(guard) for guard in guards) or "none; there were no guards"
    if check:
        return {"changed": bool(guards), "message": f"Guards to remove: {names}."}
    place = run.folder / "break-glass.json"
    try:
        receipt = {
            "version": 1,
            "run": run.key,
            "who": asked.who,
            "why": asked.why,
            "when": utc(time.time()),
            "boot_id": boot_id(),
            "removed": [{"path": str(guard), "text": texts.readable(guard.read_bytes())} for guard in guards],
        }
        if guards:
            remove(guards, place, receipt)
        _reload()
        return {"changed": bool(guards), "message": f"Guards removed: {names}." + (f" The receipt is {place}." if place.exists() else "")}
    except OSError as error:
        raise FailedFault(f"the glass could not be broken: {error}. Run this again.") from error


def remove(guards: list[Path], place: Path, receipt: dict[str, Any]) -> None:
    """Write the receipt, and then remove the guards. Raises OSError."""
    place.parent.mkdir(mode=0o700, exist_ok=True)
    files.sync_directory(place.parent.parent)
    # A run that was killed halfway has removed some of them: its first receipt names them all.
    former = json.loads(place.read_text(encoding="utf-8"))["removed"] if place.exists() else []
    receipt["removed"] = former + [one for one in receipt["removed"] if one not in former]
    files.write_atomic(place, json.dumps(receipt, indent=2).encode() + b"\n")
    for guard in guards:
        guard.unlink()
        files.sync_directory(guard.parent)


def _reload() -> None:
    """Let systemd read it: at once, since nobody breaks the glass to wait, and always, since a run may have been killed right before this."""
    code, _, err = command.run(["systemctl", "daemon-reload"])
    if code != 0:
        raise FailedFault(f"The guards are removed, but systemctl daemon-reload ended with {code}: {err.strip()}. Run it, or run this again.")
