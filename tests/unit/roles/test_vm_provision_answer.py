"""A new machine is asked for its host key until it shows the one that it was born with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.roles.loading import library, module_util

for name in ("vm_provision_shape", "vm_provision_libvirt", "vm_provision_kvm", "vm_provision_want"):
    module_util("vm_provision", name)
answer = library("vm_provision", "vm_provision_answer")

BORN_WITH = "ssh-ed25519 AAAA"
WANT: dict[str, Any] = {"name": "mint-data", "address": "192.0.2.10/24", "host_key": BORN_WITH, "wait_s": 60}


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the machine will offer, one after the other; nobody really waits."""
    queue: list[str] = []
    monkeypatch.setattr(answer, "offered", lambda _: queue.pop(0))
    monkeypatch.setattr(answer, "_AGAIN_S", 0)
    return queue


def test_a_silent_or_wrong_machine_is_asked_again_at_once_until_its_own_key_is_heard(offers: list[str]) -> None:
    offers += ["", "", "ssh-ed25519 OTHER", BORN_WITH, "never asked for"]
    assert answer.ask(None, WANT) == (["192.0.2.10"], {"192.0.2.10": BORN_WITH})
    assert offers == ["never asked for"]


def test_what_was_heard_last_is_told_once_the_time_is_over(offers: list[str]) -> None:
    offers += ["ssh-ed25519 OTHER", "never asked for"]
    assert answer.ask(None, WANT | {"wait_s": -1}) == (["192.0.2.10"], {"192.0.2.10": "ssh-ed25519 OTHER"})
    assert offers == ["never asked for"]
