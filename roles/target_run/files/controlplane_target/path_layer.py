"""A container's writable layer as a directory of this host: while it runs, while it stands still, and writable for going back.

Rules:
- Its folders are Docker's own account of the container, or containerd's (path_layer_dirs.py).
- While it stands still its layers are mounted read-only, one upon the other, as Docker would; nothing of them is written to.
- Before the container is made anew all that it wrote itself is kept by further names of its files, on the same filesystem: that takes no room, and Docker removes the
  layer with the container.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import command
from .faults import FailedFault
from .files import sync_directory
from .mounts import is_at_or_below, mount_of, nearest_existing, read
from .path_layer_dirs import dirs_of
from .state import Run

_RUN = Path("/run/controlplane")
# What a server leaves in /run says that it runs, and what Docker mounts on the others is no part of the layer.
_MADE_ANEW = ("run", "dev", "proc", "sys")


class Layer:
    """The layer of one container, for one run; `place` is where it is mounted."""

    def __init__(self, run: Run, inspection: dict[str, Any]) -> None:
        self._dirs = dirs_of(inspection)
        self._key = run.key
        self.place = place_of(run.key)

    def live(self) -> None:
        """Show what the running container sees."""
        self.off()
        if self._dirs.merged is None:
            raise FailedFault("the container's layer is mounted nowhere on this host: it does not run. Start it, then run this again")
        self._mount(["--bind", self._dirs.merged, self.place])

    def still(self) -> None:
        """Show what the container saw, now that it stands still."""
        self.off()
        self._overlay(f"ro,lowerdir={self._dirs.upper}:{self._dirs.lower}")

    def writable(self) -> None:
        """Mount it as Docker would, to write into it; the container stands still."""
        self.off()
        self._overlay(f"lowerdir={self._dirs.lower},upperdir={self._dirs.upper},workdir={self._dirs.work}")

    def above(self, path: str) -> list[list[Any]]:
        """Return [path in the container, uid, gid, mode] of each folder above one, the topmost first; the layer is mounted."""
        found = []
        for folder in _parents(path):
            info = os.lstat(self.place + folder)
            found.append([folder, info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)])
        return found

    def make_above(self, held: list[list[Any]]) -> None:
        """Make the folders that `above` returned as they were: who may not pass them does not reach the data. The layer is mounted writable."""
        for folder, uid, gid, mode in held:
            path = self.place + folder
            with suppress(FileExistsError):
                os.mkdir(path)
            os.chown(path, uid, gid, follow_symlinks=False)
            os.chmod(path, mode)

    def off(self) -> None:
        """Unmount it, if it is mounted."""
        off(self._key)

    def kept(self) -> str:
        """Return where the container's own part of it is kept once the container is gone, on the same filesystem."""
        own = Path("/var/lib/controlplane")
        upper = self._dirs.upper
        if os.stat(nearest_existing(str(own))).st_dev == os.stat(upper).st_dev:
            return str(own / self._key / "layer")
        return os.path.join(mount_of(os.path.realpath(upper), read()).mount, ".controlplane-retired", self._key)

    def keep(self, data: Sequence[str] = ()) -> str | None:
        """Keep all that the container itself wrote, not only its `data`; return where, None where that is nothing to speak of. Safe to repeat."""
        if not self._has_own(data):
            return None
        kept = self.kept()
        shutil.rmtree(kept, ignore_errors=True)
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        said = command.run(["cp", "--archive", "--link", "--", self._dirs.upper, kept])
        if said.code != 0:
            raise FailedFault(f"what lies in the container's own layer can't be kept at {kept}: {said.err.strip()[-300:]}")
        sync_directory(Path(kept).parent)
        return kept

    def _has_own(self, data: Sequence[str]) -> bool:
        """Say whether there is a file in it, apart from those that a start makes anew anyway; what lies in a folder of `data` it does not."""
        upper, skipped = self._dirs.upper, {name for name in _MADE_ANEW if not any(is_at_or_below(path, f"/{name}") for path in data)}
        for folder, names, files in os.walk(upper):
            if folder == upper:
                names[:] = [name for name in names if name not in skipped]
            if any(stat.S_ISREG(info.st_mode) and info.st_size for name in files for info in [os.lstat(os.path.join(folder, name))]):
                return True
        return False

    def _overlay(self, options: str) -> None:
        self._mount(["-t", "overlay", "overlay", "-o", options, self.place])

    def _mount(self, words: list[str]) -> None:
        Path(self.place).mkdir(mode=0o700, parents=True, exist_ok=True)
        said = command.run(["env", f"--chdir={self._dirs.base}", "mount", *words])
        if said.code != 0:
            raise FailedFault(f"the container's layer can't be mounted at {self.place}: {said.err.strip()[-300:]}")


def _parents(path: str) -> list[str]:
    return [str(folder) for folder in reversed(Path(path).parents) if str(folder) != "/"]


def place_of(key: str) -> str:
    """Return where a run mounts a layer."""
    return str(_RUN / key / "layer")


def off(key: str) -> None:
    """Unmount what a run mounted of a layer, if it did."""
    place = place_of(key)
    while any(mount.mount == place for mount in read()):
        said = command.run(["umount", place])
        if said.code != 0:
            raise FailedFault(f"{place} can't be unmounted: {said.err.strip()[-300:]}")
    with suppress(OSError):
        os.rmdir(place)
        os.rmdir(os.path.dirname(place))
