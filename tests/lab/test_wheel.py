"""The wheel works where there is no checkout: installed into a fresh environment, run from an empty folder."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import LabMachine
from tests.lab.operating import Operator

ROOT = Path(__file__).resolve().parents[2]
# Building it asks the package index for the build system, so it belongs to the tier that may use the network.
pytestmark = [pytest.mark.lab, pytest.mark.slow]


def run(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run one command outside of the checkout's environment."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8"}
    return subprocess.run([str(word) for word in argv], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], check=True, timeout=300)
    (made,) = folder.glob("controlplane-*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel; its dependencies are those that are here already."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    # A path that a .pth file adds is searched, but its own .pth files are not read: the checkout stays out of sight.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    playbook = folder / "bin" / "ansible-playbook"
    playbook.write_text(f"#!{folder}/bin/python\nfrom ansible.cli.playbook import main\nmain()\n")
    playbook.chmod(0o755)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_the_program_helps_itself_from_an_empty_folder(environment: Path, empty: Path) -> None:
    done = run(environment / "bin" / "controlplane", "--help", cwd=empty)
    assert (done.returncode, done.stderr) == (0, "")
    assert "policy" in done.stdout


def test_a_site_made_from_nothing_is_valid(environment: Path, empty: Path) -> None:
    program = environment / "bin" / "controlplane"
    assert run(program, "init", "site", cwd=empty).returncode == 0
    done = run(program, "policy", "check", "--site", "site", cwd=empty)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_machine_that_it_runs_on_can_be_audited(environment: Path, empty: Path) -> None:
    done = run(environment / "bin" / "controlplane", "audit", "--target", "local", "--check", "D234", "-o", "json", cwd=empty)
    assert done.returncode in {0, 3}, done.stderr
    assert [host["reached"] for host in json.loads(done.stdout)["hosts"]] == [True]


def test_every_role_and_playbook_travels_inside_the_wheel(environment: Path, empty: Path) -> None:
    script = (
        "import controlplane, pathlib; from controlplane.adapters.content import PackagedRoles as R\n"
        "folder = R().folder(); print(folder)\n"
        "[print(path) for path in sorted(R().files())]\n"
        "[print(path.relative_to(folder.parent)) for path in sorted((folder.parent / 'playbooks').glob('*.yml'))]"
    )
    done = run(environment / "bin" / "python", "-c", script, cwd=empty)
    folder, *files = done.stdout.splitlines()
    assert Path(folder).is_relative_to(environment)
    tracked = subprocess.run(["git", "ls-files", "roles", "playbooks"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {path.removeprefix("roles/") for path in tracked} - set(files) == set()


def test_a_machine_is_changed_and_verified_from_the_wheel_alone(environment: Path, empty: Path, machine: Callable[..., LabMachine]) -> None:
    program, host = environment / "bin" / "controlplane", machine()
    site = Operator(host, empty).site
    planned = run(program, "plan", "--site", site, "--capability", "storage.data_disk", "--out", "plan.json", cwd=empty)
    assert planned.returncode == 3, planned.stderr
    applied = run(program, "apply", "plan.json", "--site", site, "-o", "json", cwd=empty)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert json.loads(applied.stdout)["outcome"] == "done"
    assert host.sh("findmnt -no FSTYPE /mnt/data") == "ext4\n"
