"""A rendered project is data: nothing of policy or inventory is ever a template, and plain Ansible reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.adapters.content import PackagedRoles
from controlplane.adapters.project_folder import write_project
from controlplane.domain.capabilities import vm_provision
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plan import Plan
from controlplane.domain.run_key import make_run_key
from controlplane.render.project import render_plan, render_reboot, render_steps, render_take_over
from controlplane.render.unsafe_yaml import dump_unsafe
from tests.fakes.evidence_builder import COLLECTED
from tests.fakes.machine_builder import seen_from_hypervisor, unborn
from tests.fakes.site import FakeSite
from tests.fakes.unsafe_yaml import Unsafe, load_unsafe
from tests.unit.domain.test_vm_bootstrap import blank, whole_plan
from tests.unit.domain.test_vm_provision import plan_of

HOSTS = (InventoryHost(name="mint-data", variables={"ansible_host": "10.0.0.1", "ansible_port": 22, "ansible_become": True}),)
ROLES = Path(__file__).parents[3] / "roles"
TRICKY = st.text() | st.sampled_from(
    [
        "{{ 7 * 7 }}",
        "{% raw %}",
        "{# x #}",
        "a\nb",
        "'",
        '"',
        "\\",
        "\\u0041",
        "!unsafe x",
        "&a *a",
        "- x",
        "#",
        "\x00",
        "\x7f",
        "\x85",
        "\ufeff",
        "\u2028",
        "é😀",
    ]
)
DATA = st.recursive(st.none() | st.booleans() | st.integers() | TRICKY, lambda inner: st.lists(inner) | st.dictionaries(TRICKY, inner), max_leaves=12)


def _plan() -> Plan:
    return FakeSite().plan()


def _keys(plan: Plan) -> dict[str, str]:
    return {step.id: make_run_key(step.capability, COLLECTED, f"{number:04x}") for number, step in enumerate(plan.steps)}


def _project(roles: dict[str, bytes] | None = None, **other: Any) -> dict[str, bytes]:
    plan = _plan()
    return render_plan(plan, keys=_keys(plan), holder="ann@desk", hosts=HOSTS, roles=roles or {}, **other)


def _strings(data: Any) -> list[str]:
    if isinstance(data, str):
        return [data]
    if isinstance(data, dict):
        return [text for value in data.values() for text in _strings(value)]
    return [text for value in data for text in _strings(value)] if isinstance(data, list) else []


def _same(read: Any, written: Any) -> bool:
    if isinstance(written, dict):
        return isinstance(read, dict) and sorted(read) == sorted(written) and all(_same(read[key], written[key]) for key in written)
    if isinstance(written, list):
        return isinstance(read, list) and len(read) == len(written) and all(_same(a, b) for a, b in zip(read, written, strict=True))
    return read == written and (isinstance(read, Unsafe) if isinstance(written, str) else type(read) is type(written))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=DATA)
def test_every_string_comes_back_as_it_went_and_tagged_unsafe(data: Any) -> None:
    written = {"x": data}
    assert _same(load_unsafe(dump_unsafe(written)), written)


def test_every_character_that_yaml_could_mind_comes_back_as_it_went() -> None:
    odd = [*range(0x3000), *range(0xD7F0, 0xD800), *range(0xE000, 0xE010), *range(0xFDD0, 0x10010), 0x1F600, 0x10FFFF]
    text = "".join(map(chr, odd))

    assert load_unsafe(dump_unsafe({"x": text})) == {"x": text}


def test_what_has_no_json_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="no JSON form: object"):
        dump_unsafe({"x": object()})
    with pytest.raises(TypeError, match="not a scalar"):
        dump_unsafe("0123")
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_unsafe({"x": float("nan")})


def test_one_play_a_step_in_the_plans_order_each_with_its_own_variables() -> None:
    plan, project = _plan(), _project()

    plays = json.loads(project["site.yml"])

    assert [(play["name"], play["hosts"]) for play in plays] == [(f"{step.id} {step.capability}", step.host) for step in plan.steps]
    assert [play["vars_files"] for play in plays] == [["vars/mint-data-010.yml"], ["vars/mint-data-020.yml"], ["vars/mint-data-030.yml"]]
    assert all(play["gather_facts"] is False and play["become"] is True for play in plays)


def test_every_string_of_the_variables_and_of_the_inventory_is_tagged() -> None:
    project = _project()

    for path in [name for name in project if name.startswith(("vars/", "inventory/"))]:
        assert {type(text) for text in _strings(load_unsafe(project[path]))} == {Unsafe}, path


def test_the_playbook_holds_no_template_whatever_the_policy_says() -> None:
    assert b"{{" not in _project()["site.yml"]


def test_only_the_hosts_of_the_run_are_in_the_inventory() -> None:
    plan = _plan()
    others = (*HOSTS, InventoryHost(name="other", variables={"ansible_host": "10.0.0.9"}))

    project = render_steps(plan.steps, keys=_keys(plan), holder="ann@desk", hosts=others, roles={})

    assert list(load_unsafe(project["inventory/hosts.yml"])["all"]["hosts"]) == ["mint-data"]


def test_a_rollback_names_the_run_that_it_undoes() -> None:
    plan = _plan()
    step = plan.steps[0]

    project = render_steps([step], keys={step.id: "NEW"}, holder="ann@desk", hosts=HOSTS, roles={}, undoes={step.id: "OLD"})

    variables = load_unsafe(project["vars/mint-data-010.yml"])
    assert (variables["data_disk_run"], variables["data_disk_rollback_of"]) == ("NEW", "OLD")
    assert json.loads(project["site.yml"])[0]["tasks"][1]["block"][0]["ansible.builtin.include_role"] == {
        "name": "data_disk",
        "tasks_from": "rollback",
    }


def test_pipelining_is_off_where_something_is_changed_and_host_keys_are_checked() -> None:
    text = _project()["ansible.cfg"].decode()

    assert "pipelining = False" in text
    assert "host_key_checking = True" in text
    assert "interpreter_python = /usr/bin/python3" in text


def _specs(role: str) -> dict[str, Any]:
    specs: dict[str, Any] = yaml.load((ROLES / role / "meta" / "argument_specs.yml").read_text(), Loader=yaml.SafeLoader)["argument_specs"]  # noqa: TID251 - our own file
    return specs


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("role", ["data_disk", "fstab", "docker_data_root", "purge_retired", "vm_bootstrap", "vm_provision"])
def test_rendered_variables_are_those_that_the_role_declares(role: str, undo: bool) -> None:
    step = _step_of(role)
    point = "rollback" if undo else "main"
    undoes = {step.id: "OLD"} if undo else None
    variables = load_unsafe(
        next(
            content
            for path, content in render_steps([step], keys={step.id: "NEW"}, holder="a@b", hosts=HOSTS, roles={}, undoes=undoes).items()
            if path.startswith("vars/")
        )
    )
    own = {name for name in variables if not name.startswith("target_run_")}
    options = _specs(role)[point]["options"]

    assert own <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= own
    assert {name for name in variables if name.startswith("target_run_")} <= set(_specs("target_run")["main"]["options"])


def test_what_takes_a_lease_over_gives_target_run_what_it_declares() -> None:
    project = render_take_over(HOSTS[0], key="NEW", of="OLD", holder="a@b", roles={})

    options = _specs("target_run")["main"]["options"]
    variables = set(load_unsafe(project["vars/lease.yml"]))
    assert variables <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= variables


def _step_of(role: str) -> Any:
    if role == "vm_bootstrap":
        return next(step for step in whole_plan(blank()).steps if step.role == role)
    if role == "vm_provision":
        return plan_of(seen_from_hypervisor(unborn()), vm_provision.CAPABILITY).steps[0]
    site = FakeSite()
    if role != "purge_retired":
        return next(step for step in site.plan().steps if step.role == role)
    site.apply(site.plan())
    from datetime import timedelta

    site.clock.time += timedelta(days=8)
    return site.plan("storage.purge").steps[0]


def test_plain_ansible_reads_the_whole_project(tmp_path: Path) -> None:
    roles = dict(PackagedRoles().files())
    missing = {step.role for step in _plan().steps} | {"target_run"}
    missing -= {path.split("/", 1)[0] for path in roles}
    roles |= {f"{role}/tasks/main.yml": b"[]\n" for role in missing}
    write_project(tmp_path / "project", _project(roles))

    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "--syntax-check", "site.yml"],
        cwd=tmp_path / "project",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "playbook: site.yml" in done.stdout


def test_plain_ansible_runs_nothing_of_what_policy_and_inventory_say(tmp_path: Path) -> None:
    mark, told = tmp_path / "ran", tmp_path / "told"
    evil = f"{{{{ lookup('pipe', 'touch {mark}') }}}}"
    odd = [evil, "{% set x = 1 %}{{ x }}", "{# gone #}", "0123", "yes", "22:30", "!unsafe x", "a\nb", "{{ undefined }}", "é😀", "\\{{ 1 }}"]
    data = {"text": evil, "list": odd, "map": {evil: odd}, "number": 7, "truth": True, "nothing": None}
    host = InventoryHost(
        name="mint-data",
        variables={"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": "/usr/bin/python3", "ansible_user": evil},
    )
    step = next(step for step in _plan().steps if step.role == "data_disk").model_copy(update={"variables": {"data_disk_options": data}})
    said = {"content": "{{ [data_disk_options, ansible_user] | to_json }}", "dest": str(told), "mode": "0600"}
    roles = {
        "target_run/tasks/main.yml": b"[]\n",
        "target_run/tasks/release.yml": b"[]\n",
        "data_disk/tasks/main.yml": json.dumps([{"name": "Tell", "ansible.builtin.copy": said}]).encode(),
    }
    write_project(tmp_path / "project", render_steps([step], keys={step.id: evil}, holder=evil, hosts=[host], roles=roles))

    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "site.yml"],
        cwd=tmp_path / "project",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(told.read_text("utf-8")) == [data, evil]
    assert not mark.exists()


def test_a_project_overwrites_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputInvalidError, match=r"is there already: name a new folder"):
        write_project(tmp_path, {"x": b""})


def test_a_reboot_is_one_play_that_waits_for_the_host_and_for_what_it_starts() -> None:
    project = render_reboot(HOSTS, roles=PackagedRoles().files())
    play = json.loads(project["site.yml"])[0]

    assert [list(task)[1] for task in play["tasks"]] == ["target_run_reboot", "ansible.builtin.raw"]
    assert b"class ActionModule(Reboot)" in project["action_plugins/target_run_reboot.py"]
    # A unit that hangs or fails at boot is told by the judgement, with its name.
    waits = play["tasks"][1]
    assert waits["ansible.builtin.raw"] == "timeout 300 systemctl is-system-running --wait"
    assert waits["failed_when"] is False


@pytest.mark.parametrize("text", ["0x5000", "0123", "yes", "1.10", "22:30", "null", "~", "2026-01-01"])
def test_a_string_that_looks_like_something_else_stays_a_string(text: str) -> None:
    assert load_unsafe(dump_unsafe({"serial": text, "list": [text]})) == {"serial": text, "list": [text]}
