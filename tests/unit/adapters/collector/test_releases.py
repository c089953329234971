"""What the record of a deployment becomes as evidence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from controlplane.adapters.collector import releases
from controlplane.adapters.collector.docker import container_record
from controlplane.adapters.collector.supervise import ProbeError
from controlplane.domain.evidence_shapes import ReleasesSeen
from controlplane.domain.evidence_shapes.docker import Container
from tests.unit.adapters.collector.test_docker import INSPECTED


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the record of a deployment whose files lie as they were written; `write` brings it to the disk."""
    monkeypatch.setattr(releases, "BASE", str(tmp_path))
    folder = tmp_path / "stack"
    folder.mkdir()
    texts = {"compose.yml": "name: shop\n", "compose.release.yml": "services: {}\n", ".env": "A=1\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    plain = {name: name for name in ("stack", "environment", "project", "manifest", "manifest_name", "env_digest", "run", "at")}
    return plain | {"dir": str(folder), "env_sha256": digests.pop(".env"), "files": digests, "images": {"web": "r/web@sha256:a"}}


def seen(tmp_path: Path, record: Any) -> dict[str, Any]:
    (tmp_path / "releases").mkdir(exist_ok=True)
    (tmp_path / "releases/shop.json").write_text(json.dumps(record))
    found = releases.releases({"releases": ["shop"]}, {})
    assert TypeAdapter(ReleasesSeen).validate_python(found, strict=True) == found
    return dict(found["shop"])


def test_containers_and_order_go_along_and_the_environment_files_digest_stays(record: dict[str, Any], tmp_path: Path) -> None:
    more = {"containers": {"web": ["c1"]}, "order": ["compose.yml", "compose.release.yml"]}
    kept = {key: value for key, value in record.items() if key not in ("env_sha256", "images", "at")}
    assert seen(tmp_path, record | more) == {"record": kept | more, "changed": []}


def test_an_older_record_is_one_without_them(record: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "stack/.env").write_text("A=2\n")
    found = seen(tmp_path, record)
    assert (set(found["record"]) & {"containers", "order"}, found["changed"]) == (set(), [".env"])


def test_what_is_no_record_is_no_evidence(record: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="is no record of a release"):
        seen(tmp_path, [record])


@pytest.mark.parametrize(("label", "once"), [("True", True), ("False", False), (None, False)])
def test_what_somebody_ran_once_is_told_from_services(label: str | None, once: bool) -> None:
    labels = {} if label is None else {"com.docker.compose.oneoff": label}
    found = container_record(INSPECTED | {"Config": INSPECTED["Config"] | {"Labels": labels}}, {}, {}, {})
    assert found["compose_oneoff"] is once
    assert TypeAdapter(Container).validate_python(found, strict=True) == found
