"""The lab as one object: machines by name, each its own, several at once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from controlplane.domain.errors import RefusedError, RunFailedError
from controlplane.domain.values import Value

from . import disks, machine, netns, seed
from .golden import Say, golden_image
from .home import LabHome, MachineFiles, of_live_test
from .prebaked import prebaked_image
from .recipe import Engine, ImageStore
from .records import DataDisk, MachineSpec, Record, read_record, read_spec
from .requirements import refuse_where_it_cannot_run
from .services import ensure_services
from .ssh import ensure_access, ssh_argv, ssh_run, wait_until_up

DEFAULT_DISKS: dict[str, DataDisk] = {"mint-data": "own", "mint-apps": "none"}
GIB = 2**30
State = Literal["running", "off", "leftover", "absent"]
T = TypeVar("T")
R = TypeVar("R")
WARNING = "Lab machines share this host's kernel and hold all its capabilities: use the lab on test hosts only."


class MachineStatus(Value):
    """What a machine is now; devices and backing files as sysfs shows them ('' where there is none)."""

    name: str
    state: State
    engine: str = ""
    image_store: str = ""
    data_disk: str = ""
    boot_device: str = ""
    boot_file: str = ""
    data_device: str = ""
    data_file: str = ""
    namespace: str = ""
    boots: int = 0
    system: str = ""


class UpOptions(TypedDict, total=False):
    """How `up` and `reset` make and start machines; sizes in bytes, the limit in seconds."""

    engine: Engine
    image_store: ImageStore
    data_disk: DataDisk | None
    boot_bytes: int
    data_bytes: int
    services: bool
    limit_s: float


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

    def up(
        self,
        names: Sequence[str] = (),
        *,
        engine: Engine = "26",
        image_store: ImageStore = "graph",
        data_disk: DataDisk | None = None,
        boot_bytes: int = 8 * GIB,
        data_bytes: int = 4 * GIB,
        services: bool = True,
        limit_s: float = 150.0,
    ) -> list[MachineStatus]:
        """Start machines (mint-data and mint-apps without names) and wait until they are up.

        A machine that exists starts on the disks that it has, with `data_disk` deciding which are attached; engine and
        sizes count for new machines only. One that runs already is left alone.
        """
        wanted = [self.home.machine(name) for name in names or DEFAULT_DISKS]
        refuse_where_it_cannot_run()
        self.warn(WARNING)
        ensure_access(self.home)
        new = MachineSpec(engine=engine, image_store=image_store, boot_bytes=boot_bytes, data_bytes=data_bytes, data_disk="own")
        golden = self._golden(new, services) if any(not f.spec.exists() for f in wanted) else None
        started: list[tuple[MachineFiles, MachineSpec]] = []
        for files in wanted:
            with self.home.locked(f"machine-{files.name}"):
                disk = data_disk or DEFAULT_DISKS.get(files.name, "own")
                if not files.spec.exists() and golden:
                    machine.release(files)
                    self.say(f"creating {files.name}")
                    machine.create(self.home, files, new.model_copy(update={"data_disk": disk}), golden)
                spec = _spec_of(files)
                if read_record(files).running():
                    _refuse_other_disk(files, spec, data_disk)
                else:
                    self.say(f"starting {files.name}")
                    machine.start(files, spec.model_copy(update={"data_disk": data_disk or spec.data_disk}))
                started.append((files, spec))

        def settle(files: MachineFiles) -> MachineStatus:
            self.say(f"waiting for {files.name}")
            system = wait_until_up(self.home, files, limit_s=limit_s)
            if services:
                ensure_services(self.home, files, self.say)
            return self._status_of(files).model_copy(update={"system": system})

        return _each(settle, [files for files, _ in started])

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
                    machine.destroy(files)
                else:
                    machine.power_off(files)
            return files.name

        return _each(end, [self.home.machine(name) for name in names or chosen])

    def reset(self, names: Sequence[str] = (), **options: Unpack[UpOptions]) -> list[MachineStatus]:
        """Make machines (mint-data and mint-apps without names) anew from the golden image, with blank data disks, and start them.

        Options are those of `up`.
        """
        chosen = list(names or DEFAULT_DISKS)
        self.down(chosen, destroy=True)
        return self.up(chosen, **options)

    def reboot(self, name: str, *, limit_s: float = 150.0) -> MachineStatus:
        """Reboot a running machine through its own systemd and wait until it is up again."""
        files = self._running(name)
        before = self.run(name, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
        self.run(name, ["systemctl", "--no-block", "reboot"])
        system = wait_until_up(self.home, files, limit_s=limit_s, after_boot=before)
        return self._status_of(files).model_copy(update={"system": system})

    def cut(self, name: str) -> None:
        """Cut a running machine's power: what was not synced is gone, and it stays off until `up`."""
        files = self._running(name)
        with self.home.locked(f"machine-{name}"):
            machine.cut(files)

    def run(self, name: str, argv: Sequence[str], *, stdin: bytes | Path | None = None, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a program on a machine as root over ssh; the exit code is the program's (255: not reached)."""
        return ssh_run(self.home, name, argv, stdin=stdin, timeout=timeout)

    def seed(self, name: str, **options: Unpack[SeedOptions]) -> dict[str, Any]:
        """Start a compose stack with real data on a running machine; return its sentinels (see `seed.sentinels`)."""
        ensure_services(self.home, self._running(name), self.say)
        self.say(f"seeding {name}")
        return seed.seed(self, name, **options)

    def sentinels(self, name: str, *, wait_s: float = 60.0) -> dict[str, Any]:
        """Return checksums over a running machine's data and its containers' states, to be compared before and after."""
        self._running(name)
        return seed.sentinels(self, name, wait_s=wait_s)

    def ssh_argv(self, name: str, argv: Sequence[str] = ()) -> list[str]:
        """Return the ssh command for a terminal on a running machine."""
        self._running(name)
        return ssh_argv(self.home, name, argv)

    def known(self) -> list[str]:
        """Return the names of all machines that have files or anything left on this host."""
        names = {folder.name for folder in self.home.machines.glob("*") if folder.is_dir()}
        names |= {name.removeprefix(f"{self.home.tag}-") for name in netns.present(f"{self.home.tag}-")}
        below = disks.attached(self.home.machines)
        names |= {file.relative_to(self.home.machines).parts[0] for file in below.values()}
        return sorted(names)

    def status(self) -> list[MachineStatus]:
        """Return what each known machine is now."""
        refuse_where_it_cannot_run()
        return [self._status_of(self.home.machine(name)) for name in self.known()]

    def _golden(self, spec: MachineSpec, services: bool) -> Path:
        if services:
            return prebaked_image(self.home, spec, self.say)
        return golden_image(self.home, spec.engine, spec.boot_bytes, self.say)

    def _running(self, name: str) -> MachineFiles:
        files = self.home.machine(name)
        refuse_where_it_cannot_run()
        if not read_record(files).running():
            raise RefusedError(f"{name} is not running. Start it with 'controlplane lab up {name}'. Nothing was changed.")
        return files

    def _status_of(self, files: MachineFiles) -> MachineStatus:
        record = read_record(files)
        loops = {file.name: device for device, file in disks.attached(files.path).items()}
        left = bool(loops) or files.namespace_path.exists() or record != Record()
        if not files.spec.exists():
            return MachineStatus(name=files.name, state="leftover" if left else "absent", namespace=files.namespace)
        state: State = "running" if record.running() else "leftover" if left else "off"
        spec = _spec_of(files)
        data = {"own": files.data, "foreign": files.foreign, "none": None}[spec.data_disk]
        return MachineStatus(
            name=files.name,
            state=state,
            engine=spec.engine,
            image_store=spec.image_store,
            data_disk=spec.data_disk,
            boot_device=loops.get(files.boot.name, ""),
            boot_file=str(files.boot),
            data_device=loops.get(data.name, "") if data else "",
            data_file=str(data) if data else "",
            namespace=files.namespace,
            boots=record.boots,
        )


def _each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(work, items))


def _spec_of(files: MachineFiles) -> MachineSpec:
    try:
        return read_spec(files)
    except (OSError, ValidationError) as error:
        raise RunFailedError(
            f"lab: {files.spec} is unreadable ({type(error).__name__}). Make the machine anew with 'controlplane lab reset {files.name}'."
        ) from None


def _refuse_other_disk(files: MachineFiles, spec: MachineSpec, asked: DataDisk | None) -> None:
    if asked and asked != spec.data_disk:
        raise RefusedError(
            f"{files.name} runs with data disk '{spec.data_disk}', not '{asked}'. "
            f"Power it off first with 'controlplane lab down {files.name}'. Nothing was changed."
        )
