"""A stack as a release brings it: what is wanted of a host, and a host that runs it."""

from __future__ import annotations

import hashlib
from typing import Any

from controlplane.domain.releases.wanted import ComposeText, ReleaseWanted, ServiceWanted
from tests.fakes.evidence_builder import EvidenceBuilder, bind, container

DIR = "/opt/stacks/shop"
OLD, NEW, BASE = ("sha256:" + letter * 64 for letter in "abc")
TEXT = "name: shop\n"


def release_wanted(**other: Any) -> ReleaseWanted:
    """Return a stack of two services, one of which keeps its data on the data disk."""
    plain: dict[str, Any] = {
        "stack": "shop",
        "environment": "production",
        "project": "shop",
        "dir": DIR,
        "manifest": "sha256:" + "1" * 64,
        "manifest_name": "v1",
        "images": {"web": f"registry.example.org/shop/web@{OLD}", "db": f"registry.example.org/shop/db@{BASE}"},
        "services": {"web": ServiceWanted(stop_s=10), "db": ServiceWanted(stop_s=30, binds={"/mnt/data/shop/db": "/var/lib/postgresql/data"})},
        "compose": (ComposeText(name="compose.yml", text=TEXT),),
        "env_digest": "hmac-sha256:" + "e" * 64,
        "wait_s": 60,
    }
    return ReleaseWanted.model_validate(plain | other)


def running(builder: EvidenceBuilder, wanted: ReleaseWanted) -> EvidenceBuilder:
    """Let the host run what is wanted, healthy, as the role leaves it."""
    for service, image in wanted.images.items():
        binds = wanted.services[service].binds.items()
        builder.probes["docker_containers"].append(
            container(
                f"{wanted.project}-{service}-1",
                [bind(source, inside) for source, inside in binds],
                image=image,
                image_id=f"sha256:id-{service}",
                image_digests=[image],
                health="healthy",
                compose_project=wanted.project,
                compose_service=service,
                compose_dir=wanted.dir,
            )
        )
    record = {
        "stack": wanted.stack,
        "environment": wanted.environment,
        "project": wanted.project,
        "dir": wanted.dir,
        "manifest": wanted.manifest,
        "manifest_name": wanted.manifest_name,
        "env_digest": wanted.env_digest,
        "run": "CAP-20260101-000000__release.deploy__R0000",
        "files": {"compose.release.yml": "0" * 64} | {one.name: hashlib.sha256(one.text.encode()).hexdigest() for one in wanted.compose},
        "containers": {service: [f"id-{wanted.project}-{service}-1"] for service in wanted.images},
        "order": [*(one.name for one in wanted.compose), "compose.release.yml"],
    }
    builder.probes["releases"][wanted.project] = {"record": record, "changed": []}
    return builder


def of_service(builder: EvidenceBuilder, service: str, project: str = "shop") -> dict[str, Any]:
    """Return the container of a service, to be changed."""
    rows: list[dict[str, Any]] = builder.probes["docker_containers"]
    return next(row for row in rows if (row["compose_project"], row["compose_service"]) == (project, service))
