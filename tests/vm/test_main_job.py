"""The main job where a kernel of its own boots from the disks: by serial, over a real reboot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vm.conftest import VirtualMachine
from tests.vm.scenes import do_the_main_job, seed_data

pytestmark = [pytest.mark.vm, pytest.mark.slow]


def test_the_main_job_by_serial_over_a_reboot(vm: Callable[..., VirtualMachine], tmp_path: Path) -> None:
    do_the_main_job(seed_data(vm(), tmp_path))
