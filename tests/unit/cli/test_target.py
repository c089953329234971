"""A machine without a site: the four verbs that take --target, and what two witnesses say of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from controlplane import wiring
from controlplane.cli.app import main
from tests.fakes.evidence_builder import healthy_probes
from tests.fakes.host import FakeHost
from tests.fakes.interruption import Interruption
from tests.fakes.ports import FakeClock, FakeEvidence, FakeWitness

TARGET = ("--target", "root@db1.example.org")


class Said(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Said]


class World:
    """One healthy machine, looked at by two witnesses."""

    def __init__(self) -> None:
        self.clock, world = FakeClock(), Interruption()
        self.evidence = FakeEvidence({"db1.example.org": FakeHost("db1.example.org", healthy_probes())}, self.clock, world)
        self.witness = FakeWitness(world)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(wiring, "evidence_source", lambda: made.evidence)
    monkeypatch.setattr(wiring, "witness", lambda: made.witness)
    monkeypatch.setattr(wiring, "clock", lambda: made.clock)
    return made


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 - the verbs meet the fake machine
    def call(*argv: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["controlplane", *argv])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Said(end.value.code, told.out, told.err)

    return call


@pytest.mark.parametrize("verb", [("audit",), ("evidence",), ("verify",), ("policy", "suggest")])
def test_each_verb_that_looks_takes_a_target_instead_of_a_site(run: Run, world: World, verb: tuple[str, ...]) -> None:
    said = run(*verb, *TARGET)
    assert (said.code, world.evidence.asked) == (0, 1), said
    for more in (("--site", "inventory/lab"), ("--host", "db1")):
        refused = run(*verb, *TARGET, *more)
        assert (refused.code, refused.out) == (2, "")
        assert "--site and --host" in refused.err
    assert world.evidence.asked == 1


def test_verify_judges_a_target_by_the_general_checks_and_names_no_policy(run: Run) -> None:
    judged = json.loads(run("verify", *TARGET, "-o", "json").out)
    audited = json.loads(run("audit", *TARGET, "-o", "json").out)
    assert (judged["site"], judged["policy_digest"]) == (None, None)
    assert judged["findings"] == audited["findings"]
    assert judged["summary"]["unknown"] == 0


@pytest.mark.parametrize("surface", ["docker.data_root", "docker.log"])
def test_a_target_that_says_otherwise_live_is_unknown(run: Run, world: World, surface: str) -> None:
    world.witness.doubts = {surface: "something else"}
    said = run("verify", *TARGET, "-o", "json")
    assert said.code == 5
    [doubted] = [finding for finding in json.loads(said.out)["findings"] if finding["verdict"] == "UNKNOWN"]
    assert doubted["surface"] == surface
    assert doubted["reason"].startswith("two witnesses disagree: evidence says ")


def test_a_target_that_is_not_reached_is_unknown_and_the_second_witness_is_not_asked(run: Run, world: World) -> None:
    world.evidence.unreached = {"db1.example.org": "No route to host"}
    assert run("verify", *TARGET).code == 5
    assert "ask witness" not in world.witness.world.places


def test_a_target_is_not_rebooted(run: Run, world: World) -> None:
    said = run("verify", *TARGET, "--after-reboot")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1] == (
        "Error: --after-reboot needs a site, which keeps a receipt of each reboot: leave it out, or reboot the machine yourself"
    )
    assert world.evidence.asked == 0
