"""The README's first command: the main job by the commands that an operator types."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from controlplane.adapters.lab.lab import Lab
from tests.lab.operating import MAIN, ROOT

pytestmark = pytest.mark.lab

MACHINES = ["mint-apps", "mint-data"]


def test_the_demo_moves_everything_off_the_boot_disk_proves_it_and_leaves_nothing_running(lab: Lab) -> None:
    if set(MACHINES) & set(lab.known()):
        pytest.skip("somebody's machines of the example site are there, and the demo would make them anew: controlplane lab down --destroy")
    try:
        done = subprocess.run([sys.executable, "script/demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
        images = cached(lab)
        # What a second run does first.
        again = subprocess.run([*MAIN, "lab", "reset", *MACHINES], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    finally:
        lab.down(MACHINES, destroy=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout
    for word in ("/mnt/data/docker", "(boot)", "(data)", "was", "now", "down", "boot disk used", "mint-data", "mint-apps", "Data identical"):
        assert word in table, table
    assert re.search(r"\d+\.\d s\s*$", table, re.MULTILINE), "a downtime"
    assert len(re.findall(r"^receipt CAP-\d{8}-\d{6}__", table, re.MULTILINE)) >= 4, table
    assert again.returncode == 0, again.stderr
    assert cached(lab) == images


def cached(lab: Lab) -> dict[str, int]:
    """Return each image of the cache and when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in lab.home.cache.iterdir() if path.suffix in (".img", ".tar")}
