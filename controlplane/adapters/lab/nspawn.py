"""The first lane: machines by systemd-nspawn on loop devices, in seconds, with this host's kernel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from controlplane.domain.errors import RefusedError

from . import disks, machine, netns
from .golden import golden_image
from .home import LabHome, MachineFiles
from .lane import Disks, Say
from .prebaked import prebaked_image
from .records import DataDisk, MachineSpec
from .requirements import refuse_where_it_cannot_run


class NspawnLane:
    """See `Lane`; processes, loop devices, namespaces and cgroups are `machine`'s."""

    warning = "Lab machines share this host's kernel and hold all its capabilities: use the lab on test hosts only."
    limit_s = 150.0
    patience = 1
    probe_options: Sequence[str] = ()

    def refuse_where_it_cannot_run(self) -> None:
        refuse_where_it_cannot_run()

    def image(self, home: LabHome, spec: MachineSpec, services: bool, say: Say) -> Path:
        return prebaked_image(home, spec, say) if services else golden_image(home, spec, say)

    def create(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> None:
        machine.create(home, files, spec, image)

    def start(self, home: LabHome, files: MachineFiles, spec: MachineSpec) -> None:  # noqa: ARG002 - the way in is the same at each start
        machine.start(files, spec)

    def rewind(self, home: LabHome, files: MachineFiles, spec: MachineSpec, image: Path) -> bool:  # noqa: ARG002 - a new machine takes two seconds
        return False

    def settled(self, home: LabHome, files: MachineFiles, *, new: bool) -> None:
        pass

    def power_off(self, files: MachineFiles) -> None:
        machine.power_off(files)

    def cut(self, files: MachineFiles) -> None:
        machine.cut(files)

    def release(self, files: MachineFiles) -> None:
        machine.release(files)

    def plug(self, files: MachineFiles, disk: DataDisk) -> None:  # noqa: ARG002 - refused whatever it is
        raise RefusedError(f"{files.name} is no virtual machine: its data disk is chosen when it starts. Nothing was changed.")

    def unplug(self, files: MachineFiles) -> None:
        self.plug(files, "none")

    def holds(self, files: MachineFiles) -> bool:
        return files.namespace_path.exists() or bool(disks.attached(files.path))

    def names(self, home: LabHome) -> set[str]:
        below = disks.attached(home.machines).values()
        named = {name.removeprefix(f"{home.tag}-") for name in netns.present(f"{home.tag}-")}
        return named | {file.relative_to(home.machines).parts[0] for file in below}

    def disks(self, files: MachineFiles, spec: MachineSpec) -> Disks:
        loops = {file.name: device for device, file in disks.attached(files.path).items()}
        data = {"own": files.data, "foreign": files.foreign, "none": None}[spec.data_disk]
        return Disks(
            boot_device=loops.get(files.boot.name, ""),
            boot_file=str(files.boot),
            data_device=loops.get(data.name, "") if data else "",
            data_file=str(data) if data else "",
        )
