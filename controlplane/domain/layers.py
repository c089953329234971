"""Host over group over defaults, key by key, on a policy's plain data.

It works on plain data (as read from YAML, or dumped from a `Policy`), so that rules over resolved values report even where
a field elsewhere is wrong. Shapes that don't fit are skipped here; the models report them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from controlplane.domain.faults import Place
from controlplane.domain.policy import Thresholds
from controlplane.domain.sizes import parse_percent, parse_size

Key = tuple[str, ...]
# What a layer can set; docker.log and docker.hygiene are one key each, because what they hold belongs together.
KEYS: tuple[Key, ...] = (
    ("tier",),
    *(("thresholds", name) for name in Thresholds.model_fields),
    ("docker", "data_root"),
    ("docker", "containerd_root"),
    ("docker", "log"),
    ("docker", "hygiene"),
)


class Set(NamedTuple):
    """A value and where it was set."""

    value: Any
    place: Place


Merged = dict[Key, Set]


def inside(node: Any, *keys: str | int) -> Any:
    """Return what lies under `keys`, or None where the shape doesn't fit."""
    for key in keys:
        if isinstance(node, Mapping):
            node = node.get(key)
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            node = node[key]
        else:
            return None
    return node


def items(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a mapping, nothing of anything else."""
    return iter(node.items()) if isinstance(node, Mapping) else iter(())


def entries(node: Any) -> Iterator[tuple[int, Any]]:
    """Yield positions and entries of a list, nothing of anything else."""
    return enumerate(node) if isinstance(node, list) else iter(())


def amount(value: Any) -> Any:
    """Return a size or percentage as an int, so that 15GB equals 15000MB; anything else as it is."""
    if not isinstance(value, str):
        return value
    for parse in (parse_size, parse_percent):
        try:
            return parse(value)
        except ValueError:
            continue
    return value


def layer(node: Any, at: Place) -> Merged:
    """Return what one layer sets."""
    found: Merged = {}
    for key in KEYS:
        value = inside(node, *key)
        if value is not None:
            found[key] = Set(value, (*at, *key))
    return found


def merge_groups(groups: Mapping[str, Merged], names: Iterable[str]) -> tuple[Merged, dict[Key, tuple[str, str]]]:
    """Return what the groups set together, and the first two names for each key that they disagree on."""
    merged: Merged = {}
    owner: dict[Key, str] = {}
    torn: dict[Key, tuple[str, str]] = {}
    for name in sorted(names):
        for key, found in groups.get(name, {}).items():
            if key not in merged:
                merged[key], owner[key] = found, name
            elif key not in torn and _compared(merged[key].value) != _compared(found.value):
                torn[key] = (owner[key], name)
    return merged, torn


def _compared(value: Any) -> Any:
    return {key: amount(part) for key, part in value.items()} if isinstance(value, Mapping) else amount(value)
