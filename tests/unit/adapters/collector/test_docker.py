"""What an inspection of a container becomes as evidence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from controlplane.adapters.collector.docker import container_record
from controlplane.domain.evidence_shapes.docker import Container

INSPECTED: dict[str, Any] = {
    "Id": "c1",
    "Name": "/db",
    "Image": "sha256:1",
    "Path": "serve",
    "Args": ["--all"],
    "State": {"Status": "exited", "Running": False, "Pid": 0},
    "Config": {"Image": "db:1", "Labels": None, "Env": None},
    "HostConfig": {"RestartPolicy": {"Name": "always"}},
    "GraphDriver": {"Data": {"UpperDir": "/var/lib/docker/overlay2/c1/diff"}},
    "Mounts": [],
}


@pytest.mark.parametrize(("config", "seconds"), [({}, None), ({"StopTimeout": None}, None), ({"StopTimeout": 300}, 300), ({"StopTimeout": 0}, 0)])
def test_a_containers_own_stop_timeout_is_evidence(config: dict[str, Any], seconds: int | None) -> None:
    record = container_record(INSPECTED | {"Config": INSPECTED["Config"] | config}, {}, {"c1": 5}, {INSPECTED["Image"]: ["r/db@sha256:aa"]})

    assert record["stop_timeout_s"] == seconds
    assert (record["image_digests"], record["health"]) == (["r/db@sha256:aa"], None)
    assert TypeAdapter(Container).validate_python(record, strict=True) == record


def test_a_folder_of_a_volume_that_is_mounted_alone_is_evidence() -> None:
    mounts = [
        {"Type": "volume", "Name": "shop", "Source": "/v/shop/_data", "Destination": to, "RW": True} for to in ("/deep", "/all", "/plain", "/other")
    ]
    mounts.append({"Type": "bind", "Source": "/srv", "Destination": "/bind", "RW": True})
    asked = [
        {"Type": "volume", "Source": "shop", "Target": "/deep/", "VolumeOptions": {"Subpath": "a/b"}},
        {"Type": "volume", "Source": "shop", "Target": "/all", "VolumeOptions": {"Subpath": ""}},
        {"Type": "volume", "Source": "shop", "Target": "/plain"},
        {"Type": "bind", "Source": "/srv", "Target": "/bind"},
    ]
    record = container_record(INSPECTED | {"Mounts": mounts, "HostConfig": INSPECTED["HostConfig"] | {"Mounts": asked}}, {}, {"c1": 5}, {})
    assert [(one["destination"], one.get("subpath")) for one in record["mounts"] if "subpath" in one] == [("/deep", "a/b")]
    assert TypeAdapter(Container).validate_python(record, strict=True) == record


@pytest.mark.parametrize(
    ("label", "told"),
    [(None, []), ("", []), ("/opt/prod.env", ["/opt/prod.env"]), ("/opt/b.env,/opt/a.env", ["/opt/b.env", "/opt/a.env"])],
)
def test_the_environment_files_that_compose_was_told_are_evidence_in_their_order(label: str | None, told: list[str]) -> None:
    labels = {} if label is None else {"com.docker.compose.project.environment_file": label}
    record = container_record(INSPECTED | {"Config": INSPECTED["Config"] | {"Labels": labels}}, {}, {}, {})
    assert (record["compose_env_files"], record["compose_files"]) == (told, [])
    assert TypeAdapter(Container).validate_python(record, strict=True) == record
    del record["compose_env_files"]
    assert TypeAdapter(Container).validate_python(record, strict=True) == record
