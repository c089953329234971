"""Whoever makes a machine knows the host key that it is born with, and whether anybody has to wait for it: nobody needs to look again for that."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from tests.unit.roles.loading import library, module_util

for name in ("shape", "libvirt", "kvm", "want", "judge", "fence", "seed"):
    module_util("vm_provision", f"vm_provision_{name}")
making = library("vm_provision", "vm_provision_make")

BORN_WITH = "ssh-ed25519 AAAA"
WANT: dict[str, Any] = {
    "name": "mint-data",
    "hypervisor": {"kind": "libvirt", "accelerator": "qemu"},
    "cores": 2,
    "memory": 1024**3,
    "boot": {"image": "debian.qcow2", "size": 8, "storage": "default", "volume": "mint-data-boot"},
    "disks": [],
    "network": {"network": "default"},
    "agent": False,
    "run": "CAP-1",
    "existing": False,
    "fence": [],
}
THERE: dict[str, Any] = {"run": "CAP-0", "made": True, "started": True, "host_key": BORN_WITH, "autostart": True, "state": "running"}
LISTS: dict[str, Any] = {"volumes": {}, "disks": [], "kept": []}


class _Libvirt:
    """One machine or none, and what virsh was told to do."""

    def __init__(self, domain: dict[str, Any] | None) -> None:
        self.seen = domain
        self.told: list[tuple[str, ...]] = []

    def domain(self, _name: str) -> dict[str, Any] | None:
        return self.seen

    def pools(self) -> dict[str, Any]:
        return {"default": {"kind": "dir", "volumes": {}}}

    def virsh(self, *words: str, **_: Any) -> str:
        self.told.append(words)
        return ""

    def set_mark(self, *_: Any, **__: Any) -> None:
        self.told.append(("set-mark",))


class _EndedError(Exception):
    """The module ended."""


def _made(monkeypatch: pytest.MonkeyPatch, domain: dict[str, Any] | None, *, check: bool = False, **want: Any) -> tuple[dict[str, Any], _Libvirt]:
    libvirt, said = _Libvirt(domain), {}

    class _Module:
        params, check_mode = {**WANT, **want}, check

        def __init__(self, **_: Any) -> None: ...

        def exit_json(self, **answer: Any) -> None:
            said.update(answer)

        def fail_json(self, msg: str) -> None:
            raise _EndedError(msg)

    monkeypatch.setattr(making, "AnsibleModule", _Module)
    monkeypatch.setattr(making.asked, "libvirt_of", lambda _want: libvirt)
    monkeypatch.setattr(making.asked, "alone", lambda _name: nullcontext())
    monkeypatch.setattr(making.fence, "unless_dry", lambda _module: nullcontext())
    monkeypatch.setattr(making.seed, "host_key", lambda _folder: "")
    monkeypatch.setattr(making.seed, "make_host_key", lambda _folder, _name: BORN_WITH)
    for what in ("key", "volume", "seed"):
        monkeypatch.setattr(making.Making, what, lambda *_: None)
    making.main()
    return said, libvirt


def test_a_machine_that_is_made_now_is_waited_for_by_the_key_that_was_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said, libvirt = _made(monkeypatch, None)
    assert (said["changed"], said["is_there"], said["host_key"]) == (True, False, BORN_WITH)
    assert [words[0] for words in libvirt.told] == ["define", "autostart", "set-mark", "start"]


def test_one_that_an_interrupted_run_started_is_waited_for_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said, libvirt = _made(monkeypatch, THERE | LISTS | {"made": False})
    assert (said["changed"], said["is_there"], said["host_key"]) == (False, False, BORN_WITH)
    assert libvirt.told == []


@pytest.mark.parametrize(("made", "key", "existing"), [(True, BORN_WITH, True), (None, "", True), (True, BORN_WITH, False)])
def test_nobody_waits_for_one_that_is_there_whoever_made_it(monkeypatch: pytest.MonkeyPatch, made: bool | None, key: str, existing: bool) -> None:
    """Of one that no run made no key is known, so waiting for it would end badly."""
    said, libvirt = _made(monkeypatch, THERE | LISTS | {"made": made, "host_key": key}, existing=existing)
    assert (said["changed"], said["is_there"]) == (False, True)
    assert libvirt.told == []


def test_a_dry_run_defines_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said, libvirt = _made(monkeypatch, None, check=True)
    assert (said["changed"], said["is_there"], libvirt.told) == (True, False, [])
