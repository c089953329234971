"""A rendered project is data: nothing of policy or inventory is ever a template, and plain Ansible reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.adapters import play_runner
from controlplane.adapters.content import PackagedRoles
from controlplane.adapters.project_folder import write_project
from controlplane.domain import planning
from controlplane.domain.asking import HYGIENE_TIMER, what_to_ask
from controlplane.domain.capabilities import CAPABILITIES, vm_provision
from controlplane.domain.capabilities.proposal import Outlook
from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Reader
from controlplane.domain.inventory import InventoryHost
from controlplane.domain.plan import Plan, Step
from controlplane.domain.planning import make_plan
from controlplane.domain.run_key import make_run_key
from controlplane.domain.services import Auth
from controlplane.render.project import render_plan, render_reboot, render_steps, render_take_over
from controlplane.render.unsafe_yaml import dump_unsafe
from tests.fakes.evidence_builder import COLLECTED, REDIS, EvidenceBuilder, desired_mint_data
from tests.fakes.machine_builder import declared_machine, seen_from_hypervisor, unborn
from tests.fakes.release_builder import release_wanted
from tests.fakes.site import FakeSite
from tests.fakes.unsafe_yaml import Unsafe, load_unsafe
from tests.unit.domain import (
    test_hygiene,
    test_on_proxmox,
    test_persistent_paths,
    test_redis_aof,
    test_release_deploy,
    test_tmp_files,
    test_write_surfaces,
)
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


def _plan_for(capability: str, builder: EvidenceBuilder, desired: DesiredHost) -> list[Step]:
    made = make_plan(
        site="lab",
        now=COLLECTED,
        hosts=[desired],
        evidence={"mint-data": builder.build().model_copy(update={"asked": what_to_ask(desired)})},
        policy="p",
        inventory="i",
        roles="r",
        capabilities=[CAPABILITIES[capability]],
        retention=timedelta(days=7),
    )
    return [step for step in made.steps if step.capability == capability]


def _machine() -> list[Step]:
    """Return a machine's step on libvirt and the one on Proxmox VE, which works through an API."""
    on_proxmox = desired_mint_data(machine=declared_machine(**test_on_proxmox.ON_PVE))
    draft = vm_provision.CAPABILITY.propose(
        on_proxmox, Reader(seen_from_hypervisor(unborn(**test_on_proxmox.SHOWN))), Outlook(now=COLLECTED, retention=timedelta(days=7))
    ).drafts[0]
    return [*plan_of(seen_from_hypervisor(unborn()), vm_provision.CAPABILITY).steps, planning._step("mint-data", 10, vm_provision.CAPABILITY, draft)]


def _first_plan(capability: str) -> list[Step]:
    return [step for step in FakeSite().plan().steps if step.capability == capability]


def _docker_root() -> list[Step]:
    """Return the move of both roots and the limits of logs alone."""
    builder = EvidenceBuilder()
    builder.probes["docker_config"]["daemon_json"] = '{"data-root": "/mnt/data/docker", "log-driver": "json-file"}'
    builder.probes["docker_info"]["default_log_options"] = {}
    return [*_first_plan("docker.data_root"), *_plan_for("docker.data_root", builder, desired_mint_data())]


def _redis() -> list[Step]:
    """Return what is persisted in the stack's file and what is in the container's own, with a login and without."""
    service = desired_mint_data().services[REDIS]
    asks = desired_mint_data(services={REDIS: service.model_copy(update={"auth": Auth(user="ops", password_env="CACHE_PASSWORD")})})
    own = test_redis_aof.drifting()
    test_redis_aof.state(own).update(persisted_from="/data/redis.conf and command line")
    return [*_plan_for("redis.durability", test_redis_aof.drifting(), asks), *_plan_for("redis.durability", own, desired_mint_data())]


def _hygiene() -> list[Step]:
    """Return the removal of images and records, a timer, and a timer that is taken away."""
    over = test_hygiene.host(images=1150 * test_hygiene.MB, build_cache=15 * test_hygiene.MB)
    full = test_hygiene.desired(images=1000 * test_hygiene.MB, build_cache=10 * test_hygiene.MB)
    old = test_hygiene.host()
    old.probes["units"][HYGIENE_TIMER] = test_hygiene._UNIT
    asked = [(over, full), (test_hygiene.host(), test_hygiene.desired(timer="daily")), (old, test_hygiene.desired())]
    return [step for builder, desired in asked for step in _plan_for("docker.hygiene", builder, desired)]


def _purge() -> list[Step]:
    site = FakeSite()
    site.apply(site.plan())
    site.clock.time += timedelta(days=8)
    return list(site.plan("storage.purge").steps)


def _release() -> list[Step]:
    builder, wanted = test_release_deploy.first(EvidenceBuilder()), release_wanted()
    return _plan_for("release.deploy", builder, desired_mint_data(releases=(wanted,)))


# Steps of every capability, one for each way in which its variables differ.
STEPS: dict[str, Callable[[], list[Step]]] = {
    "infra.vm.provision": _machine,
    "storage.data_disk": lambda: _first_plan("storage.data_disk"),
    "storage.fstab": lambda: _first_plan("storage.fstab"),
    "infra.vm.bootstrap": lambda: [step for step in whole_plan(blank()).steps if step.role == "vm_bootstrap"],
    "docker.data_root": _docker_root,
    "storage.persistent_paths": lambda: _plan_for("storage.persistent_paths", test_persistent_paths.drifting(), desired_mint_data()),
    "redis.durability": _redis,
    "storage.write_surfaces": lambda: _plan_for(
        "storage.write_surfaces",
        test_write_surfaces.builder(bound=False),
        test_write_surfaces.desired(owner="1000:1000", mode="0750"),
    ),
    "release.deploy": _release,
    "docker.hygiene": _hygiene,
    "storage.tmp_files": lambda: _plan_for("storage.tmp_files", test_tmp_files.host(test_tmp_files.file("old")), desired_mint_data()),
    "storage.purge": _purge,
}
# How many of them there are at least: a way whose step is not made any more would be held by nothing.
WAYS = {"infra.vm.provision": 2, "docker.data_root": 2, "redis.durability": 2, "docker.hygiene": 3}


def test_every_capability_has_its_steps_here() -> None:
    assert list(STEPS) == list(CAPABILITIES)


@pytest.mark.parametrize("undo", [False, True], ids=["main", "rollback"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_rendered_variables_are_those_that_the_role_declares(capability: str, undo: bool) -> None:
    steps = STEPS[capability]()
    assert len(steps) >= WAYS.get(capability, 1)
    for step in steps:
        assert (step.capability, step.role) == (capability, CAPABILITIES[capability].role)
        undoes = {step.id: "OLD"} if undo else None
        project = render_steps([step], keys={step.id: "NEW"}, holder="a@b", hosts=HOSTS, roles={}, undoes=undoes)
        [variables] = [load_unsafe(content) for path, content in project.items() if path.startswith("vars/")]
        own = {name: value for name, value in variables.items() if not name.startswith("target_run_")}
        options = _specs(step.role)[_entry_point(project, step.role)]["options"]

        assert set(own) <= set(options)
        assert {name for name, option in options.items() if option.get("required")} <= set(own)
        # As the role itself is checked when it is included: types, choices, and the names within.
        assert ArgumentSpecValidator(options).validate(own).error_messages == []
        assert {name for name in variables if name.startswith("target_run_")} <= set(_specs("target_run")["main"]["options"])
        # What is told beside the plan comes with the inventory, which a file of variables would override.
        assert not set(own) & set(play_runner._PASSWORDS)


def _entry_point(project: dict[str, bytes], role: str) -> str:
    """Return the role's entry point that the rendered play includes."""
    [play] = json.loads(project["site.yml"])
    [block] = [task["block"] for task in play["tasks"] if "block" in task]
    [included] = [task["ansible.builtin.include_role"] for task in block]
    assert included["name"] == role
    return str(included.get("tasks_from", "main"))


@pytest.mark.parametrize("role", sorted({capability.role for capability in CAPABILITIES.values()}))
def test_what_a_role_is_told_beside_the_plan_is_declared_wherever_it_is_included_and_told_by_that_very_name(role: str) -> None:
    told = {name for name in play_runner._PASSWORDS if name.startswith(f"{role}_")}
    for point, spec in _specs(role).items():
        declared = {name: option for name, option in spec["options"].items() if name.endswith("_told")}
        assert set(declared) == told, point
        # A host that is told nothing has no such variable.
        assert {(option["type"], option["default"], option.get("required", False)) for option in declared.values()} <= {("path", "", False)}


def test_nothing_is_told_to_a_role_that_does_not_exist() -> None:
    roles = {capability.role for capability in CAPABILITIES.values()}
    assert {name.removesuffix("_told") for name in play_runner._PASSWORDS} <= roles


@pytest.mark.parametrize("role", sorted({capability.role for capability in CAPABILITIES.values()}))
def test_a_way_back_takes_what_the_way_there_took_and_whose_run_it_is(role: str) -> None:
    specs, of = _specs(role), f"{role}_rollback_of"
    for there, back in [("main", "rollback"), ("api", "api_rollback")]:
        if there in specs or back in specs:
            assert {**specs[there]["options"], of: specs[back]["options"][of]} == specs[back]["options"]
            assert (specs[back]["options"][of]["type"], specs[back]["options"][of]["required"]) == ("str", True)


def test_what_takes_a_lease_over_gives_target_run_what_it_declares() -> None:
    project = render_take_over(HOSTS[0], key="NEW", of="OLD", holder="a@b", roles={})

    options = _specs("target_run")["main"]["options"]
    variables = set(load_unsafe(project["vars/lease.yml"]))
    assert variables <= set(options)
    assert {name for name, option in options.items() if option.get("required")} <= variables


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
