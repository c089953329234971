"""What was there before a first release, and whether it is there again: as many containers, by the same images, and as well as they were."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.releases.before import Was, faults_of_return, told_of, told_with_health
from tests.fakes.evidence_builder import container

PINNED, OTHER = (f"registry.example.org/web@sha256:{letter * 64}" for letter in "ab")


def web(number: int = 1, **more: Any) -> Any:
    said = {"compose_project": "shop", "compose_service": "web", "image": "web:1", "image_digests": [PINNED], "health": None}
    return container(f"shop-web-{number}", [], **{**said, **more})


def was(number: int = 1, state: str = "running", *, healthy: bool = False) -> Was:
    return Was("web", f"shop-web-{number}", PINNED, None, state, healthy)


def faults(before: list[Was], now: list[Any]) -> tuple[str, ...]:
    return faults_of_return("shop", before, now)


@pytest.mark.parametrize("count", [1, 3])
def test_the_same_containers_that_run_again_are_back(count: int) -> None:
    numbers = range(1, count + 1)
    assert faults([was(number) for number in numbers], [web(number) for number in numbers]) == ()


def test_fewer_or_more_of_a_service_than_before_are_not_what_was() -> None:
    three = [was(number) for number in (1, 2, 3)]
    assert faults(three, [web()]) == ("web: 1 container of it now, and 3 before",)
    assert faults([was()], [web(1), web(2)]) == ("web: 2 containers of it now, and 1 before",)


@pytest.mark.parametrize(
    "now", [{"state": "restarting", "running": True}, {"state": "exited", "running": False}, {"state": "paused", "running": True}]
)
def test_one_that_ran_and_dies_over_and_over_or_stands_still_does_not_run_again(now: dict[str, Any]) -> None:
    assert faults([was()], [web(**now)]) == (f"shop-web-1 is {now['state']}, and ran before",)
    assert faults([was(1), was(2)], [web(1), web(2, **now)]) == (f"shop-web-2 is {now['state']}, and ran before",)


def test_of_one_that_did_not_run_before_only_its_image_is_asked() -> None:
    for state in ("restarting", "exited"):
        assert faults([was(state=state)], [web(state=state, running=state == "restarting")]) == ()
    assert faults([was(1), was(2, "exited")], [web(1), web(2, state="exited", running=False)]) == ()
    assert faults([was(state="exited")], [web(image_digests=[OTHER])]) == (f"shop-web-1: {OTHER}, running, and before it was web {PINNED}",)


@pytest.mark.parametrize("health", ["unhealthy", "starting", None])
def test_one_that_was_healthy_has_to_be_healthy_again_and_one_that_was_not_does_not(health: str | None) -> None:
    told = f"shop-web-1 is {health or 'without a health check'}, and was healthy before"
    assert faults([was(healthy=True)], [web(health=health)]) == (told,)
    assert faults([was()], [web(health=health)]) == ()
    assert faults([was(healthy=True)], [web(health="healthy")]) == ()


def test_what_the_release_has_no_service_for_is_asked_the_same() -> None:
    one = Was("", "shop-old-1", PINNED, None, "running", healthy=True)
    back = {**web(compose_service="old", health="healthy"), "name": "shop-old-1"}
    assert faults([one], [back]) == ()
    assert faults([one], [{**back, "state": "restarting"}])[0] == "shop-old-1 is restarting, and ran before"
    assert faults([one], [{**back, "health": "unhealthy"}]) == ("shop-old-1 is unhealthy, and was healthy before",)


def test_health_is_told_where_the_way_back_names_what_ran_and_in_no_change() -> None:
    """A change is compared as the plan is carried out, and health comes and goes."""
    assert told_of(web(health="healthy")) == f"shop-web-1: {PINNED}, running"
    assert told_with_health(web(health="healthy")) == f"shop-web-1: {PINNED}, running, healthy"
    assert told_with_health(web(health="starting")) == f"shop-web-1: {PINNED}, running"
