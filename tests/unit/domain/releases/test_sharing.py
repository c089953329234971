"""Two projects on one machine have nothing in common that one of them could destroy for the other."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.releases.compose_networks import Answers
from controlplane.domain.releases.compose_view import Bind, ComposeView, NamedVolume, ServiceView
from controlplane.domain.releases.sharing import shared

THEIRS = "else one destroys the other's data"


def view(*mounts: Bind | NamedVolume, container: str | None = None) -> ComposeView:
    binds, volumes = [one for one in mounts if isinstance(one, Bind)], [one for one in mounts if isinstance(one, NamedVolume)]
    service = ServiceView(name="web", image=None, container=container, networks=(), binds=tuple(binds), volumes=tuple(volumes))
    return ComposeView(project="p", dir="/opt/stacks/p", services=(service,))


def bind(source: str, *, read_only: bool = False, named: str | None = None) -> Bind:
    return Bind(source=source, target="/x", read_only=read_only, named=named, file="compose.yml", line=7)


def volume(name: str, *, read_only: bool = False) -> NamedVolume:
    return NamedVolume(key="data", name=name, target="/y", read_only=read_only)


def told(own: ComposeView, other: ComposeView, *, one_stack: bool = True) -> list[str]:
    return list(shared(own, other, whose="production", host="web1", one_stack=one_stack))


def test_projects_that_keep_to_themselves_share_nothing() -> None:
    own, other = view(bind("/srv/a"), volume("a_data"), container="a"), view(bind("/srv/b"), bind("/srv/ab"), volume("b_data"), container="b")
    assert told(own, other) == told(other, own) == []


def test_a_containers_name_is_there_once() -> None:
    [why] = told(view(container="web"), view(container="web"))
    assert why == "names a container web on web1, as production does: leave container_name out, or give each its own"
    assert told(view(), view()) == []


@pytest.mark.parametrize("other", [volume("shop_data"), bind("/srv/b", named="shop_data")])
def test_a_volume_is_one_by_its_name_in_docker(other: Any) -> None:
    [why] = told(view(volume("shop_data")), view(other))
    assert why == f"mounts the volume shop_data on web1, as production does: give each its own, {THEIRS}"


@pytest.mark.parametrize(
    ("place", "how"),
    [("/srv/shop", "as production does"), ("/srv", "and /srv production does"), ("/srv/shop/files", "and /srv/shop/files production does")],
)
def test_a_directory_is_one_with_what_it_lies_in_and_what_lies_in_it(place: str, how: str) -> None:
    [why] = told(view(bind("/srv/shop")), view(bind(place)))
    assert why == f"binds /srv/shop on web1, {how}: give each a directory of its own, {THEIRS}"


@pytest.mark.parametrize(
    ("own_reads", "other_reads", "one_stack", "collide"),
    [
        (False, False, True, True),
        (True, False, True, True),
        (False, True, True, True),
        (True, True, True, False),
        (False, False, False, True),
        (True, False, False, False),
        (False, True, False, False),
        (True, True, False, False),
    ],
)
def test_who_only_reads_destroys_nothing_but_staging_may_not_change_what_production_reads(
    own_reads: bool, other_reads: bool, one_stack: bool, collide: bool
) -> None:
    for kind in (bind, volume):
        own, other = view(kind("/srv/shop", read_only=own_reads)), view(kind("/srv/shop", read_only=other_reads))
        assert bool(told(own, other, one_stack=one_stack)) is collide


def test_what_one_service_reads_and_another_writes_is_written() -> None:
    assert told(view(bind("/srv/shop", read_only=True), bind("/srv/shop")), view(bind("/srv/shop")), one_stack=False)


def joined(*answers: tuple[str, tuple[str, ...]]) -> ComposeView:
    services = [
        ServiceView(name=f"s{at}", image=None, container=None, networks=(), answers=(Answers(network=network, names=names),))
        for at, (network, names) in enumerate(answers)
    ]
    return ComposeView(project="p", dir="/opt/stacks/p", services=tuple(services))


def test_two_environments_answer_to_no_name_in_common_in_one_network() -> None:
    own = joined(("edge", ("order-intake", "orders")), ("shop-staging_default", ("quote-page",)))
    other = joined(("edge", ("quote-page",)), ("edge", ("intake-1", "order-intake")), ("shop_default", ("quote-page",)))
    [why] = told(own, other)
    assert why == (
        "answers to order-intake in the network edge on web1, as production does: give each environment a network of its own, "
        "else services of one ask those of the other"
    )
    assert told(other, own)
    # Other stacks may, and whose names differ.
    assert told(own, other, one_stack=False) == []
    assert told(joined(("edge", ("staging-intake",))), other) == []
