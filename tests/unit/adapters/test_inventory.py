from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.adapters.inventory import InventoryRead, read_inventory
from controlplane.domain.inventory import Inventory


def read(path: Path, text: str | None = None, *, run_dynamic: bool = False) -> InventoryRead:
    if text is not None:
        path.write_text(text)
    return read_inventory(path, run_dynamic=run_dynamic)


def inventory(path: Path, text: str | None = None, *, run_dynamic: bool = False) -> Inventory:
    found = read(path, text, run_dynamic=run_dynamic)
    assert [str(fault) for fault in found.faults] == []
    assert found.inventory is not None
    return found.inventory


def faults(path: Path, text: str) -> list[str]:
    return [str(fault).removeprefix(f"{path.parent}/") for fault in sorted(read(path, text).faults)]


NESTED = """\
all:
  vars: {ansible_user: root, ansible_port: 22, other: "{{ never }}"}
  hosts:
    lone: {ansible_host: 10.0.0.9}
  children:
    apps:
      vars: {ansible_user: apps}
      children:
        web:
          vars: {ansible_user: web}
          hosts:
            web[01:03]:
            db-[a:c].example.org:2222: {ansible_user: db}
    zebra:
      hosts: {web01: }
      vars: {ansible_user: zebra}
    first:
      hosts: {web02: }
      vars: {ansible_user: first, ansible_group_priority: 10}
ungrouped:
  hosts: {stray: }
"""


def test_plain_yaml_means_what_it_means_to_ansible(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("ansible_become: true\nansible_port: 2200\nsecret: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\n")
    (tmp_path / "group_vars/web").mkdir()
    (tmp_path / "group_vars/web/main.yml").write_text("ansible_become_user: webby\n")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/web03.yml").write_text("ansible_host: 10.0.0.3\n")
    (tmp_path / "host_vars/web01.yml").write_text("---\n")
    (tmp_path / "host_vars/lone").write_text("$ANSIBLE_VAULT;1.1;AES256\n6161\n6262\n")
    path = tmp_path / "hosts.yml"
    path.write_text(NESTED)
    (tmp_path / "host_vars/lone").unlink()  # Ansible would ask for the password
    ours = inventory(path)
    program = Path(sys.executable).with_name("ansible-inventory")
    listed = json.loads(subprocess.run([program, "-i", path, "--list"], check=True, capture_output=True, cwd=tmp_path).stdout)
    theirs = {
        name: {key: value for key, value in variables.items() if key.startswith("ansible_") and key != "ansible_group_priority"}
        for name, variables in listed["_meta"]["hostvars"].items()
    }
    assert {host.name: host.variables for host in ours.hosts} == theirs
    assert ours.by_name()["web01"].groups == ("apps", "web", "zebra")
    assert ours.groups == ("apps", "first", "web", "zebra")
    assert ours.by_name()["db-b.example.org"].variables["ansible_port"] == 2222
    assert ours.by_name()["web02"].variables["ansible_user"] == "web"


def test_a_vaulted_file_and_an_empty_file_of_variables_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/h.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6161\n6262\n")
    (tmp_path / "host_vars/i.yml").write_text("")
    assert [host.variables for host in inventory(tmp_path / "hosts.yml", "all: {hosts: {h: , i: }}\n").hosts] == [{}, {}]


def test_only_connection_variables_are_taken_and_old_names_become_new(tmp_path: Path) -> None:
    text = "all: {hosts: {h: {ansible_ssh_host: a, ansible_ssh_port: 2, ansible_ssh_user: u, ansible_password: x, foo: '{{ y }}', bar: !unsafe z}}}\n"
    [host] = inventory(tmp_path / "hosts.yml", text).hosts
    assert host.variables == {"ansible_host": "a", "ansible_port": 2, "ansible_user": "u"}


def test_an_inventory_does_not_choose_pipelining(tmp_path: Path) -> None:
    text = "all: {vars: {ansible_pipelining: true}, hosts: {h: {ansible_ssh_pipelining: true, ansible_user: u}}}\n"
    [host] = inventory(tmp_path / "hosts.yml", text).hosts
    assert host.variables == {"ansible_user": "u"}


@pytest.mark.parametrize("name", ["../x", "-oProxyCommand=id", "Web1", "mintа", "a b", "a/b", "x" * 254, "web[1:99999999]", "web[x:1]", "{{ x }}"])
def test_host_names_that_could_mean_something_else_are_refused(tmp_path: Path, name: str) -> None:
    [fault] = read(tmp_path / "hosts.yml", f"all:\n  hosts:\n    {json.dumps(name, ensure_ascii=False)}:\n").faults
    assert fault.line == 3
    assert "is no host name: it has to match [a-z0-9][a-z0-9._-]{0,252}" in fault.message


@pytest.mark.parametrize("name", ["all", "ungrouped"])
def test_a_host_that_is_called_as_ansible_calls_every_host_is_refused(tmp_path: Path, name: str) -> None:
    [fault] = read(tmp_path / "hosts.yml", f"web:\n  hosts:\n    {name}:\n").faults
    assert (fault.line, fault.message) == (
        3,
        f"'{name}' is no host name: to Ansible it is a group, and a play on it would run on every host",
    )


def test_ranges_are_bounded(tmp_path: Path) -> None:
    assert faults(tmp_path / "hosts.yml", "all: {hosts: {'h[0:9999]-[0:9999]-[0:9999]': }}\n") == [
        "hosts.yml:1: all.hosts.h[0:9999]-[0:9999]-[0:9999]: makes more than 100000 hosts: narrow the range"
    ]


def test_a_template_in_a_connection_variable_is_refused_with_file_and_host(tmp_path: Path) -> None:
    text = "all:\n  hosts:\n    h:\n      ansible_host: \"{{ lookup('pipe', 'id') }}\"\n"
    assert faults(tmp_path / "hosts.yml", text) == [
        (
            "hosts.yml:4: all.hosts.h.ansible_host: \"{{ lookup('pipe', 'id') }}\" holds template marks, which Ansible would run on this controller: "
            "write the value itself"
        )
    ]


def test_a_group_variable_is_judged_once_and_names_a_host(tmp_path: Path) -> None:
    text = "all:\n  vars: {ansible_ssh_common_args: -o StrictHostKeyChecking=no}\n  hosts: {a: , b: }\n"
    assert faults(tmp_path / "hosts.yml", text) == [
        (
            "hosts.yml:2: all.vars.ansible_ssh_common_args: switches the check of host keys off: pin the key in a known_hosts file instead "
            "(ssh-keyscan, then compare the fingerprint) (host a)"
        )
    ]


def test_the_switch_for_host_keys_as_a_variable_is_refused_too(tmp_path: Path) -> None:
    [fault] = faults(tmp_path / "hosts.yml", "all:\n  hosts:\n    h: {ansible_host_key_checking: false}\n")
    assert "switches the check of host keys off" in fault


@pytest.mark.parametrize("value", ["[a]", "{a: b}", "!vault x", "!unsafe x"])
def test_a_connection_variable_is_one_plain_value(tmp_path: Path, value: str) -> None:
    [fault] = faults(tmp_path / "hosts.yml", f"all:\n  hosts:\n    h:\n      ansible_host: {value}\n")
    assert fault.startswith("hosts.yml:4: all.hosts.h.ansible_host: is a ")


def test_duplicates_aliases_and_broken_files_are_refused_with_lines(tmp_path: Path) -> None:
    assert faults(tmp_path / "hosts.yml", "all:\n  hosts:\n    a:\n    a:\n") == [
        "hosts.yml:4: all.hosts.a: is there twice, first on line 3: keep one of them"
    ]
    assert faults(tmp_path / "hosts.yml", "[]\n") == ["hosts.yml:1: is no inventory: write groups as keys, such as all:"]
    assert faults(tmp_path / "hosts.yml", "all: {hosts: [a]}\n") == [
        "hosts.yml:1: all.hosts: is no mapping: write one name a line, each with a colon"
    ]


def test_groups_that_are_children_of_each_other_are_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path / "hosts.yml", "a: {children: {b: }}\nb: {children: {a: }}\n") == [
        "inventory: has groups that are children of each other: break the loop"
    ]


def test_an_ini_file_is_read_by_ansible_and_templates_in_it_do_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    ini = "[web]\nweb[1:2] ansible_port=2222\n[db]\ndb1 foo=\"{{ lookup('pipe', 'touch " + str(mark) + "') }}\"\n[top:children]\nweb\n"
    found = inventory(tmp_path / "hosts", ini)
    assert [(host.name, host.groups, host.variables) for host in found.hosts] == [
        ("db1", ("db",), {}),
        ("web1", ("top", "web"), {"ansible_port": 2222}),
        ("web2", ("top", "web"), {"ansible_port": 2222}),
    ]
    assert faults(tmp_path / "hosts", "h ansible_host=\"{{ lookup('pipe', 'touch " + str(mark) + "') }}\"\n") == [
        (
            f"hosts: h.ansible_host: \"{{{{ lookup('pipe', 'touch {mark}') }}}}\" holds template marks, which Ansible would run on this controller: "
            "write the value itself"
        )
    ]
    assert not mark.exists()


def test_an_ini_file_that_ansible_cannot_read_says_so(tmp_path: Path) -> None:
    [fault] = faults(tmp_path / "hosts", "[web\nx y z = [\n")
    assert fault.startswith("hosts: is nothing that Ansible reads: ")


def script(tmp_path: Path) -> tuple[Path, Path]:
    mark = tmp_path / "ran"
    path = tmp_path / "inventory.sh"
    listed = {"web": {"hosts": ["web1"], "vars": {"ansible_user": "u"}}, "_meta": {"hostvars": {"web1": {"ansible_host": "10.0.0.1"}}}}
    path.write_text(f"#!/bin/sh\ntouch {mark}\necho '{json.dumps(listed)}'\n")
    path.chmod(0o755)
    return path, mark


def test_a_script_runs_only_where_that_was_asked_for(tmp_path: Path) -> None:
    path, mark = script(tmp_path)
    left = read(path)
    assert left.inventory is None
    assert left.faults == ()
    assert left.note == (
        f"{path} is a script or a plugin's configuration and was not run, so hosts and groups were not checked against the inventory: "
        "add --inventory to run it"
    )
    assert not mark.exists()
    [host] = inventory(path, run_dynamic=True).hosts
    assert (host.name, host.groups, host.variables) == ("web1", ("web",), {"ansible_host": "10.0.0.1", "ansible_user": "u"})
    assert mark.exists()


def test_a_script_in_a_folder_holds_the_whole_folder_back(tmp_path: Path) -> None:
    folder = tmp_path / "inventory"
    folder.mkdir()
    _, mark = script(folder)
    (folder / "hosts.yml").write_text("all: {hosts: {h: }}\n")
    assert read(folder).inventory is None
    assert not mark.exists()


def test_a_plugins_configuration_is_not_loaded_unasked(tmp_path: Path) -> None:
    left = read(tmp_path / "x.yml", "plugin: constructed\nstrict: true\n")
    assert left.inventory is None
    assert left.note is not None


def test_a_folder_of_sources_is_one_inventory(tmp_path: Path) -> None:
    for name, text in {
        "a.yml": "web: {hosts: {web1: {ansible_port: 1}}}\n",
        "b.yml": "web: {hosts: {web2: }}\n",
        "c.txt": "x",
        ".d.yml": "[",
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/web.yml").write_text("ansible_user: u\n")
    assert [(host.name, host.variables) for host in inventory(tmp_path).hosts] == [
        ("web1", {"ansible_port": 1, "ansible_user": "u"}),
        ("web2", {"ansible_user": "u"}),
    ]


def test_an_inventory_that_is_not_there_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert [str(fault) for fault in read(tmp_path / "none").faults] == [
        f"{tmp_path}/none: does not exist: create it, or correct `inventory` in site.yml"
    ]
    assert [str(fault) for fault in read(tmp_path / "empty").faults] == [f"{tmp_path}/empty: holds no inventory file: add one, such as hosts.yml"]
