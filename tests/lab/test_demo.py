"""The README's first command: the main job by the commands that an operator types."""

from __future__ import annotations

import subprocess
import sys

import pytest

from controlplane.adapters.lab.lab import Lab
from tests.lab.operating import ROOT

pytestmark = pytest.mark.lab

MACHINES = ["mint-apps", "mint-data"]


def test_the_demo_moves_everything_off_the_boot_disk_proves_it_and_leaves_nothing_running(lab: Lab) -> None:
    if set(MACHINES) & set(lab.known()):
        pytest.skip("somebody's machines of the example site are there, and the demo would make them anew: controlplane lab down --destroy")
    try:
        done = subprocess.run([sys.executable, "script/demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    finally:
        lab.down(MACHINES, destroy=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout
    for path in ("/mnt/data/docker", "(boot)", "(data)"):
        assert path in table, table
