"""A play's lease is back at its end by one round trip at most, and by none of its own where the proof gave it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import verbs

from tests.unit.roles.loading import ROOT

PACKAGE = Path(verbs.__file__).parent
LOOK: dict[str, Any] = {"name": "Look", "target_run_tool": {"words": ["state"]}}
PROVE: dict[str, Any] = {"name": "Prove", "target_run_tool": {"words": ["state"], "releases": True}}
FAIL = {"name": "Fail before the proof", "ansible.builtin.fail": {"msg": "as asked"}, "ignore_errors": True}
RELEASE = {"name": "Release", "ansible.builtin.include_role": {"name": "target_run", "tasks_from": "release"}}


class Host:
    """A folder in the place of a host's, and the tool on it, which notes how it was called."""

    def __init__(self, folder: Path) -> None:
        self.base, self.calls_file = folder / "home", folder / "calls"
        self.base.mkdir()
        self.calls_file.touch()
        python = folder / "python"
        python.write_text(f'#!/bin/sh\necho "$*" >> {self.calls_file}\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        self.tool = [str(python), "-I", "-S", "-B", str(PACKAGE), "--base", str(self.base)]
        self.folder = folder

    def take(self) -> dict[str, Any]:
        """Take the lease, and return what a play would carry from then on."""
        done = subprocess.run([*self.tool, "lease", "take", "--run", "R1", "--holder", "ann@desk"], capture_output=True, text=True, check=True)
        self.calls_file.write_text("")
        token = str(json.loads(done.stdout)["lease"]["token"])
        return {"command": self.tool, "run": "R1", "claim": ["--holder", "ann@desk", "--ttl", "600", "--token", token]}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.tool, *words], input="{}", capture_output=True, text=True, check=False)

    def play(self, carried: dict[str, Any], tasks: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a play on this host, with what it carries."""
        told = {"target_run_key": "R1", "target_run_role": "fstab", "target_run_holder": "ann@desk", "__target_run_tool": carried}
        return {"hosts": self.folder.name, "connection": "local", "gather_facts": False, "vars": told, "tasks": tasks}

    def called(self) -> list[list[str]]:
        """Return the verbs that the tool was called for."""
        return [line.split(f"--base {self.base} ")[1].split(" --run ")[0].split() for line in self.calls_file.read_text().splitlines()]

    @property
    def is_leased(self) -> bool:
        return (self.base / "lease.json").exists()


def run_plays(folder: Path, plays: list[dict[str, Any]]) -> None:
    """Run plays, each on its host, by one start of Ansible: that alone takes a second."""
    (folder / "plays.json").write_text(json.dumps(plays))
    # An action is known to a play from a role's folder only once that role was included.
    env = {**os.environ, "ANSIBLE_ROLES_PATH": str(ROOT / "roles"), "ANSIBLE_ACTION_PLUGINS": str(ROOT / "roles/target_run/action_plugins")}
    env["ANSIBLE_LIBRARY"] = str(ROOT / "roles/target_run/library")
    inventory = "".join(f"{play['hosts']}," for play in plays)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", inventory, str(folder / "plays.json")]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def _next_step(host: Host) -> list[dict[str, Any]]:
    """Return a step whose lease was given back, as the host remembers, and the one that follows it."""
    first = host.take()
    host.run("lease", "release", "--run", "R1", *first["claim"])
    second = host.take()
    assert second["claim"][-1] == "2"
    told = {"name": "Remember", "ansible.builtin.set_fact": {"target_run_released": [first["run"], first["claim"][-1]], "cacheable": True}}
    return [host.play(first, [told]), host.play(second, [FAIL, RELEASE])]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Host]:
    """Play each way to the end of a play, or of two, on a host of its own."""
    folder = tmp_path_factory.mktemp("played")
    hosts: dict[str, Host] = {}
    for name in ("proven", "looked", "failed", "next"):
        (folder / name).mkdir()
        hosts[name] = Host(folder / name)
    plays = [hosts[name].play(hosts[name].take(), [first, RELEASE]) for name, first in (("proven", PROVE), ("looked", LOOK), ("failed", FAIL))]
    run_plays(folder, [*plays, *_next_step(hosts["next"])])
    return hosts


@pytest.mark.parametrize(
    ("way", "calls"),
    [("proven", [["state"]]), ("looked", [["state"], ["lease", "release"]]), ("failed", [["lease", "release"]])],
)
def test_the_lease_is_back_at_the_end_by_as_few_round_trips_as_it_takes(played: dict[str, Host], way: str, calls: list[list[str]]) -> None:
    assert (played[way].called(), played[way].is_leased) == (calls, False)


def test_what_an_earlier_step_gave_back_is_not_taken_for_the_lease_of_the_next_one(played: dict[str, Host]) -> None:
    assert (played["next"].called(), played["next"].is_leased) == ([["lease", "release"]], False)


def test_a_proof_that_fails_keeps_the_lease(host: Host) -> None:
    carried = host.take()
    done = host.run("fstab", "look", "--run", "R1", *carried["claim"], "--release")
    assert (done.returncode, host.is_leased) == (4, True), done


def test_a_proof_that_tells_what_is_amiss_and_leaves_it_to_the_play_to_judge_keeps_the_lease(host: Host) -> None:
    carried = host.take()
    asked = json.dumps({"entries": [], "guards": [], "bare": ["/nonexistent/x"], "field": "f"})
    words = [*host.tool, "fstab", "look", "--run", "R1", *carried["claim"], "--release"]
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=True)
    assert "/nonexistent/x can't be reached" in json.loads(done.stdout)["objections"][0]
    assert ("released" in json.loads(done.stdout), host.is_leased) == (False, True)


def test_nobody_elses_lease_is_given_back(host: Host) -> None:
    old = host.take()
    host.take()
    done = host.run("state", "--run", "R1", *old["claim"], "--release")
    assert (json.loads(done.stdout)["released"], host.is_leased) == (False, True)


def test_what_changes_the_host_gives_no_lease_back(host: Host) -> None:
    carried = host.take()
    for verb in (("way-back",), ("docker-root", "move")):
        done = host.run(*verb, "--run", "R1", *carried["claim"], "--release")
        assert (done.returncode, "gives no lease back. Nothing was changed." in done.stderr, host.is_leased) == (4, True, True), done
    # Neither is it asked for both at once.
    assert host.run("state", "--run", "R1", *carried["claim"], "--hold", "--release").returncode == 2
