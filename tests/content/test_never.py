"""What is nowhere in the product, its roles, its playbooks and its pages."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("controlplane", "roles", "playbooks", "inventory", "script", "bench", "docs", "molecule", ".config", ".ci")
UNCHECKED_KEY = re.compile(
    r"stricthostkeychecking[\s=:\"']+(no|off|accept-new)\b|host_key_check(ing)?[\s=:\"']+(false|no|off|0)\b|[^l]knownhostsfile[\s=\"']+/dev/null",
    re.IGNORECASE,
)
# Where such an option is named in order to refuse it; the lab's own entry leaves the system's list out and pins its key in another.
NAMED_TO_BE_REFUSED = {
    "controlplane/adapters/inventory_sources.py": 'Given("-o StrictHostKeyChecking=no"',
    "docs/policy.md": "`StrictHostKeyChecking=no` and its like are refused",
}


def texts() -> Iterator[tuple[str, str]]:
    """Yield every file that ships or that people read, by its path."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *(path for folder in SHIPPED for path in (ROOT / folder).rglob("*"))]
    for path in sorted(files):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8", "replace")


def test_the_check_of_host_keys_is_switched_off_nowhere() -> None:
    found = {(name, line.strip()) for name, text in texts() for line in text.splitlines() if UNCHECKED_KEY.search(line)}
    assert {name for name, _ in found} == set(NAMED_TO_BE_REFUSED)
    assert [(name, line) for name, line in found if NAMED_TO_BE_REFUSED[name] not in line] == []


@pytest.mark.parametrize(
    "line",
    [
        "ssh -o StrictHostKeyChecking=no x",
        "  StrictHostKeyChecking no",
        "host_key_checking = False",
        "host_key_checking: false",
        "ANSIBLE_HOST_KEY_CHECKING=0",
        "-o UserKnownHostsFile=/dev/null",
    ],
)
def test_each_way_to_switch_it_off_would_be_noticed(line: str) -> None:
    assert UNCHECKED_KEY.search(line)


def test_no_task_needs_a_collection_that_is_not_in_the_requirements_and_none_adds_numbers_up_across_hosts() -> None:
    """Modules are ansible-core's or the role's own; one role changes Proxmox VE through its collection. set_stats adds up what hosts say."""
    foreign = re.compile(r"^\s*(?:- )?((?!ansible\.builtin\.)[a-z]+\.[a-z]+\.[a-z_]+|(?:ansible\.builtin\.)?set_stats):", re.MULTILINE)
    pages = [(name, text) for name, text in texts() if name.startswith(("roles/", "playbooks/", ".config/", "molecule/")) and name.endswith(".yml")]
    assert len(pages) > 50
    found = {name: set(names) for name, text in pages if (names := foreign.findall(text))}
    assert set(found) == {"roles/vm_provision/tasks/api_finish.yml", "roles/vm_provision/tasks/api_make.yml"}
    assert set().union(*found.values()) == {f"community.proxmox.proxmox_{name}" for name in ("disk", "kvm", "template")}
    [required] = DataLoader().load_from_file(str(ROOT / "requirements.yml"), cache="none")["collections"]
    assert required["name"] == "community.proxmox"
    assert required["version"], "a version that was tried"


@pytest.mark.parametrize("name", ["api_finish", "api_make"])
def test_each_call_of_proxmox_checks_the_certificate_and_is_given_no_secret(name: str) -> None:
    """The modules do not check it unless they are told to, and what they are given lies in a file while they run."""
    calls = []
    for task in DataLoader().load_from_file(str(ROOT / f"roles/vm_provision/tasks/{name}.yml"), cache="none"):
        calls += [(key, one[key]) for one in [task, *task.get("block", [])] for key in one if key.startswith("community.")]
    assert len(calls) == {"api_finish": 5, "api_make": 2}[name]
    for module, given in calls:
        assert given["validate_certs"] is True, module
        assert {"api_password", "api_token_secret"} & given.keys() == set(), module
        assert given.get("state") in (None, "started", "resized"), module


def test_no_loop_hands_its_own_input_to_ssh() -> None:
    """In `while read host; do ssh …; done` the first connection swallows the other hosts."""
    loops = re.compile(r"while\b[^\n]*\bread\b.*?\bdone\b", re.DOTALL)
    assert {name for name, text in texts() for loop in loops.findall(text) if re.search(r"\b(ssh|docker exec|ansible\S*)\b", loop)} == set()


def test_what_is_started_never_reads_the_operators_input() -> None:
    """Only `lab ssh` hands it on: that is what it is for."""
    reads = set()
    for path in sorted((ROOT / "controlplane").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.run", "subprocess.Popen"):
                given = {keyword.arg for keyword in node.keywords}
                if not given & {"stdin", "input", None}:
                    reads.add(path.relative_to(ROOT).as_posix())
    assert reads == {"controlplane/cli/lab.py"}


def test_ansible_core_is_declared_from_the_newest_for_the_oldest_python_to_the_newest_that_is_known() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [ansible] = [Requirement(line) for line in project["dependencies"] if line.startswith("ansible-core")]
    allowed = {version: Version(version) in ansible.specifier for version in ("2.18.9", "2.19.0", "2.20.3", "2.21.9", "2.22.0")}
    assert allowed == {"2.18.9": False, "2.19.0": True, "2.20.3": True, "2.21.9": True, "2.22.0": False}
    assert project["requires-python"] == ">=3.11"


def test_script_newest_runs_the_newest_core_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [ansible] = [Requirement(line) for line in project["dependencies"] if line.startswith("ansible-core")]
    [minor] = re.findall(r"^core='2\.(\d+)\.\*'$", (ROOT / "script/newest").read_text("utf-8"), re.MULTILINE)
    assert [f"2.{int(minor) + above}.0" in ansible.specifier for above in (0, 1)] == [True, False]


def test_scenarios_need_no_galaxy_and_give_testinfra_their_own_inventory() -> None:
    config = DataLoader().load_from_file(str(ROOT / ".config/molecule/config.yml"), cache="none")
    assert config["prerun"] is False
    assert config["dependency"]["enabled"] is False
    ours = "${MOLECULE_PROJECT_DIRECTORY}/.config/molecule/site/hosts.yml"
    assert config["verifier"]["options"]["ansible-inventory"] == ours
    assert config["ansible"]["executor"]["args"]["ansible_playbook"] == [f"--inventory={ours}"]
    assert (ROOT / ".config/molecule/site/hosts.yml").is_file()
