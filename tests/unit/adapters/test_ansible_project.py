"""The configuration that every Ansible run here gets."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from controlplane.adapters.ansible_project import configuration


def settings(*, only_looks: bool) -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    parser.read_string(configuration(only_looks=only_looks, control_dir=Path("/run/c"), local_tmp=Path("/run/t")).decode())
    return {f"{section}.{name}": value for section in parser.sections() for name, value in parser[section].items()}


@pytest.mark.parametrize(("only_looks", "said", "retries"), [(False, "False", "0"), (True, "True", "1")])
def test_what_changes_something_keeps_to_its_connection_and_is_never_tried_twice(only_looks: bool, said: str, retries: str) -> None:
    told = settings(only_looks=only_looks)
    assert (told["connection.pipelining"], told["ssh_connection.pipelining"], told["ssh_connection.retries"]) == (said, said, retries)


def test_nothing_is_searched_for_and_host_keys_are_checked() -> None:
    told = settings(only_looks=False)
    assert told["defaults.host_key_checking"] == "True"
    assert told["defaults.interpreter_python"] == "/usr/bin/python3"
    assert told["defaults.gathering"] == "explicit"
    assert told["inventory.enable_plugins"] == "ansible.builtin.yaml"
    assert told["ssh_connection.control_path_dir"] == "/run/c"
