"""Carry out what was looked at: mountpoints, bare directories, entries of fstab, guards of units, mounts.

Makes the mountpoints, and the bare directories beneath mounts, immutable; then verifies each file and replaces it with one rename. Then lets systemd
read them, and starts the mounts. What is not on record in the run's folder is not written.
"""

from __future__ import annotations

from typing import Any, Union

from . import command, mountpoint
from . import fstab_guard as guard
from . import fstab_lines as lines
from . import fstab_table as table
from .beneath import beneath
from .faults import FailedFault, RefusedFault
from .fstab_request import Write
from .state import Run

Pending = list[Union[table.Table, guard.Guard]]


def write(run: Run, asked: Write, *, check: bool) -> dict[str, Any]:
    """Do it all, or with `check` only tell it; return {changed, diff}, without secrets that fstab holds. Raises `RefusedFault`, `FailedFault`."""
    pending = _judged(asked)
    if not check:
        _change(run, asked, pending)
    diff = _shown(asked, pending)
    return {"changed": bool(diff) or asked.reload, "diff": diff}


def _judged(asked: Write) -> Pending:
    """Return fstab and each guard that differ from what they are to be."""
    try:
        found: Pending = [table.Table(asked.path, asked.entries), *map(guard.Guard, asked.guards)]
        return [one for one in found if one.pending]
    except (guard.GuardError, lines.FstabError, OSError) as error:
        raise RefusedFault(f"{asked.path}: {error}. Neither the file nor a guard was changed.") from error


def _change(run: Run, asked: Write, pending: Pending) -> None:
    for one in pending:
        if not one.is_recorded(run.folder):
            raise FailedFault(f"{one.path} was changed by somebody since this run recorded it in {run.folder}. It was left alone. Run this again.")
    _protect(asked)
    if pending or asked.reload:
        _put_in_place(run, pending)
    _mount(asked)


def _protect(asked: Write) -> None:
    """Make the mountpoints that are not there, and what lies beneath mounts, immutable."""
    for path in asked.make:
        try:
            mountpoint.make(path)
        except OSError as error:
            raise FailedFault(
                f"{path} can't be made an immutable mountpoint: {error}. The filesystem that holds it must know the flag (ext4, xfs, btrfs)."
                " fstab and the guards are as they were."
            ) from error
    for path in asked.writable:
        try:
            beneath("set", path)
        except OSError as error:
            raise FailedFault(f"{error}. fstab and the guards are as they were.") from error


def _put_in_place(run: Run, pending: Pending) -> None:
    """Put each file in place, and have systemd read them all."""
    for one in pending:
        try:
            one.write()
        except (lines.FstabError, OSError) as error:
            raise FailedFault(
                f"{one.path}: {error}. Each file is as it was or written whole; what was before stands in {run.folder}. Run this again."
            ) from error
    code, _, err = command.run(["systemctl", "daemon-reload"])
    if code != 0:
        raise FailedFault(
            f"systemctl daemon-reload ended with {code}: {err.strip()}. The files are written, systemd has not read them. Run this again."
        )


def _mount(asked: Write) -> None:
    """Start the mounts that are not there, all of them before any failure is told."""
    failed = []
    for unit in (one["unit"] for one in asked.start):
        code, _, err = command.run(["systemctl", "start", unit])
        if code != 0:
            failed.append(f"systemctl start {unit} ended with {code}: {err.strip()} ('journalctl -u {unit}' tells why)")
    if failed:
        raise FailedFault(f"{'; '.join(failed)}. fstab and the guards are as they are to be. Mend it, and run this again.")


def _shown(asked: Write, pending: Pending) -> list[dict[str, str]]:
    """Return what `--diff` shows."""
    turns = [(path, "no immutable folder", "an immutable folder") for path in asked.make]
    turns += [(f"the directory under the mount {path}", "writable", "immutable, with the mount left as it is") for path in asked.writable]
    turns += [(one["file"], "not mounted", f"mounted by {one['unit']}") for one in asked.start]
    return [one.diff() for one in pending] + [
        {"before_header": name, "after_header": name, "before": f"{before}\n", "after": f"{after}\n"} for name, before, after in turns
    ]
