"""D195: each subject and each folder has one authority."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

SITE = Path(__file__).parent.parent
FILE = "registry/authority.yml"
SUBJECT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
FOLDER = re.compile(r"[a-z0-9][a-z0-9._-]*:(/[\w.@+-]+)+", re.ASCII)


def zones() -> list[dict[str, Any]]:
    found = yaml.safe_load((SITE / FILE).read_text("utf-8")).get("zones")
    assert found, f"{FILE}: zones is empty: nothing has an authority; restore it from git"
    wanted = [(f"zones.{i}", zone, ("zone", "authority", "subjects", "folders")) for i, zone in enumerate(found)]
    wanted += [(f"zones.{i}.authority", zone["authority"], ("host", "service")) for i, zone in enumerate(found) if "authority" in zone]
    faults = [f"{FILE}: {place}.{key} is missing: write it" for place, entry, keys in wanted for key in keys if key not in entry]
    assert not faults, "\n".join(faults)
    return found


def overlaps(kind: str, separator: str) -> list[str]:
    """Return the pairs of which one lies within the other, part by part: `order` covers `order.intake` and not `orders`."""
    covered = [(zone["zone"], place, place.split(separator)) for zone in zones() for place in zone[kind]]
    return [
        f"{FILE}: zones {one} and {other} overlap in {kind}: {first}, {second}. Give it to one of them, and take it out of the other"
        for (one, first, a), (other, second, b) in combinations(covered, 2)
        if one != other and a[: len(b)] == b[: len(a)]
    ]


def test_each_zone_has_a_name_of_its_own_and_covers_something() -> None:
    names = [zone["zone"] for zone in zones()]
    faults = [f"{FILE}: zones has {name} twice: merge the two, or rename one" for name in sorted({name for name in names if names.count(name) > 1})]
    faults += [
        f"{FILE}: zone {zone['zone']} covers nothing: write its subjects and folders" for zone in zones() if not zone["subjects"] + zone["folders"]
    ]
    assert not faults, "\n".join(faults)


def test_subjects_and_folders_are_written_in_the_one_way_that_can_be_compared() -> None:
    faults = [
        f"{FILE}: zone {zone['zone']}: subject {subject} is no dotted name in small letters: write it as order.intake"
        for zone in zones()
        for subject in zone["subjects"]
        if not SUBJECT.fullmatch(subject)
    ]
    faults += [
        f"{FILE}: zone {zone['zone']}: folder {folder} is no host:/path without .., * and a last /: write it out"
        for zone in zones()
        for folder in zone["folders"]
        if not FOLDER.fullmatch(folder) or {".", ".."} & set(folder.split("/"))
    ]
    assert not faults, "\n".join(faults)


def test_no_subject_has_two_authorities() -> None:
    faults = overlaps("subjects", ".")
    assert not faults, "\n".join(faults)


def test_no_folder_has_two_authorities() -> None:
    faults = overlaps("folders", "/")
    assert not faults, "\n".join(faults)
