"""The lab as one object: machines by name, each its own, several at once."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from controlplane.domain.errors import RefusedError

from . import lanes, seed
from .bringing_up import DEFAULT_DISKS, UpOptions, bring_up, each, wait
from .home import LabHome, MachineFiles, of_live_test
from .lane import Say
from .lanes import LANES
from .recipe import NEWER_SERVICE_IMAGE
from .records import DataDisk, read_record
from .requirements import refuse_where_it_cannot_run
from .services import ensure_services
from .ssh import ssh_argv, ssh_run
from .status import MachineStatus, spec_of, status_of

__all__ = ["Lab", "MachineStatus"]


class SeedOptions(TypedDict, total=False):
    """What `seed` starts and how much it fills in; see `seed.seed`."""

    stack: str
    rows: int
    keys: int
    objects: int
    object_bytes: int
    redis_aof: bool
    limit_s: int


class Lab:
    """Machines in one lab folder; nothing is touched before a method is called."""

    def __init__(self, home: LabHome, say: Say = lambda _: None) -> None:
        self.home = home
        self.say = say
        self.warn: Say = say

    @property
    def ssh_config(self) -> Path:
        """The ssh_config with an entry for each machine."""
        return self.home.ssh_config

    def up(self, names: Sequence[str] = (), **options: Unpack[UpOptions]) -> list[MachineStatus]:
        """Start machines (mint-data and mint-apps without names) and wait until they are up.

        A machine that exists starts as what it is on the disks that it has, with `data_disk` deciding which are attached and
        `data_first` whether a virtual machine finds its data disk before its boot disk; all else counts for new machines
        only. One that runs already is left alone.
        """
        return bring_up(self, self._chosen(names), anew=False, **options)

    def reset(self, names: Sequence[str] = (), **options: Unpack[UpOptions]) -> list[MachineStatus]:
        """Make machines (mint-data and mint-apps without names) anew with blank data disks, and start them.

        Options are those of `up`. A virtual machine stays one, and goes back to the moment when it was up for the first time,
        where that is kept; all others are made from the golden image.
        """
        return bring_up(self, self._chosen(names), anew=True, **options)

    def down(self, names: Sequence[str] = (), *, destroy: bool = False) -> list[str]:
        """Power machines off and release what they held on the host; return their names.

        Without names these are all machines but those of a test run that still goes on.
        Their disks stay for the next `up`, unless `destroy`.
        """
        refuse_where_it_cannot_run()

        chosen = [name for name in self.known() if not of_live_test(name)]

        def end(files: MachineFiles) -> str:
            with self.home.locked(f"machine-{files.name}"):
                if destroy:
                    lanes.destroy(files)
                    self.home.forget_lock(f"machine-{files.name}")
                else:
                    lanes.power_off(files)
            return files.name

        return each(end, [self.home.machine(name) for name in names or chosen])

    def reboot(self, name: str, *, limit_s: float | None = None) -> MachineStatus:
        """Reboot a running machine through its own systemd and wait until it is up again."""
        files = self._running(name)
        before = self.run(name, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
        self.run(name, ["systemctl", "--no-block", "reboot"])
        return status_of(files, system=wait(self.home, files, limit_s=limit_s, after_boot=before))

    def cut(self, name: str) -> None:
        """Cut a running machine's power: what was not synced is gone, and it stays off until `up`."""
        files = self._running(name)
        with self.home.locked(f"machine-{name}"):
            LANES[spec_of(files).lane].cut(files)

    def plug(self, name: str, disk: DataDisk = "own") -> MachineStatus:
        """Attach a data disk to a running virtual machine that has none: a disk that appears late."""
        files = self._running(name)
        with self.home.locked(f"machine-{name}"):
            LANES[spec_of(files).lane].plug(files, disk)
        return status_of(files)

    def unplug(self, name: str) -> MachineStatus:
        """Pull the data disk out of a running virtual machine."""
        files = self._running(name)
        with self.home.locked(f"machine-{name}"):
            LANES[spec_of(files).lane].unplug(files)
        return status_of(files)

    def run(self, name: str, argv: Sequence[str], *, stdin: bytes | Path | None = None, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a program on a machine as root over ssh; the exit code is the program's (255: not reached)."""
        return ssh_run(self.home, name, argv, stdin=stdin, timeout=timeout)

    def seed(self, name: str, **options: Unpack[SeedOptions]) -> dict[str, Any]:
        """Start a compose stack with real data on a running machine; return its sentinels (see `seed.sentinels`)."""
        ensure_services(self.home, self._running(name), self.say)
        self.say(f"seeding {name}")
        return seed.seed(self, name, patience=self._patience(name), **options)

    def newer_services(self, name: str) -> str:
        """Import the databases of the next Debian release into a running machine's Docker; return the image's name."""
        ensure_services(self.home, self._running(name), self.say, newer=True)
        return NEWER_SERVICE_IMAGE

    def sentinels(self, name: str, *, wait_s: float = 60.0) -> dict[str, Any]:
        """Return checksums over a running machine's data and its containers' states, to be compared before and after.

        Services may take `wait_s` seconds to answer, on a virtual machine a multiple of it.
        """
        self._running(name)
        return seed.sentinels(self, name, wait_s=wait_s * self._patience(name))

    def ssh_argv(self, name: str, argv: Sequence[str] = ()) -> list[str]:
        """Return the ssh command for a terminal on a running machine."""
        self._running(name)
        return ssh_argv(self.home, name, argv)

    def known(self) -> list[str]:
        """Return the names of all machines that have files or anything left on this host."""
        return sorted(lanes.names(self.home))

    def status(self) -> list[MachineStatus]:
        """Return what each known machine is now."""
        refuse_where_it_cannot_run()
        return [status_of(self.home.machine(name)) for name in self.known()]

    def _patience(self, name: str) -> int:
        return LANES[spec_of(self.home.machine(name)).lane].patience

    def _chosen(self, names: Sequence[str]) -> list[MachineFiles]:
        return [self.home.machine(name) for name in names or DEFAULT_DISKS]

    def _running(self, name: str) -> MachineFiles:
        files = self.home.machine(name)
        refuse_where_it_cannot_run()
        if not read_record(files).running():
            raise RefusedError(f"{name} is not running. Start it with 'controlplane lab up {name}'. Nothing was changed.")
        return files
