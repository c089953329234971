"""D204: each secret that is needed has a reference, and no file has a value.

No message shows what stands at a place: it may be the secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE = "registry/secrets.yml"
REFERENCE = re.compile(r"env:[A-Z][A-Z0-9_]*|vault:[a-z0-9][a-z0-9/_-]*#[a-z0-9_]+|file:(/[\w.-]+)+", re.ASCII)
NAMES_A_VALUE = re.compile(r"(pass(word|wd|phrase)|token|api_?key|private_?key|secret_?key|credentials?|value)", re.IGNORECASE)
CARRIES_A_VALUE = re.compile(r"://[^/@\s]*:[^/@\s]+@|-----BEGIN|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\beyJ[\w-]{10,}\.")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((SITE / name).read_text("utf-8"))


def required() -> Iterator[tuple[str, str]]:
    """Yield the name of each secret that something needs, with what needs it."""
    for file in sorted(path.name for path in SITE.glob("*.yml")):
        yield from ((text, f"{file}: {place}") for text, key, place in strings(read(file), "") if key in {"password_env", "vault"})
    for name, service in read("registry/services.yml")["services"].items():
        for secret in service.get("secrets", []):
            yield secret, f"registry/services.yml: services.{name}.secrets"
    for section, providers in read("registry/providers.yml").items():
        for name, provider in providers.items():
            if "secret" in provider:
                yield provider["secret"], f"registry/providers.yml: {section}.{name}.secret"


def references() -> Iterator[str]:
    """Yield what is wrong with how an entry says where its secret is."""
    for name, entry in read(FILE).get("secrets", {}).items():
        place = f"{FILE}: secrets.{name}"
        if not isinstance(entry, dict) or set(entry) != {"owner", "access", "reference"}:
            yield f"{place} has not owner, access and reference alone: a value has no place here; if one stood here, have it changed"
        elif entry["access"] not in {"read", "write"}:
            yield f"{place}.access is neither read nor write: write which of the two it opens"
        elif not isinstance(entry["reference"], str) or not REFERENCE.fullmatch(entry["reference"]):
            yield f"{place}.reference is no env:NAME, vault:PATH#KEY or file:/PATH: write where it is; if a value stood here, have it changed"


def strings(node: Any, place: str) -> Iterator[tuple[str, str, str]]:
    """Yield each string below a node with its last key and its place."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str | int | float):
                yield str(value), str(key), f"{place}.{key}".removeprefix(".")
            else:
                yield from strings(value, f"{place}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from strings({i: value}, place)


def values_in_files() -> Iterator[str]:
    """Yield where a value seems to stand in one of the site's own files."""
    for path in sorted([*SITE.glob("*.yml"), *SITE.glob("registry/*.yml")]):
        file = path.relative_to(SITE).as_posix()
        for text, key, place in strings(yaml.safe_load(path.read_text("utf-8")), ""):
            if NAMES_A_VALUE.fullmatch(key) or CARRIES_A_VALUE.search(text):
                yield f"{file}: {place} looks like the value of a secret: have it changed, keep it where {FILE} can point, and write its name here"


def test_each_required_secret_has_a_reference() -> None:
    known, needs = set(read(FILE).get("secrets", {})), list(required())
    assert needs, f"{FILE}: nothing needs a secret, so this judges nothing: services.yml and providers.yml name theirs"
    faults = [f"{FILE}: secrets.{name} is missing, {place} needs it: add where it is kept" for name, place in needs if name not in known]
    assert not faults, "\n".join(faults)


def test_each_entry_is_a_reference_and_no_value() -> None:
    faults = list(references())
    assert not faults, "\n".join(faults)


def test_no_file_of_the_site_has_a_value() -> None:
    faults = list(values_in_files())
    assert not faults, "\n".join(faults)
