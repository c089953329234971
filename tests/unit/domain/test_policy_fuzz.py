"""Spoilt policies: always faults or a state, never a bug, and what has no fault resolves."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.adapters.strict_yaml import parse_document
from controlplane.domain.desired import resolve
from controlplane.domain.errors import Fault
from controlplane.domain.faults import fault_at, validated
from controlplane.domain.inventory import Inventory, InventoryHost
from controlplane.domain.policy import Policy
from controlplane.domain.policy_rules import policy_faults

TEXT = """\
version: 1
defaults: {thresholds: {root_used_warn: 80%, images: 15GB}}
groups: {mint: {thresholds: {root_used_warn: 60%}}}
tiers: {boot-only: {data: boot}, data-disk: {data: disk}, nfs: {data: nfs}}
hosts:
  data:
    tier: data-disk
    disks: [{serial: D1, min_size: 3GB, max_size: 9GB, mount: /mnt/data, options: [noatime]}]
    docker: {data_root: /mnt/data/docker, log: {max_size: 10MB, max_files: 3}}
    services:
      pg: {kind: postgres, data: /pg, place: /mnt/data/pg, durability: {fsync: true}}
      wiki: {kind: files, data: /srv, volume: wiki, proof: [wikictl, count]}
    stacks: [{project: p, dir: /opt/p}]
  apps: {tier: boot-only, write_surfaces: [{container: c, path: /t, place: /opt/t}]}
waivers: [{check: D237, host: apps, reason: r, approved_by: ops, expires: 2026-12-31, until: {root_used: 60%}}]
"""
INVENTORY = Inventory(hosts=(InventoryHost(name="apps"), InventoryHost(name="data", groups=("mint",))), groups=("mint",))
JUNK: list[Any] = [
    None,
    1,
    True,
    "x",
    "/",
    "/mnt/data",
    [],
    {},
    ["a"],
    {"a": 1},
    "{{x}}",
    -1,
    "80%",
    "1GB",
    "\x1b[0m",
    [[[]]],
    {"kind": "redis"},
    "x" * 5000,
]
SPOILERS = ["", ":", "{", "}", "[", "]", "&a ", "*a ", "!x ", "'", '"', "\n", "  ", "- ", "?", "|", ">", "%", "#", "\t", "\x00", "é", "<<: "]


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*at, key))


def spoil(data: Any, chance: random.Random) -> Any:
    spoilt = copy.deepcopy(data)
    for _ in range(chance.randint(1, 3)):
        *above, last = chance.choice([place for place in places(spoilt) if place])
        node = spoilt
        for key in above:
            node = node[key]
        if chance.random() < 0.7:
            node[last] = chance.choice(JUNK)
        else:
            del node[last]
        if isinstance(node, dict) and chance.random() < 0.3:
            node[chance.choice(["zzz", "serial", "kind", "place", ""])] = chance.choice(JUNK)
    return spoilt


def faults_of(data: Any, source: Any) -> tuple[Policy | None, list[Fault]]:
    policy, faults = validated(Policy, data, source)
    return policy, sorted({*faults, *(fault_at(source, place, message) for place, message in policy_faults(data, INVENTORY))})


@pytest.mark.parametrize("seed", range(20))
def test_spoilt_data_are_faults_or_resolve(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable spoiling, no secret
    document = parse_document(TEXT, "policy.yml")
    for _ in range(25):
        policy, faults = faults_of(spoil(document.data, chance), document)
        assert all(str(fault).isprintable() and len(fault.message) < 1000 for fault in faults)
        if not faults:
            assert policy is not None
            resolve(policy, INVENTORY)


@pytest.mark.parametrize("seed", range(20))
def test_spoilt_text_is_faults_with_lines_or_a_policy(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - repeatable spoiling, no secret
    for _ in range(25):
        letters = list(TEXT)
        for _ in range(chance.randint(1, 6)):
            letters[chance.randrange(len(letters))] = chance.choice(SPOILERS)
        document = parse_document("".join(letters), "policy.yml")
        policy, faults = faults_of(document.data, document)
        assert all(fault.line > 0 for fault in (*faults, *document.faults))
        if not faults and not document.faults:
            assert policy is not None
