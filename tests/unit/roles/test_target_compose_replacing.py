"""What a cut-off Compose left half made: the next one finds one container of the service, under the service's own name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose_replacing
from controlplane_target.faults import FailedFault

from tests.unit.roles.docker_socket import DockerSocket

LISTING = "GET /containers/json?all=1&filters=%7B%22label%22%3A%20%5B%22com.docker.compose.project%3Dshop%22%5D%7D"
OLD, NEW = "f5bf63758c55" + "0" * 52, "a79dcd3904ed" + "1" * 52


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[DockerSocket]:
    held = DockerSocket(tmp_path, {})
    yield held
    held.close()


def row(own: str, called: str, state: str, *, service: str = "redis", replaces: str = "") -> dict[str, Any]:
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": service}
    return {
        "Id": own,
        "Names": [f"/{called}"],
        "State": state,
        "Labels": {**labels, **({"com.docker.compose.replace": replaces} if replaces else {})},
    }


def settled(docker: DockerSocket, *rows: dict[str, Any], services: list[str] | None = None, **answers: Any) -> tuple[list[str], list[str]]:
    """Return what was settled, and what Docker was asked to do."""
    docker.answers.clear()
    docker.answers.update({LISTING: list(rows), **answers})
    names = compose_replacing.settle(docker.engine(), "shop", services)
    return names, [asked.split("/", 2)[-1] for asked in docker.asked if not asked.startswith("GET")]


def test_one_that_never_ran_beside_its_old_one_is_removed_without_its_volumes(docker: DockerSocket) -> None:
    remove = {f"DELETE /containers/{NEW}?v=false": (204, None)}
    beside = row(NEW, f"{OLD[:12]}_redis", "created", replaces=OLD)
    assert settled(docker, row(OLD, "redis", "exited"), beside, **remove) == ([f"{OLD[:12]}_redis"], [f"containers/{NEW}?v=false"])


@pytest.mark.parametrize("state", ["created", "running"])
def test_one_whose_old_one_is_gone_gets_the_name_that_it_was_made_for(docker: DockerSocket, state: str) -> None:
    rename = {f"POST /containers/{NEW}/rename?name=shop-redis-1": (204, None)}
    alone = row(NEW, f"{OLD[:12]}_shop-redis-1", state, replaces="shop-redis-1")
    assert settled(docker, alone, **rename) == ([f"{OLD[:12]}_shop-redis-1"], [f"containers/{NEW}/rename?name=shop-redis-1"])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([row(OLD, "redis", "exited"), row(NEW, f"{OLD[:12]}_redis", "running", replaces=OLD)], id="both have run"),
        pytest.param([row(OLD, "redis", "running", replaces=NEW)], id="made anew before, and named"),
        pytest.param([row(NEW, f"{OLD[:12]}_redis", "created")], id="named so by a person"),
        pytest.param([row(NEW, f"{OLD[:12]}_redis", "created", service="web", replaces=OLD)], id="another service's"),
        pytest.param([], id="nothing there"),
    ],
)
def test_whatever_else_is_there_is_left(docker: DockerSocket, rows: list[dict[str, Any]]) -> None:
    assert settled(docker, *rows, services=["redis"]) == ([], [])


def test_one_whose_name_is_another_containers_by_now_is_left_for_compose_to_tell(docker: DockerSocket) -> None:
    taken = {f"POST /containers/{NEW}/rename?name=redis": (409, {"message": "in use"})}
    assert settled(docker, row(NEW, f"{OLD[:12]}_redis", "created", replaces=OLD), **taken)[0] == []


def test_without_names_of_services_all_of_the_project_is_settled(docker: DockerSocket) -> None:
    remove = {f"DELETE /containers/{NEW}?v=false": (204, None)}
    rows = [row(OLD, "web", "exited", service="web"), row(NEW, f"{OLD[:12]}_web", "created", service="web", replaces=OLD)]
    assert settled(docker, *rows, **remove)[0] == [f"{OLD[:12]}_web"]


def test_what_docker_does_not_settle_is_told_with_its_words(docker: DockerSocket) -> None:
    refused = {f"DELETE /containers/{NEW}?v=false": (500, {"message": "device busy"})}
    with pytest.raises(FailedFault, match=f"{OLD[:12]}_redis, which a Compose that was cut off left half made, can't be settled: device busy"):
        settled(docker, row(OLD, "redis", "exited"), row(NEW, f"{OLD[:12]}_redis", "created", replaces=OLD), **refused)
