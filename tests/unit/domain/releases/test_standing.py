"""What stands on a deployment, by the change records of a later step."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.domain.plan import Change, Downtime, Step
from controlplane.domain.releases.standing import stands_on

COMPOSE = "name: shop\nservices:\n  web: {container_name: 'the-web', image: x}\n  db:\n    container_name: the-db   # its own\n"


def deployment(text: str = COMPOSE, **other: Any) -> Step:
    plain: dict[str, Any] = {
        "id": "one/010",
        "host": "one",
        "capability": "release.deploy",
        "role": "compose_stack",
        "mends": (),
        "changes": (
            Change(kind="recreate", target="shop web", before="old-web: r/web@sha256:a, running; older-web: r, exited", after="r/web@sha256:b"),
        ),
        "downtime": Downtime(services=("stops-1",), estimate_s=1),
        "undo": "back",
        "variables": {
            "compose_stack_project": "shop",
            "compose_stack_dir": "/opt/stacks/shop",
            "compose_stack_files": [{"name": "compose.yml", "text": text}],
        },
    }
    return Step.model_validate(plain | other)


def stands(target: str, text: str = COMPOSE) -> bool:
    return stands_on(
        deployment(text), [Change(kind="file", target="/etc/x", before=None, after="x"), Change(kind="file", target=target, before="a", after="b")]
    )


@pytest.mark.parametrize(
    "target",
    [
        "/opt/stacks/shop/compose.yml",
        "/opt/stacks/shop/.env",
        "order of the files in /opt/stacks/shop",
        "shop db",
        "container shop-cache-1 of shop",
        "container shop-db-2",
        "container shop_db_1",
        "container the-web",
        "/data of the-db",
        "container old-web",
        "container older-web",
        "container stops-1",
        "the compose file of shop",
        "the override file beside the compose file of shop",
        "appendonly of shop-db-1, live",
        "the command of shop-db-1 in its compose file",
    ],
)
def test_a_file_a_service_or_a_container_of_the_stack_stands_on_it(target: str) -> None:
    assert stands(target)


@pytest.mark.parametrize(
    "target",
    [
        "/opt/stacks/shopping/compose.yml",
        "/opt/stacks/store/.env",
        "store web",
        "shopping web",
        "container store-web-1",
        "container shopping-web-1",
        "/data of store-db-1",
        "the compose file of store",
        "docker root",
        "/etc/docker/daemon.json",
        "/mnt/data/shop/uploads",
        "image r/web sha256:1",
        "log of shop-web-1, what is in it so far",
    ],
)
def test_what_is_elsewhere_does_not(target: str) -> None:
    assert not stands(target)


@pytest.mark.parametrize("name", ['"${NAME}"', "$NAME-web", "*named"])
def test_where_a_containers_name_can_t_be_told_each_may_be_the_stacks(name: str) -> None:
    text = f"services: {{web: {{container_name: {name}}}}}"
    assert stands("container store-web-1", text)
    assert not stands("/etc/docker/daemon.json", text)
