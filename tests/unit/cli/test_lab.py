"""The verb group `lab`: options, output and refusals, on a lab that only remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from controlplane import wiring
from controlplane.adapters.lab.lab import MachineStatus
from controlplane.cli.lab import lab
from controlplane.domain.errors import InputInvalidError


class FakeLab:
    """Remembers calls; one machine `db` runs."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.say: Callable[[str], None] = lambda _: None
        self.warn: Callable[[str], None] = lambda _: None

    def up(self, names: tuple[str, ...], **options: Any) -> list[MachineStatus]:
        self.calls.append(("up", names, options))
        self.warn("shared kernel")
        self.say("starting")
        return self.status()

    def down(self, names: tuple[str, ...], **options: Any) -> list[str]:
        self.calls.append(("down", names, options))
        return list(names)

    def ssh_argv(self, host: str, words: list[str]) -> list[str]:
        self.calls.append(("ssh", (host, *words), {}))
        return words

    def status(self) -> list[MachineStatus]:
        return [MachineStatus(name="db", state="running", engine="26", boot_device="/dev/loop1", data_device="/dev/loop2", data_file="/d")]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeLab:
    made = FakeLab()
    monkeypatch.setattr(wiring, "lab", lambda: made)
    return made


def refusal(*argv: str) -> str:
    result = CliRunner().invoke(lab, argv)
    assert isinstance(result.exception, InputInvalidError)
    return str(result.exception)


def test_up_without_options_asks_for_what_each_machine_has(fake: FakeLab) -> None:
    assert CliRunner().invoke(lab, ["up"]).exit_code == 0
    options = {
        "vm": False,
        "boot_layout": "whole",
        "engine": "26",
        "system": "debian-12",
        "image_store": "graph",
        "data_disk": None,
        "boot_bytes": 8 * 2**30,
        "data_bytes": 4 * 2**30,
    }
    assert fake.calls == [("up", (), options)]


def test_what_a_command_on_a_machine_said_is_json_on_demand_with_its_exit_code(fake: FakeLab, capfd: pytest.CaptureFixture[str]) -> None:
    said = CliRunner().invoke(lab, ["ssh", "db", "-o", "json", "--", "echo out; echo err >&2; exit 3"])
    assert said.exit_code == 3
    assert json.loads(said.stdout) == {
        "host": "db",
        "command": ["echo out; echo err >&2; exit 3"],
        "exit_code": 3,
        "stdout": "out\n",
        "stderr": "err\n",
    }
    # Behind the dashes all is the command's, and by itself it prints where it is told to.
    said = CliRunner().invoke(lab, ["ssh", "db", "--", "printf", "%s", "-o"])
    assert (said.exit_code, fake.calls[-1]) == (0, ("ssh", ("db", "printf", "%s", "-o"), {}))
    assert capfd.readouterr().out == "-o"


def test_a_login_has_no_json(fake: FakeLab) -> None:
    said = CliRunner().invoke(lab, ["ssh", "db", "-o", "json"])
    assert (said.exit_code, "a login has no JSON: name a command" in said.output, fake.calls) == (2, True, [])


@pytest.mark.parametrize(("flag", "disk"), [("--without-data-disk", "none"), ("--foreign-data-disk", "foreign"), ("--with-data-disk", "own")])
def test_the_data_disk_is_chosen_by_one_flag(fake: FakeLab, flag: str, disk: str) -> None:
    assert CliRunner().invoke(lab, ["up", "db", flag]).exit_code == 0
    assert (fake.calls[0][1], fake.calls[0][2]["data_disk"]) == (("db",), disk)


def test_virtual_machines_are_asked_for_by_a_flag(fake: FakeLab) -> None:
    assert CliRunner().invoke(lab, ["up", "--vm", "db"]).exit_code == 0
    assert (fake.calls[0][1], fake.calls[0][2]["vm"]) == (("db",), True)


def test_two_data_disks_are_refused_and_nothing_is_asked_of_the_lab(fake: FakeLab) -> None:
    assert refusal("up", "--without-data-disk", "--foreign-data-disk") == (
        "command line: --…-data-disk: choose one of --with-, --without- and --foreign-data-disk. Nothing was changed."
    )
    assert fake.calls == []


def test_the_old_engine_has_no_containerd_image_store(fake: FakeLab) -> None:
    assert refusal("reset", "--engine", "20.10", "--image-store", "containerd") == (
        "command line: --image-store: 'containerd' needs --engine 26. Nothing was changed."
    )
    assert fake.calls == []


def test_a_boot_layout_needs_a_machine_with_a_kernel_of_its_own(fake: FakeLab) -> None:
    assert refusal("up", "--boot-layout", "lvm") == "command line: --boot-layout: 'lvm' needs --vm. Nothing was changed."
    assert fake.calls == []


def test_json_goes_to_standard_output_alone_and_progress_to_standard_error(fake: FakeLab) -> None:
    result = CliRunner().invoke(lab, ["up", "-o", "json"])
    assert [machine["name"] for machine in json.loads(result.stdout)["machines"]] == ["db"]
    assert result.stderr == "shared kernel\nlab: starting\n"
    assert fake.calls[0][0] == "up"


def test_status_names_the_devices(fake: FakeLab) -> None:
    line = "db                   running              Docker 26     boot /dev/loop1  data disk /dev/loop2\n"
    assert CliRunner().invoke(lab, ["status"]).stdout == line
    assert fake.calls == []


def test_every_verb_of_the_lab_shows_an_example() -> None:
    for verb in lab.commands:
        assert "Example: controlplane lab " in CliRunner().invoke(lab, [verb, "--help"]).stdout, verb
