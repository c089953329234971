"""Fixtures of the tests that run on virtual machines: one machine a process, put back to its first start for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controlplane.adapters.lab.lab import Lab
from controlplane.adapters.lab.lanes import LANES
from controlplane.adapters.lab.records import read_spec
from controlplane.adapters.lab.requirements import missing_reason
from tests.lab.conftest import LabMachine, lab

__all__ = ["lab"]


class VirtualMachine(LabMachine):
    """One started virtual machine; what a policy's `serial` names is its `serial`."""

    @property
    def serial(self) -> str:
        return self.status.data_serial

    @property
    def boot_serial(self) -> str:
        spec = read_spec(self.lab.home.machine(self.name))
        assert spec.vm is not None
        return spec.vm.boot_serial

    def by_id(self) -> dict[str, str]:
        """Return serial -> device of the machine's disks, as udev links them."""
        lines = self.sh("cd /dev/disk/by-id && for link in virtio-*; do echo ${link#virtio-} $(readlink -f $link); done").splitlines()
        return dict(sorted((line.split()[0], line.split()[1]) for line in lines))

    def boot_id(self) -> str:
        return self.sh("cat /proc/sys/kernel/random/boot_id").strip()

    def plug(self, disk: Any = "own") -> None:
        """Let the data disk appear."""
        self.status = self.lab.plug(self.name, disk)

    def unplug(self) -> None:
        self.status = self.lab.unplug(self.name)

    def keep(self) -> None:
        """Make this moment the one that a reset goes back to."""
        files = self.lab.home.machine(self.name)
        # Without the note a machine is made anew, should this be killed in the middle.
        (files.path / "first-start.json").unlink(missing_ok=True)
        LANES["vm"].settled(self.lab.home, files, new=True)


@pytest.fixture(scope="session")
def _names(lab: Lab) -> Iterator[set[str]]:
    names: set[str] = set()
    yield names
    if names:
        lab.down(sorted(names), destroy=True)


@pytest.fixture
def vm(lab: Lab, _names: set[str]) -> Callable[..., VirtualMachine]:
    """Return the process's machine as it was at its first start: the first call boots it, the next ones take seconds."""
    if reason := missing_reason(vm=True):
        pytest.skip(f"virtual machines can't run here: {reason}")

    def fresh(number: int = 0, **options: Any) -> VirtualMachine:
        name = f"t-{os.getpid()}-{number}"
        _names.add(name)
        [status] = lab.reset([name], vm=True, **options)
        return VirtualMachine(lab, status)

    return fresh
