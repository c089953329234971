"""A rendered plan runs with plain ansible-playbook, without this program, and comes to the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator, Target, verdicts

pytestmark = [pytest.mark.lab, pytest.mark.slow]

Make = Callable[..., LabMachine]


def bare_path(folder: Path) -> str:
    """Return a PATH with Ansible and without this program."""
    folder.mkdir()
    for name in ("ansible-playbook", "ansible"):
        (folder / name).symlink_to(Path(sys.executable).parent / name)
    return f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin"


def play(project: Path, path: str) -> tuple[int, dict[str, int], str]:
    """Run the project; return its exit code, the numbers of its recap and its output."""
    env = {"PATH": path, "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(["ansible-playbook", "site.yml"], cwd=project, env=env, capture_output=True, text=True, timeout=400, check=False)
    recap = {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", done.stdout.rpartition("PLAY RECAP")[2])}
    return done.returncode, recap, done.stdout + done.stderr


def test_a_rendered_plan_runs_without_this_program_and_a_second_run_changes_nothing(machine: Make, tmp_path: Path) -> None:
    host = machine(services=True)
    host.lab.seed(host.name, stack="mint-data", rows=500, keys=50, objects=4)
    target, site, project = Target(host), Operator(host, tmp_path), tmp_path / "project"
    data, plan = target.data(), site.plan()
    rendered = site.run("render", str(site.file("plan.json")), "--out", str(project))
    assert rendered.code == 0, rendered
    path = bare_path(tmp_path / "bin")

    code, recap, said = play(project, path)
    assert code == 0, said
    assert recap["changed"] > 0
    target.assert_on_one_place("/mnt/data/docker", data)
    audit = site.run("audit", "--all", "-o", "json")
    assert verdicts(audit.json, plan) == {"MET"}
    assert site.plan("empty.json", code=0)["steps"] == []

    code, recap, said = play(project, path)
    assert (code, recap["changed"], recap["failed"]) == (0, 0, 0), said
    target.assert_on_one_place("/mnt/data/docker", data)
    assert "nobody holds it" in site.run("lease", "show", host.name).out
