"""Where this program says what a compose file or an environment file means, Compose says the same: asked of a real Compose, without Docker."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.compose_yaml import parse_compose
from controlplane.domain.releases.compose_said import Asked, ComposeFile
from controlplane.domain.releases.compose_view import ComposeView, compose_view
from controlplane.domain.releases.contract import read_contract
from controlplane.domain.releases.dotenv import read_env
from controlplane.domain.releases.interpolation import UnresolvedError, resolved

ROOT = Path(__file__).resolve().parents[2]
STOREFRONT = ROOT / "inventory/mint/releases/storefront"
DIGEST = "sha256:" + "a" * 64


def compose_here() -> list[str] | None:
    """Return how Compose is called: by $CONTROLPLANE_COMPOSE, or as Docker's plugin."""
    named = os.environ.get("CONTROLPLANE_COMPOSE")
    words = [named] if named else [shutil.which("docker") or "", "compose"]
    try:
        done = subprocess.run([*words, "version"], capture_output=True, check=False)
    except OSError:
        return None
    return words if done.returncode == 0 else None


COMPOSE = compose_here()
pytestmark = pytest.mark.skipif(COMPOSE is None, reason="there is no Compose v2: install Docker's plugin, or name it in $CONTROLPLANE_COMPOSE")


def config(folder: Path, *texts: str, env: str = "") -> dict[str, Any]:
    """Return what Compose makes of these files, with nothing of this process's environment."""
    (folder / ".env").write_text(env)
    words = list(COMPOSE or [])
    for number, text in enumerate(texts):
        (folder / f"{number}.yml").write_text(text)
        words += ["-f", str(folder / f"{number}.yml")]
    done = subprocess.run(
        [*words, "--project-directory", str(folder), "--env-file", str(folder / ".env"), "config", "--format", "json"],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def seen(folder: Path, *texts: str, project: str, images: dict[str, str], known: dict[str, str | None]) -> ComposeView:
    documents = [parse_compose(text, str(number)) for number, text in enumerate(texts)]
    view, faults = compose_view([ComposeFile(one.file, one.data, one) for one in documents], Asked(project, str(folder), images, known))
    assert [str(fault) for fault in faults] == []
    assert view is not None
    return view


def mounts(service: dict[str, Any]) -> set[tuple[str, str, str, bool]]:
    return {
        (one["type"], one.get("source", "").rstrip("/"), one["target"], one.get("read_only", False))
        for one in service.get("volumes", [])
        if one["type"] != "tmpfs"
    }


def agree(view: ComposeView, said: dict[str, Any]) -> None:
    assert said["name"] == view.project
    assert said["services"].keys() == {service.name for service in view.services}
    for service in view.services:
        told = said["services"][service.name]
        ours = {("bind", one.source, one.target, one.read_only) for one in service.binds if one.volume is None}
        ours |= {("volume", one.key, one.target, one.read_only) for one in service.volumes}
        assert mounts(told) == ours
        assert tuple(sorted(told.get("networks", {}))) == tuple(sorted(service.networks))
        assert {said["networks"][key]["name"] for key in told.get("networks", {})} == {one.network for one in service.answers}
        assert told.get("container_name") == service.container
        assert set(told.get("depends_on", {})) <= set(service.after)
        if service.image is not None:
            assert told["image"] == service.image
    for volumes in view.volumes().values():
        assert all(said["volumes"][one.key]["name"] == one.name for one in volumes)


@pytest.mark.parametrize(
    ("environment", "project", "files"),
    [("staging", "storefront-staging", ["compose.yml"]), ("production", "storefront", ["compose.yml", "compose.production.yml"])],
)
def test_the_example_is_what_compose_says(tmp_path: Path, environment: str, project: str, files: list[str]) -> None:
    contract, _ = read_contract((STOREFRONT / f".env.{environment}.example").read_text(), "contract")
    assert contract is not None
    texts = [(STOREFRONT / name).read_text() for name in files]
    images = dict.fromkeys(("order-intake", "files-api", "quote-page"), "x")
    release = "services:\n" + "".join(f"  {name}: {{image: registry.example.org/x@{DIGEST}}}\n" for name in images)
    said = config(tmp_path, *texts, release, env=(STOREFRONT / f".env.{environment}.example").read_text())
    agree(seen(tmp_path, *texts, project=project, images=images, known=contract.known()), said)


def test_several_files_are_laid_over_each_other_alike(tmp_path: Path) -> None:
    base = f"""\
name: first
x-all: &all {{restart: always, healthcheck: {{test: [CMD, x]}}, image: "x@{DIGEST}"}}
services:
  a:
    <<: *all
    networks: [one, two]
    depends_on: [b]
    volumes: ["./r:/r", "keep:/keep", "${{DIR}}/x/:/x/", "gone:/swap", {{type: bind, source: s, target: /s/, read_only: true}}]
  b: {{<<: *all, network_mode: host}}
volumes: {{keep: , gone: , extra: {{name: called}}}}
networks: {{one: , two: , three: }}
"""
    over = """\
name: shop
services:
  a:
    image:
    networks: {three: {aliases: [y]}}
    depends_on: {c: {condition: service_healthy}}
    volumes: ["/srv/swapped:/swap:ro", "../up:/up", "extra:/e"]
    restart: unless-stopped
  c: {image: "IMAGE", restart: always, healthcheck: {test: x}, container_name: called}
""".replace("IMAGE", f"y:1@{DIGEST}")
    view = seen(tmp_path, base, over, project="shop", images={}, known={"DIR": "/mnt/data"})
    agree(view, config(tmp_path, base, over, env="DIR=/mnt/data\n"))


def test_environment_files_are_read_alike_wherever_this_program_reads_them_at_all(tmp_path: Path) -> None:
    source = random.Random(7)  # noqa: S311 - the same ones each time
    signs = "abcXYZ019 '\"#$\\{}=:/@%&!*-_.,;`~^()[]<>?|+\t"
    values = ["".join(source.choices(signs, k=source.randrange(12))) for _ in range(3000)]
    values += [f"'{value}'" for value in values] + [f'"{value}"' for value in values]
    ours: dict[str, str] = {}
    lines: list[str] = []
    for number, value in enumerate(values):
        said = read_env(f"V{number}={value}\n", ".env")
        if not said.faults:
            ours[f"V{number}"] = said.entries[0].value
            lines.append(f"V{number}={value}\n")
    assert len(ours) > 500
    text = "name: x\nservices: {a: {image: x, environment: {%s}}}\n" % ", ".join(f'{name}: "${{{name}}}"' for name in ours)  # noqa: UP031
    told = config(tmp_path, text, env="".join(lines))["services"]["a"]["environment"]
    assert {name: (value or "").replace("$$", "$") for name, value in told.items()} == ours


def test_variables_are_replaced_alike_wherever_this_program_replaces_them_at_all(tmp_path: Path) -> None:
    source = random.Random(11)  # noqa: S311 - the same ones each time
    parts = [
        "a",
        "$$",
        "$A",
        "${A}",
        "${A:-d}",
        "${B:-d}",
        "${B-d}",
        "${A-d}",
        "${B:-${A}}",
        "${B:-$A-${C:-e}}",
        "${A:+s}",
        "${B:+s}",
        "${A:?m}",
        "-",
        "/",
        "$",
        "5",
    ]
    templates = ["".join(source.choices(parts, k=source.randrange(1, 5))) for _ in range(400)]
    ours: dict[str, str] = {}
    for number, template in enumerate(templates):
        try:
            ours[f"V{number}"], _ = resolved(template, {"A": "x"})
        except UnresolvedError:
            continue
        ours[f"V{number}"] += "|"
    assert len(ours) > 300
    text = "name: x\nservices: {a: {image: x, environment: {%s}}}\n" % ", ".join(f'{name}: "{templates[int(name[1:])]}|"' for name in ours)  # noqa: UP031
    told = config(tmp_path, text, env="A=x\n")["services"]["a"]["environment"]
    assert {name: value.replace("$$", "$") for name, value in told.items()} == ours
