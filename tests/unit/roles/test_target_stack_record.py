"""What a host keeps of a deployment: evidence and the next run judge by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import stack_back, stack_files, stack_prove
from controlplane_target.files import read_json
from controlplane_target.stack_request import Request, parse
from controlplane_target.state import Home, Run

PINNED = f"registry.example.org/shop/web@sha256:{'a' * 64}"


class _Engine:
    def containers(self) -> list[dict[str, Any]]:
        return []


def request(tmp_path: Path, *files: str) -> Request:
    asked: dict[str, Any] = {name: name for name in ("stack", "environment", "manifest", "manifest_name", "project", "env_digest")}
    asked |= {"dir": str(tmp_path / "stack"), "files": [{"name": name, "text": f"# {name}\n"} for name in files], "images": {"web": PINNED}}
    return parse(asked | {"wait_s": 1, "told": {"release": {"env": "A=1\n", "digest": "env_digest"}}})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    found: Run = Home(tmp_path / "home").run("key")
    found.folder.mkdir(parents=True)
    return found


def deployed(run: Run, of: Request) -> dict[str, Any]:
    stack_files.write(of)
    run.write(**of.noted)
    stack_back.note_deployed(run, {"web": ["c1"]})
    return dict(read_json(stack_files.record_of(run.home, of.project)))


def test_the_record_keeps_the_order_in_which_compose_reads_the_files(run: Run, tmp_path: Path) -> None:
    record = deployed(run, request(tmp_path, "b.yml", "a.yml"))
    assert record["order"] == ["b.yml", "a.yml", "compose.release.yml"]
    assert (sorted(record["files"]), record["containers"]) == (["a.yml", "b.yml", "compose.release.yml"], {"web": ["c1"]})


def test_files_in_another_order_were_not_deployed(run: Run, tmp_path: Path) -> None:
    told = "it was not deployed from these files to its end"
    deployed(run, request(tmp_path, "b.yml", "a.yml"))
    assert told in stack_prove.lacking(run.home, _Engine(), request(tmp_path, "a.yml", "b.yml"))
    assert told not in stack_prove.lacking(run.home, _Engine(), request(tmp_path, "b.yml", "a.yml"))
