"""What holds for every role, whoever wrote it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
# The run's own tools and lease: a role that the others include, not a capability.
MUTATING = [role for role in ROLES if role.name != "target_run"]
PHASES = ("refuse", "prepare", "change", "prove")
TOPICS = ("Outcome", "What it refuses", "Rollback")
TASK_WORDS = {
    *("name", "when", "loop", "loop_control", "register", "vars", "tags", "become", "become_user", "block", "rescue", "always"),
    *("changed_when", "failed_when", "check_mode", "diff", "no_log", "delegate_to", "run_once", "until", "retries", "delay", "notify", "listen"),
    *("environment", "async", "poll", "throttle", "timeout", "any_errors_fatal", "args"),
}

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
each_mutating_role = pytest.mark.parametrize("role", MUTATING, ids=lambda role: role.name)


def load(path: Path) -> Any:
    """Return a YAML file as Ansible reads it."""
    return DataLoader().load_from_file(str(path), cache="none", unsafe=True)


def tasks_of(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every task, those of blocks too."""
    for item in items or []:
        yield item
        for part in ("block", "rescue", "always"):
            yield from tasks_of(item.get(part) or [])


def task_files(role: Path) -> list[Path]:
    return sorted([*(role / "tasks").rglob("*.yml"), *(role / "handlers").rglob("*.yml")])


def modules_of(task: dict[str, Any]) -> list[str]:
    return [key for key in task if key not in TASK_WORDS]


@each_role
def test_the_specification_is_the_defaults_and_what_is_required(role: Path) -> None:
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    options = specs["main"]["options"]
    defaults = load(role / "defaults/main.yml") if (role / "defaults/main.yml").exists() else {}
    required = {name for name, option in options.items() if option.get("required")}
    assert required & set(defaults or {}) == set()
    assert {name: option.get("default") for name, option in options.items() if name not in required} == dict(defaults or {})
    for entry in specs.values():
        for name, option in entry["options"].items():
            assert name.startswith(f"{role.name}_"), name
            assert option.get("description"), name
            assert option.get("required") or "default" in option, f"{name} is neither required nor has it a default"


@each_role
def test_every_entry_point_that_others_include_is_specified(role: Path) -> None:
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    assert set(specs) <= {path.stem for path in (role / "tasks").glob("*.yml")}


@each_mutating_role
def test_a_role_that_changes_things_has_all_phases_and_a_way_back(role: Path) -> None:
    assert {f"{phase}.yml" for phase in (*PHASES, "rollback")} <= {path.name for path in (role / "tasks").iterdir()}
    included = []
    for task in load(role / "tasks/main.yml"):
        [module] = modules_of(task)
        assert module == "ansible.builtin.include_tasks", task["name"]
        included.append(task[module]["file"].removesuffix(".yml"))
    assert tuple(included) == PHASES
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    assert specs["rollback"]["options"][f"{role.name}_rollback_of"]["required"] is True


@each_mutating_role
def test_its_page_tells_outcome_example_refusals_and_rollback(role: Path) -> None:
    text = (role / "README.md").read_text()
    assert text.startswith(f"# {role.name}\n")
    found = re.findall(r"^(?:## |\*\*)([A-Z][a-z ]+?):?(?:\*\*|$)", text, re.MULTILINE)
    assert [topic for topic in found if topic in TOPICS] == list(TOPICS)
    assert f"{role.name}_run: CAP-" in text.partition("```yaml\n")[2].partition("```")[0] or "vars_files:" in text, "an example that can be copied"


@each_mutating_role
def test_every_task_says_its_phase_and_what_it_does(role: Path) -> None:
    for path in task_files(role):
        prefixes = PHASES if path.stem == "main" else (path.stem,)
        for task in tasks_of(load(path)):
            phase, _, sentence = task.get("name", "").partition(" | ")
            assert re.fullmatch(r"[A-Z].*[^.]", sentence), f"{path.name}: {task.get('name')!r}"
            # Rolling back has phases of its own, and a file that a phase includes carries that phase's name.
            phase = re.sub(rf"\{{\{{ __{role.name}_\w+ \}}\}}", path.stem, phase)
            assert phase in prefixes or (path.stem not in PHASES and phase in (*PHASES, "rollback", path.stem)), f"{path.name}: {task['name']}"


@each_role
def test_modules_are_named_in_full_or_are_the_roles_own(role: Path) -> None:
    # Or target_run's, which every role asks for the lease before anything else.
    own = {path.stem for named in (role, role.parent / "target_run") for path in (named / "library").glob("*.py")}
    for path in task_files(role):
        for task in tasks_of(load(path)):
            for module in modules_of(task):
                assert module in own or re.fullmatch(r"[a-z]+\.[a-z]+\.[a-z_]+", module), f"{path.name}: {module}"


@each_role
def test_nothing_hides_an_error_and_no_shell_runs_without_a_reason(role: Path) -> None:
    for path in task_files(role):
        lines = path.read_text().splitlines()
        assert not [line for line in lines if "ignore_errors" in line or "ignore_unreachable" in line], path
        for number, line in enumerate(lines):
            if re.search(r"ansible\.builtin\.(shell|raw):", line):
                above = [one.strip() for one in lines[max(0, number - 3) : number]]
                assert any(one.startswith("#") for one in above), f"{path}:{number + 1}: a shell needs its reason above it"


@each_role
def test_tags_are_set_once_at_the_include(role: Path) -> None:
    for path in task_files(role):
        if path.name == "main.yml":
            continue
        assert not [task["name"] for task in tasks_of(load(path)) if "tags" in task], path
    if role in MUTATING:
        for task in load(role / "tasks/main.yml"):
            phase = task["ansible.builtin.include_tasks"]["file"].removesuffix(".yml")
            assert task["tags"] == [role.name, f"{role.name}_{phase}"]
            assert task["ansible.builtin.include_tasks"]["apply"]["tags"] == task["tags"]


@each_role
def test_a_role_knows_no_inventory_and_has_one_spelling_of_yaml(role: Path) -> None:
    for path in sorted(role.rglob("*.yml")):
        assert not re.search(r"\bgroups\b|\bgroup_names\b|hostvars", path.read_text()), path
    assert not list(role.rglob("*.yaml"))


@each_role
def test_what_a_role_keeps_to_itself_begins_with_two_underscores(role: Path) -> None:
    for path in task_files(role):
        for task in tasks_of(load(path)):
            names = [task["register"]] if "register" in task else []
            names += list(task.get("vars") or {}) if not any("include_role" in module for module in modules_of(task)) else []
            names += list(task.get("ansible.builtin.set_fact") or {})
            for name in names:
                assert name.startswith(f"__{role.name}_") or name in ("cacheable", "ansible_pipelining"), f"{path.name}: {name}"


@each_mutating_role
def test_every_refusal_says_that_nothing_was_changed(role: Path) -> None:
    """What a role refuses by itself; where the tool on the target refuses, its own message is the task's."""
    found = 0
    for task in tasks_of(load(role / "tasks/refuse.yml")):
        found += any("refuse" in str(word) for word in task.get("target_run_tool", {}).get("words", []))
        for module in ("ansible.builtin.assert", "ansible.builtin.fail"):
            if module in task:
                message = task[module].get("fail_msg") or task[module].get("msg")
                assert "Nothing was changed." in message, task["name"]
                found += 1
    assert found


@pytest.mark.parametrize("path", sorted((ROOT / "roles/target_run/files/controlplane_target").glob("*.py")), ids=lambda path: path.stem)
def test_every_refusal_of_the_tool_says_that_nothing_was_changed(path: Path) -> None:
    for call in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "RefusedFault":
            text = "".join(part.value for part in ast.walk(call) if isinstance(part, ast.Constant) and isinstance(part.value, str))
            handed_on = not text.strip()
            assert handed_on or re.search(r"[Nn]othing was (changed|stopped|removed)|Neither .* was changed", text), (
                f"{path.name}:{call.lineno}: {text}"
            )
