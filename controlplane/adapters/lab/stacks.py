"""The compose stacks of the example site: `mint-data` with state, `mint-apps` without."""

from __future__ import annotations

import json
from typing import Any

from .recipe import SERVICE_IMAGE

POSTGRES, OBJECTS, REDIS = "mint-modules-postgres", "mint-modules-minio", "mint-modules-redis"
BUCKET = "artwork"
UPLOADS = "/tmp/quote-page-uploads"  # noqa: S108 - the site's own badly placed folder, inside a container
PORTS = {"order-intake": 3400, "files-api": 3500, "quote-page": 3341}


def _service(name: str, command: list[str], **more: Any) -> dict[str, Any]:
    return {
        "image": SERVICE_IMAGE,
        "container_name": name,
        "command": command,
        "restart": "unless-stopped",
        "pull_policy": "never",
        **more,
    }


def _probe(*argv: str, patience: int) -> dict[str, Any]:
    return {"test": ["CMD", *argv], "interval": f"{3 * patience}s", "timeout": f"{5 * patience}s", "retries": 20}


def data_stack(*, redis_aof: bool, patience: int = 1) -> dict[str, Any]:
    """Return the compose file of `mint-data`: Redis on an anonymous volume, the others on named ones, and a finished job.

    On a machine that is `patience` times slower health is asked for so much more seldom.
    """
    redis = ["serve-redis", *(["--appendonly", "yes"] if redis_aof else ["--save", "3600 1"])]
    return {
        "name": "mint-data",
        "services": {
            "postgres": _service(
                POSTGRES,
                ["serve-postgres"],
                volumes=["postgres:/var/lib/postgresql/data"],
                ports=["127.0.0.1:5432:5432"],
                healthcheck=_probe("psql", "-U", "postgres", "-h", "127.0.0.1", "-c", "select 1", patience=patience),
                stop_grace_period="30s",
            ),
            "minio": _service(
                OBJECTS,
                ["serve-s3"],
                # As the first process of a container node ignores SIGTERM: every stop would take its whole timeout.
                init=True,
                volumes=["minio:/data"],
                ports=["127.0.0.1:9000:9000"],
                healthcheck=_probe("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9000", patience=patience),
            ),
            "redis": _service(
                REDIS,
                redis,
                volumes=["/data"],
                ports=["127.0.0.1:6379:6379"],
                healthcheck=_probe("redis-cli", "ping", patience=patience),
            ),
            # Not running and not to be started: it has to be found in the same state after any move.
            "import": _service("mint-modules-import", ["sh", "-c", "echo imported"], restart="no"),
        },
        "volumes": {"postgres": {}, "minio": {}},
    }


def apps_stack() -> dict[str, Any]:
    """Return the compose file of `mint-apps`: small HTTP services; quote-page keeps its uploads in its writable layer."""
    services = {
        name: _service(
            name,
            ["serve-app", name, str(port), *([UPLOADS] if name == "quote-page" else [])],
            ports=[f"127.0.0.1:{port}:{port}"],
        )
        for name, port in PORTS.items()
    }
    return {"name": "mint-apps", "services": services}


def compose_text(stack: dict[str, Any]) -> bytes:
    """Return the stack as a compose file; JSON is YAML, and needs no quoting rules."""
    return json.dumps(stack, indent=2).encode() + b"\n"
