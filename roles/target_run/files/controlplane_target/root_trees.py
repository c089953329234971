"""The trees of a leg: copied while everything runs, copied again when nothing does, and proven equal.

Rules:
- `stage` reads all content on both sides before the stop; the comparison after it reads what that one did not prove, or what moved since.
- The large files that it met are brought up to date in place from there on (tree_patch.py): a store keeps all that it has in a few of them.
- Equal size and time is not taken for equal content: what the comparison finds is copied again, and compared again.
- chattr flags are carried last, because they would stand in the way of any later copy; they are taken off before the next one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from . import open_files, tree_flags
from .cancel import Cancel
from .faults import FailedFault
from .mounts import below, read
from .state import Run
from .tree_compare import Compared, clock_ns, compare_trees
from .tree_copy import copy_again, copy_tree, sync_filesystem
from .tree_patch import patch

# What copying a file again mends, although rsync takes it for equal.
_MENDED = ("content", "sparseness")
_NICE = 10
# As long as a pass takes longer than that, another one may find less: so many at most.
_SHORT_S = 5.0
_MOST_PASSES = 3


class Trees:
    """The trees in the run's journal: each {kind, from, to, read_since_ns, to_mount, flags_set}."""

    def __init__(self, run: Run, cancel: Cancel) -> None:
        self.run, self.cancel = run, cancel
        self.proven: dict[str, set[bytes]] = {}
        self.large: dict[str, list[bytes]] = {}

    @property
    def held(self) -> list[dict[str, Any]]:
        """The trees as the journal has them now."""
        return list(self.run.state["trees"])

    def clear_flags(self) -> None:
        """Take blocking flags off copies that an earlier attempt, or an earlier life as a root, gave them."""
        for tree in self.held:
            if tree["flags_set"] and os.path.isdir(tree["to"]):
                tree_flags.take_off(tree["to"])

    def copy_live(self) -> tuple[int, float]:
        """Run one pass over every tree while Docker works; return (bytes transferred, seconds)."""
        began, size = time.monotonic(), 0
        for tree in self.held:
            make_directory(tree["to"])
            inner = (mount for mount in below(tree["from"], read()) if mount.fstype not in ("overlay", "tmpfs", "nsfs"))
            hidden = [os.path.relpath(mount.mount, tree["from"]) for mount in inner]
            with self.cancel.possible():
                size += copy_tree(tree["from"], tree["to"], live=True, mounts_below=hidden).size
        return size, time.monotonic() - began

    def stage(self) -> None:
        """Copy and compare while everything still runs."""
        self.clear_flags()
        self.copy_live()
        for tree in self.held:
            began = clock_ns()
            sync_filesystem(tree["from"])
            self.proven[tree["from"]] = set()
            with _in_the_background():
                result = self._compare(tree, began)
            self.large[tree["from"]] = result.large
            again = [held.path for held in result.differences if held.what in _MENDED]
            if again:
                with self.cancel.possible():
                    copy_again(tree["from"], tree["to"], again, live=True)
            self._patch(tree)
        # Reading all of it may have taken hours, and what was written meanwhile is not to wait for the stop.
        for _ in range(_MOST_PASSES):
            _, seconds = self.copy_live()
            for tree in self.held:
                self._patch(tree)
            if seconds < _SHORT_S:
                break
        # What rsync wrote goes to the disk before the stop, not during it.
        for tree in self.held:
            sync_filesystem(tree["to"])

    def copy_last(self) -> None:
        """Copy the last difference; nothing may write to a source any more."""
        for tree in self.held:
            self._patch(tree)
            with self.cancel.possible():
                copy_tree(tree["from"], tree["to"], live=False)

    def prove(self) -> list[dict[str, Any]]:
        """Return what was compared; a difference that stays is a fault. Synced to disk when this returns."""
        reports = [self._prove(tree) for tree in self.held]
        for tree in self.held:
            sync_filesystem(tree["to"])
        return reports

    def assert_unused(self) -> None:
        """Raise if any process or mount still uses a source."""
        for tree in self.held:
            users = open_files.wait_until_unused(tree["from"])
            if users:
                raise FailedFault(f"{tree['from']} is still in use with Docker stopped: {'; '.join(users[:5])}")

    def _patch(self, tree: dict[str, Any]) -> None:
        with self.cancel.possible():
            patch(tree["from"], tree["to"], self.large.get(tree["from"], ()))

    def _prove(self, tree: dict[str, Any]) -> dict[str, Any]:
        source, copy = tree["from"], tree["to"]
        result = self._compare(tree, clock_ns())
        again = [held.path for held in result.differences if held.what in _MENDED]
        flags = {held.path: held.flags for held in result.differences if held.what == "flags"}
        if again:
            copy_again(source, copy, again, live=False)
            # The new files' folders have got new times; a further pass carries the source's over.
            copy_tree(source, copy, live=False)
        if flags:
            self.run.write(trees=[{**held, "flags_set": True} if held["from"] == source else held for held in self.held])
            for path, value in flags.items():
                tree_flags.write(os.path.join(os.fsencode(copy), path), value)
        if again or flags:
            result = self._compare(tree, clock_ns())
        if result.differences:
            shown = "; ".join(str(held) for held in result.differences[:10])
            raise FailedFault(f"the copy of {source} at {copy} differs in {len(result.differences)} places: {shown}")
        counts = {"entries": result.entries, "read": result.read, "read_bytes": result.read_bytes, "skipped": result.skipped}
        return {"kind": tree["kind"], **({"path": tree["path"]} if "path" in tree else {}), **counts}

    def _compare(self, tree: dict[str, Any], began_ns: int) -> Compared:
        known = self.proven.get(tree["from"])
        # Where nothing was staged everything stands still, and rsync read what is older than the copy: it goes by that.
        since = tree["read_since_ns"] if known is None else 0
        with self.cancel.possible():
            result = compare_trees(tree["from"], tree["to"], read_since_ns=since, began_ns=began_ns, proven=known)
        if known is not None:
            self.proven[tree["from"]] = result.proven
        return result


@contextmanager
def _in_the_background() -> Iterator[None]:
    """Let what computes here, and the threads that it starts, come after the services that still run."""
    was = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(was, _NICE))
    try:
        yield
    finally:
        # Only root gets its turn back; nobody else moves a service's data.
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, was)


def swapped(tree: dict[str, Any], *, read_since_ns: int, to_mount: str = "") -> dict[str, Any]:
    """Return the tree of the reverse leg."""
    return {
        "kind": tree["kind"],
        "from": tree["to"],
        "to": tree["from"],
        "read_since_ns": read_since_ns,
        "to_mount": to_mount,
        "flags_set": True,
    }


def make_directory(path: str) -> None:
    """Make a directory and what is missing above it, mode 0755; the copy gives it its source's attributes."""
    if not os.path.isdir(path):
        make_directory(os.path.dirname(path))
        os.mkdir(path)
        # A unit's umask (systemd.py) must not decide who can reach the data.
        os.chmod(path, 0o755)  # noqa: S103 - what holds the data is everybody's to pass; the data have modes of their own
