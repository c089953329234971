"""Docker images without Docker: a layer is a tar, an image some JSON over layers, and a registry takes both over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.releases.registry import NAME, Registry

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"
# The repository of the layers that all images share.
SHARED = "mint/base"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


class Layer(NamedTuple):
    """A compressed layer: its bytes or its file, their size and digest, and the digest of what is in it (`diff_id`)."""

    content: bytes | Path
    size: int
    digest: str
    diff_id: str


def sha256(content: bytes) -> str:
    """Return a digest as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer_of(files: Mapping[str, bytes]) -> Layer:
    """Return a layer of files by their path; those whose first bytes name an interpreter can be executed. The same files are the same layer."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(content))
    packed = gzip.compress(whole.getvalue(), 1, mtime=0)
    return Layer(packed, len(packed), sha256(packed), sha256(whole.getvalue()))


def push(registry: Registry, repository: str, tag: str, layers: Sequence[Layer], config: Mapping[str, Any]) -> str:
    """Push an image to a repository under a tag; return it pinned by its digest."""
    inside = {
        "architecture": _MACHINES[platform.machine()],
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    about = json.dumps(inside, sort_keys=True).encode()
    head = Layer(about, len(about), sha256(about), "")
    for part in (*layers, head):
        _push_blob(registry, repository, part)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "size": head.size, "digest": head.digest},
        "layers": [{"mediaType": _LAYER, "size": layer.size, "digest": layer.digest} for layer in layers],
    }
    text = json.dumps(manifest, sort_keys=True).encode()
    status, _, said = _ask(registry, "PUT", f"/v2/{repository}/manifests/{tag}", text, {"Content-Type": _MANIFEST})
    assert status == 201, said
    return f"{NAME}/{repository}@{sha256(text)}"


def _push_blob(registry: Registry, repository: str, part: Layer) -> None:
    """Push a blob where the repository hasn't got it; one that another repository has is mounted from there."""
    if _ask(registry, "HEAD", f"/v2/{repository}/blobs/{part.digest}")[0] == 200:
        return
    status, place, said = _ask(registry, "POST", f"/v2/{repository}/blobs/uploads/?mount={part.digest}&from={SHARED}")
    if status == 202:
        content = part.content.read_bytes() if isinstance(part.content, Path) else part.content
        join = "&" if "?" in place else "?"
        status, _, said = _ask(registry, "PUT", f"{place}{join}digest={part.digest}", content, {"Content-Type": "application/octet-stream"})
    assert status == 201, said


def _ask(registry: Registry, method: str, place: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Return status, Location and body."""
    connection = registry.connect()
    connection.request(method, place if place.startswith("/") else "/" + place.partition("://")[2].partition("/")[2], body, dict(headers or {}))
    answer = connection.getresponse()
    said = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, answer.headers.get("Location", ""), said
