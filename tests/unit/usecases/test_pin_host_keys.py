"""A machine's host key is pinned from its hypervisor's evidence, when the machine is made and not before."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.capabilities import vm_provision
from controlplane.domain.plan import Downtime, Step
from controlplane.usecases.pin_host_keys import pin_host_key
from tests.fakes.machine_builder import born, seen_from_hypervisor, unborn
from tests.fakes.ports import FakeKnownHosts
from tests.fakes.site import FakeSite


def step(capability: str = vm_provision.ID) -> Step:
    nothing = Downtime(services=(), estimate_s=0)
    return Step(id="mint-data/010", host="mint-data", capability=capability, role="x", mends=(), changes=(), downtime=nothing, undo="", variables={})


def pin(machine: dict[str, Any] | None, known: FakeKnownHosts, capability: str = vm_provision.ID) -> str | None:
    seen = {} if machine is None else {"mint-data": seen_from_hypervisor(machine)}
    return pin_host_key(step(capability), FakeSite().view, seen, known)


def test_the_keys_that_the_hypervisor_shows_are_pinned() -> None:
    known = FakeKnownHosts()
    assert pin(born(), known) is None
    assert known.pinned == {"mint-data": tuple(born()["host_keys"])}


def test_why_a_key_could_not_be_pinned_is_handed_on() -> None:
    known = FakeKnownHosts()
    known.fault = "another one is known"
    assert pin(born(), known) == "another one is known"


@pytest.mark.parametrize("machine", [None, unborn(), born(made=False), born(host_keys=[])], ids=["unseen", "absent", "half-made", "keyless"])
def test_nothing_is_pinned_before_the_machine_is_made(machine: dict[str, Any] | None) -> None:
    known = FakeKnownHosts()
    assert pin(machine, known) is None
    assert known.pinned == {}


def test_another_capability_pins_nothing() -> None:
    known = FakeKnownHosts()
    assert pin(born(), known, "storage.data_disk") is None
    assert known.pinned == {}
