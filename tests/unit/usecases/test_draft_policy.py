from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from controlplane.domain.desired import DesiredHost
from controlplane.domain.errors import InputInvalidError
from controlplane.domain.evidence import Evidence, Unreached
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.usecases.draft_policy import chosen_routes, draft_policy
from tests.fakes.evidence_builder import EvidenceBuilder

HOSTS = Inventory(hosts=(InventoryHost(name="a"), InventoryHost(name="b")))


class TwoHosts:
    """Host a shows what it has, host b can't be reached."""

    def collect(
        self, hosts: Sequence[InventoryHost], desired: Mapping[str, DesiredHost], *, only: Sequence[str] = ()
    ) -> Mapping[str, Evidence | Unreached]:
        assert not only
        assert desired == {}
        seen = {"a": EvidenceBuilder().build("a"), "b": Unreached(host="b", reason="no route to host")}
        return {host.name: seen[host.name] for host in hosts}


def test_a_host_that_was_not_reached_is_named_and_left_out() -> None:
    text, unreached = draft_policy(chosen_routes(HOSTS, ()), evidence=TwoHosts())
    assert "\n  a:\n    tier: data-disk\n" in text
    assert "\n  b:\n" not in text
    assert unreached == {"b": "no route to host"}


def test_hosts_are_chosen_from_the_inventory() -> None:
    assert [host.name for host in chosen_routes(HOSTS, ("b", "b"))] == ["b"]
    with pytest.raises(InputInvalidError) as caught:
        chosen_routes(HOSTS, ("x", "a"))
    assert str(caught.value) == "command line: --host: 'x' is not in the inventory: known are a, b"
