"""What is nowhere in the product, its roles, its playbooks and its pages."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
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
# In any of the ways in which a shell, a list of arguments, a task or the API writes it, across lines too.
PRUNED_VOLUMES = re.compile(r"\b(?:volume|system)[\s\"',\\]+prune\b|\bvolumes/prune\b", re.IGNORECASE)
# A comment or a page may name it in order to forbid it.
FORBIDS = re.compile(r"\b(?:never|no)\b", re.IGNORECASE)


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


def _prunes(name: str, text: str) -> list[str]:
    """Return each line that begins to prune volumes, save those of comments and pages that forbid it."""
    found = []
    for match in PRUNED_VOLUMES.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 :].partition("\n")[0].strip()
        if not (FORBIDS.search(line) and (line.startswith("#") or name.endswith(".md"))):
            found.append(f"{name}: {line}")
    return found


def test_no_volume_is_pruned_by_anything_that_ships() -> None:
    """Engine 20.10 takes every unused volume by it, newer ones those without a name: a volume goes by its own name, in a purge, or not at all."""
    shipped = [(name, text) for name, text in texts() if name.startswith(("controlplane/", "roles/", "playbooks/"))]
    assert len(shipped) > 300
    assert [line for name, text in shipped for line in _prunes(name, text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "docker volume prune -f",
        "docker  system   prune --volumes # never asks",
        '["docker", "volume", "prune"]',
        'run("docker",\n    "system",\n    "prune")',
        "docker volume \\\n  prune",
        'engine.call("POST", "/volumes/prune?filters=x")',
        "- system\n  prune",
        "# then: docker volume prune",
    ],
)
def test_each_way_to_prune_volumes_would_be_noticed(text: str) -> None:
    assert len(_prunes("roles/x/tasks/main.yml", f"first\n{text}\nlast")) == 1


@pytest.mark.parametrize(
    "text", ["docker image prune", "/build/prune?all=1", "system pruned", "# Never by 'docker volume prune', which takes what is unused."]
)
def test_what_prunes_no_volume_may_be_said(text: str) -> None:
    assert _prunes("roles/x/tasks/main.yml", text) == []


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


CONSTRAINED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)$", re.MULTILINE)


def _constraints() -> dict[str, str]:
    return dict(CONSTRAINED.findall((ROOT / "constraints.txt").read_text("utf-8")))


def _declared(name: str, *, extra: str = "") -> Requirement:
    """Return the one requirement of that name in pyproject.toml, of an extra where it is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    [found] = [one for one in map(Requirement, lines) if one.name == name]
    return found


def _ends(specifier: SpecifierSet) -> tuple[Version, Version]:
    """Return where a range begins and the first version that is beyond it."""
    found = {one.operator: Version(one.version) for one in specifier}
    assert set(found) == {">=", "<"}, specifier
    return found[">="], found["<"]


def test_the_oldest_core_that_is_declared_is_what_every_checkout_installs_and_tests() -> None:
    """`script/test` installs by constraints.txt; `script/newest` puts the other end there, in a copy of its own."""
    [newest] = re.findall(r"^core='(\S+)'$", (ROOT / "script/newest").read_text("utf-8"), re.MULTILINE)
    held, allowed = _constraints()["ansible-core"], _declared("ansible-core").specifier
    if held == newest:
        pytest.skip("this copy was made by script/newest, for the other end")
    lowest, _ = _ends(allowed)
    assert Version(held) in allowed
    assert Version(held).release[:2] == lowest.release[:2]
    assert "-c constraints.txt" in (ROOT / "script/setup").read_text("utf-8")


def test_the_extra_for_proxmox_is_the_package_of_collections_that_goes_with_that_core() -> None:
    """A package `ansible` needs ansible-core of one minor: 12 that of 2.19, 13 that of 2.20."""
    extra, core = _declared("ansible", extra="proxmox"), _declared("ansible-core").specifier
    first, beyond = _ends(extra.specifier)
    lowest, _ = _ends(core)
    # Wider, and pip could choose one whose collections nobody tried; older than 12.3, and community.proxmox is none that has what is called.
    assert beyond == Version(str(first.major + 1))
    assert first.major + 7 == lowest.release[1]
    assert Version(_constraints()["ansible"]) in extra.specifier
    assert Version(_constraints()["ansible"]).release[:2] == first.release[:2], "what is tested is the oldest that is allowed"


def test_the_extra_for_proxmox_and_what_is_there_for_everybody_else_name_the_same_collection() -> None:
    """What roles need is in requirements.yml, for those without this program; the extra has to bring a version that is allowed there."""
    [required] = DataLoader().load_from_file(str(ROOT / "requirements.yml"), cache="none")["collections"]
    allowed = SpecifierSet(str(required["version"]))
    lowest, beyond = _ends(allowed)
    assert beyond == Version(str(lowest.major + 1)), "another major means another interface"
    spec = importlib.util.find_spec("ansible_collections")
    manifests = [Path(place) / "community/proxmox/MANIFEST.json" for place in (spec.submodule_search_locations or [] if spec else [])]
    manifest = next((path for path in manifests if path.is_file()), None)
    if manifest is None:
        pytest.skip("the package ansible was not to be had here (script/collection.py)")
    told = json.loads(manifest.read_text("utf-8"))["collection_info"]
    assert (told["namespace"] + "." + told["name"], Version(told["version"]) in allowed) == (required["name"], True)
    assert Version(told["version"]) == lowest, "what is tested is the oldest that is allowed"
    mark = manifest.parent / ".from"
    if mark.is_file():
        assert mark.read_text("utf-8") == f"ansible=={_constraints()['ansible']}"


@pytest.mark.parametrize("name", ["dependencies", "dev", "postgres", "proxmox"])
def test_whatever_is_installed_by_the_constraints_is_allowed_by_what_is_declared(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    held = {canonicalize_name(one): version for one, version in _constraints().items()}
    for line in project["dependencies"] if name == "dependencies" else project["optional-dependencies"][name]:
        wanted = Requirement(line)
        pinned = held[canonicalize_name(wanted.name)]
        assert pinned.endswith("*") or Version(pinned) in wanted.specifier, line


def test_scenarios_need_no_galaxy_and_give_testinfra_their_own_inventory() -> None:
    config = DataLoader().load_from_file(str(ROOT / ".config/molecule/config.yml"), cache="none")
    assert config["prerun"] is False
    assert config["dependency"]["enabled"] is False
    ours = "${MOLECULE_PROJECT_DIRECTORY}/.config/molecule/site/hosts.yml"
    assert config["verifier"]["options"]["ansible-inventory"] == ours
    assert config["ansible"]["executor"]["args"]["ansible_playbook"] == [f"--inventory={ours}"]
    assert (ROOT / ".config/molecule/site/hosts.yml").is_file()
