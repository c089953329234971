"""What no single field of a wave file shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from controlplane.domain.faults import Place


def wave_faults(
    data: Any,
    *,
    hosts: Collection[str] | None,
    checks: Collection[str],
    packs: Collection[str],
    capabilities: Collection[str],
    waves: Collection[str],
) -> Iterator[tuple[Place, str]]:
    """Yield the faults. `hosts` are those of the policy, None where it could not be read; the others are what there is of each kind."""
    if not isinstance(data, Mapping):
        return
    yield from _of_hosts(data, hosts)
    for number, name in enumerate(_list(data, "capabilities")):
        if name not in capabilities:
            yield ("capabilities", number), f"there is no {name}; there are {', '.join(capabilities)}"
    yield from _of_mutation(data)
    if "pack" in data and data["pack"] not in packs:
        yield ("pack",), f"there is no pack {data['pack']} in gates.yml: define it there, or name one of {', '.join(packs) or 'none'}"
    seen = [*_list(data, "hosts"), *_list(data, "read_only")]
    if "pack" in data and not seen:
        yield ("pack",), "is run on the wave's hosts, and it names none: put those that are only looked at under read_only"
    for field in ("entry", "exit"):
        for number, gate in enumerate(_list(data, field)):
            if isinstance(gate, Mapping):
                yield from _of_gate(gate, (field, number), checks=checks, packs=packs, waves=waves, hosts=hosts, seen=seen, pack=data.get("pack"))


def _of_hosts(data: Mapping[str, Any], hosts: Collection[str] | None) -> Iterator[tuple[Place, str]]:
    for field in ("hosts", "read_only"):
        for number, host in enumerate(_list(data, field)):
            if hosts is not None and host not in hosts:
                yield (field, number), f"{host} is no host of policy.yml: name one that it governs"
            if field == "read_only" and host in _list(data, "hosts"):
                yield (field, number), f"{host} is among the hosts that it changes: leave it out of one of the two"
            if host in _list(data, field)[:number]:
                yield (field, number), f"{host} is named twice: once is enough"


def _of_mutation(data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if data.get("mutation") == "controlled":
        for field, what in (("hosts", "changes no host"), ("capabilities", "may use no capability")):
            if not _list(data, field):
                yield (field,), f"is empty, so the wave {what}: name some, or write mutation: none"
    elif data.get("mutation") in ("none", "governance"):
        for field in ("hosts", "capabilities"):
            if _list(data, field):
                yield (field,), f"belongs to mutation: controlled, and this says {data['mutation']}: hosts that are only looked at are read_only"


def _of_gate(
    gate: Mapping[str, Any],
    at: Place,
    *,
    checks: Collection[str],
    packs: Collection[str],
    waves: Collection[str],
    hosts: Collection[str] | None,
    seen: Collection[str],
    pack: object,
) -> Iterator[tuple[Place, str]]:
    rooms = (("checks", checks, "no check"), ("hosts", hosts, "no host of policy.yml"))
    for field, known, what in rooms:
        for number, name in enumerate(_list(gate, field)):
            if known is not None and name not in known:
                yield (*at, field, number), f"{name} is {what}"
            elif field == "hosts" and name not in seen:
                yield (*at, field, number), f"{name} is no host of this wave, so nothing would be judged of it: put it under read_only"
    if gate.get("kind") == "pack" and gate.get("pack") not in packs:
        yield (*at, "pack"), f"there is no pack {gate.get('pack')} in gates.yml"
    elif gate.get("kind") == "pack" and gate.get("pack") != pack:
        yield (*at, "pack"), f"{gate.get('pack')} is not the pack that this wave runs: write pack: {gate.get('pack')}"
    if gate.get("kind") == "closed" and gate.get("wave") not in waves:
        yield (*at, "wave"), f"there is no waves/{gate.get('wave')}.yml"
    if at[0] == "exit" and gate.get("kind") in ("window", "approval", "undo"):
        yield (*at, "kind"), f"{gate['kind']} is asked before changes, so it belongs under entry"


def _list(data: Mapping[str, Any], field: str) -> list[Any]:
    held = data.get(field)
    return held if isinstance(held, list) else []
