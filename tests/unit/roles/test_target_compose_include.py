"""A stack whose file includes another one: Compose resolves that by the project's folder, and what is included is not changed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from controlplane_target import compose, path_edit
from controlplane_target.compose import Stack
from controlplane_target.compose_text import ComposeText
from controlplane_target.faults import RefusedFault
from controlplane_target.path_request import Request, parse

INCLUDED = "services:\n  db:\n    image: redis:7\n    volumes: [./data:/data]\n"


def stack(folder: Path, include: str, service: str) -> Stack:
    (folder / "data").mkdir()
    (folder / "data/db.yml").write_text(INCLUDED)
    (folder / "compose.yml").write_text(
        f"name: shop\n{include}services:\n  web:\n    image: x  # pinned\n    command: [serve]\n    volumes: [./w:/data]\n"
    )
    return Stack("shop", str(folder), service, (str(folder / "compose.yml"),), (), "h1")


def request(**more: Any) -> Request:
    return parse({"container": "shop", "answer_s": 1, "paths": [{"kind": "files", "data": "/data", "place": "/mnt/data/shop"}], **more})


FORMS = {
    "a path": ("include: [data/db.yml]\n", "data/db.yml"),
    "a list": ("include:\n  - ./data/db.yml  # the data\n", "./data/db.yml"),
    "with a folder of its own": ("include:\n  - path: data/db.yml\n    project_directory: data\n", "data/db.yml"),
    "with overrides": ("include:\n  - path: [data/db.yml, ../db.override.yml]\n", "data/db.yml, ../db.override.yml"),
    "several": ("include:\n  - data/db.yml\n  - path: other/more.yml\n", "data/db.yml, other/more.yml"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_service_of_an_included_file_is_refused_with_that_file_before_anything_is_changed(tmp_path: Path, form: str) -> None:
    include, named = FORMS[form]
    made = stack(tmp_path, include, "db")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.yml")}
    for ask in (lambda: compose.file_of_command(made), lambda: path_edit.edit(made, request())):
        with pytest.raises(RefusedFault) as refused:
            ask()
        told = str(refused.value)
        assert told.startswith(
            f"none of {tmp_path}/compose.yml defines the service db itself, but they include {named}, and an included file is not "
        )
        assert "Nothing was changed. Name the one that defines it beside the stack's own files" in told
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.yml")} == before


@pytest.mark.parametrize("form", FORMS)
def test_a_service_beside_an_include_is_changed_and_the_include_stays_as_it_stands(tmp_path: Path, form: str) -> None:
    made = stack(tmp_path, FORMS[form][0], "web")
    file = str(tmp_path / "compose.yml")
    assert compose.file_of_command(made)[0] == file
    before, after = path_edit.edit(made, request()).texts[file]
    assert before is not None
    mount = "{type: bind, source: /mnt/data/shop, target: /data, bind: {create_host_path: false}}"
    assert after == before.replace("./w:/data", mount)


def test_a_service_that_nothing_defines_is_refused_without_a_word_of_includes(tmp_path: Path) -> None:
    with pytest.raises(RefusedFault, match=r"defines the service db itself\. Nothing was changed\.$"):
        compose.file_of_command(stack(tmp_path, "", "db"))


@pytest.mark.parametrize(
    "include", ["include:\n", "include: no list\n", "include: [[[a]]]\n", "include: [{path: {}}]\n", "include: [{env_file: x}]\n"]
)
def test_an_include_that_names_no_file_names_none(include: str) -> None:
    assert ComposeText(f"{include}services: {{}}\n", "compose.yml").includes() == []
