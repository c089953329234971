"""A container's writable layer as a directory of this host: while it runs, while it stands still, and writable for going back.

Rules:
- Only overlay2 is known: its folders are Docker's own account of the container.
- While it stands still its layers are mounted read-only, one upon the other, as Docker would; nothing of them is written to.
- Before the container is made anew all that it wrote itself is kept by further names of its files, on the same filesystem: that takes no room, and Docker removes the
  layer with the container.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import command
from .faults import FailedFault, RefusedFault
from .files import sync_directory
from .mounts import mount_of, nearest_existing, read
from .state import Run

_RUN = Path("/run/controlplane")


class Layer:
    """The layer of one container, for one run; `place` is where it is mounted."""

    def __init__(self, run: Run, inspection: dict[str, Any]) -> None:
        self.assert_known(inspection)
        self._data: dict[str, str] = inspection["GraphDriver"]["Data"]
        self._key = run.key
        self.place = place_of(run.key)

    @staticmethod
    def is_known(inspection: dict[str, Any]) -> bool:
        """Say whether the container's layer is of a kind that is known here."""
        driver = inspection.get("GraphDriver") or {}
        return driver.get("Name") == "overlay2" and bool((driver.get("Data") or {}).get("UpperDir"))

    @staticmethod
    def assert_known(inspection: dict[str, Any]) -> None:
        """Raise `RefusedFault` where the container's layer is of a kind that is not known here."""
        driver = inspection.get("GraphDriver") or {}
        if driver.get("Name") != "overlay2" or not (driver.get("Data") or {}).get("UpperDir"):
            raise RefusedFault(
                f"{str(inspection['Name']).lstrip('/')} keeps its data in a layer of {driver.get('Name') or 'the containerd image store'}, and only overlay2 is known "
                "here. Nothing was changed. By hand: stop it, 'docker cp -a' its data to the place, then mount that in its compose file."
            )

    def live(self) -> None:
        """Show what the running container sees."""
        self.off()
        self._mount(["--bind", self._data["MergedDir"], self.place])

    def still(self) -> None:
        """Show what the container saw, now that it stands still."""
        self.off()
        self._overlay(f"ro,lowerdir={self._data['UpperDir']}:{self._lower()}")

    def writable(self) -> None:
        """Mount it as Docker would, to write into it; the container stands still."""
        self.off()
        self._overlay(f"lowerdir={self._lower()},upperdir={self._data['UpperDir']},workdir={self._data['WorkDir']}")

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
        upper = self._data["UpperDir"]
        if os.stat(nearest_existing(str(own))).st_dev == os.stat(upper).st_dev:
            return str(own / self._key / "layer")
        return os.path.join(mount_of(os.path.realpath(upper), read()).mount, ".controlplane-retired", self._key)

    def keep(self) -> str | None:
        """Keep all that the container itself wrote, not only its data; return where, None where that is nothing to speak of. Safe to repeat."""
        if not self._has_own():
            return None
        kept = self.kept()
        shutil.rmtree(kept, ignore_errors=True)
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        said = command.run(["cp", "--archive", "--link", "--", self._data["UpperDir"], kept])
        if said.code != 0:
            raise FailedFault(f"what lies in the container's own layer can't be kept at {kept}: {said.err.strip()[-300:]}")
        sync_directory(Path(kept).parent)
        return kept

    def _has_own(self) -> bool:
        """Say whether there is a file in it, apart from those that a start makes anew anyway."""
        upper = self._data["UpperDir"]
        for folder, names, files in os.walk(upper):
            if folder == upper:
                names[:] = [name for name in names if name not in ("run", "tmp", "dev", "proc", "sys")]
            if any(stat.S_ISREG(info.st_mode) and info.st_size for name in files for info in [os.lstat(os.path.join(folder, name))]):
                return True
        return False

    def _lower(self) -> str:
        # Docker's short names: the long ones of an image with many layers don't fit into a mount's options.
        named = Path(self._data["UpperDir"]).parent / "lower"
        return named.read_text().strip()

    def _overlay(self, options: str) -> None:
        self._mount(["-t", "overlay", "overlay", "-o", options, self.place])

    def _mount(self, words: list[str]) -> None:
        Path(self.place).mkdir(mode=0o700, parents=True, exist_ok=True)
        # `lower` names are relative to overlay2's own folder.
        said = command.run(["env", f"--chdir={Path(self._data['UpperDir']).parent.parent}", "mount", *words])
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
