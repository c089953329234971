"""What holds for every playbook that an operator runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*"))

# The undo that a run left takes and releases the lease itself, because it has to work without a controller.
TAKES_NO_LEASE = {"undo-run.yml"}

each_playbook = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)


def plays(playbook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DataLoader().load_from_file(str(playbook), cache="none", unsafe=True)
    return found


@each_playbook
def test_its_name_is_a_verb_and_a_noun(playbook: Path) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+\.yml", playbook.name)


@each_playbook
def test_its_header_tells_what_it_needs_and_how_to_undo_it(playbook: Path) -> None:
    header = [line for line in playbook.read_text().splitlines()[1:] if line.startswith("#")]
    text = "\n".join(header)
    for word in ("Needs:", "Run it:", "Undo:", f"playbooks/{playbook.name} -e target=HOST"):
        assert word in text, word


@each_playbook
def test_it_names_no_host_and_no_group(playbook: Path) -> None:
    for play in plays(playbook):
        assert play["hosts"] == "{{ target | default('all') }}"
        assert play["any_errors_fatal"] is True
        assert play["gather_facts"] is False


@pytest.mark.parametrize("playbook", [path for path in PLAYBOOKS if path.name not in TAKES_NO_LEASE], ids=lambda path: path.name)
def test_the_lease_is_taken_first_and_released_whatever_happens(playbook: Path) -> None:
    for play in plays(playbook):
        first, block = play["tasks"]
        assert first["ansible.builtin.include_role"] == {"name": "target_run"}
        assert [task["ansible.builtin.include_role"] for task in block["always"]] == [{"name": "target_run", "tasks_from": "release"}]


@each_playbook
def test_the_roles_that_it_names_are_there(playbook: Path) -> None:
    names = re.findall(r"^\s+name: ([a-z_]+)$", playbook.read_text(), re.MULTILINE)
    for name in names:
        assert (ROOT / "roles" / name).is_dir(), name


@pytest.mark.slow
@each_playbook
def test_its_roles_are_found_by_the_command_that_its_head_tells(playbook: Path, tmp_path: Path) -> None:
    """Ansible looks for them beside the playbook, and in no folder next to that."""
    told = re.search(r"^#   Run it:   (.*)$", playbook.read_text(), re.MULTILINE)
    assert told is not None
    (tmp_path / "variables.json").write_text(json.dumps({f"{role.name}_run": "R1" for role in (ROOT / "roles").iterdir()}))
    words = shlex.split(told[1].replace("HOST", "nobody").replace("@variables.json", f"@{tmp_path / 'variables.json'}").replace("KEY", "R1"))
    at = words.index("ansible-playbook")
    (tmp_path / "hosts.yml").write_text("all: {hosts: {nobody: {ansible_host: 127.0.0.1, ansible_port: 1, ansible_connection: ssh}}}")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", **dict(word.split("=", 1) for word in words[:at])}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.yml"), *words[at + 1 :]]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    # As far as the host, on which nobody listens.
    assert "nobody" in done.stdout, done.stderr
    assert "UNREACHABLE!" in done.stdout, done.stdout


def test_pages_run_playbooks_as_their_heads_tell() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for line in page.read_text().splitlines():
            for before, name in re.findall(r"(\S*\s*)ansible-playbook playbooks/(\S+\.yml)", line):
                assert (name in TAKES_NO_LEASE) or before.strip("` ") == "ANSIBLE_ROLES_PATH=roles", (page, line)


def test_only_yml_is_spelled() -> None:
    assert [path for folder in ("roles", "playbooks", "molecule", ".config") for path in (ROOT / folder).rglob("*.yaml")] == []
