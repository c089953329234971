"""Judge entries of fstab, their mounts, guards of units and the bare directories beneath, all in one look. Reads only.

All that speaks against the change is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from . import files
from . import fstab_guard as guard
from . import fstab_lines as lines
from . import fstab_mountpoint as mountpoint
from . import fstab_request as request
from . import fstab_table as table
from . import mountpoint as flags
from .beneath import beneath
from .state import Run

Thing = TypeVar("Thing")


class Answer(TypedDict):
    """What was found.

    `objections` speak against the change; what is `lacking` is not as it is to be, and nothing is to be done where that is empty. `faults` are those
    of other entries that the file has already. `make` are mountpoints that are not there, `start` what is to be mounted, `writable` mounts beneath
    which the bare directory is not immutable. `reload` says that systemd has not read the entries or guards that are there.
    """

    objections: list[str]
    lacking: list[str]
    faults: list[str]
    make: list[str]
    start: list[request.Start]
    writable: list[str]
    reload: bool


def look(run: Run, asked: request.Look) -> dict[str, Any]:
    """Return what was found, as `Answer` has it; what an earlier attempt of the run made is to be finished."""
    seen = _Look(run, asked)
    seen.at_the_table()
    for entry in asked.entries:
        seen.judge(seen.at_the_mountpoint, entry)
    for drop in asked.guards:
        seen.judge(seen.at_the_guard, drop)
    for path in asked.bare:
        seen.judge(seen.beneath, path)
    return {"changed": False, **seen.answer}


class _Look:
    """What was found so far."""

    def __init__(self, run: Run, asked: request.Look) -> None:
        self.asked = asked
        self.answer: Answer = {"objections": [], "lacking": [], "faults": [], "make": [], "start": [], "writable": [], "reload": False}
        self.made_before = json.loads(files.read_bytes(run.folder / "folders.json") or b"[]")

    def judge(self, how: Callable[[Thing], None], one: Thing) -> None:
        """Judge one thing; that it can't be judged speaks against the change, too."""
        try:
            how(one)
        except (guard.GuardError, mountpoint.MountpointError, OSError, ValueError) as error:
            self.object(f"{error}.")

    def object(self, text: str) -> None:
        """Say what speaks against the change."""
        self.answer["objections"].append(text)

    def lack(self, text: str) -> None:
        """Say what is not as it is to be."""
        self.answer["lacking"].append(text)

    def at_the_table(self) -> None:
        """Judge the file's new text."""
        path = self.asked.path
        try:
            found = table.Table(path, self.asked.entries)
        except (lines.FstabError, OSError) as error:
            self.object(f"{path}: {error}.")
            return
        self.answer["faults"] = found.faults
        if found.pending:
            self.lack(f"{path} does not hold the entries, or somebody changes it at the same time")

    def at_the_mountpoint(self, entry: lines.Entry) -> None:
        """Judge where one entry mounts."""
        file, options, field = entry["file"], entry["options"], self.asked.field
        try:
            lines.checked(entry)
        except lines.FstabError:
            return  # the table has said so
        if not {"nofail", "noauto"} & set(options) or (
            entry["spec"].startswith("UUID=") and sum(one.startswith("x-systemd.device-timeout=") for one in options) != 1
        ):
            self.object(
                f"The entry of {file} has the options {','.join(options)}: without nofail and x-systemd.device-timeout a missing disk keeps"
                f" the machine from booting to ssh. Add them in {field}."
            )
        seen = mountpoint.look(entry)
        if seen["mounted"] and not seen["right"]:
            self.object(f"{file} is taken by {seen['what']}, not by {seen['spec']}. Unmount it yourself, or name another mount in {field}.")
        if not seen["folder"]:
            self.answer["make"].append(file)
            self.lack(f"there is no folder {file}")
        elif not seen["mounted"] and file in self.made_before and not flags.is_immutable(file):
            self.half_made(file)
        if not seen["loaded"]:
            self.answer["reload"] = True
            self.lack(f"systemd has not read the entry of {file}")
        if seen["start"] and not seen["right"]:
            more = f"'systemctl status {seen['unit']}' tells more"
            self.lack(f"{file} should be {seen['spec']} by {seen['unit']}; mounted is {seen['what'] or 'nothing'} ({more})")
        if seen["start"] and not seen["mounted"]:
            self.answer["start"].append({"file": file, "unit": seen["unit"]})

    def half_made(self, file: str) -> None:
        """Judge a mountpoint that an earlier attempt made, and did not come to protect."""
        names = sorted(one.name for one in Path(file).iterdir())
        if names:
            self.object(f"Somebody wrote {', '.join(names[:5])} into {file} before anything was mounted there. Move it away.")
        else:
            self.answer["make"].append(file)
            self.lack(f"this run made {file} and was interrupted before that was immutable")

    def at_the_guard(self, want: guard.Drop) -> None:
        """Judge one guard; its mounts have to be there or to come with the entries."""
        one = guard.Guard(want)
        known, in_force = one.judge()
        if not known:
            self.object(f"systemd knows no unit {one.unit}, so there is nothing to guard. Install it, or make the plan again.")
        never = [path for path in one.missing if path not in {entry["file"] for entry in self.asked.entries}]
        if never:
            why = f"{', '.join(never)} is neither mounted nor among the entries"
            self.object(f"The guard of {one.unit} would keep it down for good: {why}. Make the plan again.")
        if not in_force:
            self.answer["reload"] = True
        if one.pending or not in_force:
            self.lack(f"the guard {one.path} is not what it should be, or systemd has not loaded it")
        if one.missing:
            self.lack(f"the guard {one.path} waits for {', '.join(one.missing)}")

    def beneath(self, path: str) -> None:
        """Judge the bare directory beneath a mount."""
        seen = beneath("look", path)
        if seen["objection"]:
            self.object(f"{seen['objection']}.")
        if not seen["immutable"]:
            self.answer["writable"].append(seen["path"])
            self.lack(f"the directory under the mount {path} is not immutable")
