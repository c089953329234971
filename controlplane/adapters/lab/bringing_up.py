"""Bring machines up, new ones and old ones, several at once.

Rules:
- Everything that can be refused is refused for all machines before the first one is touched.
- A machine that runs is left alone, unless it is to be made anew.
- Whatever is made anew has its image at hand before the old machine is destroyed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from controlplane.domain.errors import RefusedError

from . import lanes
from .home import LabHome, MachineFiles
from .lanes import LANES
from .recipe import Engine, ImageStore
from .records import BootLayout, DataDisk, LaneName, MachineSpec, VmSpec, read_record, read_spec
from .services import ensure_services
from .ssh import ensure_access, wait_until_up
from .status import MachineStatus, spec_of, status_of
from .systems import System
from .vm.hardware import hardware_of

if TYPE_CHECKING:
    from .lab import Lab

DEFAULT_DISKS: dict[str, DataDisk] = {"mint-data": "own", "mint-apps": "none"}
GIB = 2**30
T = TypeVar("T")
R = TypeVar("R")


class UpOptions(TypedDict, total=False):
    """How `up` and `reset` make and start machines; sizes in bytes, the limit in seconds."""

    vm: bool
    engine: Engine
    system: System
    image_store: ImageStore
    data_disk: DataDisk | None
    data_first: bool
    boot_layout: BootLayout
    boot_bytes: int
    data_bytes: int
    services: bool
    limit_s: float | None


def bring_up(lab: Lab, wanted: Sequence[MachineFiles], *, anew: bool, **options: Unpack[UpOptions]) -> list[MachineStatus]:
    """Start machines, made where they don't exist or are to be `anew`, and wait until they are up."""
    there = {files.name: _lane_of(files) for files in wanted}
    if not anew:
        _refuse_other_lane(there, vm=options.get("vm", False))
    lane_of = {name: _chosen_lane(lane, vm=options.get("vm", False)) for name, lane in there.items()}
    for used in sorted(set(lane_of.values())):
        LANES[used].refuse_where_it_cannot_run()
        if LANES[used].warning:
            lab.warn(LANES[used].warning)
    ensure_access(lab.home)
    services = options.get("services", True) and options.get("engine") != "none"
    to_make = {lane_of[files.name] for files in wanted if anew or not files.spec.exists()}
    images = {made: LANES[made].image(lab.home, _spec("", made, options), services, lab.say) for made in sorted(to_make)}
    new, rewound = set(), set()
    for files in wanted:
        lane = LANES[lane_of[files.name]]
        with lab.home.locked(f"machine-{files.name}"):
            spec = _spec(files.name, lane_of[files.name], options)
            if anew and lane.rewind(lab.home, files, spec, images[spec.lane]):
                lab.say(f"{files.name} is back at its first start")
                rewound.add(files.name)
                continue
            if anew or not files.spec.exists():
                lanes.destroy(files)
                lab.say(f"creating {files.name}")
                lane.create(lab.home, files, spec, images[spec.lane])
                new.add(files.name)
            if read_record(files).running():
                _refuse_other_disk(files, spec_of(files), options.get("data_disk"))
            else:
                lab.say(f"starting {files.name}")
                lane.start(lab.home, files, _started_as(spec_of(files), options))

    def settle(files: MachineFiles) -> MachineStatus:
        lab.say(f"waiting for {files.name}")
        system = wait(lab.home, files, limit_s=options.get("limit_s"))
        # What is back at its first start has all that it had then.
        if services and files.name not in rewound:
            ensure_services(lab.home, files, lab.say)
        LANES[lane_of[files.name]].settled(lab.home, files, new=files.name in new)
        return status_of(files, system=system)

    return each(settle, wanted)


def wait(home: LabHome, files: MachineFiles, *, limit_s: float | None = None, after_boot: str = "") -> str:
    """Wait until the machine is up, by its lane's own limit where none is given; return systemd's word for its state."""
    lane = LANES[spec_of(files).lane]
    return wait_until_up(home, files, limit_s=limit_s or lane.limit_s, after_boot=after_boot, options=lane.probe_options)


def each(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do `work` on each item, two at a time."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(work, items))


def _lane_of(files: MachineFiles) -> LaneName | None:
    """Return the lane of a machine that exists; one with an unreadable spec has none."""
    try:
        return read_spec(files).lane
    except (OSError, ValidationError):
        return None


def _chosen_lane(there: LaneName | None, *, vm: bool) -> LaneName:
    return "vm" if vm else there or "nspawn"


def _spec(name: str, lane: LaneName, options: UpOptions) -> MachineSpec:
    """Return what a new machine is."""
    return MachineSpec(
        engine=options.get("engine", "26"),
        system=options.get("system", "debian-12"),
        image_store=options.get("image_store", "graph"),
        boot_bytes=options.get("boot_bytes", 8 * GIB),
        data_bytes=options.get("data_bytes", 4 * GIB),
        data_disk=options.get("data_disk") or DEFAULT_DISKS.get(name, "own"),
        vm=_hardware(name, options) if lane == "vm" else None,
    )


def _hardware(name: str, options: UpOptions) -> VmSpec:
    return hardware_of(name, data_first=options.get("data_first", False), boot_layout=options.get("boot_layout", "whole"))


def _started_as(spec: MachineSpec, options: UpOptions) -> MachineSpec:
    """Return how a machine that exists starts this time."""
    disk = options.get("data_disk") or spec.data_disk
    vm = spec.vm.model_copy(update={"data_first": options.get("data_first", spec.vm.data_first)}) if spec.vm else None
    return spec.model_copy(update={"data_disk": disk, "vm": vm})


def _refuse_other_lane(there: dict[str, LaneName | None], *, vm: bool) -> None:
    if others := [name for name, lane in there.items() if vm and lane == "nspawn"]:
        raise RefusedError(
            f"{', '.join(others)}: no virtual machine. Make it anew as one with 'controlplane lab reset --vm {' '.join(others)}'. "
            "Nothing was changed."
        )


def _refuse_other_disk(files: MachineFiles, spec: MachineSpec, asked: DataDisk | None) -> None:
    if asked and asked != spec.data_disk:
        raise RefusedError(
            f"{files.name} runs with data disk '{spec.data_disk}', not '{asked}'. "
            f"Power it off first with 'controlplane lab down {files.name}'. Nothing was changed."
        )
