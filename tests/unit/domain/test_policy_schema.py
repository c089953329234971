from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from controlplane.adapters.strict_yaml import parse_document, read_document
from controlplane.domain.policy_schema import policy_schema
from controlplane.domain.site_template import POLICY

ROOT = Path(__file__).parents[3]
SITES = sorted((ROOT / "inventory").glob("*/policy.yml"))


def test_the_schema_is_the_one_that_editors_have(golden: Callable[[str, str], None]) -> None:
    golden("policy.schema.json", json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("path", SITES, ids=lambda path: path.parent.name)
def test_the_schema_accepts_every_site(path: Path) -> None:
    jsonschema.Draft202012Validator(policy_schema()).validate(read_document(path).checked().data)


def test_the_schema_accepts_what_init_writes() -> None:
    jsonschema.Draft202012Validator(policy_schema()).validate(parse_document(POLICY, "policy.yml").checked().data)


@pytest.mark.parametrize(
    "text",
    [
        "version: 2\n",
        "version: 1\nhosts: {Bad: {tier: x}}\n",
        "version: 1\nhosts: {h: {nope: 1}}\n",
        "version: 1\ndefaults: {thresholds: {images: 15}}\n",
        "version: 1\nhosts: {h: {disks: [{serial: a, uuid: 0a1b2c3d, mount: /mnt/x}]}}\n",
        "version: 1\nhosts: {h: {services: {s: {kind: files, data: /d}}}}\n",
    ],
)
def test_the_schema_refuses_what_it_can_see(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(policy_schema()).validate(parse_document(text, "p").data)


def test_every_key_has_a_description() -> None:
    def bare(node: Any, place: str) -> Iterator[str]:
        for name, field in node.get("properties", {}).items():
            if "description" not in field:
                yield f"{place}.{name}"

    schema = policy_schema()
    found = [*bare(schema, "policy"), *(place for name, node in schema["$defs"].items() for place in bare(node, name))]
    assert found == []
