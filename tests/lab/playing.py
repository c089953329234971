"""Run one role on one lab machine the way a rendered plan does: the lease, the role, the release."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.render.unsafe_yaml import dump_unsafe

if TYPE_CHECKING:
    from tests.lab.conftest import LabMachine

ROOT = Path(__file__).resolve().parents[2]
RUN = "CAP-20260101-000000__{}__R{:04x}"


@dataclass(frozen=True)
class Played:
    """What came of a play; `changed` is the recap's number, without the tools and the lease of the run itself."""

    code: int
    changed: int
    text: str

    @property
    def said(self) -> str:
        """Return the output with line breaks and escapes of its own undone, for searching in messages."""
        return re.sub(r"\s+", " ", self.text.replace("\\n", "\n").replace('\\"', '"').replace("''", "'"))


def play(
    machine: LabMachine,
    role: str,
    variables: Mapping[str, Any],
    folder: Path,
    *,
    tasks_from: str = "main",
    check: bool = False,
    verbose: bool = False,
    timeout: float = 300,
    stop_after: str = "",
) -> Played:
    """Run `role` on the machine; with `stop_after`, kill the whole run as soon as that task has been announced and has ended."""
    key = str(variables[f"{role}_run"])
    tasks = [
        {"name": "Take the lease", "ansible.builtin.include_role": {"name": "target_run"}},
        {
            "name": "Run the step",
            "block": [{"name": "Include the role", "ansible.builtin.include_role": {"name": role, "tasks_from": tasks_from}}],
            "always": [{"name": "Release the lease", "ansible.builtin.include_role": {"name": "target_run", "tasks_from": "release"}}],
        },
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vars.yml").write_bytes(
        dump_unsafe({**variables, "target_run_key": key, "target_run_role": role, "target_run_holder": "tester@here", "target_run_ttl_s": 600})
    )
    inventory = inventory_of(machine, folder)
    (folder / "play.json").write_text(
        json.dumps([{"hosts": "all", "gather_facts": False, "become": True, "any_errors_fatal": True, "vars_files": ["vars.yml"], "tasks": tasks}])
    )
    command = [
        str(ROOT / ".venv/bin/ansible-playbook"),
        "-i",
        str(inventory),
        str(folder / "play.json"),
        *(["--check", "--diff"] if check else []),
        *(["--diff", "-vvv"] if verbose else []),
    ]
    roles = os.pathsep.join(filter(None, [os.environ.get("ANSIBLE_ROLES_PATH"), str(ROOT / "roles")]))
    environment = {
        **os.environ,
        "ANSIBLE_ROLES_PATH": roles,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
    }
    if stop_after:
        return _killed(command, environment, stop_after, timeout)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    return _read(done.returncode, done.stdout + done.stderr)


def inventory_of(machine: LabMachine, folder: Path) -> Path:
    """Write the inventory that holds this machine alone."""
    host = {"ansible_host": machine.name, "ansible_ssh_common_args": f"-F {machine.ssh_config}", "ansible_python_interpreter": "/usr/bin/python3"}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": {machine.name: host}}}))
    return folder / "hosts.json"


def run_as_its_head_tells(machine: LabMachine, playbook: str, variables: Mapping[str, Any], folder: Path, *more: str) -> Played:
    """Run playbooks/<playbook>.yml on the machine by the command in its head, as an operator who copies that; `undo_run_key` stands for KEY."""
    told = re.search(r"^#   Run it:   (.*)$", (ROOT / "playbooks" / f"{playbook}.yml").read_text(), re.MULTILINE)
    assert told is not None
    file = folder / "variables.json"
    file.write_text(json.dumps(variables))
    line = told[1].replace("HOST", machine.name).replace("@variables.json", f"@{file}").replace("KEY", str(variables.get("undo_run_key")))
    words = shlex.split(line)
    at = words.index("ansible-playbook")
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", **dict(word.split("=", 1) for word in words[:at])}
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(inventory_of(machine, folder)), *words[at + 1 :], *more]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return _read(done.returncode, done.stdout + done.stderr)


def _killed(command: list[str], environment: dict[str, str], stop_after: str, timeout: float) -> Played:
    """Kill the controller's whole session once the task after `stop_after` is announced."""
    seen, armed = [], False
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line)
            if armed and line.startswith("TASK ["):
                break
            armed = armed or (line.startswith("TASK [") and stop_after in line)
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
        code = process.wait(timeout=timeout)
    assert armed, f"no task is called {stop_after!r}"
    return Played(code, -1, "".join(seen))


def _read(code: int, text: str) -> Played:
    """Count what the role itself changed: the run's own tools, lease and folder are bookkeeping."""
    changed, task = 0, ""
    for line in text.splitlines():
        if line.startswith("TASK ["):
            task = line[6:].split("]")[0]
        elif line.startswith("changed: ") and not task.startswith("target_run"):
            changed += 1
    return Played(code, changed, text)
