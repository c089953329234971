"""What a machine may be made from."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.roles.loading import module_util

for name in ("vm_provision_shape", "vm_provision_libvirt", "vm_provision_kvm"):
    module_util("vm_provision", name)
want = module_util("vm_provision", "vm_provision_want")

POOLS = {"default": {"volumes": {"golden": "/pool/golden"}}}
GOLDEN = {"run": None, "state": "shut off", "kept": [{"pool": "default", "volume": "golden", "file": None}]}


class _Libvirt:
    def __init__(self, domain: dict[str, Any] | None) -> None:
        self._domain = domain

    def domain(self, _: str) -> dict[str, Any] | None:
        return self._domain

    def capacity(self, *_: str) -> int:
        return 3


def source(domain: dict[str, Any] | None) -> dict[str, Any]:
    return dict(want.source_of(_Libvirt(domain), {"boot": {"template": "golden"}}, POOLS))


def test_a_template_that_is_shut_off_is_copied() -> None:
    assert source(GOLDEN) == {"name": "template golden", "pool": "default", "volume": "golden", "size": 3}


@pytest.mark.parametrize(
    ("domain", "why"),
    [
        (None, "there is no template golden"),
        (GOLDEN | {"state": "running"}, "template golden is running: shut it down first"),
        (GOLDEN | {"kept": []}, "lies in no active storage"),
        # Its copy would never read its own seed.
        (GOLDEN | {"run": "CAP-1"}, "was made by run CAP-1, and its cloud-init is switched off: a copy would have its host key and its address"),
    ],
)
def test_what_can_not_be_a_template_is_told_with_the_reason(domain: dict[str, Any] | None, why: str) -> None:
    told = source(domain)
    assert told["size"] is None
    assert why in told["why"]
