"""Builds of the storefront: what runs in staging and production of the lab, good ones and bad ones.

The base is the lab's service image (PostgreSQL, object store) with Python on top, made once and cached as the lab's other images are; a build
is a thin layer over it.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from controlplane.adapters.lab.apt_sources import debian_mirror
from controlplane.adapters.lab.golden import apt_of_the_host, building, in_tree
from controlplane.adapters.lab.home import LabHome
from controlplane.adapters.lab.programs import run
from controlplane.adapters.lab.recipe import SUITE, services_digest
from controlplane.adapters.lab.services import TRIMMED, service_image
from tests.releases.images import SHARED, Layer, layer_of, push
from tests.releases.registry import Registry

CODE = Path(__file__).parent / "services"
# As services/web.py has them.
PORTS = {"files-api": 3500, "order-intake": 3400, "quote-page": 3341}
PACKAGES = ("python3-minimal", "python3-psycopg")
_FAMILY = "storefront"
# Left out like what the lab's service image leaves out, and what only a package manager reads.
_LEFT_OUT = ("usr/share/doc/*", "usr/share/man/*", "var/lib/dpkg/info/*", "var/log/*", "var/cache/*", "__pycache__")
# The release before it can live with what this does.
MIGRATION = b"alter table orders add column priority text not null default 'standard';\n"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_layer(home: LabHome, say: Callable[[str], None]) -> Layer:
    """Return the layer that all images share, from the lab's cache, made where it isn't there (half a minute)."""
    wanted = hashlib.sha256(repr((services_digest(TRIMMED), SUITE, PACKAGES, _LEFT_OUT)).encode()).hexdigest()[:16]
    packed, about = home.cache / f"{_FAMILY}-{wanted}.tar.gz", home.cache / f"{_FAMILY}-{wanted}.json"
    services = service_image(home, say)
    with home.locked(_FAMILY):
        if not packed.exists():
            with building(home, _FAMILY) as (scratch, log):
                say("building the base of the storefront's images")
                tree = scratch / "tree"
                tree.mkdir()
                run(["tar", "-C", tree, "--numeric-owner", "-xpf", services], log=log)
                (tree / "etc/apt/sources.list").write_text(f"deb {debian_mirror()} {SUITE} main\n")
                with apt_of_the_host(tree):
                    in_tree(tree, ["apt-get", "-q", "update"], log)
                    in_tree(tree, ["apt-get", "-q", "-y", "install", *PACKAGES], log)
                excluded = [f"--exclude=./{pattern}" if "/" in pattern else f"--exclude={pattern}" for pattern in _LEFT_OUT]
                run(["tar", "-C", tree, "--numeric-owner", *excluded, "-cf", scratch / "layer.tar", "."], log=log)
                diff_id = _sha256(scratch / "layer.tar")
                run(["gzip", "-1", "-n", scratch / "layer.tar"], log=log)
                layer = scratch / "layer.tar.gz"
                about.write_text(json.dumps({"size": layer.stat().st_size, "digest": _sha256(layer), "diff_id": diff_id}))
                layer.rename(packed)
        for older in home.cache.glob(f"{_FAMILY}-*"):
            if older not in {packed, about} and older.suffix in {".gz", ".json"}:
                older.unlink()
        return Layer(packed, **json.loads(about.read_text()))


class Builder:
    """Builds into one registry. Each build is {service: image by digest}, databases included, as a manifest has it; its version is its tag."""

    def __init__(self, registry: Registry, home: LabHome, say: Callable[[str], None] = lambda _: None) -> None:
        self._registry, self._base = registry, base_layer(home, say)
        push(registry, SHARED, "base", [self._base], {})
        self._data = {
            "postgres": self._push("postgres", "current", [], {"Cmd": ["serve-postgres"]}),
            # The store would take its host's name for that of a bucket.
            "objects": self._push("objects", "current", [], {"Cmd": ["serve-s3", "--no-vhost-buckets"]}),
        }

    def good(self, version: str, *, migration: bool = False, ballast: int = 0, volume: str | None = None) -> dict[str, str]:
        """Return a build that does what it should.

        `migration` changes a table when it starts; `ballast` bytes make each service's image larger; `volume` is one that each image declares.
        """
        return self._build(version, migration=migration, ballast=ballast, volume=volume)

    def stub(self, version: str, *services: str) -> dict[str, str]:
        """Return a build whose `services`, all without any, are healthy and do nothing."""
        return self._build(version, stubs=services or tuple(PORTS))

    def sleeper(self, version: str, *services: str, migration: bool = False) -> dict[str, str]:
        """Return a build that does what it should in staging, and whose `services` are stubs in production."""
        return self._build(version, stubs=services or tuple(PORTS), only=("production",), migration=migration)

    def _build(
        self,
        version: str,
        *,
        stubs: Sequence[str] = (),
        only: Sequence[str] = (),
        migration: bool = False,
        ballast: int = 0,
        volume: str | None = None,
    ) -> dict[str, str]:
        files = {f"srv/mint/{file.relative_to(CODE)}": file.read_bytes() for file in sorted(CODE.rglob("*")) if file.suffix in {".py", ".sql"}}
        files |= {"usr/local/bin/healthy": (CODE / "healthy").read_bytes(), "srv/mint/VERSION": f"{version}\n".encode()}
        if migration:
            files["srv/mint/migrations/order-intake/0002-priority.sql"] = MIGRATION
        images = {}
        for service in PORTS:
            layers = [layer_of(files)]
            if ballast:
                # Nothing that could be compressed, and the same for each build of a version.
                layers.append(layer_of({"srv/ballast": random.Random(f"{service} {version}").randbytes(ballast)}))  # noqa: S311
            module = ["stub.py", service, *only] if service in stubs else [f"{service.replace('-', '_')}.py"]
            config: dict[str, object] = {
                "Cmd": ["python3", "-B", *module],
                "WorkingDir": "/srv/mint",
                "User": "nobody",
                "Labels": {"version": version},
            }
            config |= {"Volumes": {volume: {}}} if volume else {}
            images[service] = self._push(service, version, layers, config)
        return {**self._data, **images}

    def _push(self, service: str, tag: str, layers: list[Layer], config: Mapping[str, object]) -> str:
        return push(self._registry, f"mint/{service}", tag, [self._base, *layers], {"Env": [_PATH, "LC_ALL=C.UTF-8"], **config})


def _sha256(file: Path) -> str:
    """Return the digest of a large file."""
    done = subprocess.run(["sha256sum", str(file)], capture_output=True, text=True, check=True)
    return f"sha256:{done.stdout.split()[0]}"
