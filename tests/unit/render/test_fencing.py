"""A rendered project, run by plain ansible-playbook, whose controller is paused while another one goes on with its run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.content import PackagedRoles
from controlplane.adapters.project_folder import write_project
from controlplane.domain.inventory import InventoryHost
from controlplane.render.project import render_cancel, render_steps
from tests.fakes.site import FakeSite

pytestmark = pytest.mark.slow

KEY = "CAP-20260101-000000__storage.data_disk__R0001"
HOST = InventoryHost(
    name="mint-data",
    variables={"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable},
)
PACKAGE = Path(__file__).resolve().parents[3] / "roles/target_run/files/controlplane_target"
# A quarter of a year later the lease of whoever was paused is over.
AGED = "import json, sys; p = sys.argv[1]; l = json.load(open(p)); l['expires_at'] = '2020-01-01T00:00:00Z'; json.dump(l, open(p, 'w'))"


class Machine:
    """This machine as a target, with a folder of its own for what lies below /var/lib/controlplane."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.base = folder, folder / "controlplane"
        self.base.mkdir()
        self.tool = [sys.executable, "-B", str(PACKAGE), "--base", str(self.base)]

    def lease(self) -> dict[str, Any] | None:
        return dict(json.loads((self.base / "lease.json").read_text())) if (self.base / "lease.json").exists() else None

    def run_tool(self, *words: str) -> dict[str, Any]:
        done = subprocess.run([*self.tool, *words], capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    def take(self, holder: str) -> int:
        return int(self.run_tool("lease", "take", "--run", KEY, "--holder", holder, "--role", "data_disk")["lease"]["token"])

    def play(self, project: dict[str, bytes], *, path: str = "") -> tuple[int, str]:
        place = self.folder / "project"
        write_project(place, project)
        tools = {"__target_run_folder": f"{self.base}/{KEY}", "__target_run_command": self.tool}
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "site.yml", "-e", json.dumps(tools)],
            cwd=place,
            env={"PATH": path + os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _project(tasks: list[dict[str, Any]]) -> dict[str, bytes]:
    """Return the rendered project of a step whose role does `tasks`."""
    step = next(step for step in FakeSite().plan().steps if step.role == "data_disk")
    roles = {path: text for path, text in PackagedRoles().files().items() if path.startswith("target_run/")}
    roles["data_disk/tasks/main.yml"] = json.dumps(tasks).encode()
    return render_steps([step], keys={step.id: KEY}, holder="ann@desk", hosts=[HOST], roles=roles)


def _resume(machine: Machine, holder: str) -> list[dict[str, Any]]:
    """Return the tasks in which another controller resumes the same run, while the play that holds these tasks stands still."""
    take = [*machine.tool, "lease", "take", "--run", KEY, "--holder", holder, "--role", "data_disk"]
    age = [sys.executable, "-c", AGED, str(machine.base / "lease.json")]
    return [{"name": name, "ansible.builtin.command": {"argv": argv}} for name, argv in (("Time goes by", age), ("Another resumes", take))]


def _under_lease(mark: Path) -> dict[str, Any]:
    """Return a task that runs, under the lease, the undo of a run that touches `mark`."""
    base = mark.parent / "controlplane"
    undo = base / f"undo-{mark.name}/undo"
    undo.parent.mkdir(exist_ok=True)
    undo.write_text(f"""#!/bin/sh\ntouch {mark}\necho '{{"changed": true}}'\n""")
    undo.chmod(0o755)
    return {"name": "change | Do it", "target_run_tool": {"words": ["rollback", "--of", undo.parent.name], "changes": True}}


def test_a_play_checks_changes_and_releases_with_the_token_that_it_took(machine: Machine) -> None:
    mark = machine.folder / "mark"
    code, said = machine.play(_project([_under_lease(mark)]))
    assert code == 0, said
    assert mark.exists()
    assert machine.lease() is None
    assert json.loads((machine.base / "lease-token.json").read_text()) == {"last": 1}


def test_the_proof_that_a_rendered_play_ends_with_gives_the_lease_back_itself(machine: Machine) -> None:
    proof = {"name": "prove | Look", "target_run_tool": {"words": ["state"], "releases": "{{ target_run_ends_with_role | default(false) }}"}}
    code, said = machine.play(_project([proof]))
    assert (code, machine.lease()) == (0, None), said
    assert re.search(r"prove \| Give the lease back\] \*+\s+skipping: \[mint-data\]", said), said


def test_a_play_that_wakes_up_after_its_run_was_resumed_changes_nothing_and_releases_nothing(machine: Machine) -> None:
    mark, told = machine.folder / "mark", machine.folder / "told"
    tell = {"name": "Keep it", "ansible.builtin.copy": {"dest": str(told), "content": "{{ ansible_failed_result.stderr }}", "mode": "0600"}}
    asked = {"name": "Ask", "block": [_under_lease(mark)], "rescue": [tell]}

    code, said = machine.play(_project([_under_lease(machine.folder / "before"), *_resume(machine, "bob@lap"), asked, _under_lease(mark)]))

    assert code == 2, said
    held = machine.lease()
    assert held is not None
    assert (held["holder"], held["token"], held["run"]) == ("bob@lap", 2, KEY)
    refused = f"run {KEY} carries token 1, the host's is 2. Nothing was changed."
    assert refused in told.read_text()
    assert refused in re.sub(r"\s+", " ", said)
    assert (machine.folder / "before").exists()
    assert not mark.exists()


@pytest.mark.parametrize(
    ("holder", "token", "stopped"),
    [("ann@desk", 1, True), ("ann@desk", None, True), ("bob@lap", 1, False), ("bob@lap", None, False)],
    ids=["its own", "of an earlier attempt", "resumed by another", "held by another"],
)
def test_a_cancelled_run_stops_and_releases_what_is_still_its_own(machine: Machine, holder: str, token: int | None, stopped: bool) -> None:
    """The unit is told to stop by a systemctl of the test's own, which says that it was called."""
    machine.take("ann@desk")
    if holder != "ann@desk":
        age = [sys.executable, "-c", AGED, str(machine.base / "lease.json")]
        subprocess.run(age, check=True)
        machine.take(holder)
    state = machine.base / KEY / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "unit": "controlplane-x.service"}))
    bin_folder, mark = machine.folder / "bin", machine.folder / "stopped"
    bin_folder.mkdir()
    (bin_folder / "systemctl").write_text(f'#!/bin/sh\n[ "$1" = stop ] && echo "$2" > {mark}\nexit 0\n')
    (bin_folder / "systemctl").chmod(0o755)
    project = render_cancel(HOST, key=KEY, holder="ann@desk", token=token)
    real = f"/var/lib/controlplane/{KEY}/controlplane_target"
    words = ", ".join(json.dumps(word) for word in (str(PACKAGE), "--base", str(machine.base)))
    project["site.yml"] = project["site.yml"].decode().replace(json.dumps(real), words).encode()

    code, said = machine.play(project, path=f"{bin_folder}:")

    assert code == 0, said
    assert mark.exists() is stopped
    assert (machine.lease() or {}).get("holder") == (None if stopped else "bob@lap")
