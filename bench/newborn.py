"""From a policy to the ready receipt of one virtual machine, against what its boots and its packages take by themselves.

The floor is of the same run: from the emulator's start until all that starts at boot is started, apt at work by systemd's word, and a plain reboot.
What apt does beside the program's own steps is part of it, as it would take it by itself; see `package_seconds`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.rows import BenchError, Row, Skipped
from tests.vm.newborn import Newborn, bring_to_life
from tests.vm.provisioning import libvirt_host, why_no_libvirt

# All that the program adds is at most 15% of the whole.
_LIMIT = 1 / 0.85


def measure(*, quick: bool) -> list[Row | Skipped]:
    """Return one row; one machine, `quick` or not: it takes minutes and has nothing to leave out."""
    del quick
    what = "one machine from policy to ready receipt"
    if reason := why_no_libvirt():
        return [Skipped(what, reason)]
    with TemporaryDirectory() as folder, libvirt_host(f"cpbench-{os.getpid()}", Path(folder) / "host") as host:
        try:
            made = bring_to_life(host, Path(folder))
        except (AssertionError, subprocess.SubprocessError) as error:
            raise BenchError(str(error)) from error
    against = f"its first boot {made.first_boot:.0f} s, packages {made.packages:.0f} s, reboot {made.reboot:.0f} s"
    return [Row(what, made.total, against, made.floor, _LIMIT, note=_phases(made))]


def _phases(made: Newborn) -> str:
    phases = ", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in made.seconds.items())
    return f"phases of the birth: {phases}; the program's share {100 * (1 - made.floor / made.total):.0f}%"
